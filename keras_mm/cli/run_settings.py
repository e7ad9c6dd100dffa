"""Reads the settings of a run from a TOML file and the command line. Loads no backend."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Sequence
from typing import Any

from keras_mm.cli.arguments import FLAGS, setting_of
from keras_mm.data.tables.columns import missing_names
from keras_mm.data.tables.header import has_header, read_names
from keras_mm.errors import ConfigError
from keras_mm.settings.heads import columns_of
from keras_mm.settings.settings import RunSettings, settings_from
from keras_mm.settings.toml import read_toml

_NUMBERED = re.compile(r"(.+):([0-9]+)")


def run_settings(options: argparse.Namespace, *, without: Sequence[str] = ()) -> RunSettings:
    """Merges the settings of `--config`, `--set` and the flags; the last of these wins.

    Args:
        options: Arguments of a command that takes settings.
        without: Keys of the TOML file that are not settings.

    Returns:
        The settings. If neither `data` nor `preset` is set, the preset is `"tiny"`.

    Raises:
        ConfigError: listing every problem.
    """
    values: dict[str, Any] = read_toml(options.config) if options.config else {}
    values = {name: value for name, value in values.items() if name not in without}
    problems = []
    for item in options.set:
        name, equals, text = item.partition("=")
        if not equals:
            problems.append(f"--set takes NAME=VALUE. Received: {item!r}")
            continue
        problem = _put(values, name.split("."), _toml_value(text))
        problems += [f"--set {item!r}: {problem}"] if problem else []
    for flag in FLAGS:
        name = setting_of(flag)
        text = getattr(options, name, None)
        if text is None:
            continue
        table = values.get(name)
        if name == "fusion" and isinstance(table, dict) and "name" not in table:
            table["name"] = text  # --fusion X --set fusion.num_heads=2
        else:
            values[name] = _flag_value(name, text)
    if "data" not in values:
        values.setdefault("preset", "tiny")
    try:
        settings = settings_from(values, RunSettings)
    except ConfigError as error:
        raise ConfigError(problems + error.problems) from None
    if problems:
        raise ConfigError(problems)
    return settings


def check_columns(settings: RunSettings) -> None:
    """Checks that the run's table has the columns in the settings, by reading only its header.

    Tables in formats without a header, such as JSON lines, are checked when they are loaded.

    Args:
        settings: Settings of the run.

    Raises:
        ConfigError: listing every missing column.
        FileNotFoundError: if the table does not exist.
    """
    if settings.data is None or not has_header(settings.data):
        return
    more = (
        settings.split_column,
        settings.group_column,
        settings.id_column,
        settings.weight_column,
    )
    columns = [*settings.images, *settings.texts, *columns_of(settings.labels)]
    columns += [name for name in more if name is not None]
    absent = missing_names(read_names(settings.data), columns)
    if absent:
        raise ConfigError([f"{settings.data}: {sentence}" for sentence in absent])


def _put(values: dict[str, Any], path: Sequence[str], value: Any) -> str:
    """Sets a value in nested tables, creating missing ones; returns the problem, or ""."""
    target = values
    for depth, name in enumerate(path[:-1], 1):
        inner = target.setdefault(name, {})
        if not isinstance(inner, dict):
            return f"`{'.'.join(path[:depth])}` is {inner!r}, not a table"
        target = inner
    target[path[-1]] = value
    return ""


def _flag_value(name: str, text: str) -> Any:
    if name == "labels":
        names = split_names(text)
        return names if len(names) > 1 else text.strip()
    if name == "images":
        return image_names(text)
    if name == "texts":
        return split_names(text)
    if name == "baselines":
        return baseline_names(text)
    return _toml_value(text) if name in ("epochs", "folds", "seed") else text


def split_names(text: str) -> list[str]:
    """Splits a text at its commas.

    Args:
        text: Names separated by commas; spaces around a name are ignored.

    Returns:
        The names in order, without empty ones.

    Example:
        >>> split_names("label, topics,")
        ['label', 'topics']
    """
    return [part.strip() for part in text.split(",") if part.strip()]


def baseline_names(text: str) -> str | list[str]:
    """Reads the setting `baselines` from a text.

    Args:
        text: `auto`, `none`, or names separated by commas.

    Returns:
        A single name as it is, several as a list.

    Example:
        >>> baseline_names("none"), baseline_names("lexical, linear")
        ('none', ['lexical', 'linear'])
    """
    names = split_names(text)
    return names[0] if len(names) == 1 else names


def image_names(text: str) -> list[str] | dict[str, int]:
    """Reads image columns from a text such as `cover,photos:4`.

    Args:
        text: Names separated by commas. A name may end with a colon and the largest number of
            images in a cell of the column.

    Returns:
        A list of the names; if a name has a number, a dict of name to number, 1 for the other
        names.

    Example:
        >>> image_names("image_1, image_2"), image_names("cover,photos:4")
        (['image_1', 'image_2'], {'cover': 1, 'photos': 4})
    """
    names = split_names(text)
    matches = [_NUMBERED.fullmatch(name) for name in names]
    if not any(matches):
        return names
    return {
        match[1] if match else name: int(match[2]) if match else 1
        for name, match in zip(names, matches, strict=True)
    }


def _toml_value(text: str) -> Any:
    """Parses `text` as a TOML value; text that is not valid TOML is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
