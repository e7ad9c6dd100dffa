"""Encodes label columns as arrays, for each kind of head."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import quote
from keras_mm.data.tables.label_lists import (
    check_multi_hot,
    check_names,
    could_be_bits,
    encode_list,
    is_bits,
    is_name,
    multi_hot_width,
    read_lists,
    unknown_label,
)
from keras_mm.data.tables.labels import encode_labels, is_missing, label_problems, sorted_labels
from keras_mm.data.tables.load import table_name
from keras_mm.errors import InvalidValueError
from keras_mm.settings.heads import Head
from keras_mm.settings.label_keys import differing_types, label_key, label_value, place_finder

_YES_NO = {"0": 0, "1": 1, "false": 0, "true": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True)
class Target:
    """Where the labels of a head are in a table, and how they are encoded.

    Args:
        kind: The kind of the head.
        columns: The column; or for `"multilabel"` and `"regression"` one column for each label or
            target.
        classes: Label names in order; with `None` any label is valid, and labels are not encoded.
        each: Whether there is a column for each label or target.
        multi_hot: As in `Head`.
    """

    kind: str
    columns: tuple[str, ...]
    classes: tuple | None = None
    each: bool = False
    multi_hot: bool | None = None

    @property
    def needs_classes(self) -> bool:
        """Whether `classes` are missing, which are needed to encode the labels."""
        return self.classes is None and self.kind != "regression"


@dataclass(frozen=True)
class Encoded:
    """The encoded cells of a target.

    Attributes:
        labels: int32 `(num_rows,)`, -1 where missing; for `"multilabel"` int8
            `(num_rows, num_labels)`, -1 where missing; for `"regression"` float64
            `(num_rows, num_targets)`, NaN where missing. `None` if the classes are not known.
        missing: Positions of the rows without a label.
        problems: Position, column and message of each bad cell.
    """

    labels: np.ndarray | None
    missing: list[int]
    problems: list[tuple[int, str, str]]


def as_targets(
    labels: str | Mapping[str, Head] | None, classes: Sequence | None = None
) -> dict[str, Target]:
    """Creates targets from a label column, or from heads.

    Args:
        labels: A column of classes, or heads by name; `None` for no labels.
        classes: Label names in order, if `labels` is a column.

    Returns:
        Targets by head; a label column is the head `"label"`.

    Raises:
        ValueError: if `labels` is neither, or a head of classes has several columns.
    """
    if labels is None:
        return {}
    if isinstance(labels, str):
        return {"label": Target("multiclass", (labels,), None if classes is None else (*classes,))}
    if not isinstance(labels, Mapping) or not all(isinstance(h, Head) for h in labels.values()):
        raise InvalidValueError(
            "`labels` must be the name of a column, or a dict of name to keras_mm.Head. "
            f"Received: labels={labels!r}"
        )
    return {name: _target(name, head) for name, head in labels.items()}


def _target(name: str, head: Head) -> Target:
    columns = (head.column or name,) if not isinstance(head.column, tuple) else head.column
    if len(columns) > 1 and head.kind in ("multiclass", "binary"):
        raise InvalidValueError(
            f"The {head.kind} head {name!r} must have one column. Received: column={columns}"
        )
    if head.kind == "regression" and head.classes is not None and len(columns) != head.num_classes:
        raise InvalidValueError(
            f"The {head.num_classes} targets of the head {name!r} need a column each: pass "
            f"Head(column=[...]). Received: column={head.column!r}"
        )
    known = None if head.classes is None else head.names
    return Target(head.kind, columns, known, isinstance(head.column, tuple), head.multi_hot)


def with_classes(heads: Mapping[str, Head], table: pd.DataFrame) -> dict[str, Head]:
    """Adds the classes to heads that have none: the labels that occur in their columns.

    Args:
        heads: Heads by name.
        table: The rows with the labels. Heads whose columns are missing are not changed.

    Returns:
        Heads by name.

    Raises:
        ValueError: if a column has too few classes, or a value that cannot be a label.

    Example:
        >>> table = pd.DataFrame({"tags": ["red|old", "red", "[]"]})
        >>> with_classes({"tags": Head("multilabel")}, table)["tags"].classes
        ('old', 'red')
    """
    complete = {}
    for name, head in heads.items():
        target = _target(name, head)
        _check_classes(name, head.classes)
        if not set(target.columns) - set(table.columns):
            lists = target.kind == "multilabel" and not target.each
            head = (_with_lists if lists else _with_values)(head, table, target)
        complete[name] = head
    return complete


def _check_classes(name: str, classes: Any) -> None:
    """Raises ValueError for classes that differ only in their type, such as 1 and "1"."""
    if not isinstance(classes, tuple) or all(isinstance(label, str) for label in classes):
        return
    mixed = differing_types(classes)
    if mixed is not None:
        raise InvalidValueError(
            f"`classes` of the head {name!r} has {quote(mixed[0])} and {quote(mixed[1])}, which "
            f"differ only in their type. Rename one of them. Received: classes={quote(classes)}"
        )


def _with_values(head: Head, table: pd.DataFrame, target: Target) -> Head:
    """Adds the classes: the labels of the column, or the names of several columns."""
    columns = target.columns
    if head.classes is not None:
        return head
    if target.kind in ("regression", "multilabel"):
        return replace(head, classes=columns)
    cells = table[columns[0]]
    _raise_first(table, columns[0], label_problems(enumerate(cells)))
    classes = sorted_labels(cell for cell in cells if not is_missing(cell))
    if len(classes) < 2:
        raise InvalidValueError(
            f"The label column {columns[0]!r} has one class only ({quote(classes)}). A classifier "
            "needs at least two; add rows of another class."
        )
    return replace(head, classes=tuple(classes))


def _with_lists(head: Head, table: pd.DataFrame, target: Target) -> Head:
    """Adds the classes of a column of label lists, and if necessary its form."""
    column, classes = target.columns[0], target.classes
    lists = read_lists(table[column]).lists  # bad cells are reported later, with their rows
    multi_hot = _is_multi_hot(lists.values(), target)
    if classes is None and multi_hot:
        width = multi_hot_width(lists.values()) or multi_hot_width(filter(is_bits, lists.values()))
        classes = tuple(range(width or 0))
    elif classes is None:
        names = [(row, name) for row, cells in lists.items() for name in filter(is_name, cells)]
        _raise_first(table, column, label_problems(names))
        # A number such as 0.5 is probably not the name of a label, but a share.
        valid = (name for _, name in names if not isinstance(label_value(name), float))
        classes = tuple(sorted_labels(valid))
    if not classes:
        raise InvalidValueError(
            f"The label column {column!r} has no labels. Write lists of names, such as "
            '["red", "old"] or red|old, or 0 or 1 for each label, such as [1, 0].'
        )
    # With labels called 0 or 1 the form is stored in the head: the cells of another table could
    # suggest the other form.
    confusable = target.multi_hot is None and could_be_bits(classes)
    named = head if head.classes is not None else replace(head, classes=classes)
    return replace(named, multi_hot=multi_hot) if confusable else named


def _is_multi_hot(lists: Collection[Collection], target: Target) -> bool:
    """Whether a column is multi-hot: as the head says, otherwise as its cells suggest."""
    if target.multi_hot is not None:
        return target.multi_hot
    if target.classes is None:
        return multi_hot_width(lists) is not None
    # If all labels are called 0 or 1, a list could have either form; multi-hot is assumed.
    only_bits = {label_key(name) for name in target.classes} <= {0, 1}
    return only_bits or multi_hot_width(lists, len(target.classes)) is not None


def _raise_first(table: pd.DataFrame, column: str, problems: list[tuple[int, str]]) -> None:
    for position, message in problems:
        row = table.index[position]
        raise InvalidValueError(f"{table_name(table)}, row {row}, column {column!r}: {message}")


def encode_target(table: pd.DataFrame, target: Target) -> Encoded:
    """Encodes the labels of a head. Bad cells are reported as problems, and encoded as missing.

    Args:
        table: A table from `load_table` that has the columns of the target.
        target: The target of the head.

    Returns:
        The encoded labels, the positions of rows without a label, and the problems.

    Example:
        >>> target = as_targets("label", ["no", "yes"])["label"]
        >>> encode_target(pd.DataFrame({"label": ["yes", None, "no"]}), target).labels.tolist()
        [1, -1, 0]
    """
    if target.kind == "regression":
        return _numbers(table, target)
    if target.kind == "multilabel":
        return _yes_or_no(table, target) if target.each else _label_sets(table, target)
    column = target.columns[0]
    cells = list(table[column])
    labels = None if target.classes is None else encode_labels(cells, target.classes)
    missing = [position for position, cell in enumerate(cells) if is_missing(cell)]
    if labels is None:
        problems = label_problems(enumerate(cells))
    else:
        unknown = sorted(set(np.flatnonzero(labels < 0).tolist()) - set(missing))
        problems = [
            (position, unknown_label(cells[position], target.classes or ())) for position in unknown
        ]
    return Encoded(labels, missing, [(position, column, message) for position, message in problems])


def missing_label(target: Target) -> str:
    """Creates the message for a row without a label.

    Args:
        target: The target of the only head.

    Returns:
        A sentence with the solution.
    """
    if target.kind == "multilabel" and target.each:
        return (
            "all labels are missing. Write 0 for each label that does not apply, or remove the row."
        )
    if target.kind == "multilabel":
        return (
            "the label is missing: an empty cell means that the labels are unknown. If no label "
            "applies, write [] (in a multi-hot column 0 for each label); otherwise remove the row."
        )
    return "the label is missing. Fill it in, or remove the row."


def _label_sets(table: pd.DataFrame, target: Target) -> Encoded:
    column, classes = target.columns[0], target.classes
    labels = None if classes is None else np.full((len(table), len(classes)), -1, "int8")
    cells = read_lists(table[column])
    multi_hot = _is_multi_hot(cells.lists.values(), target)
    place_of = place_finder(classes or ())
    problems = [*cells.problems]
    if classes is None:
        problems += _form_problems(cells.lists, multi_hot)
    for position, cell_labels in cells.lists.items():
        if labels is not None and classes is not None:
            try:
                labels[position] = encode_list(cell_labels, classes, multi_hot, place_of)
            except ValueError as error:
                problems.append((position, str(error)))
    problems.sort(key=lambda problem: problem[0])
    return Encoded(
        labels, cells.missing, [(position, column, message) for position, message in problems]
    )


def _form_problems(lists: Mapping[int, Collection], multi_hot: bool) -> list[tuple[int, str]]:
    """Cells that do not have the form of their column, for targets without known classes."""
    problems = []
    width = multi_hot_width(lists.values()) or 0
    for position, cell_labels in lists.items():
        try:
            if multi_hot:
                check_multi_hot(cell_labels, width)
            else:
                check_names(cell_labels)
        except ValueError as error:
            problems.append((position, str(error)))
    bad = {position for position, _ in problems}
    names = [
        (row, name) for row, cell_labels in lists.items() if row not in bad for name in cell_labels
    ]
    return problems + ([] if multi_hot else label_problems(names))


def _yes_or_no(table: pd.DataFrame, target: Target) -> Encoded:
    labels = np.full((len(table), len(target.columns)), -1, "int8")
    problems = []
    for index, column in enumerate(target.columns):
        for position, cell in enumerate(table[column]):
            if is_missing(cell):
                continue
            value = _YES_NO.get(str(label_value(cell)).strip().lower())
            if value is None:
                message = f"a column for a single label must have 0 or 1. Received: {quote(cell)}"
                problems.append((position, column, message))
            else:
                labels[position, index] = value
    bad = {position for position, _, _ in problems}
    labels[sorted(bad)] = -1
    missing = [p for p in np.flatnonzero((labels < 0).all(axis=1)).tolist() if p not in bad]
    return Encoded(labels, missing, problems)


def _numbers(table: pd.DataFrame, target: Target) -> Encoded:
    numbers = np.full((len(table), len(target.columns)), np.nan, "float64")
    problems = []
    for index, column in enumerate(target.columns):
        for position, cell in enumerate(table[column]):
            if is_missing(cell):
                continue
            try:
                numbers[position, index] = _number(cell)
            except ValueError as error:
                problems.append((position, column, str(error)))
    bad = {position for position, _, _ in problems}
    missing = [p for p in np.flatnonzero(np.isnan(numbers).all(axis=1)).tolist() if p not in bad]
    return Encoded(numbers, missing, problems)


def _number(cell: Any) -> float:
    message = f"a target must be a finite number. Received: {quote(cell)}"
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, str | Real | np.number):
        raise InvalidValueError(message)
    try:
        value = float(cell)
    except (TypeError, ValueError):
        raise InvalidValueError(message) from None
    if not math.isfinite(value) or abs(value) > float(np.finfo("float32").max):
        raise InvalidValueError(message)
    return value
