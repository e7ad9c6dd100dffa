"""From the logits of heads to label names, probabilities and numbers, and to tables of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from keras_mm.data.tables.labels import label_value
from keras_mm.data.tables.row_parts import SkippedRows
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.by_head import head_prefixes
from keras_mm.settings.heads import Head, resolve_threshold

# With more classes a file of predictions has only the probability of the predicted class.
MOST_COLUMNS = 1000


def names_array(names: Sequence) -> np.ndarray:
    """Label names as an array.

    Args:
        names: Label names in order: strings, numbers, or both.

    Returns:
        Shape `(num_names,)`; dtype object if there are both strings and numbers, as NumPy would
        convert the numbers to strings.

    Example:
        >>> names_array(["no", "yes"]).tolist(), names_array(["no", 1]).tolist()
        (['no', 'yes'], ['no', 1])
    """
    values = [label_value(value) for value in names]
    one_type = len({isinstance(value, str) for value in values}) == 1
    if one_type:
        return np.array(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def predictions(head: Head, logits: np.ndarray) -> np.ndarray:
    """Predictions of a head.

    Args:
        head: The head, with its classes.
        logits: Floats, shape `(num_rows, num_logits)`.

    Returns:
        Label names, shape `(num_rows,)`. For `"multilabel"` 0 or 1 for each label, int8, shape
        `(num_rows, num_labels)`. For `"regression"` numbers, float64, shape `(num_rows,)`; with
        several targets `(num_rows, num_targets)`.

    Example:
        >>> predictions(Head("multilabel", ("old", "red")), np.array([[2.0, -1.0]])).tolist()
        [[1, 0]]
    """
    if head.kind == "regression":
        numbers = np.asarray(logits, "float64")
        return numbers[:, 0] if numbers.shape[1] == 1 else numbers
    scores = probabilities(logits, head.kind)
    if head.kind == "multilabel":
        return (scores >= resolve_threshold(head.threshold, head.names)).astype("int8")
    return names_array(head.names)[scores.argmax(axis=1)]


def label_cells(head: Head, labels: np.ndarray) -> np.ndarray:
    """Decodes labels into the cells of a column.

    Args:
        head: The head, with its classes.
        labels: Encoded labels; see `keras_mm.data.tables.targets.Encoded`.

    Returns:
        A cell for each row: a name, for `"multilabel"` a list of names, for `"regression"` a
        number; `None` (NaN for `"regression"`) where the label is missing.

    Example:
        >>> label_cells(Head("multilabel", ("old", "red")), np.array([[1, 1], [0, 0]])).tolist()
        [['old', 'red'], []]
    """
    names = names_array(head.names)
    if head.kind == "regression":
        return labels
    if head.kind != "multilabel" and (labels >= 0).all():
        return names[labels]
    cells, name_list = np.empty(len(labels), dtype=object), names.tolist()
    for position, row in enumerate(labels):
        if head.kind != "multilabel":
            cells[position] = None if row < 0 else name_list[row]
        elif (row >= 0).all():
            cells[position] = [name_list[i] for i in np.flatnonzero(row)]
    return cells


def answer_columns(head: Head, logits: np.ndarray, labels: np.ndarray | None = None) -> dict:
    """The columns of one head in a table of predictions.

    Args:
        head: The head, with its classes.
        logits: Floats, shape `(num_rows, num_logits)`.
        labels: Encoded labels, see `keras_mm.data.tables.targets.Encoded`; `None` for none.

    Returns:
        Columns by name: with labels `label`; `prediction` (a name, a list of names, or a number);
        and, except for `"regression"`, `probability_<class>`. With several targets
        `label_<target>` and `prediction_<target>`.

    Example:
        >>> columns = answer_columns(Head(classes=("no", "yes")), np.zeros((3, 2)))
        >>> list(columns)
        ['prediction', 'probability_no', 'probability_yes']
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
    predicted, scores = predictions(head, logits), probabilities(logits, head.kind)
    columns = {} if labels is None else {"label": label_cells(head, labels)}
    columns["prediction"] = label_cells(head, predicted) if head.kind == "multilabel" else predicted
    return {**columns, **{f"probability_{name}": scores[:, i] for i, name in enumerate(head.names)}}


