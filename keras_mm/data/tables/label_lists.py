"""Cells that hold several labels: lists of names, or multi-hot lists (0 or 1 for each label).

All cells of a column must have the same form. It is decided from all cells, by `multi_hot_width`; a
cell of the other form is a problem of its row.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mm.checks import quote
from keras_mm.data.tables.labels import is_missing
from keras_mm.errors import InvalidValueError
from keras_mm.settings.label_keys import label_key, label_value

_SEPARATOR = "|"
_SHOWN = 20
_BITS_AS_TEXT = re.compile(r"[01](?:[ ,;]+[01])+")


@dataclass(frozen=True)
class LabelLists:
    """The cells of a column as lists of labels.

    Attributes:
        lists: Labels by the position of the row, as a list, or as a set if the cell is a set.
        missing: Positions of empty cells.
        problems: Position and message of each cell that cannot be read.
    """

    lists: dict[int, Collection]
    missing: list[int]
    problems: list[tuple[int, str]]


def read_lists(cells: Iterable) -> LabelLists:
    """Reads the labels of each cell of a column.

    Args:
        cells: The cells: lists, tuples, sets or arrays of labels, texts such as "red|old" or
            "[1, 0]", or single labels.

    Returns:
        The labels by position; cells that cannot be read are listed as problems.

    Example:
        >>> read_lists(["red|old", "[1, 0]", 7, None]).lists
        {0: ['red', 'old'], 1: [1, 0], 2: [7]}
    """
    label_lists = LabelLists({}, [], [])
    for position, cell in enumerate(cells):
        if is_missing(cell):
            label_lists.missing.append(position)
            continue
        try:
            label_lists.lists[position] = _listed(cell)
        except ValueError as error:
            label_lists.problems.append((position, str(error)))
    return label_lists


def _listed(cell: Any) -> Collection:
    """The labels of a cell.

    Raises:
        ValueError: for a text in brackets that is not a list, or a text of zeros and ones that are
            not separated by `|`.
    """
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if isinstance(cell, set | frozenset):
        return {label_value(value) for value in cell}
    if isinstance(cell, list | tuple):
        return [label_value(value) for value in cell]
    if not isinstance(cell, str):
        return [label_value(cell)]
    text = cell.strip()
    if (text[:1], text[-1:]) in (("[", "]"), ("{", "}"), ("(", ")")):
        for read in (json.loads, ast.literal_eval):  # the second reads how pandas writes a list
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                parsed = read(text)
                if isinstance(parsed, list | tuple | set):
                    return _listed(parsed)
    elif not _BITS_AS_TEXT.fullmatch(text):
        return [name.strip() for name in text.split(_SEPARATOR)]
    raise InvalidValueError(
        'write a list of labels as ["red", "old"] or red|old, and 0 or 1 for each label as [1, 0] '
        f"or 1|0. Received: {quote(cell)}"
    )


def is_name(value: Any) -> bool:
    """Whether a value can be the name of a label.

    Args:
        value: Any value of a cell.

    Returns:
        False for `None`, and for values that cannot be hashed, such as a list.
    """
    return isinstance(value, Hashable) and value is not None


def is_bit(value: Any) -> bool:
    """Whether a value is 0 or 1, of any type.

    Args:
        value: Any value of a cell.

    Returns:
        True for 0, 1, `False`, `True`, 0.0, 1.0, and for these values as text.
    """
    return is_name(value) and label_key(value) in (0, 1)


def is_bits(labels: Collection) -> bool:
    """Whether a cell is a list of only zeros and ones.

    Args:
        labels: The labels of a cell.

    Returns:
        False also for an empty list, and for a set, as it has no order.
    """
    return bool(labels) and isinstance(labels, list) and all(map(is_bit, labels))


def multi_hot_width(lists: Iterable[Collection], num_labels: int | None = None) -> int | None:
    """Decides whether a column is multi-hot, and for how many labels.

    A column is multi-hot if all cells are lists of zeros and ones. It also is, with some bad cells,
    if more than half of the cells are such lists of the same length, two or more (a single 1 could
    be a name). Empty lists are ignored here; in a multi-hot column they are problems of their rows.

    Args:
        lists: The labels of each cell.
        num_labels: Number of labels, >= 1; by default the most frequent length of such lists.

    Returns:
        The number of labels, >= 1; `None` for a column of names.

    Example:
        >>> multi_hot_width([[1, 0, 0], [0, 1, 1], [2, 0, 0]])
        3
        >>> multi_hot_width([["red"], [], [1, 0, 0], ["red", "old"]]) is None
        True
    """
    lists = [labels for labels in lists if labels]
    bits = [labels for labels in lists if is_bits(labels)]
    only_bits = len(bits) == len(lists)
    counts = Counter(len(labels) for labels in bits if only_bits or len(labels) > 1)
    if num_labels is not None:
        counts = Counter({num_labels: counts[num_labels]})
    width = max(counts, key=lambda width: (counts[width], width), default=0)
    return width if counts[width] > (0 if only_bits else len(lists) / 2) else None


def could_be_bits(classes: Iterable) -> bool:
    """Whether a list of zeros and ones could also be a list of names.

    Args:
        classes: Label names.

    Returns:
        True if 0 or 1 is the name of a label.
    """
    return any(label_key(name) in (0, 1) for name in classes)


def encode_list(
    labels: Collection,
    classes: Sequence,
    multi_hot: bool,
    place_of: Callable[[Any], int | None],
) -> np.ndarray:
    """Encodes a cell as 0 or 1 for each label.

    Args:
        labels: The labels of the cell.
        classes: Label names in order.
        multi_hot: Whether the column is multi-hot.
        place_of: The result of `place_finder(classes)`, which is made once for a column.

    Returns:
        int8 `(num_labels,)`.

    Raises:
        ValueError: for a cell that does not have the form of the column, or has an unknown label.
    """
    if multi_hot:
        check_multi_hot(labels, len(classes))
        return np.asarray([label_key(value) for value in labels], "int8")
    if is_bits(labels) and not could_be_bits(classes):
        check_multi_hot(labels, len(classes))
        raise InvalidValueError(
            "the cell has 0 or 1 for each label, but the other rows are lists of names. Write all "
            f"rows in the same form. Received: {quote(labels)}"
        )
    check_names(labels)
    encoded = np.zeros(len(classes), "int8")
    for label in labels:
        position = None if is_missing(label) else place_of(label)
        if position is None:
            raise InvalidValueError(unknown_label(label, classes))
        encoded[position] = 1
    return encoded


def check_multi_hot(labels: Collection, num_labels: int) -> None:
    """Checks a cell of a multi-hot column.

    Args:
        labels: The labels of the cell.
        num_labels: Number of labels.

    Raises:
        ValueError: for a cell that does not have 0 or 1 for each of `num_labels` labels.
    """
    if is_bits(labels) and len(labels) == num_labels:
        return
    received = f"{len(labels)} of them" if is_bits(labels) else quote(labels)
    hint = "" if is_bits(labels) else " If it holds lists of names, use Head(multi_hot=False)."
    raise InvalidValueError(
        f"this column is multi-hot: a cell must have 0 or 1 for each of {num_labels} labels.{hint} "
        f"Received: {received}"
    )


def check_names(labels: Collection) -> None:
    """Checks a cell of a column of names.

    Args:
        labels: The labels of the cell.

    Raises:
        ValueError: for a value that cannot be a name, or for a number that occurs twice.
    """
    if not all(map(is_name, labels)):
        raise InvalidValueError(
            f"each label must be a string, a number or a bool. Received: {quote(labels)}"
        )
    numbers = [key for key in map(label_key, labels) if not isinstance(key, str)]
    if len(set(numbers)) < len(numbers):
        raise InvalidValueError(
            "this column holds lists of names, and a number may occur only once in a list. If it "
            f"has 0 or 1 for each label, use Head(multi_hot=True). Received: {quote(labels)}"
        )


def unknown_label(cell: Any, classes: Iterable) -> str:
    """Creates the message for a label that is not one of the classes.

    Args:
        cell: The label.
        classes: Label names in order; the message lists the first 20.

    Returns:
        A sentence.
    """
    names = list(classes)
    shown = ", ".join(quote(label_value(name)) for name in names[:_SHOWN])
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return f"unknown label {quote(label_value(cell))}. The classes are {shown}{more}."
