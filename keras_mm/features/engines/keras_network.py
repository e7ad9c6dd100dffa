"""Encoders and models run by Keras, from any thread."""

from __future__ import annotations

import json
import logging
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_mm.forks import check_not_forked
from keras_mm.keras_internals import all_layers
from keras_mm.models.encoder import Encoder
from keras_mm.random_state import unseeded

# Encoders reduced to the wanted outputs, kept so that each is compiled once.
_reduced: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_precisions: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_predicting = threading.RLock()
_jax_steps: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class KerasNetwork:
    """An encoder run by Keras, on the present backend.

    Args:
        encoder: The encoder.
        outputs: Names of the wanted outputs.

    Attributes:
        engine: Backend and precision, in words for the log.
        precision: `"float32"` or `"bfloat16"`.
    """

    def __init__(self, encoder: keras.Model, outputs: tuple[str, ...]):
        self._encoder, self._outputs = encoder, outputs
        self.precision = precision_of(encoder)
        self.engine = f"Keras on {keras.backend.backend()} in {self.precision}"
        with _predicting:
            known = _reduced.setdefault(encoder, {})
            if outputs not in known:
                known[outputs] = Encoder(encoder.input, {n: encoder.output[n] for n in outputs})
            self._model = known[outputs]

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The wanted outputs of one batch, see `keras_mm.features.engines.choice.Network`."""
        found = predict_batch(self._model, batch)
        return {name: np.asarray(value) for name, value in found.items()}

    def in_float32(self) -> KerasNetwork:
        """The same network in full precision.

        Returns:
            A network of the encoder, or of a copy of it in float32.
        """
        return KerasNetwork(full_precision(self._encoder), self._outputs)


def full_batches(positions: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Positions in batches of one size; the last one is filled up with its last row.

    Args:
        positions: Positions of rows or items, int `(num_positions,)`.
        batch_size: Rows of a batch, >= 1.

    Yields:
        Positions `(batch_size,)`, and how many of them were not filled up.
    """
    for start in range(0, len(positions), batch_size):
        take = positions[start : start + batch_size]
        filled = np.concatenate([take, np.repeat(take[-1:], batch_size - len(take))])
        yield filled, len(take)


def predict_batch(model: keras.Model, batch: Mapping[str, np.ndarray]) -> Any:
    """The same as `model.predict_on_batch`, from any thread.

    Args:
        model: A functional model.
        batch: Its inputs by name.

    Returns:
        The model's outputs, of the same structure, as arrays.

    Raises:
        ForkError: in a process that was forked from one whose backend was running.
    """
    check_not_forked()
    if keras.backend.backend() == "jax":
        return _predict_on_jax(model, dict(batch))
    logger = logging.getLogger("tensorflow")
    # One thread at a time: Keras creates the model's function in the first call.
    with _predicting:
        # TensorFlow counts the shapes of all models in one sum, and warns after a dozen.
        logger.addFilter(_is_no_advice)
        try:
            return model.predict_on_batch(dict(batch))
        finally:
            logger.removeFilter(_is_no_advice)


def _predict_on_jax(model: keras.Model, batch: dict[str, np.ndarray]) -> Any:
    """Predicts with a step of our own.

    Keras' step donates the variables' memory, which other threads may be reading.
    """
    with _predicting:
        step = _jax_steps.get(model)
        if step is None:
            step = _jax_steps[model] = _jax_step(weakref.proxy(model))
    weights = (
        [v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)
    )
    return keras.tree.map_structure(np.array, step(*weights, batch))


def _jax_step(model: keras.Model) -> Any:
    """A compiled step; `model` is a weak proxy, so that the step does not keep the model alive."""
    import jax

    def step(trainable: list, non_trainable: list, batch: dict) -> Any:
        return model.stateless_call(trainable, non_trainable, batch, training=False)[0]

    return jax.jit(step)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def precision_of(encoder: keras.Model) -> str:
    """The precision that an encoder computes in.

    Args:
        encoder: A functional model.

    Returns:
        `"bfloat16"` if some layer computes in it, else `"float32"`.
    """
    if encoder not in _precisions:
        low = any(layer.compute_dtype == "bfloat16" for layer in all_layers(encoder))
        _precisions[encoder] = "bfloat16" if low else "float32"
    return _precisions[encoder]


def full_precision(encoder: keras.Model) -> keras.Model:
    """An encoder in float32.

    Args:
        encoder: A functional model.

    Returns:
        The encoder itself, or a copy.
    """
    if precision_of(encoder) == "float32":
        return encoder
    with unseeded():
        copy = keras.saving.deserialize_keras_object(float32_config(encoder))
    copy.set_weights(encoder.get_weights())
    return copy


def float32_config(encoder: keras.Model) -> dict:
    """A config that `keras.saving.deserialize_keras_object` reads as the encoder in float32.

    Args:
        encoder: A functional model.

    Returns:
        A JSON-serialisable dict.
    """
    config = json.dumps(keras.saving.serialize_keras_object(encoder))
    for name in ("mixed_bfloat16", "bfloat16"):
        config = config.replace(f'"{name}"', '"float32"')
    return json.loads(config)
