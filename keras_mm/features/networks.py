"""What computes an encoder's outputs: Keras itself, or OpenVINO."""

from __future__ import annotations

import json
import logging
import math
import threading
import weakref
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, Protocol

import keras
import numpy as np

from keras_mm.engines import ENGINES, engine_problem
from keras_mm.errors import EngineError, InvalidValueError
from keras_mm.features.fingerprint import described, device_of
from keras_mm.features.store import FeatureStore
from keras_mm.forks import check_not_forked
from keras_mm.models.encoder import Encoder
from keras_mm.presets import unknown_name
from keras_mm.random_state import unseeded

# Below so many weights an encoder is done before OpenVINO is ready.
_WORTHWHILE = 300_000

# The part of an encoder that gives the wanted outputs, kept so that it is compiled once.
_reduced: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_precisions: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_predicting = threading.RLock()
_jax_steps: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
# Encoders that OpenVINO could not run: not tried again unless it is asked for.
_unfit: weakref.WeakSet = weakref.WeakSet()


class Network(Protocol):
    """An encoder as what computes it.

    Attributes:
        engine: What computes and how, in words.
        precision: `"float32"` or `"bfloat16"`.
    """

    engine: str
    precision: str

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The wanted outputs of one batch."""

    def in_float32(self) -> Network:
        """The same in full precision, for comparison."""


class KerasNetwork:
    """An encoder run by Keras, on the present backend.

    Args:
        encoder: The encoder.
        outputs: Names of the wanted outputs.
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
        """The wanted outputs of one batch."""
        found = predict_batch(self._model, batch)
        return {name: np.asarray(value) for name, value in found.items()}

    def in_float32(self) -> Network:
        """The same in full precision."""
        return KerasNetwork(full_precision(self._encoder), self._outputs)


