"""Matches labels that differ only in their type, such as 1, 1.0, True, "1" and "1.0".

Tables give the same label as different types: a CSV file as text, pandas as a float beside NaN, a
user as an int. Loads no backend.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from math import isfinite
from typing import Any

_WORDS = {"True": 1, "true": 1, "TRUE": 1, "False": 0, "false": 0, "FALSE": 0}
_LONGEST_NUMBER = 30  # characters; longer texts are no numbers that Python or pandas write


def label_value(cell: Any) -> Any:
    """Converts a label to a plain Python value.

    Args:
        cell: A label, also a NumPy scalar.

    Returns:
        The value. A float with an integer value becomes an int, because pandas turns ints into
        floats in a column that also holds NaN.
    """
    is_numpy = hasattr(cell, "item") and getattr(cell, "shape", None) == ()
    value = cell.item() if is_numpy else cell
    return int(value) if isinstance(value, float) and value.is_integer() else value


def label_key(label: Any) -> Any:
    """A key that is equal for labels that differ only in their type.

    Args:
        label: A string, a number or a bool. A string counts as a number if Python or pandas write
            the number in this form ("1", "1.0", "2.5"; not "01" or "10.10"), and as a bool if it
            is "True", "true", "TRUE" or the same for False.

    Returns:
        The number, or 0 or 1 for a bool; any other label unchanged.

    Example:
        >>> label_key(True), label_key("1.0"), label_key("01")
        (1, 1, '01')
    """
    value = label_value(label)
    if isinstance(value, bool):
        return int(value)
    return _number_of(value) if isinstance(value, str) else value


def _number_of(text: str) -> Any:
    """The number that a text spells, 0 or 1 for a bool, else the text."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    try:
        whole = text.removesuffix(".0")
        if str(int(whole)) == whole:
            return int(whole)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if isfinite(number) and repr(number) == text else text


def place_finder(names: Iterable[Any]) -> Callable[[Any], int | None]:
    """Creates a function that returns the position of a label among label names.

    An equal label of the same type is preferred; otherwise a label that differs only in its type is
    taken, if there is exactly one.

    Args:
        names: Label names in order.

    Returns:
        A function from a label to its position, or to `None` if the label is unknown or ambiguous.

    Example:
        >>> place_of = place_finder(["0", "1", "maybe"])
        >>> place_of("1"), place_of(1.0), place_of(True), place_of(2)
        (1, 1, 1, None)
    """
    exact: dict[Hashable, int] = {}
    by_key: dict[Hashable, int | None] = {}
    for place, name in enumerate(names):
        exact.setdefault(_exact_key(name), place)
        key = label_key(name)
        by_key[key] = None if key in by_key else place  # `None`: ambiguous

    def place_of(label: Any) -> int | None:
        try:
            place = exact.get(_exact_key(label))
            return by_key.get(label_key(label)) if place is None else place
        except TypeError:  # not hashable
            return None

    return place_of


def _exact_key(label: Any) -> tuple[bool, Any]:
    value = label_value(label)
    return isinstance(value, bool), value  # because True == 1 in Python


def differing_types(names: Iterable[Any]) -> tuple[Any, Any] | None:
    """The first two labels that differ only in their type.

    Args:
        names: Label names.

    Returns:
        Two labels, such as `1` and `"1"`; `None` if there are none.

    Example:
        >>> differing_types([1, 2, "1"]), differing_types([1, 1.0, "2"])
        ((1, '1'), None)
    """
    seen: dict[Hashable, Any] = {}
    for name in names:
        value = label_value(name)
        other = seen.setdefault(label_key(value), value)
        if _exact_key(other) != _exact_key(value):
            return other, value
    return None


def by_place(
    named: Mapping[Any, Any], names: Iterable[Any]
) -> tuple[dict[int, Any], list[Any], list[Any]]:
    """Replaces the labels of a dict by their positions among label names.

    Args:
        named: Values by label.
        names: Label names in order.

    Returns:
        Values by position; the unknown labels; and the labels that name a class for a second time.

    Example:
        >>> by_place({0: 0.5, "0": 1.5, "yes": 2.0}, ["0", "1"])
        ({0: 0.5}, ['yes'], ['0'])
    """
    place_of, values, unknown, repeated = place_finder(names), dict[int, Any](), [], []
    for name, value in named.items():
        place = place_of(name)
        if place is None:
            unknown.append(name)
        elif place in values:
            repeated.append(name)
        else:
            values[place] = value
    return values, unknown, repeated
