"""Runs encoders and models with Keras, from any thread."""

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

# By encoder, models of some of its outputs, kept so that each is compiled only once.
_reduced: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_precisions: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_predicting = threading.RLock()
_jax_steps: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # by model


class KerasNetwork:
    """An encoder that runs on Keras, with the current backend.

    Args:
        encoder: The encoder.
        outputs: Names of the outputs to compute.

    Attributes:
        engine: Backend and precision, as a phrase for the log.
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
        """Encodes a batch, see `keras_mm.features.engines.choice.Network`."""
        outputs = predict_batch(self._model, batch)
        return {name: np.asarray(value) for name, value in outputs.items()}

    def in_float32(self) -> KerasNetwork:
        """The same network in full precision.

        Returns:
            A network of the encoder, or of a copy of it in float32.
        """
        return KerasNetwork(full_precision(self._encoder), self._outputs)


def full_batches(positions: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Splits positions into batches of one size; the last is filled up with its last position.

    With one size, the model is compiled once, and results do not depend on the number of rows.

    Args:
        positions: Positions of rows or items, int `(num_positions,)`.
        batch_size: Size of the batches, >= 1.

    Yields:
        Positions `(batch_size,)`, and how many of them come before the filling.
    """
    for start in range(0, len(positions), batch_size):
        batch = positions[start : start + batch_size]
        filled = np.concatenate([batch, np.repeat(batch[-1:], batch_size - len(batch))])
        yield filled, len(batch)


def predict_batch(model: keras.Model, batch: Mapping[str, np.ndarray]) -> Any:
    """Calls `model.predict_on_batch`, safely from any thread.

    Args:
        model: A functional model.
        batch: Its inputs by name, first axis the rows.

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
        # TensorFlow counts traces over all models, so its warning does not mean that one retraces.
        logger.addFilter(_is_no_retracing_warning)
        try:
            return model.predict_on_batch(dict(batch))
        finally:
            logger.removeFilter(_is_no_retracing_warning)


def _predict_on_jax(model: keras.Model, batch: dict[str, np.ndarray]) -> Any:
    """Predicts with a compiled step of this package.

    Keras' own step donates the variables' memory to the result, while other threads may read it.
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


def _is_no_retracing_warning(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def precision_of(encoder: keras.Model) -> str:
    """The precision in which an encoder computes.

    Args:
        encoder: A functional model.

    Returns:
        `"bfloat16"` if any layer computes in bfloat16, else `"float32"`.
    """
    if encoder not in _precisions:
        low = any(layer.compute_dtype == "bfloat16" for layer in all_layers(encoder))
        _precisions[encoder] = "bfloat16" if low else "float32"
    return _precisions[encoder]


def full_precision(encoder: keras.Model) -> keras.Model:
    """Converts an encoder to float32.

    Args:
        encoder: A functional model.

    Returns:
        The encoder itself if it computes in float32, else a copy with the same weights.
    """
    if precision_of(encoder) == "float32":
        return encoder
    with unseeded():
        copy = keras.saving.deserialize_keras_object(float32_config(encoder))
    copy.set_weights(encoder.get_weights())
    return copy


def float32_config(encoder: keras.Model) -> dict:
    """The config of an encoder with all dtype policies replaced by float32.

    Args:
        encoder: A functional model.

    Returns:
        A JSON-serialisable dict for `keras.saving.deserialize_keras_object`.
    """
    config = json.dumps(keras.saving.serialize_keras_object(encoder))
    for name in ("mixed_bfloat16", "bfloat16"):
        config = config.replace(f'"{name}"', '"float32"')
    return json.loads(config)
