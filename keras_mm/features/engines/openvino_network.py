"""Runs encoders with OpenVINO: converted once, on TensorFlow, and kept in the feature store."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_mm.errors import ChildError, EngineError
from keras_mm.features.engines.keras_network import (
    float32_config,
    full_precision,
    precision_of,
    predict_batch,
)
from keras_mm.features.fingerprint import fingerprint, weights_check
from keras_mm.features.store.blocks import KEY_BYTES
from keras_mm.features.store.shelf import Shelf, reserve
from keras_mm.features.store.store import FeatureStore
from keras_mm.forks import check_not_forked
from keras_mm.load_order import load_keras_hub
from keras_mm.subprocesses import run_on_tensorflow

_FILES = ("network.xml", "network.bin")
_KEY = b"network".ljust(KEY_BYTES)
_TOLERANCE = 1e-3  # relative to the largest value; rounding causes about a hundredth of this
_NOTE = ["keras_mm", "deviation"]  # where a converted network states its difference from Keras
_NUM_TEST_ROWS = 4

_log = logging.getLogger("keras_mm")

# By encoder: a checksum of its weights, the converted encoder, and its networks.
_converted: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_CONVERTING, _IMPORTING = Lock(), Lock()


def load_openvino() -> ModuleType:
    """Imports OpenVINO without its telemetry, which forks a process to send an event.

    Returns:
        The module.

    Raises:
        EngineError: if it cannot be imported.
    """
    with _IMPORTING:
        telemetry = sys.modules.get("openvino_telemetry")
        if "openvino" not in sys.modules:
            sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        try:
            return importlib.import_module("openvino")
        except ImportError as error:
            raise EngineError(f"OpenVINO cannot be imported: {error}") from error
        finally:
            if telemetry is None:
                sys.modules.pop("openvino_telemetry", None)
            else:
                sys.modules["openvino_telemetry"] = telemetry


class OpenVINONetwork:
    """A converted encoder, compiled for this processor.

    Args:
        converted: The encoder as an OpenVINO model.
        outputs: Names of the outputs to compute.
        precision: Precision of the computation, `"float32"` or `"bfloat16"`; features are float32.

    Attributes:
        engine: Version and precision, as a phrase for the log.
        precision: The argument.
    """

    def __init__(self, converted: Any, outputs: tuple[str, ...], precision: str):
        openvino = load_openvino()
        self._converted, self._outputs = converted, outputs
        self.precision = precision
        self.engine = f"OpenVINO {openvino.__version__.split('-')[0]} in {precision}"
        if converted.has_rt_info(_NOTE):
            self.engine += (
                f" (difference from Keras: {float(converted.get_rt_info(_NOTE).astype(str)):.1e})"
            )
        results = [r for r in converted.get_results() if set(outputs) & r.output(0).get_names()]
        model = openvino.Model(results, converted.get_parameters())
        hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
        self._names = {port.get_any_name(): port for port in compiled.outputs}
        self._inputs = [port.get_any_name() for port in compiled.inputs]
        self._request, self._in_use = compiled.create_infer_request(), Lock()

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Encodes a batch, see `keras_mm.features.engines.choice.Network`."""
        check_not_forked()
        inputs = {name: np.ascontiguousarray(batch[name]) for name in self._inputs}
        with self._in_use:  # a request runs one batch at a time
            results = self._request.infer(inputs, share_inputs=True)
            return {name: results[self._names[name]] for name in self._outputs}

    def in_float32(self) -> OpenVINONetwork:
        """The same network in full precision.

        Returns:
            A network of the same converted encoder.
        """
        return OpenVINONetwork(self._converted, self._outputs, "float32")


def openvino_network(
    encoder: keras.Model, outputs: tuple[str, ...], store: FeatureStore | None = None
) -> OpenVINONetwork:
    """Prepares an encoder to run on OpenVINO.

    Args:
        encoder: The encoder.
        outputs: Names of the outputs to compute.
        store: Store in which the converted encoder is looked up and kept; `None` keeps it in this
            process only.

    Returns:
        The network; the same object for the same encoder, weights, outputs and precision.

    Raises:
        EngineError: if OpenVINO cannot run the encoder with the same results as Keras.
    """
    key = (outputs, precision_of(encoder))
    with _CONVERTING:
        weights = weights_check(encoder)
        known = _converted.get(encoder)
        if known is None or known["weights"] != weights:
            known = {"weights": weights, "model": _model(encoder, store), "networks": {}}
            _converted[encoder] = known
        if key not in known["networks"]:
            try:
                known["networks"][key] = OpenVINONetwork(known["model"], *key)
            except RuntimeError as error:
                raise EngineError(f"OpenVINO cannot run {encoder.name}: {error}") from error
        return known["networks"][key]


