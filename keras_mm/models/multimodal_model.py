"""The class of multimodal models: a functional model that works around limitations of Keras."""

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
    """A functional model of encoders and a trunk, as `create_multimodal_model` returns it.

    It can be saved as a `.keras` file, cloned, pickled, exported and quantized on each backend.
    Unlike other functional models, it always reads images with channels last, `export` runs in a
    TensorFlow process if another backend is used, and `quantize` leaves out the layers inside
    fusions and projections.

    Example:
        >>> from keras_mm import create_multimodal_model, create_text_encoder
        >>> text = create_text_encoder("tiny_bert", weights="random", sequence_length=16)
        >>> model = create_multimodal_model(None, text, heads=2)
        >>> type(keras.models.clone_model(model)).__name__
        'MultimodalModel'
    """

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> keras.Model:
        """Creates the model of a config, with new weights; see `keras.Model.from_config`."""
        with build_settings():
            return super().from_config(config, custom_objects=custom_objects)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs the model; inputs of too few images are refused."""
        check_images(self, inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Runs the model."""
        check_images(self, inputs)  # JAX's steps come here directly
        with default_settings():  # some layers read Keras' global settings in each call
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
        inputs are a dict. On these backends, the model is saved and a new process exports it on
        TensorFlow. With an `input_signature` or backend options, Keras exports it in this process.

        Args:
            filepath: The folder or file to write.
            format: `"tf_saved_model"`, `"litert"`, `"onnx"`, `"openvino"`, or `"torch"` on PyTorch.
            verbose: Whether to print the path of the exported model; `None` prints it, too.
            input_signature: Shapes and dtypes of the inputs; `None` takes those of the model.
            **kwargs: Options of the backend or format.

        Raises:
            keras_mm.errors.ChildError: if the TensorFlow process fails, for example because the
                library of the format is missing, or the model has custom layers.
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
                f"Exporting {self.name!r} as {format!r} in a TensorFlow process (which does not "
                "know custom layers; export such a model under KERAS_BACKEND=tensorflow)"
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

        Layers inside this package's layers (fusions, projections of tokens) are not quantized,
        because a saved model would not record how they were quantized.

        Args:
            mode: Quantization mode, such as `"int8"`.
            config: A `keras.quantizers.QuantizationConfig`.
            filters: Regular expressions for layer names, or a function from a layer to a bool; only
                matching layers are quantized.
            **kwargs: Other options of `keras.Model.quantize`.
        """
        inside = {id(part) for layer in all_layers(self) for part in _parts_of(layer)}

        def is_quantized(layer: Any) -> bool:
            return id(layer) not in inside and _matches(layer, filters)

        super().quantize(mode, config=config, filters=is_quantized, **kwargs)


def _parts_of(layer: Any) -> Iterator[Any]:
    """The layers inside a layer of this package; none for models and other layers."""
    ours = type(layer).__module__.startswith("keras_mm.")
    if ours and not isinstance(layer, keras.Model):
        yield from all_layers(layer, itself=False)


def _matches(layer: Any, filters: Any) -> bool:
    if filters is None:
        return True
    if callable(filters):
        return bool(filters(layer))
    patterns = [filters] if isinstance(filters, str) else filters
    return any(re.search(pattern, layer.name) for pattern in patterns)
