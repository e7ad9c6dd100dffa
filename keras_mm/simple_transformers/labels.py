"""Which labels a model has, in which order, and how they are weighted in the loss."""

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
        labels_map: The labels as a dict from each to its index.

    Returns:
        The labels; an empty list if none are given.

    Raises:
        ValueError: if the indices are not 0, 1, 2, ..., or the list and the dict differ.
    """
    if isinstance(labels_list, set | frozenset | str):
        raise InvalidValueError(
            f"Labels must be a list: they have an order. Received: {quote(labels_list)}"
        )
    listed = [] if labels_list is None else [label_value(label) for label in labels_list]
    if not labels_map:
        return listed
    mapped = sorted(labels_map, key=lambda label: labels_map[label])
    if [labels_map[label] for label in mapped] != list(range(len(mapped))):
        raise InvalidValueError(
            f"`labels_map` must have the places 0, 1, 2, ... Received: {dict(labels_map)}"
        )
    if listed and [str(label) for label in listed] != [str(label) for label in mapped]:
        raise InvalidValueError(
            f"`labels_list` and `labels_map` differ. Received: {listed} and {dict(labels_map)}"
        )
    return listed or mapped


def classes_of(table: pd.DataFrame, labels: Sequence, num_labels: int | None) -> tuple:
    """The classes of a model, in the order of its outputs.

    They are `labels` if these are given. If the table has only whole numbers below `num_labels`,
    they are all of these numbers. Otherwise, they are the labels of the table, sorted.

    Args:
        table: Training rows.
        labels: The labels; empty if they are not given.
        num_labels: Number of labels, if it is given.

    Returns:
        The classes.

    Raises:
        ValueError: if the table has another number of labels than `num_labels`, or only one.
    """
    if labels:
        return tuple(labels)
    found = find_classes(table[LABELS])
    numbers = {str(number) for number in range(num_labels or 0)}
    if num_labels is not None and {str(label) for label in found} <= numbers:
        kind: type = str if found and isinstance(found[0], str) else int
        return tuple(kind(number) for number in range(num_labels))
    if len(found) == 1:
        raise InvalidValueError(
            f"All rows have the label {quote(found[0])}; give rows of at least two labels."
        )
    if num_labels is not None and len(found) != num_labels:
        raise InvalidValueError(
            f"The rows have {len(found)} labels ({', '.join(map(quote, found[:20]))}), and "
            f"num_labels is {num_labels}. Give num_labels={len(found)}, or all labels as a list."
        )
    return tuple(found)


def label_problems(table: pd.DataFrame) -> list[Problem]:
    """A problem for each cell that cannot be the label of one class, such as a list.

    Args:
        table: The rows.

    Returns:
        The problems.
    """
    words = "a label must be a text, a number or a bool. Received: {}"
    return [
        Problem(row, LABELS, table_name(table), words.format(quote(cell)))
        for row, cell in zip(table.index, table[LABELS], strict=True)
        if not is_scalar(label_value(cell)) and not is_missing(cell)
    ]


def without_rows(table: pd.DataFrame, problems: Sequence[Problem]) -> pd.DataFrame:
    """A table without the rows that have problems.

    Args:
        table: The rows.
        problems: The problems.

    Returns:
        The other rows.
    """
    bad = {problem.row for problem in problems}
    found = table[[row not in bad for row in table.index]]
    found.attrs = table.attrs
    return found


def label_form(table: pd.DataFrame, head: Head) -> bool | None:
    """How the lists of labels in training rows are read, as `Head.multi_hot`.

    Args:
        table: Training rows.
        head: Their head.

    Returns:
        `True` (0 or 1 for each label) if the labels have no names. `False` (lists of names) if a
        cell holds a text; the texts "0" and "1" count only if labels have these names. Otherwise,
        `None`: the cells decide.
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
    """Whether a head's labels have names other than 0, 1, 2, ...

    Args:
        head: The head.

    Returns:
        Whether they do; then a prediction is a list of names, else of 0 and 1.
    """
    return isinstance(head.classes, tuple) and head.classes != tuple(range(len(head.classes)))


def class_weight(
    table: pd.DataFrame, head: Head, weights: Any, *, automatic: bool, trained: Head | None
) -> Any:
    """The class weights of a training, as numbers, as evaluation rows have other frequencies.

    Args:
        table: Training rows.
        head: Their head.
        weights: The weights that the user gave: numbers, a dict by label, a name, or `None`.
        automatic: Whether the weights are computed so that labels balance.
        trained: The head of the model that is trained further, if there is one. Its weights stay
            as long as no class is added.

    Returns:
        The weights, or `None` for equal ones.

    Warns:
        UserWarning: if weights are given for a regression.
    """
    if head.kind == "regression":
        if automatic or weights is not None:
            warn("Numbers have no classes to balance: no weights are used.")
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
    """Weights that balance a head's labels in training rows.

    Args:
        table: The rows.
        head: The head. With several labels a row, the weight of each is `num_rows / frequency`.
        how: For classes, a name as in `class_weight` of `keras_mm.MultimodalClassifier`.

    Returns:
        A number for each label; `None` if the rows have no labels.
    """
    labels = encode_target(table, as_targets({"label": head})["label"]).labels
    if labels is None or head.kind == "regression":
        return None
    if head.kind != "multilabel":
        return tuple(resolve_class_weight(how, labels, head.names) or ())
    known = labels[(labels >= 0).all(axis=1)]
    return tuple((len(known) / np.maximum((known == 1).sum(axis=0), 1)).tolist())
