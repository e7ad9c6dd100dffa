"""Labels of a table, which are strings, numbers or bools, and their encoding as integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Number, Real
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import quote
from keras_mm.errors import InvalidValueError
from keras_mm.settings.label_keys import differing_types, place_finder
from keras_mm.settings.label_keys import label_value as label_value


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty: `None`, NaN, the empty string, or a dict whose values are empty.

    Empty bytes are not missing: they are the content of an empty file.

    Args:
        cell: A cell of any type.

    Returns:
        True for an empty cell.

    Example:
        >>> is_missing(""), is_missing("NA"), is_missing(float("nan"))
        (True, False, True)
    """
    if cell is None or (isinstance(cell, str) and cell == ""):
        return True
    if isinstance(cell, dict):
        return all(is_missing(value) for value in cell.values())
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


def find_classes(cells: Iterable) -> list:
    """Finds the distinct labels of a column; missing ones are ignored.

    Args:
        cells: The cells of the column.

    Returns:
        Plain Python values, sorted, numbers before strings.

    Raises:
        ValueError: for a cell that cannot be a label, such as a list, or for labels that differ
            only in their type, such as 1 and "1"; see `label_problems`.

    Example:
        >>> find_classes(["b", "a", None, "b"])
        ['a', 'b']
    """
    cells = list(cells)
    for position, message in label_problems(enumerate(cells)):
        raise InvalidValueError(f"label {position} (counted from 0): {message}")
    return sorted_labels(cell for cell in cells if not is_missing(cell))


def sorted_labels(labels: Iterable) -> list:
    """Sorts distinct labels, as plain Python values.

    Args:
        labels: Labels, none of them missing.

    Returns:
        A sorted list, numbers before strings.
    """
    return sorted({label_value(label) for label in labels}, key=_sort_key)


def _sort_key(value: Any) -> tuple:
    kind = "" if isinstance(value, Number) else type(value).__name__
    return isinstance(value, str), kind, value


def label_problems(labels: Iterable[tuple[int, Any]]) -> list[tuple[int, str]]:
    """Checks that labels are valid, and differ in more than their type.

    Args:
        labels: Pairs of the position of a row and a label; missing labels are skipped.

    Returns:
        Pairs of the position of a row and a message, in order: for each value that cannot be a
        label, and for the first label that differs from an earlier one only in its type.

    Example:
        >>> [position for position, _ in label_problems(enumerate([1, 2, "1", ["a"]]))]
        [2, 3]
    """
    problems: list[tuple[int, str]] = []
    first: dict[tuple, int] = {}
    for position, cell in labels:
        value = label_value(cell)
        if is_missing(value):
            continue
        if isinstance(value, str | Real):
            first.setdefault((type(value), value), position)
            continue
        message = f"a label must be a string, a number or a bool. Received: {quote(value)} "
        problems.append((position, f"{message}({type(value).__name__})"))
    mixed = differing_types(value for _, value in first)
    if mixed is not None:
        before, label = mixed
        problems.append((first[type(label), label], _mixed(before, label)))
    return sorted(problems, key=lambda problem: problem[0])


def _mixed(before: Any, label: Any) -> str:
    return (
        f"the label {quote(label)} ({type(label).__name__}) and the label {quote(before)} "
        f"({type(before).__name__}) of an earlier row mean the same value. Write all labels in one "
        "type, e.g. with `table[column].astype(str)`; if these are two labels, rename one of them."
    )


def encode_labels(cells: Iterable, classes: Sequence) -> np.ndarray:
    """Encodes a column of classes.

    A label matches the class that is equal to it; if there is none, the only class that differs
    from it in its type alone. So "1", 1, 1.0 and True all match the class 1, or the class "1".

    Args:
        cells: The cells of the column.
        classes: Label names in order.

    Returns:
        Positions in `classes`, int32 `(num_rows,)`; -1 where a label is missing or unknown.

    Example:
        >>> encode_labels([1, "0", True, "no"], ["0", "1"]).tolist()
        [1, 0, 1, -1]
    """
    place_of = place_finder(classes)
    positions = (None if is_missing(cell) else place_of(cell) for cell in cells)
    return np.asarray([-1 if position is None else position for position in positions], "int32")
