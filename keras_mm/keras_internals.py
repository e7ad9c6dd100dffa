"""All private parts of Keras and TensorFlow that this package uses.

New versions may change them without notice; `tests/test_keras_internals.py` then fails and says
what is affected. It also checks the methods of Keras' optimizers that
`keras_mm.training.optimizers` overrides.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED


def all_layers(layer: Any, *, itself: bool = True, nested: bool = True) -> list[Any]:
    """A layer and the layers inside it, also those in attributes, which `Model.layers` leaves out.

    Args:
        layer: A layer or a model.
        itself: Whether the list begins with `layer`.
        nested: Whether to include all levels of nested layers; else only those directly inside
            `layer`.

    Returns:
        The layers.
    """
    return list(layer._flatten_layers(include_self=itself, recursive=nested))


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """The moving averages of the weights in an optimizer with `use_ema=True`.

    Args:
        optimizer: The optimizer.

    Returns:
        A variable for each trainable weight, in the order of the weights.
    """
    return list(optimizer._model_variables_moving_average)


def adam_moments(optimizer: keras.optimizers.Adam, variables: Sequence[Any]) -> list[tuple]:
    """The first and second moments of weights in an Adam optimizer.

    Args:
        optimizer: The optimizer, built.
        variables: Weights that it was built with.

    Returns:
        A pair of Keras variables for each weight.
    """
    places = [optimizer._get_variable_index(variable) for variable in variables]
    return [(optimizer._momentums[place], optimizer._velocities[place]) for place in places]


def replace_update(optimizer: keras.optimizers.Optimizer, update: Callable | None) -> None:
    """Replaces the function by which an optimizer updates weights.

    The optimizer keeps its class, so that a saved model can be loaded without this package.

    Args:
        optimizer: The optimizer, changed in place.
        update: A function of gradients, variables and the learning rate; `None` changes nothing.
    """
    if update is not None:
        optimizer._backend_update_step = update


def kernel_without_lora(layer: Any) -> Any:
    """A layer's kernel without the LoRA update, which the public `kernel` includes.

    Args:
        layer: A layer with LoRA enabled.

    Returns:
        The kernel, a variable.
    """
    return layer._kernel


def set_keras_seed(seed: int) -> None:
    """Sets the seed of Keras' random functions and restarts their sequence.

    Args:
        seed: The seed, in [0, 2**32).
    """
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, seed)
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)


def keep_keras_seed() -> Callable[[], None]:
    """Remembers the seed of Keras' random functions.

    Returns:
        A function that restores it.
    """
    names = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)
    states = {name: global_state.get_global_attribute(name) for name in names}

    def restore() -> None:
        for name, value in states.items():
            global_state.set_global_attribute(name, value)

    return restore


def set_tensorflow_seed(seed: int) -> None:
    """Sets TensorFlow's global seed, if TensorFlow is loaded.

    `tensorflow.random.set_seed` is not used, because it also drops TensorFlow's cached kernels,
    and the SentencePiece models that they hold.

    Args:
        seed: The seed, in [0, 2**32).
    """
    context = _tensorflow_context()
    if context is not None:
        context._seed, context._rng = seed, random.Random(seed)


def keep_tensorflow_seed() -> Callable[[], None]:
    """Remembers TensorFlow's global seed.

    Returns:
        A function that restores it.
    """
    context = _tensorflow_context()
    if context is None:
        return lambda: None
    # `_rng` exists only after a seed was set.
    state = {name: vars(context)[name] for name in ("_seed", "_rng") if name in vars(context)}
    rng_state = state["_rng"].getstate() if "_rng" in state else None

    def restore() -> None:
        vars(context).update(state)
        if rng_state is not None:
            state["_rng"].setstate(rng_state)

    return restore


def _tensorflow_context() -> Any:
    """The object that holds TensorFlow's global seed; `None` if TensorFlow is not loaded."""
    module = sys.modules.get("tensorflow.python.eager.context")
    return None if module is None else module.context()
