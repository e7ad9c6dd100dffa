"""Reads settings from TOML files and writes them. Loads no backend."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from os import PathLike
from pathlib import Path
from typing import Any

from keras_mm.errors import ConfigError
from keras_mm.settings.augmentation import as_augmentation
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings
from keras_mm.settings.sliding_window import as_sliding_window
from keras_mm.settings.training import as_training


def read_toml(path: str | PathLike) -> dict:
    """Reads a TOML file.

    Args:
        path: The file, in UTF-8.

    Returns:
        The content as a dict.

    Raises:
        ConfigError: if the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"cannot read {str(path)!r}: {error.strerror}"], "config file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{str(path)!r} is not TOML: {error}"], "config file") from None


def to_toml(settings: Settings) -> str:
    """Writes settings as TOML; `read_toml` and `settings_from` restore equal settings.

    Args:
        settings: The settings.

    Returns:
        The text. Settings that are `None` or empty are left out, as TOML has no value for them.
    """
    import tomli_w

    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    values["training"] = asdict(as_training(settings.training))
    if isinstance(settings.labels, Mapping):
        del values["labels"]
        values["heads"] = {name: _changed(head) for name, head in settings.labels.items()}
    if settings.augmentation is not None:
        values["augmentation"] = asdict(as_augmentation(settings.augmentation))
    window = as_sliding_window(settings.sliding_window)
    values["sliding_window"] = None if window is None else asdict(window)
    values = _as_toml(values)
    return tomli_w.dumps({name: v for name, v in values.items() if v not in ([], {})})


def _changed(head: Head) -> dict:
    """The fields of a head that are not the defaults, and always its kind."""
    values = {f.name: getattr(head, f.name) for f in fields(Head)}
    defaults = {f.name: f.default for f in fields(Head)}
    return {n: v for n, v in values.items() if n == "kind" or v is not defaults[n]}


def _as_toml(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _as_toml(v) for name, v in value.items() if v is not None}
    if isinstance(value, PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # a NumPy array or scalar
        return value.tolist()
    return [_as_toml(v) for v in value] if isinstance(value, tuple | list) else value
