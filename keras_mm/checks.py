"""Checks of values and names, and the messages for unknown names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, TypeVar

from keras_mm.errors import InvalidValueError

Value = TypeVar("Value")

# Most characters of a cell in a message: a cell may be a whole file in base64.
MOST_QUOTED = 80


def is_whole(value: Any, low: int | None = None) -> bool:
    """Whether a value is an integer, also NumPy's. A bool is not.

    Args:
        value: The value.
        low: The smallest allowed value; `None` allows any.

    Returns:
        True for an integer of at least `low`.

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
        True for a finite number.

    Example:
        >>> is_number(0.5), is_number(3), is_number(float("nan")), is_number("1"), is_number(True)
        (True, True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    # Not `math.isfinite` of an integer: it raises for one that is too large for a float.
    return isinstance(value, Integral) or math.isfinite(value)


def check_whole(low: int = 1, **arguments: Any) -> None:
    """Checks that arguments are integers.

    Args:
        low: The smallest allowed value.
        **arguments: Values by argument name.

    Raises:
        ValueError: if a value is not an integer of at least `low`.
    """
    for name, value in arguments.items():
        if not is_whole(value, low):
            raise InvalidValueError(
                f"`{name}` must be an integer >= {low}. Received: {name}={value!r}"
            )


def check_rate(**arguments: Any) -> None:
    """Checks that arguments are numbers in [0, 1).

    Args:
        **arguments: Values by argument name.

    Raises:
        ValueError: if a value is not a number, or outside [0, 1).
    """
    for name, value in arguments.items():
        if not (is_number(value) and 0 <= value < 1):
            raise InvalidValueError(
                f"`{name}` must be a number in [0, 1). Received: {name}={value!r}"
            )


def require(value: Value | None, name: str) -> Value:
    """Returns a value that must not be `None`, such as a setting that a preset has filled in.

    Type checkers then know that the value is not `None`.

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


def quote(value: Any, limit: int = MOST_QUOTED) -> str:
    """A value of the user's data as messages show it: a long one without its middle.

    Args:
        value: A cell, a label, a text or a path.
        limit: Most characters of the value that are shown, >= 3.

    Returns:
        Its `repr`; of a long value the beginning and the end, of texts and bytes with the length.

    Example:
        >>> quote("cat"), quote("a" * 500, limit=7)
        ("'cat'", "'aaa…aaa' (500 characters)")
    """
    head, tail = limit // 2, (limit - 1) // 2
    if isinstance(value, str | bytes):
        if len(value) <= limit:
            return repr(value)
        if isinstance(value, bytes):
            return f"{repr(value[:limit])[:limit]}… ({len(value):,} bytes)"
        return f"{f'{value[:head]}…{value[-tail:]}'!r} ({len(value):,} characters)"
    text = " ".join(repr(value).split())  # an array's has several lines
    return text if len(text) <= limit else f"{text[:head]}…{text[-tail:]}"


def nearest_name(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name with the most similar spelling.

    Args:
        name: The name that was passed.
        known: The known names.
        cutoff: Smallest similarity that counts, from 0 to 1 (equal names).

    Returns:
        The name; `None` if no name is similar.

    Example:
        >>> nearest_name("focall", ("cross_entropy", "focal"))
        'focal'
    """
    matches = get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """The message for an unknown name.

    Args:
        what: The kind of name, such as `"loss"`.
        name: The unknown name.
        known: The known names.

    Returns:
        Two sentences: the error, and the nearest known name, or all known names if none is similar.

    Example:
        >>> unknown_name("loss", "focall", ["focal"])
        "Unknown loss 'focall'. Did you mean 'focal'?"
    """
    # Preferred to similar spellings: a setting without its table ("warmup" for "training.warmup"),
    # and the beginning of a name.
    names, text = list(known), str(name)
    begins = [key for key in names if key.endswith(f".{text}") or (text and key.startswith(text))]
    nearest = begins[0] if begins else nearest_name(text, names, cutoff=0.5)
    hint = f"Did you mean {nearest!r}?" if nearest else f"Known: {', '.join(map(repr, names))}."
    return f"Unknown {what} {quote(name)}. {hint}"
