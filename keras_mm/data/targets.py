"""Label columns to arrays: what each kind of head is trained on and measured by."""

from __future__ import annotations

import ast
import contextlib
import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Number, Real
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.labels import encode_labels, find_classes, is_missing, label_value
from keras_mm.heads import Head

_SEPARATOR = "|"
_YES_NO = {"0": 0, "1": 1, "false": 0, "true": 1, "0.0": 0, "1.0": 1}
_SHOWN = 20


@dataclass(frozen=True)
class Target:
    """The labels of one head in a table.

    Args:
        kind: The head's.
        columns: One column; or for `"multilabel"` and `"regression"` one for each label or target.
        each: Whether each column is a label of its own.
        classes: Label names in order; `None` takes any label, and encodes nothing.
    """

    kind: str
    columns: tuple[str, ...]
    classes: tuple | None = None
    each: bool = False

    @property
    def needs_classes(self) -> bool:
        """Whether it must be told which labels there are, to encode them."""
        return self.classes is None and self.kind != "regression"


@dataclass(frozen=True)
class Encoded:
    """What the cells of a target hold.

    Attributes:
        labels: int32 `(num_rows,)`, -1 where missing; for `"multilabel"` int8
            `(num_rows, num_labels)`, -1 where missing; for `"regression"` float64
            `(num_rows, num_targets)`, NaN where missing. `None` where the classes are not known.
        missing: Positions of rows without a label.
        problems: Position, column, and what is wrong there.
    """

    labels: np.ndarray | None
    missing: list[int]
    problems: list[tuple[int, str, str]]


def as_targets(
    labels: str | Mapping[str, Head] | None, classes: Sequence | None = None
) -> dict[str, Target]:
    """Targets by head from a label column, or from heads.

    Args:
        labels: A column of classes, or heads by name; `None` for no labels.
        classes: Label names in order, for a column.

    Raises:
        ValueError: if `labels` is neither, or a head of classes has several columns.
    """
    if labels is None:
        return {}
    if isinstance(labels, str):
        return {"label": Target("multiclass", (labels,), None if classes is None else (*classes,))}
    if not isinstance(labels, Mapping) or not all(isinstance(h, Head) for h in labels.values()):
        raise ValueError(
            "`labels` must be the name of a column, or a dict of name to keras_mm.Head. "
            f"Received: labels={labels!r}"
        )
    return {name: _target(name, head) for name, head in labels.items()}


def _target(name: str, head: Head) -> Target:
    columns = (head.column or name,) if not isinstance(head.column, tuple) else head.column
    if len(columns) > 1 and head.kind in ("multiclass", "binary"):
        raise ValueError(
            f"The {head.kind} head {name!r} has one column of classes. Received: column={columns}"
        )
    if head.kind == "regression" and head.classes is not None and len(columns) != head.num_classes:
        raise ValueError(
            f"The {head.num_classes} targets of the head {name!r} have a column each: "
            f"Head(column=[...]). Received: column={head.column!r}"
        )
    known = None if head.classes is None else head.names
    return Target(head.kind, columns, known, isinstance(head.column, tuple))


def with_classes(heads: Mapping[str, Head], table: pd.DataFrame) -> dict[str, Head]:
    """The heads with the classes that their columns hold, where they do not name their own.

    Args:
        heads: Heads by name.
        table: Rows to find the classes in; heads whose columns are not there stay as they are.

    Raises:
        ValueError: if a column holds too few classes, or what cannot be a label.

    Example:
        >>> table = pd.DataFrame({"tags": ["red|old", "red", "[]"]})
        >>> with_classes({"tags": Head("multilabel")}, table)["tags"].classes
        ('old', 'red')
    """
    found = {}
    for name, head in heads.items():
        target = _target(name, head)
        if head.classes is None and not set(target.columns) - set(table.columns):
            head = replace(head, classes=_classes_in(table, target))
        found[name] = head
    return found


def _classes_in(table: pd.DataFrame, target: Target) -> tuple:
    columns = target.columns
    if target.kind == "regression" or (target.kind == "multilabel" and target.each):
        return columns
    if target.kind != "multilabel":
        found = find_classes(table[columns[0]])
        if len(found) < 2:
            raise ValueError(
                f"The label column {columns[0]!r} has one class only ({found}); a classifier "
                "needs rows of at least two."
            )
        return tuple(found)
    lists = []
    for cell in table[columns[0]]:
        if not is_missing(cell):
            with contextlib.suppress(ValueError):  # which is told, by its row, when it is encoded
                lists.append(_listed(cell))
    widths = {len(cell) for cell in lists}
    if len(widths) == 1 and all(_is_bit(value) for cell in lists for value in cell):
        return tuple(range(widths.pop()))  # multi-hot, of labels without names
    return tuple(find_classes(value for cell in lists for value in cell if _is_name(value)))


