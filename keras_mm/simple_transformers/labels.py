"""Which labels a model has, and what each of them counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import is_number, is_whole
from keras_mm.data.tables.label_lists import read_lists
from keras_mm.data.tables.labels import find_classes, is_missing, label_value
from keras_mm.data.tables.load import table_name
from keras_mm.data.tables.targets import as_targets, encode_target
from keras_mm.errors import InvalidValueError, Problem
from keras_mm.losses.class_weights import resolve_class_weight
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.plain import is_scalar
from keras_mm.simple_transformers.tables import LABELS

_BITS = {"0", "1"}


def in_order(labels_list: Sequence | None, labels_map: Mapping | None = None) -> list:
    """Labels in the order of the outputs, from a list or a map to places; empty for none.

    Raises:
        ValueError: if the map's places are not 0, 1, 2, ..., or it has other labels than the list.
    """
    if isinstance(labels_list, set | frozenset | str):
        raise InvalidValueError(
            f"Labels must be a list: they have an order. Received: {labels_list!r}"
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


def check_count(name: str, labels: Sequence, num_labels: int | None) -> None:
    """Raises ValueError if there are not `num_labels` labels, or one comes twice."""
    if labels and num_labels is not None and len(labels) != num_labels:
        raise InvalidValueError(
            f"`{name}` must have `num_labels` labels. Received: {len(labels)} labels, "
            f"num_labels={num_labels}"
        )
    if len({str(label) for label in labels}) != len(labels):
        raise InvalidValueError(f"`{name}` has a label twice. Received: {list(labels)}")


def check_trained_count(num_labels: int | None, labels: Sequence, head: Head) -> None:
    """Raises ValueError for another number of labels than a model has, without more names."""
    trained = head.num_classes
    if num_labels is not None and num_labels != trained and len(labels) != num_labels:
        raise InvalidValueError(
            f"`num_labels` must be {trained}, what the model was trained with; name all labels to "
            f"add some. Received: num_labels={num_labels}"
        )


def check_number(num_labels: Any) -> None:
    """Raises ValueError if `num_labels` is given and no number of labels."""
    if num_labels is not None and not is_whole(num_labels, 1):
        raise InvalidValueError(f"`num_labels` must be an integer >= 1. Received: {num_labels!r}")


def check_each(name: str, values: Any, num_labels: int | None, *, single: bool = False) -> None:
    """Raises ValueError if `values` are not one number for each label, or a `single` one."""
    if values is None or isinstance(values, str | Mapping):
        return
    if np.ndim(values) == 0:
        if not single:
            raise InvalidValueError(
                f"`{name}` must have a number for each label. Received: {values!r}"
            )
        return
    if num_labels is not None and len(values) != num_labels:
        raise InvalidValueError(
            f"`{name}` must have a number for each label, {num_labels} in all. "
            f"Received: {len(values)} of them"
        )
    wrong = [value for value in values if not _is_weight(value)]
    if wrong:
        raise InvalidValueError(
            f"`{name}` must have a finite number >= 0 for each label. Received: {wrong[0]!r}"
        )


def _is_weight(value: Any) -> bool:
    return is_number(value) and value >= 0


def classes_of(table: pd.DataFrame, labels: Sequence, num_labels: int | None) -> tuple:
    """The labels of a task of classes, in order.

    They are `labels`; else, of whole numbers below `num_labels`, all these; else those of the
    table, sorted.

    Raises:
        ValueError: if the table has others than `num_labels`.
    """
    if labels:
        return tuple(labels)
    found = find_classes(table[LABELS])
    places = {str(place) for place in range(num_labels or 0)}
    if num_labels is not None and {str(label) for label in found} <= places:
        kind: type = str if found and isinstance(found[0], str) else int
        return tuple(kind(place) for place in range(num_labels))
    if len(found) == 1:
        raise InvalidValueError(
            f"All rows have the label {found[0]!r}; give rows of at least two labels."
        )
    if num_labels is not None and len(found) != num_labels:
        raise InvalidValueError(
            f"The rows have {len(found)} labels ({', '.join(map(repr, found[:20]))}), and "
            f"num_labels is {num_labels}. Give num_labels={len(found)}, or all labels as a list."
        )
    return tuple(found)


def label_problems(table: pd.DataFrame) -> list[Problem]:
    """A problem for each cell that cannot be the label of one class: a list, an object."""
    words = "a label must be a text, a number or a bool. Received: {!r}"
    return [
        Problem(row, LABELS, table_name(table), words.format(cell))
        for row, cell in zip(table.index, table[LABELS], strict=True)
        if not is_scalar(label_value(cell)) and not is_missing(cell)
    ]


def without_rows(table: pd.DataFrame, problems: Sequence[Problem]) -> pd.DataFrame:
    """The table without the rows of problems."""
    bad = {problem.row for problem in problems}
    found = table[[row not in bad for row in table.index]]
    found.attrs = table.attrs
    return found


def label_form(table: pd.DataFrame, head: Head) -> bool | None:
    """How the label lists of training rows are read, as `Head.multi_hot`.

    Args:
        table: Training rows.
        head: Their head.

    Returns:
        `True`, 0 or 1 for each label, where labels have no names. `False`, lists of names, if a
        cell holds a text: of texts "0" and "1" if labels are called so. Else `None`: the cells
        decide.
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
    """Whether labels have names, so that a list of 0 and 1 could be one of them."""
    return isinstance(head.classes, tuple) and head.classes != tuple(range(len(head.classes)))


def automatic_weights(
    table: pd.DataFrame, head: Head, how: str = "balanced"
) -> tuple[float, ...] | None:
    """Weights that balance a head's labels in training rows.

    Args:
        table: The rows.
        head: The head; of several labels a row each counts `num_rows / frequency`.
        how: For classes, as `class_weight` is named.

    Returns:
        A number for each label; `None` where there are no labels.
    """
    labels = encode_target(table, as_targets({"label": head})["label"]).labels
    if labels is None or head.kind == "regression":
        return None
    if head.kind != "multilabel":
        return tuple(resolve_class_weight(how, labels, head.names) or ())
    known = labels[(labels >= 0).all(axis=1)]
    return tuple((len(known) / np.maximum((known == 1).sum(axis=0), 1)).tolist())


def check_goes_on(name: str, labels: Sequence, trained: Sequence) -> None:
    """Raises ValueError if labels are others, or in another order, than a model was trained on."""
    if labels and [str(label) for label in labels[: len(trained)]] != [str(x) for x in trained]:
        raise InvalidValueError(
            f"`{name}` must begin with the labels that the model was trained on, {list(trained)}. "
            f"Received: {list(labels)}"
        )
