"""The default folder and size limit of the feature store, from environment variables."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from keras_mm.errors import InvalidValueError


def cache_folder() -> Path:
    """The default folder of the feature store.

    Returns:
        `KERAS_MM_CACHE` if set, else `keras_mm` in the user's cache folder (`~/.cache/keras_mm` or
        below `XDG_CACHE_HOME` on Linux, `~/Library/Caches/keras_mm` on macOS).
    """
    named = os.environ.get("KERAS_MM_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("keras_mm", appauthor=False)


def cache_limit() -> int:
    """The default size limit of the feature store.

    Returns:
        Bytes: `KERAS_MM_CACHE_GB` times 10^9 if set, else 20 GB.

    Raises:
        ValueError: if the variable is not a number >= 0.
    """
    text = os.environ.get("KERAS_MM_CACHE_GB") or "20"
    try:
        size = float(text)
        if not 0 <= size < float("inf"):
            raise ValueError
    except ValueError:
        raise InvalidValueError(
            f"KERAS_MM_CACHE_GB must be a number of gigabytes, such as 20. Received: {text!r}"
        ) from None
    return int(size * 1e9)
