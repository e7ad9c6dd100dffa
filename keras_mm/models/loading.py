"""Loads models that Keras saved."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from keras_mm.errors import InvalidValueError
from keras_mm.forks import check_not_forked
from keras_mm.models.keras_settings import default_settings
from keras_mm.random_state import unseeded


def load_model(
    path: str | PathLike,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> keras.Model:
    """Loads a model of `create_multimodal_model` from a `.keras` file.

    `keras.models.load_model` also loads it once `keras_mm` is imported. This function additionally
    uses Keras' default settings (`floatx`, `epsilon`, `image_data_format`) while it loads, and
    raises a clear error for a folder of `MultimodalClassifier.save`.

    Args:
        path: A file that `model.save` or `keras.callbacks.ModelCheckpoint` wrote.
        custom_objects: Custom classes by name.
        compile: Whether to restore the optimizer and the losses, if the model was compiled.
        safe_mode: Whether to refuse files that contain Python code.

    Returns:
        The model, with its weights.

    Raises:
        ValueError: if the file does not exist, is a folder of `MultimodalClassifier.save`, or names
            an unknown class.

    Example:
        >>> import os, tempfile
        >>> from keras_mm import create_multimodal_model, create_text_encoder
        >>> text = create_text_encoder("tiny_bert", weights="random", sequence_length=16)
        >>> file = os.path.join(tempfile.mkdtemp(), "model.keras")
        >>> create_multimodal_model(None, text, heads=2).save(file)
        >>> load_model(file).output_shape
        (None, 2)
    """
    if (Path(path) / "model.json").is_file():
        raise InvalidValueError(
            f"`path` must be a .keras file. Received: {str(path)!r}, a folder that "
            "MultimodalClassifier.save wrote. Use keras_mm.MultimodalClassifier.load."
        )
    objects = None if custom_objects is None else dict(custom_objects)
    check_not_forked()
    with unseeded(), default_settings():
        return keras.models.load_model(
            path, custom_objects=objects, compile=compile, safe_mode=safe_mode
        )
