"""Checks of values, and the nearest one of known names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, TypeVar

from keras_mm.errors import InvalidValueError

Value = TypeVar("Value")


def is_whole(value: Any, low: int | None = None) -> bool:
    """Whether a value is an integer, also NumPy's. A bool is not.

    Args:
        value: The value.
        low: The least value that is allowed; `None` for any.

    Returns:
        Whether it is.

    Example:
        >>> is_whole(3, 1), is_whole(0, 1), is_whole(True), is_whole(2.0)
        (True, False, False, False)
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and (low is None or int(value) >= low)


def is_number(value: Any) -> bool:
    """Whether a value is a real, finite number, also NumPy's. A bool is not.

    Args:
        value: The value.

    Returns:
        Whether it is.

    Example:
        >>> is_number(0.5), is_number(3), is_number(float("nan")), is_number("1"), is_number(True)
        (True, True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return isinstance(value, Integral) or math.isfinite(value)


def check_whole(low: int = 1, **arguments: Any) -> None:
    """Checks that arguments are integers.

    Args:
        low: The least value that is allowed.
        **arguments: Values by the names of the arguments.

    Raises:
        ValueError: if one is not an integer of at least `low`.
    """
    for name, value in arguments.items():
        if not is_whole(value, low):
            raise InvalidValueError(
                f"`{name}` must be an integer >= {low}. Received: {name}={value!r}"
            )


def check_rate(**arguments: Any) -> None:
    """Checks that arguments are numbers in [0, 1).

    Args:
        **arguments: Values by the names of the arguments.

    Raises:
        ValueError: if one is not.
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
    """The known name whose spelling is most similar to a given one.

    Args:
        name: The given name.
        known: The known names.
        cutoff: The least similarity, from 0 to 1 (the same).

    Returns:
        The name; `None` if no name is similar.

    Example:
        >>> nearest_name("focall", ("cross_entropy", "focal"))
        'focal'
    """
    found = get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """The message for an unknown name.

    Args:
        what: The kind of name, such as `"loss"`.
        name: The unknown name.
        known: The known names.

    Returns:
        A sentence with the nearest known name, or with all of them if none is similar.

    Example:
        >>> unknown_name("loss", "focall", ["focal"])
        "Unknown loss 'focall'. Did you mean 'focal'?"
    """
    # A setting without its table, or the start of a name; otherwise the most similar spelling.
    names, said = list(known), str(name)
    begins = [key for key in names if key.endswith(f".{said}") or (said and key.startswith(said))]
    nearest = begins[0] if begins else nearest_name(said, names, cutoff=0.5)
    hint = f"Did you mean {nearest!r}?" if nearest else f"Known: {', '.join(map(repr, names))}."
    return f"Unknown {what} {name!r}. {hint}"
