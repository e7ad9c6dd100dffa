"""Chooses what runs an encoder: Keras itself, or OpenVINO."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from importlib.metadata import version
from typing import Protocol

import keras
import numpy as np

from keras_mm.checks import unknown_name
from keras_mm.errors import EngineError, InvalidValueError
from keras_mm.features.engines.keras_network import KerasNetwork, precision_of
from keras_mm.features.engines.openvino_network import openvino_network
from keras_mm.features.fingerprint import described, device_of
from keras_mm.features.store.store import FeatureStore
from keras_mm.settings.engines import ENGINES, engine_problem

# An encoder with fewer weights has finished before OpenVINO is ready.
_WORTHWHILE = 300_000

# Encoders that OpenVINO could not run: "auto" does not try them again.
_unfit: weakref.WeakSet = weakref.WeakSet()


class Network(Protocol):
    """An encoder that runs on some engine.

    Attributes:
        engine: Engine and precision, in words for the log.
        precision: `"float32"` or `"bfloat16"`.
    """

    engine: str
    precision: str

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Encodes a batch.

        Args:
            batch: The encoder's inputs by name, first axis the items.

        Returns:
            The wanted outputs by name, first axis the items.
        """

    def in_float32(self) -> Network:
        """The same network in full precision, for comparison.

        Returns:
            A network with the same outputs.
        """


def choose_engine(encoder: keras.Model, engine: str, store: FeatureStore | None) -> str:
    """The engine that runs an encoder.

    Args:
        encoder: A functional model, as `create_vision_encoder` makes.
        engine: `"keras"`, `"openvino"` or `"auto"`. `"auto"` is OpenVINO if it is installed and
            faster: on a CPU, for frozen encoders of Keras' and this package's layers that are not
            tiny, with a `store` that keeps the converted encoder, and not on TensorFlow in float32,
            which is as fast. Else it is Keras.
        store: Where a converted encoder is kept.

    Returns:
        `"keras"`, or `"openvino"` with its version and precision, on which features depend.

    Raises:
        ValueError: for an unknown engine.
        EngineError: for `engine="openvino"` if it is not installed.
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
    """Prepares an encoder to run, in the precision that it was built with.

    Args:
        encoder: A functional model.
        outputs: Names of the wanted outputs.
        engine: As `choose_engine` returned it.
        store: Where a converted encoder is kept; `None` for this process only.

    Returns:
        The network.

    Raises:
        EngineError: if the engine cannot run the encoder.
    """
    if engine == "keras":
        return KerasNetwork(encoder, outputs)
    return openvino_network(encoder, outputs, store)


def note_unfit(encoder: keras.Model) -> None:
    """Remembers that OpenVINO cannot run an encoder, so that `"auto"` does not try again.

    Args:
        encoder: The encoder.
    """
    _unfit.add(encoder)


def deviation(network: Network, batch: Mapping[str, np.ndarray], count: int) -> str:
    """How far a network's vectors are from full precision.

    Args:
        network: A network in lower precision.
        batch: Its inputs.
        count: The first items of the batch that are compared, in their first output, >= 2.

    Returns:
        A phrase for the log.
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
