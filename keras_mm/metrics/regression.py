"""Metrics of predicted numbers, and of the mean baseline."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.metrics.array_checks import check_numbers, counted_rows
from keras_mm.metrics.intervals import effective_rows, weight_facts
from keras_mm.row_weights import check_weights

_SCORES = ("mean_absolute_error", "root_mean_squared_error", "r2", "pearson", "spearman")
EXTENDED = ("median_absolute_error", "explained_variance")


def regression_metrics(
    targets: Any,
    predictions: Any,
    names: Sequence[Any],
    *,
    sample_weight: Any = None,
    extended: bool = True,
) -> dict[str, Any]:
    """Metrics of predicted numbers against targets, as plain JSON values.

    Errors have the unit of the targets. `r2` is the share of the variance that is explained; below
    0 the predictions are worse than always predicting the mean. `explained_variance` is what `r2`
    would be if the mean error were subtracted from all predictions. An undefined correlation (of
    one row, or of constant values) is 0, and so are `r2` and `explained_variance` of one row.

    With `sample_weight` a row of weight 3 counts like three rows, also in the correlations and
    their ranks; rows of weight 0 are ignored. The interval of the error is computed for the
    effective number of rows, see `keras_mm.metrics.intervals.effective_rows`.

    Args:
        targets: Floats, shape `(num_rows, num_targets)`; NaN (missing) targets are left out.
        predictions: Floats, shape `(num_rows, num_targets)`.
        names: Names of the targets.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1.
        extended: Whether to compute also `median_absolute_error` and `explained_variance`.

    Returns:
        `num_rows` (rows with at least one target); `mean_absolute_error median_absolute_error
        root_mean_squared_error r2 explained_variance pearson spearman`, each the mean over the
        targets that at least one row has; and `per_target`: the same metrics by name, and
        `mean_absolute_error_interval`, a 95% interval by the normal approximation (both ends are
        equal for a single row). With one target the interval is also returned beside the means.
        With `sample_weight` also `total_weight` and `effective_rows`, and `effective_rows` for each
        target.

    Raises:
        ValueError: if shapes are wrong, a prediction is not finite, or no row has a target and a
            weight above 0.

    Example:
        >>> regression_metrics([[1.0], [3.0]], [[1.0], [2.0]], ["stars"])["mean_absolute_error"]
        0.5
    """
    targets, predictions = np.asarray(targets, "float64"), np.asarray(predictions, "float64")
    check_numbers(targets, predictions, len(names))
    known = ~np.isnan(targets)
    if not known.any():
        raise InvalidValueError("`targets` has no number; pass rows that have one.")
    weights = check_weights(sample_weight, len(targets))
    counted = counted_rows(known.any(axis=1), weights)
    known &= counted[:, None]
    per_target = {}
    for i, (name, rows) in enumerate(zip(names, known.T, strict=True)):
        if rows.any():
            part = (
                targets[rows, i],
                predictions[rows, i],
                None if weights is None else weights[rows],
            )
            per_target[str(name)] = _scores(*part) | (_extended(*part) if extended else {})
    metrics: dict[str, Any] = {"num_rows": int(counted.sum())}
    metrics |= weight_facts(None if weights is None else weights[counted])
    for score in (*_SCORES, *(EXTENDED if extended else ())):
        metrics[score] = float(np.mean([scores[score] for scores in per_target.values()]))
    if len(names) == 1:
        interval = next(iter(per_target.values()))["mean_absolute_error_interval"]
        metrics["mean_absolute_error_interval"] = interval
    return {**metrics, "per_target": per_target}


def mean_baseline(
    train_targets: Any, targets: Any, names: Sequence[Any], *, sample_weight: Any = None
) -> dict[str, Any]:
    """Metrics of always predicting the mean of the training rows.

    Args:
        train_targets: Targets of the training rows, shape `(num_train_rows, num_targets)`; NaN
            (missing) targets are left out.
        targets: Targets to score, shape `(num_rows, num_targets)`.
        names: Names of the targets.
        sample_weight: Weights of the rows to score, as in `regression_metrics`.

    Returns:
        As `regression_metrics`.

    Example:
        >>> mean_baseline([[1.0], [3.0]], [[2.0], [4.0]], ["stars"])["mean_absolute_error"]
        1.0
    """
    mean = np.nanmean(np.asarray(train_targets, "float64"), axis=0)
    predictions = np.tile(mean, (len(np.asarray(targets)), 1))
    return regression_metrics(targets, predictions, names, sample_weight=sample_weight)


def _scores(
    targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None
) -> dict[str, Any]:
    from sklearn.metrics import r2_score  # slow to import

    errors = np.abs(predictions - targets)
    mean, rows = np.average(errors, weights=weights), len(errors)
    error = _standard_error(errors, weights) if rows > 1 else 0.0
    margin = NormalDist().inv_cdf(0.975) * error
    return {
        "num_rows": rows,
        **({} if weights is None else {"effective_rows": effective_rows(weights)}),
        "mean_absolute_error": float(mean),
        "mean_absolute_error_interval": [float(max(mean - margin, 0.0)), float(mean + margin)],
        "root_mean_squared_error": float(np.sqrt(np.average(errors**2, weights=weights))),
        "r2": float(r2_score(targets, predictions, sample_weight=weights)) if rows > 1 else 0.0,
        **_correlations(targets, predictions, weights),
    }


def _extended(
    targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    from sklearn.metrics import explained_variance_score, median_absolute_error  # slow to import

    arguments: dict[str, Any] = {
        "y_true": targets,
        "y_pred": predictions,
        "sample_weight": weights,
    }
    explained = explained_variance_score(**arguments) if len(targets) > 1 else 0.0
    return {
        "median_absolute_error": float(median_absolute_error(**arguments)),
        "explained_variance": float(explained),
    }


def _standard_error(values: np.ndarray, weights: np.ndarray | None) -> float:
    """The standard error of the mean of at least two values."""
    if weights is None:
        return values.std(ddof=1) / np.sqrt(len(values))
    # As above, for `effective_rows` values. The bound avoids a division by 0: if one row has nearly
    # all the weight, there is 1 effective row.
    deviations = values - np.average(values, weights=weights)
    variance = np.average(deviations**2, weights=weights)
    return np.sqrt(variance / max(effective_rows(weights) - 1, 1e-12))


def _correlations(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> dict[str, float]:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return {"pearson": 0.0, "spearman": 0.0}  # SciPy would return NaN and warn
    if weights is not None:  # SciPy's functions take no weights
        ranks = _ranks(x, weights), _ranks(y, weights)
        return {
            "pearson": _correlation(x, y, weights),
            "spearman": _correlation(*ranks, weights),
        }
    from scipy.stats import pearsonr, spearmanr  # slow to import

    return {
        "pearson": float(pearsonr(x, y).statistic),
        "spearman": float(spearmanr(x, y).statistic),
    }


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean ranks of values, each counted as often as its weight says."""
    _, value_indices = np.unique(values, return_inverse=True)
    totals = np.bincount(value_indices, weights)
    return (np.cumsum(totals) - totals / 2)[value_indices]


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Pearson's correlation of values that are not constant."""
    x, y = (values - np.average(values, weights=weights) for values in (x, y))
    spread = np.sqrt((weights @ x**2) * (weights @ y**2))
    return float(np.clip((weights @ (x * y)) / spread, -1, 1)) if spread > 0 else 0.0
