"""Brier score, calibration, top-k accuracies and areas under curves of classes."""

from __future__ import annotations

import numpy as np

from keras_mm.metrics.areas import areas_under_curves, mean_areas
from keras_mm.metrics.probability_errors import brier_scores, expected_calibration_error

TOP = (2, 3, 4, 5)  # the k of top-k accuracies


def class_probability_metrics(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    """Metrics of the probabilities of classes, beside the log loss.

    Args:
        labels: Integer labels, shape `(num_rows,)`, none missing.
        probabilities: Floats in [0, 1], shape `(num_rows, num_classes)`.
        weights: Weights of the rows, floats > 0, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        As `keras_mm.metrics.classification_metrics` with `extended`.
    """
    num_classes = probabilities.shape[1]
    predictions = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(labels)), predictions]
    return {
        "brier_score_loss": float(np.average(brier_scores(labels, probabilities), weights=weights)),
        "expected_calibration_error": expected_calibration_error(
            predictions == labels, confidence, weights
        ),
        **_top_accuracies(labels, probabilities, weights),
        **(_areas_of_many(labels, probabilities, weights) if num_classes > 2 else {}),
    }


def _top_accuracies(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    # scikit-learn's `top_k_accuracy_score` warns and returns NaN for few classes, and breaks ties
    # in another order than `argmax`, so that top-1 is not the accuracy.
    num_classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels][:, None]
    first = np.arange(num_classes) < labels[:, None]
    better = (probabilities > own) | ((probabilities == own) & first)
    ranks = np.count_nonzero(better, axis=1)
    return {
        f"top_{k}_accuracy": float(np.average(ranks < k, weights=weights))
        for k in TOP
        if k < num_classes
    }


def _areas_of_many(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    """Means over the classes that occur; an empty dict if only one does."""
    occurring = np.unique(labels)
    is_label = labels[:, None] == occurring
    areas = areas_under_curves(is_label, probabilities[:, occurring], weights)
    return mean_areas(areas.values())