def full_batches(positions: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Positions in full batches; the last one repeats a row, and its true size is given."""
    for start in range(0, len(positions), batch_size):
        take = positions[start : start + batch_size]
        filled = np.concatenate([take, np.repeat(take[-1:], batch_size - len(take))])
        yield filled, len(take)


def predict_batch(model: keras.Model, batch: Mapping[str, np.ndarray]) -> Any:
    """What `model.predict_on_batch` gives, from any thread.

    Args:
        model: A functional model.
        batch: Its inputs by name.

    Raises:
        ForkError: in a process that was forked from one whose backend was running.
    """
    check_not_forked()
    if keras.backend.backend() == "jax":
        return _predict_on_jax(model, dict(batch))
    logger = logging.getLogger("tensorflow")
    # Threads take turns where Keras makes the model's function.
    with _predicting:
        # TensorFlow counts the shapes of all models together, and takes a dozen for a mistake.
        logger.addFilter(_is_no_advice)
        try:
            return model.predict_on_batch(dict(batch))
        finally:
            logger.removeFilter(_is_no_advice)


def _predict_on_jax(model: keras.Model, batch: dict[str, np.ndarray]) -> Any:
    """A step of our own: Keras' takes the memory of the variables, which other threads read."""
    with _predicting:
        step = _jax_steps.get(model)
        if step is None:
            step = _jax_steps[model] = _jax_step(weakref.ref(model))
    weights = (
        [v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)
    )
    return keras.tree.map_structure(np.array, step(*weights, batch))


def _jax_step(model: weakref.ref) -> Any:
    import jax

    def step(trainable: list, non_trainable: list, batch: dict) -> Any:
        return model().stateless_call(trainable, non_trainable, batch, training=False)[0]

    return jax.jit(step)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def choose_engine(encoder: keras.Model, engine: str, store: FeatureStore | None) -> str:
    """The engine that runs an encoder.

    Args:
        encoder: A functional model, as `create_vision_encoder` makes.
        engine: `"keras"`; `"openvino"`; or `"auto"`: OpenVINO where it is installed and faster, on
            a CPU, for frozen encoders of Keras' and this package's layers that are not tiny, where
            `store` keeps what converting them gives; else Keras. TensorFlow is as fast in float32.
        store: Where a converted encoder is kept.

    Returns:
        `"keras"`, or `"openvino"` with its version and precision: what decides the answers.

    Raises:
        ValueError: for an unknown engine.
        EngineError: for `engine="openvino"` where it is not installed.
    """
    if engine not in ENGINES:
        raise InvalidValueError(unknown_name("engine", engine, ENGINES))
    problem = engine_problem(engine)
    if problem:
        raise EngineError(problem)
    if engine == "keras" or (engine == "auto" and not _pays(encoder, store)):
        return "keras"
    return f"openvino {version('openvino')} {precision_of(encoder)}"


def create_network(
    encoder: keras.Model, outputs: tuple[str, ...], engine: str, store: FeatureStore | None
) -> Network:
    """What computes `outputs` of an encoder, in the precision that the encoder was built with.

    Args:
        encoder: A functional model.
        outputs: Names of the wanted outputs.
        engine: As `choose_engine` gave it.
        store: Where a converted encoder is kept; `None` for this process only.

    Raises:
        EngineError: if the engine cannot run the encoder.
    """
    if engine == "keras":
        return KerasNetwork(encoder, outputs)
    from keras_mm.features.openvino_network import openvino_network

    return openvino_network(encoder, outputs, store)


def note_unfit(encoder: keras.Model) -> None:
    """Notes that OpenVINO cannot run an encoder, so that `"auto"` does not try again."""
    _unfit.add(encoder)


def precision_of(encoder: keras.Model) -> str:
    """`"bfloat16"` if an encoder computes in it anywhere, else `"float32"`."""
    if encoder not in _precisions:
        low = any(layer.compute_dtype == "bfloat16" for layer in encoder._flatten_layers())
        _precisions[encoder] = "bfloat16" if low else "float32"
    return _precisions[encoder]


def full_precision(encoder: keras.Model) -> keras.Model:
    """The encoder in float32: itself, or a copy."""
    if precision_of(encoder) == "float32":
        return encoder
    with unseeded():
        copy = keras.saving.deserialize_keras_object(float32_config(encoder))
    copy.set_weights(encoder.get_weights())
    return copy


def float32_config(encoder: keras.Model) -> dict:
    """What `keras.saving.deserialize_keras_object` makes the encoder of, in float32."""
    config = json.dumps(keras.saving.serialize_keras_object(encoder))
    for name in ("mixed_bfloat16", "bfloat16"):
        config = config.replace(f'"{name}"', '"float32"')
    return json.loads(config)


def deviation(network: Network, batch: Mapping[str, np.ndarray], count: int) -> str:
    """How far a network's vectors are from full precision, in words for the log.

    Args:
        network: What computes in less.
        batch: Inputs that it takes.
        count: Items of them that are not filled up; their first output is compared.
    """
    name, low = next(iter(network(batch).items()))
    full = network.in_float32()(batch)[name]
    vectors = []
    for value in (low, full):
        value = np.asarray(value, "float64").reshape(-1, value.shape[-1])[:count]
        vectors.append(value - value.mean(axis=0))
    a, b = vectors
    cosine = (a * b).sum(axis=1) / np.maximum(
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12
    )
    return (
        f"cosine to float32, the mean removed: {cosine.mean():.4f} on average, {cosine.min():.4f} "
        f"at least, of {count}"
    )


def _pays(encoder: keras.Model, store: FeatureStore | None) -> bool:
    as_fast = keras.backend.backend() == "tensorflow" and precision_of(encoder) == "float32"
    return (
        store is not None
        and not as_fast
        and encoder not in _unfit
        and not engine_problem("openvino")
        and not encoder.trainable_variables
        and "cpu" in device_of(encoder).lower()
        and sum(math.prod(v.shape) for v in encoder.weights) >= _WORTHWHILE
        and bool(described(encoder))
    )
