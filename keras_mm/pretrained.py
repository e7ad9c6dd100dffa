"""Loading what others trained: one place for KerasHub handles and failed downloads."""

from __future__ import annotations

from typing import Any


class PretrainedError(RuntimeError):
    """Pretrained files that could not be had: what, from where, and how to give them by hand."""


def from_handle(kind: str, handle: str, *, what: str, keyword: str, **options: Any) -> Any:
    """`keras_hub.models.<kind>.from_preset(handle)`, with an error that says what to do.

    Args:
        kind: A KerasHub class, as `"Backbone"` or `"Tokenizer"`.
        handle: KerasHub preset, `hf://...`, `kaggle://...`, or a local folder.
        what: What is wanted, for the message.
        keyword: The argument by which a local copy is given.
        **options: Passed on to `from_preset`.

    Raises:
        PretrainedError: if it could not be loaded.
    """
    import keras_hub

    try:
        return getattr(keras_hub.models, kind).from_preset(handle, **options)
    except Exception as error:  # every hub client raises its own kinds
        raise failed_download(what, handle, keyword, error) from error


def failed_download(what: str, source: str, keyword: str, error: Exception) -> PretrainedError:
    """The error for a download that failed: what, from where, why, and the mend."""
    first_line = next(iter(str(error).strip().splitlines()), "")
    return PretrainedError(
        f"Could not load the {what} from {source!r} ({type(error).__name__}: {first_line[:300]}). "
        "To provide it by hand, download it elsewhere (for a hf:// handle: config.json, "
        "model.safetensors and vocab.txt in one folder; for keras.applications: the .weights.h5 "
        f"file) and pass its path as `{keyword}`; or pass {keyword}='random' to start untrained."
    )
