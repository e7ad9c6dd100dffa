"""Additive scores of predicted numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from keras_mm.metrics.additive.score import (
    AdditiveScore,
    ScoredRows,
    mean_defined,
    ratio,
    weighted,
)

_ROUNDING = 1e-12  # variance below this share of the mean square is a rounding error


def _absolute_error(rows: ScoredRows) -> AdditiveScore:
    return _mean_over_targets(rows, [np.abs(rows.predicted - rows.labels)], lambda mean: mean)


def _squared_error(rows: ScoredRows) -> AdditiveScore:
    return _mean_over_targets(rows, [(rows.predicted - rows.labels) ** 2], np.sqrt)


def _r2(rows: ScoredRows) -> AdditiveScore:
    known = ~np.isnan(rows.labels)
    weights = known * rows.weights[:, None]
    sums = (weights * np.where(known, rows.labels, 0)).sum(axis=0)
    targets = rows.labels - ratio(sums, weights.sum(axis=0), 0.0)  # so that squares do not cancel
    errors = rows.predicted - rows.labels
    return _mean_over_targets(rows, [errors**2, targets, targets**2], _explained)


def _explained(error: np.ndarray, mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """R² from means; for constant targets 0, or 1 without any error, as in scikit-learn."""
    variance = square - mean**2
    is_constant = ~np.isnan(square) & (variance <= _ROUNDING * square)
    explained = 1 - error / np.where(is_constant, 1, variance)
    return np.where(is_constant, error == 0, explained)


def _mean_over_targets(
    rows: ScoredRows, values: Sequence[np.ndarray], score: Callable[..., np.ndarray]
) -> AdditiveScore:
    """The mean over targets of a function of weighted means."""
    known = ~np.isnan(rows.labels)
    columns = weighted([known, *(np.where(known, part, 0) for part in values)], rows)

    def value(sums: np.ndarray) -> np.ndarray:
        total, *parts = np.split(sums, 1 + len(values))
        return mean_defined(score(*(ratio(part, total) for part in parts)))

    return AdditiveScore(columns, value)


NUMBER_SCORES: dict[str, Callable[[ScoredRows], AdditiveScore]] = {
    "mean_absolute_error": _absolute_error,
    "root_mean_squared_error": _squared_error,
    "r2": _r2,
}