def _model(encoder: keras.Model, store: FeatureStore | None) -> Any:
    """The converted encoder, from the store if it is there."""
    openvino = load_openvino()
    shelf = Shelf()
    digest = None if store is None else fingerprint(encoder, engine=openvino.__version__)
    if digest is not None:
        about = {"side": encoder.name.removesuffix("_encoder"), "network": encoder.name}
        about |= {"backend": keras.backend.backend(), "output": "network (OpenVINO)"}
        shelf = Shelf(store, f"{digest}.network", about)
    if shelf.missing([_KEY]):
        graph, weights = _convert(encoder)
        # One value for both: the graph of one conversion may not fit the weights of another.
        whole = len(graph).to_bytes(8, "little") + graph + weights
        reserve([shelf], len(whole))
        shelf.put([_KEY], np.frombuffer(whole, "uint8")[None])
    ((block, place),) = shelf.find([_KEY])
    stored = block.values[place]
    end = 8 + int.from_bytes(stored[:8].tobytes(), "little")
    tensor = openvino.Tensor(np.array(stored[end:]), shared_memory=False)
    return openvino.Core().read_model(stored[8:end].tobytes(), tensor)


def _convert(encoder: keras.Model) -> tuple[bytes, ...]:
    """The encoder's graph and weights, in OpenVINO's format."""
    _log.info("converting %s for OpenVINO, once", encoder.name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            if keras.backend.backend() == "tensorflow":
                write_network(full_precision(encoder), folder)
            else:
                config = json.dumps(float32_config(encoder))
                (folder / "encoder.json").write_text(config, encoding="utf-8")
                encoder.save_weights(folder / "encoder.weights.h5")
                run_on_tensorflow(__name__, folder, doing="converting it for OpenVINO")
        except ChildError as error:
            raise EngineError(str(error)) from None
        return tuple((folder / name).read_bytes() for name in _FILES)


def write_network(encoder: keras.Model, folder: Path) -> None:
    """Writes an encoder in OpenVINO's format, after a check that its results are the same.

    Needs TensorFlow as Keras' backend.

    Args:
        encoder: The encoder, in float32.
        folder: The folder for `network.xml` and `network.bin`.

    Raises:
        EngineError: if OpenVINO cannot convert it, or its results differ.
    """
    import tensorflow as tf

    openvino = load_openvino()

    specs = {name: tf.TensorSpec(t.shape, t.dtype, name=name) for name, t in encoder.input.items()}
    function = tf.function(lambda inputs: encoder(inputs, training=False), autograph=False)
    try:
        with _root_logger_restored():
            model = openvino.convert_model(function.get_concrete_function(specs))
    except Exception as error:  # for unsupported operations, OpenVINO raises errors of many types
        raise EngineError(f"OpenVINO cannot convert {encoder.name}: {error}") from error
    for port in model.inputs:
        port.set_names({port.get_any_name().split(":")[0]})  # "image_1:0" to "image_1"
    batch = _random_inputs(encoder)
    converted = OpenVINONetwork(model, tuple(encoder.output), "float32")(batch)
    difference = 0.0
    for name, value in predict_batch(encoder, batch).items():
        value = np.asarray(value, "float32")
        largest = max(float(np.abs(value).max()), 1e-6)
        difference = max(difference, float(np.abs(converted[name] - value).max()) / largest)
    if not difference <= _TOLERANCE:  # also true for NaN
        raise EngineError(
            f"The features of {encoder.name} from OpenVINO differ from those of Keras by "
            f"{difference:.1e} of the largest value (allowed: {_TOLERANCE:g})."
        )
    model.set_rt_info(difference, _NOTE)
    openvino.serialize(model, folder / _FILES[0], folder / _FILES[1])


@contextmanager
def _root_logger_restored() -> Iterator[None]:
    """Restores the root logger: OpenVINO changes its level, and leaves it so after an error."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


def _random_inputs(encoder: keras.Model) -> dict[str, np.ndarray]:
    """Random inputs of some rows: pixels, and texts of several lengths."""
    generator = np.random.default_rng(0)
    batch: dict[str, np.ndarray] = {}
    for name, tensor in encoder.input.items():
        shape = (_NUM_TEST_ROWS, *(24 if size is None else size for size in tensor.shape[1:]))
        if name.startswith("image"):
            batch[name] = generator.uniform(0, 255, shape).astype(tensor.dtype)
        elif name == "padding_mask":
            lengths = generator.integers(4, shape[-1] + 1, shape[:-1])
            batch[name] = np.arange(shape[-1]) < lengths[..., None]
        elif name == "token_ids":
            batch[name] = generator.integers(3, 24, shape).astype(tensor.dtype)
        else:
            batch[name] = np.zeros(shape, tensor.dtype)
    return batch


def main(folder: Path) -> None:
    """Converts an encoder; the entry point of the conversion process.

    Args:
        folder: The folder that holds `encoder.json` and `encoder.weights.h5`; the converted encoder
            is written to it.
    """
    load_keras_hub()  # registers its layers
    import keras_mm.models.multimodal  # noqa: F401  (registers this package's layers)

    config = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    encoder = keras.saving.deserialize_keras_object(config, safe_mode=True)
    encoder.load_weights(folder / "encoder.weights.h5")
    write_network(encoder, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
