"""Loads pretrained networks from KerasHub, and creates the error for a failed download."""

from __future__ import annotations

import os
import re
from typing import Any

from keras_mm.errors import InvalidValueError, PretrainedError
from keras_mm.load_order import load_keras_hub
from keras_mm.progress import loading_output


def from_handle(kind: str, handle: str, *, what: str, keyword: str, **options: Any) -> Any:
    """Calls `keras_hub.models.<kind>.from_preset(handle)` with clear error messages.

    Args:
        kind: A KerasHub class, such as `"Backbone"` or `"Tokenizer"`.
        handle: KerasHub preset, `hf://...`, `kaggle://...`, or a local folder.
        what: What is loaded, such as `"tokenizer"`, for the message.
        keyword: The argument that takes a local copy, for the message.
        **options: Arguments of `from_preset`.

    Returns:
        The object that `from_preset` returns.

    Raises:
        ValueError: for a Hugging Face model of a family that KerasHub does not convert.
        PretrainedError: if the files could not be loaded.
    """
    keras_hub = load_keras_hub()  # here, because the import takes seconds and is rarely needed
    module = keras_hub.layers if kind == "ImageConverter" else keras_hub.models
    try:
        with loading_output(f"the {what} from {handle!r}"):
            return getattr(module, kind).from_preset(handle, **options)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face have no common class of errors
        family = re.search(r"no converter for .* model type `'([^']*)'`", str(error))
        if family:
            raise InvalidValueError(
                f"{handle!r} is a Hugging Face model of the family {family[1]!r}, which KerasHub "
                "does not convert. It converts BERT, DistilBERT, RoBERTa, XLM-RoBERTa and ALBERT "
                "for texts, ViT, DeiT, Swin and DINOv2 for images. Look for the network among "
                "KerasHub's own handles, see keras_hub.models.Backbone.presets."
            ) from error
        raise failed_download(what, handle, keyword, error) from error


def failed_download(what: str, source: str, keyword: str, error: Exception) -> PretrainedError:
    """Creates the error for a failed download.

    Args:
        what: What was loaded, such as `"tokenizer"`.
        source: Handle or address that it was loaded from.
        keyword: The argument that takes a local copy.
        error: The error of the download.

    Returns:
        The error to raise. Its message says what failed, why, and how to provide the files by hand.
    """
    first_line = next(iter(str(error).strip().splitlines()), "")
    network = "" if os.path.exists(source) else "The first use downloads it and needs a network. "
    return PretrainedError(
        f"Could not load the {what} from {source!r} ({type(error).__name__}: {first_line[:300]}). "
        f"{network}To provide it by hand, download it elsewhere (for a KerasHub handle: all its "
        "files in one folder; for a hf:// handle: config.json, model.safetensors and the "
        "vocabulary; for keras.applications: the .weights.h5 file) and pass its path as "
        f"`{keyword}`; or pass {keyword}='random' to start untrained."
    )
