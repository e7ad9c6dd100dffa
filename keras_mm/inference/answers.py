"""Predictions from the logits of heads: label names, probabilities, numbers, and tables of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from keras_mm.data.tables.labels import label_value
from keras_mm.data.tables.row_parts import SkippedRows
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.by_head import head_prefixes
from keras_mm.settings.heads import Head, resolve_threshold

# With more classes a file of predictions has the probability of the predicted class only.
MOST_COLUMNS = 1000


def names_array(names: Sequence) -> np.ndarray:
    """Label names as an array.

    Args:
        names: Label names in order, all text or all numbers, or mixed.

    Returns:
        Shape `(num_names,)`; of dtype object if the names are mixed.
    """
    values = [label_value(value) for value in names]
    same = len({isinstance(value, str) for value in values}) == 1
    if same:
        return np.array(values)
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def predictions(head: Head, logits: np.ndarray) -> np.ndarray:
    """Predictions of a head.

    Args:
        head: The head, with its classes.
        logits: Floats, shape `(num_rows, num_logits)`.

    Returns:
        Label names, shape `(num_rows,)`; for `"multilabel"` 0 or 1 for each label, int8, shape
        `(num_rows, num_labels)`; for `"regression"` float64, shape `(num_rows,)`, with several
        targets `(num_rows, num_targets)`.

    Example:
        >>> predictions(Head("multilabel", ("old", "red")), np.array([[2.0, -1.0]])).tolist()
        [[1, 0]]
    """
    if head.kind == "regression":
        numbers = np.asarray(logits, "float64")
        return numbers[:, 0] if numbers.shape[1] == 1 else numbers
    found = probabilities(logits, head.kind)
    if head.kind == "multilabel":
        return (found >= resolve_threshold(head.threshold, head.names)).astype("int8")
    return names_array(head.names)[found.argmax(axis=1)]


def label_cells(head: Head, labels: np.ndarray) -> np.ndarray:
    """Encoded labels as the cells of a column.

    Args:
        head: The head, with its classes.
        labels: Encoded labels; see `keras_mm.data.tables.targets.Encoded`.

    Returns:
        A cell for each row: a name, a list of names for `"multilabel"`, or a number for
        `"regression"`; `None` where the label is missing.

    Example:
        >>> label_cells(Head("multilabel", ("old", "red")), np.array([[1, 1], [0, 0]])).tolist()
        [['old', 'red'], []]
    """
    names = names_array(head.names)
    if head.kind == "regression":
        return labels
    if head.kind != "multilabel" and (labels >= 0).all():
        return names[labels]
    found, listed = np.empty(len(labels), dtype=object), names.tolist()
    for place, row in enumerate(labels):
        if head.kind != "multilabel":
            found[place] = None if row < 0 else listed[row]
        elif (row >= 0).all():
            found[place] = [listed[i] for i in np.flatnonzero(row)]
    return found


def answer_columns(head: Head, logits: np.ndarray, labels: np.ndarray | None = None) -> dict:
    """Columns of a table of predictions, for one head.

    Args:
        head: The head, with its classes.
        logits: Floats, shape `(num_rows, num_logits)`.
        labels: Encoded labels; see `keras_mm.data.tables.targets.Encoded`.

    Returns:
        Columns by name: `prediction` (a name, a list of names, or a number) and
        `probability_<class>`; with labels, `label` first. With several targets `label_<target>`
        and `prediction_<target>`.
    """
    if head.kind == "regression":
        parts = {"label": labels, "prediction": np.asarray(logits, "float64")}
        ends = [""] if head.num_logits == 1 else [f"_{name}" for name in head.names]
        return {
            part + end: numbers[:, i]
            for part, numbers in parts.items()
            if numbers is not None
            for i, end in enumerate(ends)
        }
    answers, found = predictions(head, logits), probabilities(logits, head.kind)
    columns = {} if labels is None else {"label": label_cells(head, labels)}
    columns["prediction"] = label_cells(head, answers) if head.kind == "multilabel" else answers
    return {**columns, **{f"probability_{name}": found[:, i] for i, name in enumerate(head.names)}}


def answer_frame(
    heads: Mapping[str, Head],
    logits: Mapping[str, np.ndarray],
    index: pd.Index,
    labels: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """A table of predictions.

    Args:
        heads: The heads whose predictions are wanted, by name, with their classes.
        logits: Floats, shape `(num_rows, num_logits)`, by head, of all heads of the model.
        index: The table's index.
        labels: Encoded labels by head; see `keras_mm.data.tables.rows.Rows`. `None` for none.

    Returns:
        The columns of `answer_columns`; if the model has several heads, each begins with the
        head's name and `_`.
    """
    columns, prefixes = {}, head_prefixes(logits)
    for name, head in heads.items():
        found = answer_columns(head, logits[name], (labels or {}).get(name))
        columns.update({prefixes[name] + key: value for key, value in found.items()})
    return pd.DataFrame(columns, index=index)


def join_frames(parts: Sequence[pd.DataFrame], index: pd.Index | None = None) -> pd.DataFrame:
    """Joins the parts of a table.

    Args:
        parts: At least one part, in order.
        index: The whole table's index, if it is known: an index joined from those of the parts
            loses categories, names or a frequency.

    Returns:
        The whole table.
    """
    found = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=index is not None)
    return found if index is None else found.set_axis(index.copy())


def with_skipped(values: np.ndarray, skipped: SkippedRows | None) -> np.ndarray:
    """Predictions of a whole table, from those of its usable rows.

    Args:
        values: Shape `(num_used, ...)`: predictions or probabilities of the rows that are used.
        skipped: The rows that are left out; `None` for none.

    Returns:
        Shape `(num_rows, ...)`. Where a row was left out, floats and values in several columns are
        NaN, and the array is of floats; other values are `None`, and the array is of objects. If no
        row was left out, `values` itself.

    Example:
        >>> skipped = SkippedRows({1: []}, num_rows=3)
        >>> with_skipped(np.array(["yes", "no"]), skipped).tolist()
        ['yes', None, 'no']
    """
    if skipped is None or not skipped.problems:
        return values
    shape = (skipped.num_rows, *values.shape[1:])
    if values.dtype.kind == "f":
        found = np.full(shape, np.nan, values.dtype)
    elif values.ndim > 1:
        found = np.full(shape, np.nan)
    else:
        found = np.full(shape, None, dtype=object)
    found[skipped.used()] = values
    return found


def whole_frame(
    frame: pd.DataFrame, skipped: SkippedRows, index: pd.Index | None = None
) -> pd.DataFrame:
    """A table of predictions, with the rows that were left out.

    Args:
        frame: The predictions of the rows that are used, in order; its index is not read.
        skipped: The rows that are left out.
        index: The whole table's index, as in `join_frames`.

    Returns:
        The columns of `frame`, filled by `with_skipped`, and `error`: the row's problem as text, or
        `None` for a row that is used.
    """
    found = frame.reset_index(drop=True)
    if skipped.problems:
        whole = {name: with_skipped(column.to_numpy(), skipped) for name, column in frame.items()}
        # Without its dtype, a column of text and `None` would become one of strings and NaN.
        found = pd.DataFrame({n: pd.Series(cells, dtype=cells.dtype) for n, cells in whole.items()})
    found = found.assign(error=pd.Series(skipped.errors(), dtype=object))
    return found.set_axis((skipped.index if index is None else index).copy())


def written_frame(frame: pd.DataFrame, heads: Mapping[str, Head]) -> pd.DataFrame:
    """Predictions as they are written to files: without a column for each of many classes.

    Args:
        frame: What `answer_frame` returned, perhaps with other columns.
        heads: All heads of the model by name, with their classes.

    Returns:
        The frame. For a head of more than 1,000 classes, `probability` of the predicted class
        replaces `probability_<class>`; a multilabel head of more than 1,000 labels has no column of
        probabilities.
    """
    prefixes = head_prefixes(heads)
    for name, head in heads.items():
        prefix = prefixes[name]
        there = f"{prefix}prediction" in frame  # heads that were not evaluated have no columns
        if head.kind == "regression" or head.num_classes <= MOST_COLUMNS or not there:
            continue
        columns = [f"{prefix}probability_{label}" for label in head.names]
        short = frame.drop(columns=columns)
        if head.kind != "multilabel":
            place = short.columns.get_loc(f"{prefix}prediction") + 1
            short.insert(place, f"{prefix}probability", frame[columns].max(axis=1))
        frame = short
    return frame


def no_logits(heads: Mapping[str, Head]) -> dict[str, np.ndarray]:
    """Logits of an empty table.

    Args:
        heads: Heads by name, with their classes.

    Returns:
        float32, shape `(0, num_logits)`, by head.
    """
    return {name: np.zeros((0, head.num_logits), "float32") for name, head in heads.items()}
