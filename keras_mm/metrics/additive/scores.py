"""All additive scores by name, and the check of their rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.metrics.additive.classes import CLASS_SCORES
from keras_mm.metrics.additive.labels import LABEL_SCORES
from keras_mm.metrics.additive.numbers import NUMBER_SCORES
from keras_mm.metrics.additive.score import AdditiveScore, ScoredRows
from keras_mm.metrics.array_checks import check_multilabel, check_numbers, check_probabilities
from keras_mm.settings.heads import resolve_threshold

# The scores of each kind of head, by their names in what `head_metrics` returns.
SCORES = {
    "multiclass": CLASS_SCORES,
    "binary": CLASS_SCORES,
    "multilabel": LABEL_SCORES,
    "regression": NUMBER_SCORES,
}


def additive_score(name: str, kind: str, rows: ScoredRows) -> AdditiveScore:
    """Prepares a score of rows for resampling.

    Args:
        name: Name of the score, one of `SCORES[kind]`.
        kind: Kind of the head.
        rows: Rows that have a label.

    Returns:
        The score.

    Raises:
        ValueError: for a name that is not among the scores of this kind.

    Example:
        >>> rows = scored_rows([0, 1], [[0.9, 0.1], [0.6, 0.4]], "multiclass", weights=np.ones(2))
        >>> samples = np.array([[1, 2], [1, 0]])  # both rows; twice the first row
        >>> additive_score("accuracy", "multiclass", rows).of_samples(samples).tolist()
        [0.5, 1.0]
    """
    if name not in SCORES[kind]:
        raise InvalidValueError(unknown_name(f"score of a {kind} head:", name, SCORES[kind]))
    return SCORES[kind][name](rows)


def scored_rows(
    labels: Any, predicted: Any, kind: str, *, weights: np.ndarray, threshold: Any = 0.5
) -> ScoredRows:
    """Checks labels and predictions.

    Args:
        labels: As in `ScoredRows`; for `"regression"` also of shape `(num_rows,)`.
        predicted: As in `ScoredRows`; for `"regression"` also of shape `(num_rows,)`.
        kind: Kind of the head: `"multiclass"`, `"binary"`, `"multilabel"` or `"regression"`.
        weights: Weights of the rows, floats >= 0, shape `(num_rows,)`.
        threshold: For `"multilabel"`: as in `keras_mm.settings.heads.resolve_threshold`.

    Returns:
        All rows, as arrays.

    Raises:
        ValueError: if a shape, a range or the kind is wrong.
    """
    if kind not in SCORES:
        raise InvalidValueError(unknown_name("kind of head", kind, SCORES))
    labels, predicted = np.asarray(labels), np.asarray(predicted, "float64")
    if kind == "regression":
        labels = labels.astype("float64")
        if labels.ndim == predicted.ndim == 1:
            labels, predicted = labels[:, None], predicted[:, None]
    width = predicted.shape[-1] if predicted.ndim else 0
    check = {"multilabel": check_multilabel, "regression": check_numbers}
    check.get(kind, check_probabilities)(labels, predicted, width)
    return ScoredRows(labels, predicted, resolve_threshold(threshold, range(width)), weights)


def has_label(rows: ScoredRows, kind: str) -> np.ndarray:
    """Finds the rows that count: those with a label and a weight above 0.

    Args:
        rows: Labels and predictions.
        kind: Kind of the head.

    Returns:
        Whether each row counts, bool `(num_rows,)`.
    """
    known = ~np.isnan(rows.labels) if kind == "regression" else rows.labels >= 0
    return (known if known.ndim == 1 else known.any(axis=1)) & (rows.weights > 0)
