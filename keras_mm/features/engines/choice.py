"""Chooses the engine that runs an encoder: Keras or OpenVINO."""

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

# Smallest number of weights for OpenVINO: a smaller encoder is done before OpenVINO has started.
_WORTHWHILE = 300_000

# Encoders that OpenVINO could not run: "auto" does not try them again.
_unsupported: weakref.WeakSet = weakref.WeakSet()


class Network(Protocol):
    """An encoder that runs on some engine.

    Attributes:
        engine: Engine and precision, as a phrase for the log.
        precision: `"float32"` or `"bfloat16"`.
    """

    engine: str
    precision: str

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Encodes a batch.

        Args:
            batch: The encoder's inputs by name, first axis the items.

        Returns:
            The outputs that it was created for, by name, first axis the items.
        """

    def in_float32(self) -> Network:
        """The same network in full precision, for comparison.

        Returns:
            A network with the same outputs.
        """


def choose_engine(encoder: keras.Model, engine: str, store: FeatureStore | None) -> str:
    """Chooses the engine that runs an encoder.

    Args:
        encoder: A functional model, such as one from `create_vision_encoder`.
        engine: `"keras"`, `"openvino"` or `"auto"`. `"auto"` is OpenVINO if it is installed and
            faster: on a CPU, for frozen encoders without custom layers that are not tiny, with a
            `store` for the converted encoder, and not on TensorFlow in float32, which is as fast.
            Otherwise, it is Keras.
        store: Store for the converted encoder.

    Returns:
        `"keras"`, or `"openvino"` followed by its version and precision, on which features depend.

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
        outputs: Names of the outputs to compute.
        engine: As `choose_engine` returned it.
        store: Store for the converted encoder; `None` keeps it in this process only.

    Returns:
        The network.

    Raises:
        EngineError: if the engine cannot run the encoder.
    """
    if engine == "keras":
        return KerasNetwork(encoder, outputs)
    return openvino_network(encoder, outputs, store)


def mark_unsupported(encoder: keras.Model) -> None:
    """Remembers that OpenVINO cannot run an encoder, so that `"auto"` does not try again.

    Args:
        encoder: The encoder.
    """
    _unsupported.add(encoder)


def deviation(network: Network, batch: Mapping[str, np.ndarray], count: int) -> str:
    """Compares a network's features with those in full precision.

    Args:
        network: A network in lower precision.
        batch: Its inputs by name.
        count: Number of items to compare, >= 2: the first of the batch, in the first output.

    Returns:
        The cosine similarities, as a phrase for the log.
    """
    name, low = next(iter(network(batch).items()))
    full = network.in_float32()(batch)[name]
    vectors = []
    for value in (low, full):
        value = np.asarray(value, "float64").reshape(-1, value.shape[-1])[:count]
        # Vectors of one network share a large mean, which would hide the differences.
        vectors.append(value - value.mean(axis=0))
    a, b = vectors
    cosine = (a * b).sum(axis=1) / np.maximum(
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12
    )
    return (
        f"cosine similarity to float32 without the mean: {cosine.mean():.4f} on average, "
        f"{cosine.min():.4f} at least, over {count} items"
    )


def _pays(encoder: keras.Model, store: FeatureStore | None) -> bool:
    """Whether OpenVINO is installed, can run an encoder, and is faster than Keras."""
    keras_as_fast = keras.backend.backend() == "tensorflow" and precision_of(encoder) == "float32"
    return (
        store is not None
        and not keras_as_fast
        and encoder not in _unsupported
        and not engine_problem("openvino")
        and not encoder.trainable_variables
        and "cpu" in device_of(encoder).lower()
        and sum(math.prod(v.shape) for v in encoder.weights) >= _WORTHWHILE
        and bool(described(encoder))
    )
