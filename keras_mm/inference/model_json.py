"""Reads the JSON file of a saved model. Loads no backend."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

from keras_mm.errors import InvalidValueError, MissingFileError
from keras_mm.version import __version__

FORMAT_VERSION = 6
SPEC = "model.json"


def read_spec(folder: str | PathLike) -> dict:
    """Reads the JSON file of a saved model and checks its version.

    Args:
        folder: What `save_bundle` wrote.

    Returns:
        The spec.

    Raises:
        FileNotFoundError: if `folder` holds no saved model.
        ValueError: if the file is damaged, or from a newer version.
    """
    file = Path(folder) / SPEC
    if not file.is_file():
        raise MissingFileError(
            f"No saved model in {str(folder)!r}: it has no {SPEC}. Pass the folder that `save` "
            "wrote (of a run, its `model` folder)."
        )
    try:
        spec = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InvalidValueError(f"{str(file)!r} is damaged: {error}") from None
    version = spec.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise InvalidValueError(
            f"{str(folder)!r} has format_version {version!r}; this keras_mm "
            f"{__version__} reads up to {FORMAT_VERSION}. Upgrade keras_mm to "
            f"{spec.get('keras_mm_version', 'a newer version')} or later."
        )
    return spec


def is_bundle(folder: str | PathLike) -> bool:
    """Whether a folder holds a saved model.

    Args:
        folder: Any path.

    Returns:
        True if the folder has the JSON file of a saved model.
    """
    return (Path(folder) / SPEC).is_file()
