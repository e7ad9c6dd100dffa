"""Formats numbers, settings, lists and tables for the report and the model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

_MOST_ITEMS = 20  # of a setting that is a list or a dict


class Table(NamedTuple):
    """A table of text.

    Attributes:
        header: Names of the columns.
        rows: Rows with a cell per column.
        averages: Rows of averages, below the other rows.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    averages: Sequence[Sequence[Any]] = ()


def percent(share: float) -> str:
    """Formats a share in percent with one decimal.

    Args:
        share: A number in [0, 1].

    Returns:
        The text; only for 1 it is `100.0%`, and only for 0 it is `0.0%`.

    Example:
        >>> percent(0.125), percent(0.9999)
        ('12.5%', '>99.9%')
    """
    text = f"{share:.1%}"
    if text == "100.0%" and share < 1:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and share > 0 else text


def amount(value: float) -> int | float:
    """Rounds a number of rows, or a sum of weights, for display.

    Args:
        value: The number, >= 0.

    Returns:
        Whole numbers as they are, and other numbers rounded to six significant digits; an integer
        if the result is whole.

    Example:
        >>> amount(3.0), amount(2.0 / 3)
        (3, 0.666667)
    """
    rounded = value if value == int(value) else float(f"{value:.6g}")
    return int(rounded) if rounded == int(rounded) else rounded


def plain(value: Any) -> str:
    """Formats a fact or setting as readable text.

    Args:
        value: Any value of a setting; of an object with a `name`, the name is shown.

    Returns:
        The text. Of lists and dicts, the first 20 items and the number of the others.

    Example:
        >>> plain({"loss": "focal", "class_weight": None})
        'loss: focal, class_weight: none'
    """
    if isinstance(value, Mapping):
        items = [(name, plain(item)) for name, item in islice(value.items(), _MOST_ITEMS)]
        return listed([f"{name}: {item}" for name, item in items], len(value)) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = list(value)
        return listed([plain(item) for item in value[:_MOST_ITEMS]], len(value)) or "none"
    return "none" if value is None else str(getattr(value, "name", value))


def listed(shown: Sequence[str], total: int) -> str:
    """Joins the first items of a list, and counts the others.

    Args:
        shown: The first items.
        total: Number of all items, >= `len(shown)`.

    Returns:
        The text; empty if there are no items.

    Example:
        >>> listed(["a", "b"], 5)
        'a, b and 3 more'
    """
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def share(metrics: Mapping[str, Any], score: str) -> str:
    """Formats a share of rows with its interval.

    Args:
        metrics: Metrics with the score and its interval.
        score: Name of the score.

    Returns:
        The text, in percent.

    Example:
        >>> share({"accuracy": 0.5, "accuracy_interval": [0.4, 0.6]}, "accuracy")
        '50.0% [40.0, 60.0]'
    """
    low, high = metrics[f"{score}_interval"]
    return f"{percent(metrics[score])} [{100 * low:.1f}, {100 * high:.1f}]"


def number(value: float) -> str:
    """Formats a number that has a unit, such as an error.

    Args:
        value: The number.

    Returns:
        The text, with four significant digits.

    Example:
        >>> number(1234.56)
        '1235'
    """
    return f"{value:.4g}"
