"""The class of multimodal models: a functional model that works around limits of Keras."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_mm.keras_internals import all_layers
from keras_mm.models.image_format import check_images
from keras_mm.models.keras_settings import build_settings, default_settings
from keras_mm.progress import progress_line
from keras_mm.subprocesses import run_on_tensorflow


@keras.saving.register_keras_serializable("keras_mm")
class MultimodalModel(keras.Model):
    """A functional model of encoders and a trunk, as `create_multimodal_model` makes it.

    It can be saved as a `.keras` file, cloned, pickled, exported and quantized on each backend.
    Differences from other functional models: it is rebuilt channels last under any global setting,
    `export` runs in a TensorFlow process if the backend is another, and `quantize` does not change
    the layers inside fusions and projections.

    Example:
        >>> from keras_mm import create_multimodal_model, create_text_encoder
        >>> text = create_text_encoder("tiny_bert", weights="random", sequence_length=16)
        >>> model = create_multimodal_model(None, text, heads=2)
        >>> type(keras.models.clone_model(model)).__name__
        'MultimodalModel'
    """

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> keras.Model:
        """The model of a config, with new weights; see `keras.Model.from_config`."""
        with build_settings():
            return super().from_config(config, custom_objects=custom_objects)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs the model; inputs of too few images are refused."""
        check_images(self, inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Runs the model."""
        check_images(self, inputs)  # JAX's steps come here directly
        with default_settings():  # some layers read them in each call
            return super().call(inputs, training=training, mask=mask)

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the model for inference; see `keras.Model.export`.

        JAX cannot trace texts of variable length, and Keras on PyTorch cannot trace a model whose
        inputs are a dict. On these the model is saved, and exported by a new process on TensorFlow.
        With an `input_signature` or options of the backend, Keras exports it in this process.

        Args:
            filepath: The folder or file that is written.
            format: `"tf_saved_model"`, `"litert"`, `"onnx"`, `"openvino"`, or `"torch"` on PyTorch.
            verbose: Whether to say where the model is; `None` is yes.
            input_signature: Shapes and dtypes of the inputs; `None` takes those of the model.
            **kwargs: Options of the backend or format.

        Raises:
            keras_mm.errors.ChildError: if the process on TensorFlow fails: the format's
                library is missing, or the model holds layers that this package does not know.
        """
        here = keras.backend.backend() == "tensorflow" or format == "torch"
        if here or input_signature is not None or kwargs:
            super().export(filepath, format, verbose, input_signature, **kwargs)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.keras"
            self.save(file)
            target = Path(filepath).absolute()
            doing = (
                f"Exporting {self.name!r} as {format!r} in a process on TensorFlow (layers of your "
                "own are not known there: export those under KERAS_BACKEND=tensorflow)"
            )
            run_on_tensorflow("keras_mm.models.export_process", file, target, format, doing=doing)
        if verbose is not False:
            progress_line(f"Saved artifact at '{filepath}'.")

    def quantize(
        self,
        mode: str | None = None,
        config: Any = None,
        filters: str | Sequence[str] | Callable[[Any], bool] | None = None,
        **kwargs: Any,
    ) -> None:
        """Quantizes the backbones, projections of vectors and heads; see `keras.Model.quantize`.

        Layers inside this package's layers (fusions, projections of tokens) are not quantized: a
        saved model does not hold how they were quantized.

        Args:
            mode: As `"int8"`.
            config: A `keras.quantizers.QuantizationConfig`.
            filters: Regular expressions of layers' names, or a function of a layer; only layers
                that match are quantized.
            **kwargs: Keras' other options.
        """
        inside = {id(part) for layer in all_layers(self) for part in _parts_of(layer)}

        def wanted(layer: Any) -> bool:
            return id(layer) not in inside and _fits(layer, filters)

        super().quantize(mode, config=config, filters=wanted, **kwargs)


def _parts_of(layer: Any) -> Iterator[Any]:
    """The layers inside a layer of this package; none for other layers and models."""
    ours = type(layer).__module__.startswith("keras_mm.")
    if ours and not isinstance(layer, keras.Model):
        yield from all_layers(layer, itself=False)


def _fits(layer: Any, filters: Any) -> bool:
    if filters is None:
        return True
    if callable(filters):
        return bool(filters(layer))
    patterns = [filters] if isinstance(filters, str) else filters
    return any(re.search(pattern, layer.name) for pattern in patterns)
