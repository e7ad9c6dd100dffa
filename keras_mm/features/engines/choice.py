"""Which engine runs an encoder: Keras itself, or OpenVINO."""

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

# Below so many weights an encoder is done before OpenVINO is ready.
_WORTHWHILE = 300_000

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
    return openvino_network(encoder, outputs, store)


def note_unfit(encoder: keras.Model) -> None:
    """Notes that OpenVINO cannot run an encoder, so that `"auto"` does not try again."""
    _unfit.add(encoder)


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
