"""Cells that hold several labels: their names, or 0 or 1 for each label (multi-hot).

A column holds one or the other. Its form is decided once, from all cells (`multi_hot_width`); a
cell of the other form is an error of its row.
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
    """The cells of a column, each as the labels that it holds.

    Attributes:
        lists: Labels by the row's position, as a list or, where they have no order, a set.
        missing: Positions of cells that hold nothing.
        problems: Position and message of cells that cannot be read.
    """

    lists: dict[int, Collection]
    missing: list[int]
    problems: list[tuple[int, str]]


def read_lists(cells: Iterable) -> LabelLists:
    """The labels of each cell of a column.

    Args:
        cells: Lists, tuples, sets or arrays of labels, texts such as "red|old" or "[1, 0]", or
            single labels.

    Returns:
        Labels by position. Cells that cannot be read are listed as problems.

    Example:
        >>> read_lists(["red|old", "[1, 0]", 7, None]).lists
        {0: ['red', 'old'], 1: [1, 0], 2: [7]}
    """
    found = LabelLists({}, [], [])
    for position, cell in enumerate(cells):
        if is_missing(cell):
            found.missing.append(position)
            continue
        try:
            found.lists[position] = _listed(cell)
        except ValueError as error:
            found.problems.append((position, str(error)))
    return found


def _listed(cell: Any) -> Collection:
    """A cell's labels.

    Raises:
        ValueError: for a text that looks like a list and is not one.
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
                found = read(text)
                if isinstance(found, list | tuple | set):
                    return _listed(found)
    elif not _BITS_AS_TEXT.fullmatch(text):
        return [name.strip() for name in text.split(_SEPARATOR)]
    raise InvalidValueError(
        'a list of labels is written as ["red", "old"] or red|old, and 0 or 1 for each label as '
        f"[1, 0] or 1|0. Received: {quote(cell)}"
    )


def is_name(value: Any) -> bool:
    """Whether a value can be a label's name.

    Args:
        value: Any value of a cell.

    Returns:
        False for `None` and for what has no hash, such as a list.
    """
    return isinstance(value, Hashable) and value is not None


def is_bit(value: Any) -> bool:
    """Whether a value is 0 or 1, of whatever type.

    Args:
        value: Any value of a cell.

    Returns:
        True for 0, 1, `False`, `True`, 0.0, 1.0 and texts of these.
    """
    return is_name(value) and label_key(value) in (0, 1)


def is_bits(labels: Collection) -> bool:
    """Whether a cell is a list of zeros and ones, and of nothing else.

    Args:
        labels: A cell of `LabelLists.lists`.

    Returns:
        False for an empty list, and for a set, which has no order.
    """
    return bool(labels) and isinstance(labels, list) and all(map(is_bit, labels))


def multi_hot_width(lists: Iterable[Collection], num_labels: int | None = None) -> int | None:
    """Whether a column is multi-hot, and for how many labels it has 0 or 1.

    A column is multi-hot if each cell holds zeros and ones only; or if more than half of the cells
    hold exactly one 0 or 1 for each label, two or more (a single 1 is taken as a label's name).
    Empty lists are not counted; in a multi-hot column they are errors of their rows.

    Args:
        lists: The cells.
        num_labels: How many labels there are; by default the length of most of the cells.

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
    """Whether a list of zeros and ones could be a list of names.

    Args:
        classes: Label names.

    Returns:
        True if 0 or 1 is a label's name.
    """
    return any(label_key(name) in (0, 1) for name in classes)


def encode_list(
    labels: Collection,
    classes: Sequence,
    multi_hot: bool,
    place_of: Callable[[Any], int | None],
) -> np.ndarray:
    """Encodes a cell as 0 or 1 for each class.

    Args:
        labels: A cell's labels.
        classes: Label names in order.
        multi_hot: Whether the column is multi-hot.
        place_of: What `place_finder(classes)` gives, made once for a column.

    Returns:
        int8 `(num_labels,)`.

    Raises:
        ValueError: for a cell that is not of the column's form, or holds an unknown label.
    """
    if multi_hot:
        check_multi_hot(labels, len(classes))
        return np.asarray([label_key(value) for value in labels], "int8")
    if is_bits(labels) and not could_be_bits(classes):
        check_multi_hot(labels, len(classes))
        raise InvalidValueError(
            "the other rows are lists of names, and this one is 0 or 1 for each label. Write all "
            f"rows in one way. Received: {quote(labels)}"
        )
    check_names(labels)
    found = np.zeros(len(classes), "int8")
    for label in labels:
        place = None if is_missing(label) else place_of(label)
        if place is None:
            raise InvalidValueError(unknown_label(label, classes))
        found[place] = 1
    return found


def check_multi_hot(labels: Collection, num_labels: int) -> None:
    """Checks a cell of a multi-hot column.

    Args:
        labels: The cell's labels.
        num_labels: How many labels there are.

    Raises:
        ValueError: for a cell that is not 0 or 1 for each of `num_labels` labels.
    """
    if is_bits(labels) and len(labels) == num_labels:
        return
    received = f"{len(labels)} of them" if is_bits(labels) else quote(labels)
    names = "" if is_bits(labels) else " For lists of names, see Head(multi_hot=False)."
    raise InvalidValueError(
        f"this column is multi-hot: a cell has 0 or 1 for each of {num_labels} labels.{names} "
        f"Received: {received}"
    )


def check_names(labels: Collection) -> None:
    """Checks a cell of a column of names.

    Args:
        labels: The cell's labels.

    Raises:
        ValueError: for what cannot be a name, or a number that occurs twice.
    """
    if not all(map(is_name, labels)):
        raise InvalidValueError(f"a label must be a name. Received: {quote(labels)}")
    numbers = [key for key in map(label_key, labels) if not isinstance(key, str)]
    if len(set(numbers)) < len(numbers):
        raise InvalidValueError(
            "this column holds lists of names, and a list holds a number once only. For 0 or 1 for "
            f"each label, see Head(multi_hot=True). Received: {quote(labels)}"
        )


def unknown_label(cell: Any, classes: Iterable) -> str:
    """The message for a label that is not one of the classes.

    Args:
        cell: The label.
        classes: Label names in order; the message gives the first 20.

    Returns:
        A sentence.
    """
    names = list(classes)
    shown = ", ".join(quote(label_value(name)) for name in names[:_SHOWN])
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return f"unknown label {quote(label_value(cell))}. The classes are {shown}{more}."
