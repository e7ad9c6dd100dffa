"""Fits estimators of scikit-learn to the labels of a head of any kind, also with missing labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from keras_mm.settings.heads import Head

Create = Callable[[Head], Any]  # creates an estimator
Predict = Callable[[Any], np.ndarray]  # features to probabilities or numbers

_UNIFORM = 1e-4  # weight of the uniform distribution, so that no class has the probability 0


def linear_model(penalty: float) -> Create:
    """Logistic regression, or for numbers ridge regression.

    Args:
        penalty: Weight of the squared coefficients, > 0, beside a loss summed over the rows.

    Returns:
        A function that creates the estimator for a head.
    """

    def create(head: Head) -> Any:
        if head.kind == "regression":
            return Ridge(alpha=penalty, solver="lsqr")  # fast for many features, dense or sparse
        return LogisticRegression(C=1 / penalty, max_iter=200, tol=1e-3)

    return create


def tree_model(seed: int) -> Create:
    """Gradient-boosted trees: many small ones, as tables of a few thousand rows need.

    Args:
        seed: Seed of the estimator.

    Returns:
        A function that creates the estimator for a head.
    """
    options: dict[str, Any] = {"learning_rate": 0.05, "max_iter": 150, "max_leaf_nodes": 8}
    options |= {"l2_regularization": 10.0, "early_stopping": False, "random_state": seed}

    def create(head: Head) -> Any:
        if head.kind == "regression":
            return HistGradientBoostingRegressor(**options)
        return HistGradientBoostingClassifier(**options)

    return create


def fit_head(
    head: Head, create: Create, features: Any, labels: np.ndarray, weights: np.ndarray | None
) -> Predict:
    """Fits estimators to the labels of a head.

    Classes share an estimator. Each label of a multilabel head, and each target of a regression
    head, has its own. An estimator is fitted on the rows that have the label.

    Args:
        head: The head.
        create: Creates an estimator.
        features: Features of the training rows, `(num_rows, num_features)`, dense or CSR.
        labels: Encoded labels of the training rows, as in `keras_mm.data.tables.rows.Rows`.
        weights: Weights of the rows, `(num_rows,)`; `None` if all count 1.

    Returns:
        A function from features to probabilities, float64 `(num_rows, num_classes)`, or to numbers,
        `(num_rows, num_targets)`. If the rows do not have two different labels, it is constant.
    """
    labels = np.asarray(labels)
    if head.kind in ("multiclass", "binary"):
        return _fit_classes(head, create, features, labels.reshape(-1), weights, head.num_classes)
    columns = labels.reshape(len(labels), -1).T
    if head.kind == "multilabel":
        models = [_fit_classes(head, create, features, c, weights, 2) for c in columns]
        return lambda rows: np.stack([predict(rows)[:, 1] for predict in models], axis=1)
    models = [_fit_numbers(head, create, features, c, weights) for c in columns]
    return lambda rows: np.stack([predict(rows) for predict in models], axis=1)


def _fit_classes(
    head: Head, create: Create, features: Any, labels: np.ndarray, weights: Any, num_classes: int
) -> Predict:
    known = np.flatnonzero(labels >= 0)
    present = np.unique(labels[known])
    if len(present) > 1:
        estimator = _fitted(create(head), features, labels, weights, known)

    def predict(rows: Any) -> np.ndarray:
        values = np.zeros((rows.shape[0], num_classes))
        if len(present) > 1:
            values[:, estimator.classes_] = estimator.predict_proba(rows)
        else:  # the only class, or without any label all of them
            values[:, present if len(present) else slice(None)] = 1.0
            values /= values.sum(axis=1, keepdims=True)
        return (1 - _UNIFORM) * values + _UNIFORM / num_classes

    return predict


def _fit_numbers(
    head: Head, create: Create, features: Any, labels: np.ndarray, weights: Any
) -> Predict:
    known = np.flatnonzero(~np.isnan(labels))
    if len(np.unique(labels[known])) < 2:
        constant = labels[known][0] if len(known) else 0.0
        return lambda rows: np.full(rows.shape[0], constant)
    return _fitted(create(head), features, labels, weights, known).predict


def _fitted(estimator: Any, features: Any, labels: np.ndarray, weights: Any, rows: Any) -> Any:
    weights = None if weights is None else weights[rows]
    with warnings.catch_warnings():
        # Stopped early, a linear model is regularised a little more; that is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(features[rows], labels[rows], sample_weight=weights)