def encode_target(table: pd.DataFrame, target: Target) -> Encoded:
    """Encodes a head's cells; what is wrong with any of them is told, and counts as missing."""
    if target.kind == "regression":
        return _numbers(table, target)
    if target.kind == "multilabel":
        return _yes_or_no(table, target) if target.each else _label_sets(table, target)
    column = target.columns[0]
    cells = list(table[column])
    labels = None if target.classes is None else encode_labels(cells, target.classes)
    missing = [position for position, cell in enumerate(cells) if is_missing(cell)]
    problems = []
    if labels is not None:
        for position in sorted(set(np.flatnonzero(labels < 0).tolist()) - set(missing)):
            problems.append((position, column, _unknown(cells[position], target.classes)))
    return Encoded(labels, missing, problems)


def _label_sets(table: pd.DataFrame, target: Target) -> Encoded:
    column, classes = target.columns[0], target.classes
    labels = None if classes is None else np.full((len(table), len(classes)), -1, "int8")
    missing, problems = [], []
    for position, cell in enumerate(table[column]):
        if is_missing(cell):
            missing.append(position)
            continue
        try:
            found = _multi_hot(_listed(cell), classes)
        except ValueError as error:
            problems.append((position, column, str(error)))
            continue
        if labels is not None:
            labels[position] = found
    return Encoded(labels, missing, problems)


def _listed(cell: Any) -> list:
    """A cell's labels as a list.

    Raises:
        ValueError: for a text in brackets that is no list.
    """
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, list | tuple | set | frozenset):
        return [label_value(value) for value in cell]
    if not isinstance(cell, str):
        return [label_value(cell)]
    text = cell.strip()
    if (text[:1], text[-1:]) not in (("[", "]"), ("{", "}"), ("(", ")")):
        return [name.strip() for name in text.split(_SEPARATOR)]
    for read in (json.loads, ast.literal_eval):  # the latter for what pandas writes of lists
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            found = read(text)
            if isinstance(found, list | tuple | set):
                return list(found)
    raise ValueError(
        f'a list of labels is written as ["red", "old"], or as red|old. Received: {cell!r}'
    )


def _multi_hot(listed: list, classes: tuple | None) -> np.ndarray:
    """0 or 1 for each class.

    Raises:
        ValueError: for what is neither names of the classes nor 0 or 1 for each.
    """
    if not all(map(_is_name, listed)):
        raise ValueError(f"a label must be a name. Received: {listed!r}")
    if classes is None:
        return np.zeros(0)
    bits = bool(listed) and all(map(_is_bit, listed))
    if bits and len(listed) == len(classes):
        return np.asarray([int(value) for value in listed], "int8")
    codes = encode_labels(listed, classes)
    # Of two labels, 0 and 1, a list could be either: it is never one of names.
    if (codes >= 0).all() and not (bits and set(map(str, classes)) <= {"0", "1"}):
        found = np.zeros(len(classes), "int8")
        found[codes] = 1
        return found
    if bits:
        raise ValueError(
            f"a multi-hot label has 0 or 1 for each of {len(classes)} labels. "
            f"Received: {len(listed)} of them"
        )
    raise ValueError(_unknown(listed[int(np.argmax(codes < 0))], classes))


def _is_name(value: Any) -> bool:
    return isinstance(value, Hashable) and value is not None


def _is_bit(value: Any) -> bool:
    return value in (0, 1) if isinstance(value, Number) else value in ("0", "1")


def _yes_or_no(table: pd.DataFrame, target: Target) -> Encoded:
    labels = np.full((len(table), len(target.columns)), -1, "int8")
    problems = []
    for place, column in enumerate(target.columns):
        for position, cell in enumerate(table[column]):
            if is_missing(cell):
                continue
            value = _YES_NO.get(str(label_value(cell)).strip().lower())
            if value is None:
                words = f"a label of its own column must be 0 or 1. Received: {cell!r}"
                problems.append((position, column, words))
            else:
                labels[position, place] = value
    bad = {position for position, _, _ in problems}
    labels[sorted(bad)] = -1
    missing = [p for p in np.flatnonzero((labels < 0).all(axis=1)).tolist() if p not in bad]
    return Encoded(labels, missing, problems)


def _numbers(table: pd.DataFrame, target: Target) -> Encoded:
    found = np.full((len(table), len(target.columns)), np.nan, "float64")
    problems = []
    for place, column in enumerate(target.columns):
        for position, cell in enumerate(table[column]):
            if is_missing(cell):
                continue
            try:
                found[position, place] = _number(cell)
            except ValueError as error:
                problems.append((position, column, str(error)))
    bad = {position for position, _, _ in problems}
    missing = [p for p in np.flatnonzero(np.isnan(found).all(axis=1)).tolist() if p not in bad]
    return Encoded(found, missing, problems)


def _number(cell: Any) -> float:
    words = f"a target must be a finite number. Received: {cell!r}"
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, str | Real | np.number):
        raise ValueError(words)
    try:
        value = float(cell)
    except (TypeError, ValueError):
        raise ValueError(words) from None
    if not math.isfinite(value) or abs(value) > float(np.finfo("float32").max):
        raise ValueError(words)
    return value


def _unknown(cell: Any, classes: Iterable) -> str:
    names = list(classes)
    shown = ", ".join(repr(label_value(name)) for name in names[:_SHOWN])
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return f"unknown label {label_value(cell)!r}. The classes are {shown}{more}."
