"""Temperature scaling: one number that makes the probabilities of a head fit held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from keras_mm.metrics.intervals import effective_rows

_RANGE = (0.02, 50.0)
# Standard deviation of log(temperature) before any row is seen. It keeps the temperature of a dozen
# rows near 1; of some hundred rows it does not matter.
_PRIOR = 0.5


def fit_temperature(
    labels: Any, logits: Any, kind: str = "multiclass", sample_weight: Any = None
) -> float:
    """The temperature with the lowest log loss on these rows, drawn towards 1 if they are few.

    The minimised value is the sum of the log loss over the rows and `log(temperature)^2 / 0.5`. So
    the log loss on these rows is never above that of the temperature 1.

    Args:
        labels: Integers `(num_rows,)`; for `"multilabel"` 0 or 1 `(num_rows, num_labels)`. Negative
            where the label is missing.
        logits: Finite floats, shape `(num_rows, num_logits)`.
        kind: `"multiclass"`, `"binary"` or `"multilabel"`.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1.

    Returns:
        The temperature, in (0.02, 50): above 1 for a model that is too sure.

    Example:
        >>> logits = np.tile([[4.0, 0.0]], (100, 1))
        >>> temperature = fit_temperature([0] * 80 + [1] * 20, logits)
        >>> 2 < temperature < 2.9  # at 2.885 the probability is 0.8; few rows draw it towards 1
        True

    Reference:
        Guo et al. 2017, arXiv:1706.04599.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, "float64")
    known = labels >= 0 if labels.ndim == 1 else (labels >= 0).any(axis=1)
    weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, float)
    num_rows = effective_rows(weights[known])

    def objective(log_temperature: float) -> float:
        scaled = logits * np.exp(-log_temperature)
        loss = log_loss(labels, scaled, kind, weights)
        return loss + log_temperature**2 / (2 * _PRIOR**2 * num_rows)

    best = minimize_scalar(objective, bounds=np.log(_RANGE), method="bounded")
    # The search is numerical, and rows without any error may have their best value at an end.
    return float(np.exp(best.x)) if best.fun < objective(0.0) else 1.0


def log_loss(labels: Any, logits: Any, kind: str, sample_weight: Any = None) -> float:
    """The mean log loss of logits, computed in log space.

    scikit-learn's takes probabilities, which are 0 or 1 for logits of low temperatures.

    Args:
        labels: As in `fit_temperature`; at least one is not missing.
        logits: As in `fit_temperature`.
        kind: As in `fit_temperature`.
        sample_weight: As in `fit_temperature`.

    Returns:
        The loss in nats; for `"multilabel"` the mean over all known labels.

    Example:
        >>> round(log_loss([1, 0], [[0.0], [0.0]], "binary"), 4)
        0.6931
    """
    labels, logits = np.asarray(labels), np.asarray(logits, "float64")
    weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, float)
    if kind == "multilabel":
        losses = np.logaddexp(0.0, np.where(labels == 1, -logits, logits))
        cells = (labels >= 0) * weights[:, None]
        return float((losses * cells).sum() / cells.sum())
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    rows = np.flatnonzero((labels >= 0) & (weights > 0))
    losses = -log_softmax(logits[rows], axis=1)[np.arange(len(rows)), labels[rows]]
    return float(np.average(losses, weights=weights[rows]))