def answer_frame(
    heads: Mapping[str, Head],
    logits: Mapping[str, np.ndarray],
    index: pd.Index,
    labels: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Makes a table of predictions.

    Args:
        heads: The heads to include, by name, with their classes.
        logits: Floats, shape `(num_rows, num_logits)`, by head, for all heads of the model.
        index: Index of the table.
        labels: Encoded labels by head, see `keras_mm.data.tables.rows.Rows`; `None` for none.

    Returns:
        The columns of `answer_columns`. If the model has several heads, the name of each column
        begins with the head's name and `_`.
    """
    columns, prefixes = {}, head_prefixes(logits)
    for name, head in heads.items():
        head_columns = answer_columns(head, logits[name], (labels or {}).get(name))
        columns.update({prefixes[name] + key: value for key, value in head_columns.items()})
    return pd.DataFrame(columns, index=index)


def join_frames(parts: Sequence[pd.DataFrame], index: pd.Index | None = None) -> pd.DataFrame:
    """Concatenates the parts of a table.

    Args:
        parts: At least one part, in order.
        index: Index of the whole table; `None` concatenates the indexes of the parts, which may
            lose categories, names or a frequency.

    Returns:
        The whole table.
    """
    frame = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=index is not None)
    return frame if index is None else frame.set_axis(index.copy())


def with_skipped(values: np.ndarray, skipped: SkippedRows | None) -> np.ndarray:
    """Fills in the rows of a table that were left out, so that there is a value for each row.

    Args:
        values: Predictions or probabilities of the other rows, shape `(num_used, ...)`.
        skipped: The rows that were left out; `None` for none.

    Returns:
        Shape `(num_rows, ...)`. Floats, and arrays of several columns, have NaN where a row was
        left out, and are returned as floats. Other arrays have `None` there, and are returned with
        dtype object. `values` itself if no row was left out.

    Example:
        >>> skipped = SkippedRows({1: []}, num_rows=3)
        >>> with_skipped(np.array(["yes", "no"]), skipped).tolist()
        ['yes', None, 'no']
    """
    if skipped is None or not skipped.problems:
        return values
    shape = (skipped.num_rows, *values.shape[1:])
    if values.dtype.kind == "f":
        filled = np.full(shape, np.nan, values.dtype)
    elif values.ndim > 1:
        filled = np.full(shape, np.nan)
    else:
        filled = np.full(shape, None, dtype=object)
    filled[skipped.used()] = values
    return filled


def whole_frame(
    frame: pd.DataFrame, skipped: SkippedRows, index: pd.Index | None = None
) -> pd.DataFrame:
    """Adds the rows that were left out to a table of predictions.

    Args:
        frame: The predictions of the other rows, in order; its index is ignored.
        skipped: The rows that were left out.
        index: Index of the whole table; `None` takes that of `skipped`.

    Returns:
        The columns of `frame`, filled by `with_skipped`, and `error`: the problem of a row that was
        left out, as text; `None` for the other rows.
    """
    filled_frame = frame.reset_index(drop=True)
    if skipped.problems:
        filled = {name: with_skipped(column.to_numpy(), skipped) for name, column in frame.items()}
        # With its dtype, as pandas would infer strings with NaN for a column of text and `None`.
        filled_frame = pd.DataFrame(
            {n: pd.Series(cells, dtype=cells.dtype) for n, cells in filled.items()}
        )
    filled_frame = filled_frame.assign(error=pd.Series(skipped.errors(), dtype=object))
    return filled_frame.set_axis((skipped.index if index is None else index).copy())


def written_frame(frame: pd.DataFrame, heads: Mapping[str, Head]) -> pd.DataFrame:
    """Removes the probability columns of heads with many classes, before a table is written.

    Args:
        frame: What `answer_frame` returned; other columns are kept.
        heads: All heads of the model by name, with their classes.

    Returns:
        The table. For a head with more than 1,000 classes, one column `probability` (that of the
        predicted class) replaces `probability_<class>`; a multilabel head with more than 1,000
        labels has no column of probabilities.
    """
    prefixes = head_prefixes(heads)
    for name, head in heads.items():
        prefix = prefixes[name]
        is_included = (
            f"{prefix}prediction" in frame
        )  # heads that were not evaluated have no columns
        if head.kind == "regression" or head.num_classes <= MOST_COLUMNS or not is_included:
            continue
        columns = [f"{prefix}probability_{label}" for label in head.names]
        shortened = frame.drop(columns=columns)
        if head.kind != "multilabel":
            place = shortened.columns.get_loc(f"{prefix}prediction") + 1
            shortened.insert(place, f"{prefix}probability", frame[columns].max(axis=1))
        frame = shortened
    return frame


def no_logits(heads: Mapping[str, Head]) -> dict[str, np.ndarray]:
    """The logits of a table without rows.

    Args:
        heads: Heads by name, with their classes.

    Returns:
        float32 arrays of shape `(0, num_logits)`, by head.
    """
    return {name: np.zeros((0, head.num_logits), "float32") for name, head in heads.items()}
