"""The labels of a model, their order, and their weights in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import quote
from keras_mm.data.tables.label_lists import read_lists
from keras_mm.data.tables.labels import find_classes, is_missing, label_value
from keras_mm.data.tables.load import table_name
from keras_mm.data.tables.targets import as_targets, encode_target
from keras_mm.errors import InvalidValueError, Problem
from keras_mm.losses.class_weights import resolve_class_weight
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.plain import is_scalar
from keras_mm.simple_transformers.tables import LABELS
from keras_mm.warn import warn

_BITS = {"0", "1"}


def in_order(labels_list: Sequence | None, labels_map: Mapping | None = None) -> list:
    """Labels in the order of the model's outputs.

    Args:
        labels_list: The labels as a list.
        labels_map: The labels as a dict from labels to indices.

    Returns:
        The labels; an empty list if both arguments are empty.

    Raises:
        ValueError: if the indices are not 0, 1, 2, ..., or list and dict differ.
    """
    if isinstance(labels_list, set | frozenset | str):
        raise InvalidValueError(
            f"Labels must be a list, as their order matters. Received: {quote(labels_list)}"
        )
    listed = [] if labels_list is None else [label_value(label) for label in labels_list]
    if not labels_map:
        return listed
    mapped = sorted(labels_map, key=lambda label: labels_map[label])
    if [labels_map[label] for label in mapped] != list(range(len(mapped))):
        raise InvalidValueError(
            f"`labels_map` must have the indices 0, 1, 2, ... Received: {dict(labels_map)}"
        )
    if listed and [str(label) for label in listed] != [str(label) for label in mapped]:
        raise InvalidValueError(
            "`labels_list` and `labels_map` must have the same labels in the same order. Received: "
            f"{listed} and {dict(labels_map)}"
        )
    return listed or mapped


def classes_of(table: pd.DataFrame, labels: Sequence, num_labels: int | None) -> tuple:
    """Finds the classes of a model, in the order of its outputs.

    They are `labels`, if these are given. If the table has only integers below `num_labels`, they
    are all integers below it. Otherwise, they are the labels of the table, sorted.

    Args:
        table: Training rows.
        labels: The labels; empty if they are not given.
        num_labels: Number of labels, if it is given.

    Returns:
        The classes.

    Raises:
        ValueError: if the number of labels in the table is not `num_labels`, or is 1.
    """
    if labels:
        return tuple(labels)
    present = find_classes(table[LABELS])
    numbers = {str(number) for number in range(num_labels or 0)}
    if num_labels is not None and {str(label) for label in present} <= numbers:
        kind: type = str if present and isinstance(present[0], str) else int
        return tuple(kind(number) for number in range(num_labels))
    if len(present) == 1:
        raise InvalidValueError(
            f"The rows must have at least two labels. Received: all rows have {quote(present[0])}"
        )
    if num_labels is not None and len(present) != num_labels:
        raise InvalidValueError(
            f"The rows have {len(present)} labels ({', '.join(map(quote, present[:20]))}), but "
            f"num_labels is {num_labels}. Set num_labels={len(present)}, or list all labels."
        )
    return tuple(present)


def label_problems(table: pd.DataFrame) -> list[Problem]:
    """Finds cells that cannot be a label of a class, such as lists.

    Args:
        table: The rows.

    Returns:
        A problem for each cell.
    """
    message = "a label must be a text, a number or a bool. Received: {}"
    return [
        Problem(row, LABELS, table_name(table), message.format(quote(cell)))
        for row, cell in zip(table.index, table[LABELS], strict=True)
        if not is_scalar(label_value(cell)) and not is_missing(cell)
    ]


def without_rows(table: pd.DataFrame, problems: Sequence[Problem]) -> pd.DataFrame:
    """Removes the rows that have problems from a table.

    Args:
        table: The rows.
        problems: The problems.

    Returns:
        The other rows.
    """
    bad = {problem.row for problem in problems}
    good = table[[row not in bad for row in table.index]]
    good.attrs = table.attrs
    return good


def label_form(table: pd.DataFrame, head: Head) -> bool | None:
    """Determines how lists of labels are read: as 0 or 1 for each label, or as names.

    Args:
        table: Training rows.
        head: The head of the labels.

    Returns:
        A value for `Head.multi_hot`: `True` (0 or 1 for each label) if the labels have no names;
        `False` (names) if a list has a text, where "0" and "1" only count if they are names of
        labels. Otherwise, `None`: each cell is read by its own values.
    """
    if head.kind != "multilabel" or head.classes is None:
        return None
    if not isinstance(head.classes, tuple):
        return True
    lists = read_lists(table[LABELS]).lists.values()
    texts = {value for cell in lists for value in cell if isinstance(value, str)}
    bits = texts <= _BITS and not _BITS & {str(name) for name in head.names}
    return False if texts and not bits else None


def has_names(head: Head) -> bool:
    """Whether the labels of a head have names other than 0, 1, 2, ...

    Args:
        head: The head.

    Returns:
        Whether they have. Predictions are then lists of names, otherwise of 0 and 1.
    """
    return isinstance(head.classes, tuple) and head.classes != tuple(range(len(head.classes)))


def class_weight(
    table: pd.DataFrame, head: Head, weights: Any, *, automatic: bool, trained: Head | None
) -> Any:
    """Computes the class weights of a training.

    A name such as `"balanced"` is replaced by numbers here, because `eval_loss` uses the weights,
    too, and evaluation rows have other label frequencies.

    Args:
        table: Training rows.
        head: The head of the labels.
        weights: The weights that the user gave: numbers, a dict by label, a name, or `None`.
        automatic: Whether to compute weights that balance the labels instead.
        trained: The head of the model that training continues with, if there is one. Its weights
            are kept if no weights are given and no class is added.

    Returns:
        The weights, or `None` for equal ones.

    Warns:
        UserWarning: if weights are given for a regression.
    """
    if head.kind == "regression":
        if automatic or weights is not None:
            warn("A regression has no classes: class weights are not used.")
        return None
    if automatic:
        return automatic_weights(table, head)
    if isinstance(weights, str):
        return automatic_weights(table, head, weights)
    if weights is None and trained is not None:
        return trained.class_weight if trained.num_classes == head.num_classes else None
    return weights if weights is None or isinstance(weights, Mapping) else tuple(weights)


def automatic_weights(
    table: pd.DataFrame, head: Head, how: str = "balanced"
) -> tuple[float, ...] | None:
    """Computes weights that balance the labels of training rows.

    Args:
        table: The rows.
        head: The head of the labels. For a multilabel head, the weight of a label is the number of
            rows divided by the number of rows with this label.
        how: Kind of the weights for other heads, as in `class_weight` of
            `keras_mm.MultimodalClassifier`.

    Returns:
        A number for each label; `None` for a regression, or if the rows have no labels.
    """
    labels = encode_target(table, as_targets({"label": head})["label"]).labels
    if labels is None or head.kind == "regression":
        return None
    if head.kind != "multilabel":
        return tuple(resolve_class_weight(how, labels, head.names) or ())
    known = labels[(labels >= 0).all(axis=1)]
    return tuple((len(known) / np.maximum((known == 1).sum(axis=0), 1)).tolist())
