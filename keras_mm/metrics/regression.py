"""Metrics of predicted numbers, and of the mean baseline."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from keras_mm.errors import InvalidValueError

_SCORES = ("mean_absolute_error", "root_mean_squared_error", "r2", "pearson", "spearman")


def regression_metrics(targets: Any, predictions: Any, names: Sequence[Any]) -> dict[str, Any]:
    """Metrics of predicted numbers against targets, as plain JSON values, in the targets' unit.

    `r2` is the share of the variance that is explained; below 0 the predictions are worse than the
    mean. A correlation that is not defined (one row, or constant values) is 0, and so is `r2` of
    one row.

    Args:
        targets: Floats, shape `(num_rows, num_targets)`; NaN (missing) targets are left out.
        predictions: Floats, shape `(num_rows, num_targets)`.
        names: Names of the targets.

    Returns:
        `num_rows` (rows with at least one target); `mean_absolute_error root_mean_squared_error r2
        pearson spearman`, each the mean over the targets that some row has; and `per_target`: the
        same by name, with `mean_absolute_error_interval`, a 95% interval of the error by the normal
        approximation (both ends are equal for a single row). With one target the interval is
        returned beside the means too.

    Raises:
        ValueError: if shapes are wrong, a prediction is not finite, or there is no target.

    Example:
        >>> regression_metrics([[1.0], [3.0]], [[1.0], [2.0]], ["stars"])["mean_absolute_error"]
        0.5
    """
    targets, predictions = np.asarray(targets, "float64"), np.asarray(predictions, "float64")
    if targets.ndim != 2 or targets.shape != predictions.shape or targets.shape[1] != len(names):
        raise InvalidValueError(
            "`targets` and `predictions` must have one column per target, "
            f"{len(names)} in all. Received: shapes {targets.shape} and {predictions.shape}"
        )
    if not np.isfinite(predictions).all():
        raise InvalidValueError("`predictions` must be finite numbers.")
    there = ~np.isnan(targets)
    if not there.any():
        raise InvalidValueError("`targets` holds no number.")
    per_target = {
        str(name): _scores(targets[rows, i], predictions[rows, i])
        for i, (name, rows) in enumerate(zip(names, there.T, strict=True))
        if rows.any()
    }
    found: dict[str, Any] = {"num_rows": int(there.any(axis=1).sum())}
    for score in _SCORES:
        found[score] = float(np.mean([scores[score] for scores in per_target.values()]))
    if len(names) == 1:
        interval = next(iter(per_target.values()))["mean_absolute_error_interval"]
        found["mean_absolute_error_interval"] = interval
    return {**found, "per_target": per_target}


def mean_baseline(train_targets: Any, targets: Any, names: Sequence[Any]) -> dict[str, Any]:
    """Metrics of always predicting the mean of the training rows.

    Args:
        train_targets: Targets of the training rows, shape `(num_train_rows, num_targets)`; NaN
            (missing) targets are left out.
        targets: Targets to score, shape `(num_rows, num_targets)`.
        names: Names of the targets.

    Returns:
        As `regression_metrics`.

    Example:
        >>> mean_baseline([[1.0], [3.0]], [[2.0], [4.0]], ["stars"])["mean_absolute_error"]
        1.0
    """
    mean = np.nanmean(np.asarray(train_targets, "float64"), axis=0)
    return regression_metrics(targets, np.tile(mean, (len(np.asarray(targets)), 1)), names)


def _scores(targets: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
    from sklearn.metrics import r2_score  # slow to import

    errors = np.abs(predictions - targets)
    mean, rows = errors.mean(), len(errors)
    error = errors.std(ddof=1) / np.sqrt(rows) if rows > 1 else 0.0
    margin = NormalDist().inv_cdf(0.975) * error
    return {
        "num_rows": rows,
        "mean_absolute_error": float(mean),
        "mean_absolute_error_interval": [float(max(mean - margin, 0.0)), float(mean + margin)],
        "root_mean_squared_error": float(np.sqrt(np.mean(errors**2))),
        "r2": float(r2_score(targets, predictions)) if rows > 1 else 0.0,
        **_correlations(targets, predictions),
    }


def _correlations(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return {"pearson": 0.0, "spearman": 0.0}  # where SciPy gives NaN and warns
    from scipy.stats import pearsonr, spearmanr  # slow to import

    return {
        "pearson": float(pearsonr(x, y).statistic),
        "spearman": float(spearmanr(x, y).statistic),
    }
