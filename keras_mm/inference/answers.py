"""What the logits of heads say: label names, probabilities, numbers, and tables of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from keras_mm.data.tables.labels import label_value
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head, head_prefixes, resolve_threshold

# Of more classes a file of predictions holds the answers' probabilities only.
MOST_COLUMNS = 1000


def names_array(names: Sequence) -> np.ndarray:
    """Label names as an array: of one kind, or of objects."""
    values = [label_value(value) for value in names]
    same = len({isinstance(value, str) for value in values}) == 1
    if same:
        return np.array(values)
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def predictions(head: Head, logits: np.ndarray) -> np.ndarray:
    """What a head answers.

    Args:
        head: The head, with its classes.
        logits: `(num_rows, num_logits)`.

    Returns:
        Label names `(num_rows,)`; for `"multilabel"` 0 or 1 for each label, int8
        `(num_rows, num_labels)`; for `"regression"` float64 `(num_rows,)`, of several targets
        `(num_rows, num_targets)`.

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
    """Encoded labels as cells of a column: a name, a list of names, or a number each.

    Args:
        head: The head, with its classes.
        labels: As `keras_mm.data.tables.targets.Encoded` has them; a missing one is a `None`.

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
    """Columns of a table by name: `label` where there are labels, `prediction`, probabilities.

    Args:
        head: The head, with its classes.
        logits: `(num_rows, num_logits)`.
        labels: As `keras_mm.data.tables.targets.Encoded` has them.

    Returns:
        Columns `prediction` (a name, a list of names, or a number) and `probability_<class>`. With
        labels, `label` first. Of several targets `label_<target>` and `prediction_<target>`.
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
    """The columns of all heads; of several, each begins with the head's name and `_`.

    Args:
        heads: Heads by name, with their classes; of several all that are wanted.
        logits: By head, of all heads of the model, `(num_rows, num_logits)`.
        index: The table's.
        labels: By head, as `keras_mm.data.tables.rows.Rows` has them; `None` for none.
    """
    columns, prefixes = {}, head_prefixes(logits)
    for name, head in heads.items():
        found = answer_columns(head, logits[name], (labels or {}).get(name))
        columns.update({prefixes[name] + key: value for key, value in found.items()})
    return pd.DataFrame(columns, index=index)


def join_frames(parts: Sequence[pd.DataFrame], index: pd.Index | None = None) -> pd.DataFrame:
    """Parts of a table, one after the other.

    Args:
        parts: At least one.
        index: The whole table's index, where it is at hand: what joins the parts' own loses
            categories, names or a frequency.
    """
    found = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=index is not None)
    return found if index is None else found.set_axis(index.copy())


def written_frame(frame: pd.DataFrame, heads: Mapping[str, Head]) -> pd.DataFrame:
    """Predictions as they are written to files: of many classes without a column for each.

    Args:
        frame: As `answer_frame` gives it, perhaps with other columns.
        heads: All heads by name, with their classes.

    Returns:
        The frame; of a head of more than 1,000 classes `probability`, that of the answer, stands in
        the place of `probability_<class>`; of more than 1,000 labels a row, which have no one
        answer, nothing does.
    """
    prefixes = head_prefixes(heads)
    for name, head in heads.items():
        prefix = prefixes[name]
        there = f"{prefix}prediction" in frame  # else it was not evaluated
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
    """The logits of no rows by head."""
    return {name: np.zeros((0, head.num_logits), "float32") for name, head in heads.items()}
