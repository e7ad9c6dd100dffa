"""Dataclasses of settings that record what the user set, and suggest names for unknown ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidArgumentError
from keras_mm.warn import warn

_GIVEN = "_given"  # attribute with the names of the settings that the user set

Kind = TypeVar("Kind")


def unused(*, default: Any, why: str) -> Any:
    """A dataclass field for a setting that is accepted but has no effect.

    Args:
        default: The default. A list or dict is copied for each instance.
        why: Why it has no effect, for the warning.

    Returns:
        The field.
    """
    return _field(default, {"why": why})


def refused(*, default: Any, instead: str) -> Any:
    """A dataclass field for a setting that would change predictions and is not supported.

    Args:
        default: The default, which is the only allowed value. A list or dict is copied for each
            instance.
        instead: What to use instead, for the error.

    Returns:
        The field.
    """
    return _field(default, {"instead": instead})


def _field(default: Any, metadata: dict[str, str]) -> Any:
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass_transform(kw_only_default=True, field_specifiers=(field, unused, refused))
def named(kind: type[Kind]) -> type[Kind]:
    """Makes a class a keyword-only dataclass that suggests names for unknown keywords.

    Args:
        kind: The class.

    Returns:
        The same class, as a dataclass.
    """
    cls: Any = dataclass(kw_only=True)(kind)
    create: Callable[..., None] = cls.__init__

    def __init__(self: Any, **values: Any) -> None:
        check_names(cls, values, InvalidArgumentError)
        create(self, **values)
        vars(self)[_GIVEN] = set(values)

    __init__.__doc__ = None
    cls.__init__ = __init__
    return cls


def without_unknown(kind: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Removes the values of a dict that a dataclass has no fields for.

    Args:
        kind: The dataclass.
        values: Values by name.
        where: Name of the dict, for the warning.

    Returns:
        The values whose names are fields.

    Warns:
        UserWarning: for other names, each with the nearest field.
    """
    known = [f.name for f in fields(kind)]
    unknown = [unknown_name("setting", name, known) for name in values if name not in known]
    if unknown:
        warn(
            f"Unknown names in {where} are ignored, as in Simple Transformers: {' '.join(unknown)}"
        )
    return {name: value for name, value in values.items() if name in known}


def check_names(kind: type[Any], names: Iterable[str], error: type[Exception]) -> None:
    """Checks that a dataclass has fields with the given names.

    Args:
        kind: The dataclass.
        names: The names.
        error: The error to raise for unknown names.

    Raises:
        Exception: `error`, if a name is unknown. The message suggests the nearest field.
    """
    known = [f.name for f in fields(kind)]
    unknown = [unknown_name("argument", name, known) for name in names if name not in known]
    if unknown:
        raise error(" ".join(unknown))


def note_given(settings: Any, name: str) -> None:
    """Records that the user set a setting after the settings were created.

    Args:
        settings: The settings, an instance of a `named` class.
        name: The setting.
    """
    if _GIVEN in vars(settings):
        vars(settings)[_GIVEN].add(name)


def given_names(settings: Any) -> set[str]:
    """Names of the settings that the user set, also to their default.

    Args:
        settings: The settings, an instance of a `named` class or of a dataclass derived from one.

    Returns:
        The names. For a derived dataclass, whose own `__init__` does not record them, the names of
        settings that are not at their default.
    """
    names = vars(settings).get(_GIVEN)
    if names is None:
        defaults = vars(type(settings)())
        names = {name for name, value in vars(settings).items() if value != defaults[name]}
    return names


@contextmanager
def unchanged_on_error(settings: Any) -> Iterator[None]:
    """Restores settings if the code inside raises an error.

    Args:
        settings: The settings, which the code inside may change.

    Yields:
        Nothing.
    """
    before = {name: copy(value) for name, value in vars(settings).items()}
    try:
        yield
    except BaseException:
        vars(settings).update(before)
        raise
