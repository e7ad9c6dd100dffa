"""Differences between the scores of a model and of a baseline on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_mm.metrics.bootstrap import bootstrap_difference
from keras_mm.metrics.significance import mcnemar
from keras_mm.settings.heads import Head, resolve_threshold

_OF_CLASSES = ("accuracy", "log_loss")
# The scores that models are compared by, the main score first.
COMPARED = {
    "multiclass": _OF_CLASSES,
    "binary": _OF_CLASSES,
    "multilabel": ("subset_accuracy", "log_loss"),
    "regression": ("mean_absolute_error", "r2"),
}
_FEWEST = 10  # with fewer rows or groups, no difference is significant
_ALPHA = 0.05


def score_differences(
    head: Head,
    labels: Any,
    model: np.ndarray,
    baseline: np.ndarray,
    *,
    baseline_head: Head | None = None,
    sample_weight: Any = None,
    groups: Any = None,
) -> dict[str, dict[str, Any]]:
    """Compares a model with a baseline by a paired bootstrap.

    Args:
        head: The head.
        labels: Encoded labels, as in `keras_mm.metrics.head_metrics.head_metrics`; at least one.
        model: Probabilities or numbers that the model predicts, `(num_rows, num_columns)`.
        baseline: The same of the baseline.
        baseline_head: The head with the thresholds of the baseline; by default `head`.
        sample_weight: Weights of the rows, `(num_rows,)`; `None` if all count 1.
        groups: Number of each row's group, `(num_rows,)`. With groups, whole groups are drawn.

    Returns:
        For each score of `COMPARED`: `difference`, the model's score minus the baseline's;
        `interval` (95%); `p_value` (two-sided); and whether the difference is `significant`. It is
        if the interval does not contain 0 and there are at least 10 rows or groups. Accuracies of
        rows without groups must also differ by McNemar's exact test.

    Example:
        >>> labels, right = np.arange(40) % 2, np.eye(2)[np.arange(40) % 2]
        >>> found = score_differences(Head(classes=2), labels, right, np.full((40, 2), 0.5))
        >>> found["accuracy"]["difference"], found["accuracy"]["significant"]
        (0.5, True)
    """
    groups = drawn_groups(head, labels, sample_weight, groups)
    rows = _counted(head, labels, sample_weight)
    labels, model, baseline = np.asarray(labels)[rows], model[rows], baseline[rows]
    weights = None if sample_weight is None else np.asarray(sample_weight)[rows]
    drawn = len(labels)
    if groups is not None:
        groups = groups[rows]
        drawn = len(np.unique(groups))
    found = {}
    for score in COMPARED[head.kind]:
        pair = (model, baseline)
        if score == "subset_accuracy":
            pair = (_answers(head, model), _answers(baseline_head or head, baseline))
        result = bootstrap_difference(
            labels,
            *pair,
            score,
            kind=head.kind,
            sample_weight=weights,
            groups=groups,
        )
        clear = drawn >= _FEWEST and result.low * result.high > 0
        if clear and groups is None and score.endswith("accuracy"):
            hits = (_hits(head, labels, values) for values in pair)
            clear = mcnemar(*hits, sample_weight=weights).p_value < _ALPHA
        found[score] = {
            "difference": result.value,
            "interval": [result.low, result.high],
            "p_value": result.p_value,
            "significant": bool(clear),
        }
    return found


def drawn_groups(
    head: Head, labels: Any, sample_weight: Any, groups: np.ndarray | None
) -> np.ndarray | None:
    """Decides whether a bootstrap draws whole groups of rows.

    Args:
        head: The head of the labels.
        labels: As in `score_differences`.
        sample_weight: As in `score_differences`.
        groups: As in `score_differences`.

    Returns:
        The groups; `None` if rows of a single group count, which cannot be drawn again.
    """
    if groups is None or len(np.unique(groups[_counted(head, labels, sample_weight)])) < 2:
        return None
    return groups


def _counted(head: Head, labels: Any, weights: Any) -> np.ndarray | slice:
    """The rows that have a label and a weight above 0."""
    labels = np.asarray(labels)
    known = ~np.isnan(labels) if head.kind == "regression" else labels >= 0
    known = known.reshape(len(labels), -1).any(axis=1)
    if weights is not None:
        known &= np.asarray(weights) > 0
    return slice(None) if known.all() else np.flatnonzero(known)  # a slice copies nothing


def _answers(head: Head, predicted: np.ndarray) -> np.ndarray:
    """Whether each label is predicted, as 0 or 1: the thresholds of two models may differ."""
    return (predicted >= resolve_threshold(head.threshold, head.names)).astype("float64")


def _hits(head: Head, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Whether each row is right."""
    if head.kind == "multilabel":
        return ((predicted == labels) | (labels < 0)).all(axis=1)
    return predicted.argmax(axis=1) == labels.reshape(-1)
