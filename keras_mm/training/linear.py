"""Fits the linear layers of heads in closed form or by L-BFGS, instead of by gradient steps."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from keras_mm.losses import LogitAdjusted
from keras_mm.training.objectives import Objective

# Of standardised features, the strongest first. The loss is a sum over rows, so more rows need no
# other values.
PENALTIES = (10000.0, 1000.0, 100.0, 10.0, 1.0)


class Linear(NamedTuple):
    """A linear layer.

    Attributes:
        kernel: Floats `(num_features, num_logits)`.
        bias: Floats `(num_logits,)`.
    """

    kernel: np.ndarray
    bias: np.ndarray


# Small models are slower on several threads, and take seconds if the cores are busy.
@threadpool_limits.wrap(limits=1)
def fit_linear(
    objective: Objective,
    features: np.ndarray,
    labels: np.ndarray,
    penalty: float,
    *,
    sample_weight: np.ndarray | None = None,
) -> Linear:
    """Fits logistic regression, or ridge regression for numbers.

    The weights of classes and labels and the logit adjustment are those of the head's loss; focal
    loss, label smoothing and the losses of numbers are replaced by cross-entropy and by squared
    errors. Each label of a multilabel head, and each target of a regression head, is fitted on the
    rows that have it.

    Args:
        objective: The objective of the head.
        features: Floats `(num_rows, num_features)`.
        labels: Encoded labels; of regression heads, standardised targets.
        penalty: Weight of half the squared kernel, > 0, beside a loss summed over the rows.
        sample_weight: Weights of the rows, floats >= 0, `(num_rows,)`; `None` if all count 1.

    Returns:
        The layer, float64. Without two different labels its kernel is 0, and its bias that of
        `objective`.

    Example:
        >>> import keras
        >>> from keras_mm import Head
        >>> mean = Objective(keras.losses.MeanSquaredError(), 1.0, Head("regression"), ["y"], None)
        >>> x = np.array([[-1.0], [1.0]])
        >>> fit_linear(mean, x, 3 * x, 1e-6).kernel.round(3).tolist()
        [[3.0]]
    """
    labels, weights = np.asarray(labels), sample_weight
    if weights is None:
        weights = np.ones(len(labels))
    if objective.kind in ("multiclass", "binary"):
        return _fit_classes(objective, features, labels.reshape(-1), penalty, weights)
    columns = labels.reshape(len(labels), -1).T
    if objective.kind == "regression":
        fitted = [_fit_numbers(features, column, penalty, weights) for column in columns]
    else:
        bias = _bias(objective, len(columns))
        factors = getattr(objective.loss, "pos_weight", None)
        factors = np.ones(len(columns)) if factors is None else np.asarray(factors)
        fitted = [
            _fit_two(features, column, penalty, np.where(column == 1, factor, 1) * weights, first)
            for column, factor, first in zip(columns, factors, bias, strict=True)
        ]
    kernels, biases = zip(*fitted, strict=True)
    return Linear(np.stack(kernels, axis=1), np.array(biases))


def _fit_classes(
    objective: Objective, features: np.ndarray, labels: np.ndarray, penalty: float, weights: Any
) -> Linear:
    """Fits the logits of classes; those of classes without rows keep their first bias."""
    factors = getattr(objective.loss, "class_weight", None)
    if factors is not None:
        weights = weights * np.where(labels < 0, 0.0, np.asarray(factors)[labels])
    width = 1 if objective.kind == "binary" else _num_logits(objective)
    bias = _bias(objective, width)
    loss = objective.loss
    shift = np.asarray(loss.shift) if isinstance(loss, LogitAdjusted) else np.zeros(max(width, 2))
    if width == 1:
        difference = shift[1] - shift[0]
        kernel, first = _fit_two(features, labels, penalty, weights, bias[0] + difference)
        return Linear(kernel[:, None], np.array([first - difference]))
    known = np.flatnonzero((labels >= 0) & (weights > 0))
    present = np.unique(labels[known])
    kernel = np.zeros((features.shape[1], width))
    if len(present) < 2:
        return Linear(kernel, bias)
    model = _fitted(_logistic(penalty), features, labels, weights, known)
    if len(present) == 2:  # one logit for both
        kernel[:, present] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2], axis=1)
        own = np.array([-model.intercept_[0] / 2, model.intercept_[0] / 2])
    else:
        kernel[:, present], own = model.coef_.T, model.intercept_
    # Both biases are logits up to a constant, which is the same for all classes.
    plain = bias + shift
    plain = plain - plain[present].mean() + own.mean()
    plain[present] = own
    return Linear(kernel, plain - shift)


def _fit_two(
    features: np.ndarray, labels: np.ndarray, penalty: float, weights: np.ndarray, bias: float
) -> tuple[np.ndarray, float]:
    """Fits the log odds of the label 1 against 0."""
    known = np.flatnonzero((labels >= 0) & (weights > 0))
    if len(np.unique(labels[known])) < 2:
        return np.zeros(features.shape[1]), float(bias)
    model = _fitted(_logistic(penalty), features, labels, weights, known)
    return model.coef_[0], float(model.intercept_[0])


def _fit_numbers(
    features: np.ndarray, targets: np.ndarray, penalty: float, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    known = np.flatnonzero(~np.isnan(targets) & (weights > 0))
    if len(np.unique(targets[known])) < 2:
        return np.zeros(features.shape[1]), float(targets[known].mean()) if len(known) else 0.0
    model = _fitted(Ridge(alpha=penalty), features, targets, weights, known)
    return model.coef_, float(model.intercept_)


def _logistic(penalty: float) -> LogisticRegression:
    return LogisticRegression(C=1 / penalty, max_iter=200, tol=1e-3)


def _fitted(model: Any, features: np.ndarray, labels: Any, weights: Any, rows: np.ndarray) -> Any:
    with warnings.catch_warnings():
        # Stopped early, a linear model is regularised a little more; that is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features[rows], labels[rows], sample_weight=weights[rows])


def _bias(objective: Objective, width: int) -> np.ndarray:
    bias = objective.bias
    return np.zeros(width) if bias is None else np.array(bias, "float64")


def _num_logits(objective: Objective) -> int:
    return len(objective.names) if objective.head is None else objective.head.num_logits
