"""Loading what others trained: one place for KerasHub handles and failed downloads."""

from __future__ import annotations

import re
from typing import Any

from keras_mm.errors import InvalidValueError, PretrainedError


def from_handle(kind: str, handle: str, *, what: str, keyword: str, **options: Any) -> Any:
    """`keras_hub.models.<kind>.from_preset(handle)`, with an error that says what to do.

    Args:
        kind: A KerasHub class, as `"Backbone"` or `"Tokenizer"`.
        handle: KerasHub preset, `hf://...`, `kaggle://...`, or a local folder.
        what: What is wanted, for the message.
        keyword: The argument by which a local copy is given.
        **options: Passed on to `from_preset`.

    Raises:
        ValueError: for a Hugging Face model of a family that KerasHub does not convert.
        PretrainedError: if it could not be loaded.
    """
    import keras_hub

    holder = keras_hub.layers if kind == "ImageConverter" else keras_hub.models
    try:
        return getattr(holder, kind).from_preset(handle, **options)
    except Exception as error:  # every hub client raises its own kinds
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
    """The error for a download that failed: what, from where, why, and the mend."""
    first_line = next(iter(str(error).strip().splitlines()), "")
    return PretrainedError(
        f"Could not load the {what} from {source!r} ({type(error).__name__}: {first_line[:300]}). "
        "To provide it by hand, download it elsewhere (for a KerasHub handle: all its files in one "
        "folder; for a hf:// handle: config.json, model.safetensors and the vocabulary; for "
        f"keras.applications: the .weights.h5 file) and pass its path as `{keyword}`; or pass "
        f"{keyword}='random' to start untrained."
    )
