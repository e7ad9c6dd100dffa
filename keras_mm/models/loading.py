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
    """Loads a model of `create_multimodal_model` from a `.keras` file, as it was saved.

    `keras.models.load_model` does the same once `keras_mm` is imported. This one also uses Keras'
    default settings (`floatx`, `epsilon`, `image_data_format`) meanwhile, and says how to load a
    folder of `MultimodalClassifier.save`.

    Args:
        path: A file that `model.save` or `keras.callbacks.ModelCheckpoint` wrote.
        custom_objects: Classes of your own by name.
        compile: Whether to restore the optimizer and the losses, if the model was compiled.
        safe_mode: Whether to refuse Python code in the file.

    Returns:
        The model, with its weights.

    Raises:
        ValueError: if there is no such file, it is a folder of `MultimodalClassifier.save`, or it
            names a class that is not known.

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
