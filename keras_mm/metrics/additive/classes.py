"""Additive scores of predicted classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_mm.metrics.additive.average_precision import precision_of_classes
from keras_mm.metrics.additive.score import AdditiveScore, ScoredRows, macro_score, mean_score
from keras_mm.metrics.probability_errors import brier_scores, label_losses

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def _accuracy(rows: ScoredRows) -> AdditiveScore:
    return mean_score(rows.predicted.argmax(axis=1) == rows.labels, rows)


def _macro_f1(rows: ScoredRows) -> AdditiveScore:
    answers, num_classes = rows.predicted.argmax(axis=1), rows.predicted.shape[1]
    correct = _indicator(rows.labels, num_classes, rows.labels == answers)
    sizes = _indicator(rows.labels, num_classes) + _indicator(answers, num_classes)
    return macro_score(2 * correct, sizes, rows)


def _balanced_accuracy(rows: ScoredRows) -> AdditiveScore:
    answers, num_classes = rows.predicted.argmax(axis=1), rows.predicted.shape[1]
    correct = _indicator(rows.labels, num_classes, rows.labels == answers)
    return macro_score(correct, _indicator(rows.labels, num_classes), rows)


def _log_loss(rows: ScoredRows) -> AdditiveScore:
    return mean_score(label_losses(rows.labels, rows.predicted), rows)


def _brier_score(rows: ScoredRows) -> AdditiveScore:
    return mean_score(brier_scores(rows.labels, rows.predicted), rows)


def _indicator(classes: np.ndarray, num_classes: int, mask: Any = True) -> csr_array:
    """1 at the class of each row where the mask is True."""
    from scipy.sparse import csr_array  # slow to import

    values = np.broadcast_to(mask, classes.shape).astype("float64")
    places = np.arange(len(classes)), classes
    return csr_array((values, places), shape=(len(classes), num_classes))


CLASS_SCORES: dict[str, Callable[[ScoredRows], AdditiveScore]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "balanced_accuracy": _balanced_accuracy,
    "log_loss": _log_loss,
    "brier_score_loss": _brier_score,
    "auprc": precision_of_classes,
}
