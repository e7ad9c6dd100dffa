"""Errors of predicted probabilities: log loss, Brier score and calibration error."""

from __future__ import annotations

from typing import Any

import numpy as np

_NUM_BINS = 15


def label_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log losses of single rows.

    Args:
        labels: Integer labels, shape `(num_rows,)`, none missing.
        probabilities: Floats in [0, 1], shape `(num_rows, num_classes)`.

    Returns:
        `-log p` of each row's label in nats, shape `(num_rows,)`; p is clipped to at least 2.2e-16.
    """
    # scikit-learn's `log_loss` copies `probabilities` several times, and raises for a single class.
    found = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    eps = np.finfo("float64").eps
    return -np.log(np.clip(found, eps, 1 - eps))


def multilabel_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log losses of single cells of multi-hot labels.

    Args:
        labels: 0 or 1, shape `(num_rows, num_labels)`; negative where missing.
        probabilities: Floats in [0, 1], shape `(num_rows, num_labels)`.

    Returns:
        Losses in nats, shape `(num_rows, num_labels)`; those of missing labels mean nothing.
    """
    eps = np.finfo("float64").eps
    found = np.where(labels == 1, probabilities, 1 - probabilities)
    return -np.log(np.clip(found, eps, 1 - eps))


def brier_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Brier scores of single rows: squared errors of the probabilities, summed over the classes.

    Args:
        labels: Integer labels, shape `(num_rows,)`, none missing.
        probabilities: Floats in [0, 1], shape `(num_rows, num_classes)`.

    Returns:
        Floats in [0, 2], shape `(num_rows,)`; for two classes half of that, in [0, 1], as in
        scikit-learn.

    Reference:
        Brier 1950, Mon. Weather Rev. 78, 1-3.
    """
    # Not scikit-learn's `brier_score_loss`: before version 1.7 it takes two classes only.
    found = probabilities[np.arange(len(labels)), labels]
    others = np.einsum("ij,ij->i", probabilities, probabilities) - found**2
    scores = (1 - found) ** 2 + np.maximum(others, 0)
    return scores / 2 if probabilities.shape[1] == 2 else scores


def expected_calibration_error(
    correct: Any, confidence: Any, sample_weight: np.ndarray | None = None
) -> float:
    """How far confidences are from the shares of correct predictions, on average.

    The rows are sorted by confidence and divided into 15 bins of equal weight. In each bin the mean
    confidence is compared with the share of correct rows. Rows of equal confidence are always in
    one bin, so their order does not matter. Below some hundred rows the error is well above 0 even
    for perfectly calibrated predictions: compare it only with that of a model on the same rows.

    Args:
        correct: Whether each prediction is correct, shape `(num_rows,)`, at least one row. For a
            binary label also: whether the label applies.
        confidence: The predicted probability of being correct, in [0, 1], shape `(num_rows,)`.
        sample_weight: Weights of the rows, floats > 0, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        The mean absolute difference over the bins, each weighted by its rows; in [0, 1].

    Example:
        >>> expected_calibration_error([1, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
        0.25

    Reference:
        Nixon et al. 2019, "Measuring calibration in deep learning", CVPR workshops.
    """
    correct, confidence = np.asarray(correct, "float64"), np.asarray(confidence, "float64")
    weights = np.ones(len(correct)) if sample_weight is None else sample_weight
    _, groups = np.unique(confidence, return_inverse=True)
    masses = np.bincount(groups, weights)
    middles = (np.cumsum(masses) - masses / 2) / masses.sum()
    bins = (middles * _NUM_BINS).astype(int)[groups]
    gaps = np.bincount(bins, weights * (correct - confidence))
    return float(np.abs(gaps).sum() / masses.sum())
