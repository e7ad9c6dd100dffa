"""Areas under curves: of the ROC curve, and average precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np


def areas_under_curves(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> dict[int, dict[str, float]]:
    """Areas under the curves of binary labels: `auroc` and `auprc` (average precision).

    Args:
        labels: 0 or 1, shape `(num_rows, num_columns)`; negative (missing) labels are left out.
        scores: Floats, shape `(num_rows, num_columns)`; a higher score makes a 1 more likely.
        weights: Weights of the rows, floats > 0, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        Areas by column index, only for columns in which both 0 and 1 occur.

    Example:
        >>> areas_under_curves(np.array([[0], [1], [1]]), np.array([[0.2], [0.1], [0.3]]))
        {0: {'auroc': 0.5, 'auprc': 0.8333333333333333}}
    """
    areas = {}
    has_both = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
    for column in np.flatnonzero(has_both).tolist():
        known = labels[:, column] >= 0
        areas[column] = _areas(
            labels[known, column] == 1,
            scores[known, column],
            None if weights is None else weights[known],
        )
    return areas


def mean_areas(areas: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Means of areas under curves.

    Args:
        areas: Areas of several columns, as in the dict of `areas_under_curves`.

    Returns:
        The means `auroc` and `auprc`; an empty dict if there are no areas.
    """
    listed = list(areas)
    names = ("auroc", "auprc") if listed else ()
    return {name: float(np.mean([one[name] for one in listed])) for name in names}


def _areas(
    is_positive: np.ndarray, scores: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    """Both areas of one column; equal scores share a threshold, as in scikit-learn."""
    # Not scikit-learn's functions: they take 30 times as long, for each of many classes.
    rows = _Ranks(scores, weights)
    positives = _Ranks(scores[is_positive], None if weights is None else weights[is_positive])
    at = positives.scores
    precision = (positives.total - positives.below(at)) / (rows.total - rows.below(at))
    # For each positive row the negative rows with a lower score; half of those with an equal one.
    lower = (rows.below(at) + rows.up_to(at) - positives.below(at) - positives.up_to(at)) / 2
    negative_total = rows.total - positives.total
    return {
        "auroc": positives.mean(lower) / negative_total,
        "auprc": positives.mean(precision),
    }


class _Ranks:
    """Rows sorted by score, and their total weights up to any score."""

    def __init__(self, scores: np.ndarray, weights: np.ndarray | None):
        self.weights, self.total = None, len(scores)
        if weights is None:
            self.scores = np.sort(scores)
            return
        order = np.argsort(scores, kind="stable")
        self.scores, self.weights = scores[order], weights[order]
        self._sums = np.append(0, np.cumsum(self.weights))
        self.total = self._sums[-1]

    def below(self, scores: np.ndarray) -> np.ndarray:
        return self._sum(np.searchsorted(self.scores, scores, side="left"))

    def up_to(self, scores: np.ndarray) -> np.ndarray:
        return self._sum(np.searchsorted(self.scores, scores, side="right"))

    def _sum(self, counts: np.ndarray) -> np.ndarray:
        return counts if self.weights is None else self._sums[counts]

    def mean(self, values: np.ndarray) -> float:
        """Weighted mean of a value per row, in the order of the scores."""
        return float(np.average(values, weights=self.weights))
