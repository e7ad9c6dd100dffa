"""Checks of all settings of a model at once."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from keras_mm.errors import InvalidValueError
from keras_mm.simple_transformers.plain import is_plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def without_effect(args: DataclassInstance) -> dict[str, str]:
    """The settings that differ from their defaults and have no effect here.

    Args:
        args: The settings.

    Returns:
        The reasons by name.
    """
    return _changed(args, "why")


def check_refused(args: DataclassInstance) -> None:
    """Checks that no setting is given that would change predictions and is not supported.

    Args:
        args: The settings.

    Raises:
        ValueError: If there are such settings, with what to use instead of each.
    """
    given = _changed(args, "mend")
    problems = [f"`{name}` is not supported: {mend}." for name, mend in given.items()]
    if problems:
        raise InvalidValueError(" ".join(problems))


def check_savable(args: DataclassInstance) -> None:
    """Checks that `model_args.json` can hold all settings.

    Args:
        args: The settings.

    Raises:
        ValueError: If it cannot, naming the settings.
    """
    problems = [
        f"`{f.name}` must be made of numbers, texts, lists and dicts, so that it can be saved. "
        f"Received: {f.name}={getattr(args, f.name)!r}"
        for f in fields(args)
        if "why" not in f.metadata and not is_plain(getattr(args, f.name))
    ]
    if problems:
        raise InvalidValueError("\n".join(problems))


def _changed(args: DataclassInstance, what: str) -> dict[str, str]:
    """Of the fields with the metadata `what`, that metadata where the value is not the default."""
    defaults = type(args)()
    return {
        f.name: f.metadata[what]
        for f in fields(args)
        if what in f.metadata and getattr(args, f.name) != getattr(defaults, f.name)
    }
