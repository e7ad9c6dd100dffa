"""Checks of values, and the nearest of the names that are known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, TypeVar

from keras_mm.errors import InvalidValueError

Value = TypeVar("Value")


def is_whole(value: Any, low: int | None = None) -> bool:
    """Whether a value is an integer, NumPy's too, of at least `low`; a bool is none.

    Example:
        >>> is_whole(3, 1), is_whole(0, 1), is_whole(True), is_whole(2.0)
        (True, False, False, False)
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and (low is None or int(value) >= low)


def is_number(value: Any) -> bool:
    """Whether a value is a real, finite number, NumPy's too; a bool is none.

    Example:
        >>> is_number(0.5), is_number(3), is_number(float("nan")), is_number("1"), is_number(True)
        (True, True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return isinstance(value, Integral) or math.isfinite(value)


def check_whole(low: int = 1, **arguments: Any) -> None:
    """Refuses what is no integer of at least `low`.

    Raises:
        ValueError: naming the argument, the rule and the value.
    """
    for name, value in arguments.items():
        if not is_whole(value, low):
            raise InvalidValueError(
                f"`{name}` must be an integer >= {low}. Received: {name}={value!r}"
            )


def check_rate(**arguments: Any) -> None:
    """Refuses what is no number in [0, 1).

    Raises:
        ValueError: naming the argument, the rule and the value.
    """
    for name, value in arguments.items():
        if not (is_number(value) and 0 <= value < 1):
            raise InvalidValueError(
                f"`{name}` must be a number in [0, 1). Received: {name}={value!r}"
            )


def require(value: Value | None, name: str) -> Value:
    """A value that must be there, such as a setting that its preset has filled in.

    Args:
        value: The value.
        name: Its name, for the message.

    Returns:
        The value.

    Raises:
        ValueError: if the value is `None`.
    """
    if value is None:
        raise InvalidValueError(f"`{name}` is needed. Received: {name}=None")
    return value


def nearest_name(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The name that is spelt most like `name`; `None` where none is alike.

    Args:
        name: What was given.
        known: The names that exist.
        cutoff: Likeness that is needed, from 0 to 1 (the same).

    Example:
        >>> nearest_name("focall", ("cross_entropy", "focal"))
        'focal'
    """
    found = get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """The sentence that says `name` is none of `known`: the nearest one, else all of them.

    Example:
        >>> unknown_name("loss", "focall", ["focal"])
        "Unknown loss 'focall'. Did you mean 'focal'?"
    """
    # A setting without its table, or the beginning of a name; else what is spelt most alike.
    names, said = list(known), str(name)
    begins = [key for key in names if key.endswith(f".{said}") or (said and key.startswith(said))]
    nearest = begins[0] if begins else nearest_name(said, names, cutoff=0.5)
    hint = f"Did you mean {nearest!r}?" if nearest else f"Known: {', '.join(map(repr, names))}."
    return f"Unknown {what} {name!r}. {hint}"
