"""Additive scores of several labels per row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_mm.metrics.additive.average_precision import precision_of_labels
from keras_mm.metrics.additive.score import AdditiveScore, ScoredRows, macro_score, mean_score
from keras_mm.metrics.probability_errors import multilabel_losses


def _subset_accuracy(rows: ScoredRows) -> AdditiveScore:
    return mean_score(np.all(~_wrong(rows), axis=1), rows)


def _hamming_loss(rows: ScoredRows) -> AdditiveScore:
    return mean_score(_wrong(rows), rows, rows.labels >= 0)


def _macro_f1(rows: ScoredRows) -> AdditiveScore:
    return macro_score(*_f1_parts(rows), rows)


def _micro_f1(rows: ScoredRows) -> AdditiveScore:
    parts, wholes = (values.sum(axis=1, keepdims=True) for values in _f1_parts(rows))
    return macro_score(parts, wholes, rows)


def _log_loss(rows: ScoredRows) -> AdditiveScore:
    return mean_score(multilabel_losses(rows.labels, rows.predicted), rows, rows.labels >= 0)


def _brier_score(rows: ScoredRows) -> AdditiveScore:
    return mean_score((rows.predicted - (rows.labels == 1)) ** 2, rows, rows.labels >= 0)


def _wrong(rows: ScoredRows) -> np.ndarray:
    answers = rows.predicted >= rows.thresholds
    return (answers != (rows.labels == 1)) & (rows.labels >= 0)


def _f1_parts(rows: ScoredRows) -> tuple[np.ndarray, np.ndarray]:
    """Twice the correct answers, and the labels plus the answers."""
    labels = rows.labels == 1
    answers = (rows.predicted >= rows.thresholds) & (rows.labels >= 0)
    return 2.0 * (labels & answers), 1.0 * labels + answers


LABEL_SCORES: dict[str, Callable[[ScoredRows], AdditiveScore]] = {
    "subset_accuracy": _subset_accuracy,
    "hamming_loss": _hamming_loss,
    "micro_f1": _micro_f1,
    "macro_f1": _macro_f1,
    "log_loss": _log_loss,
    "brier_score_loss": _brier_score,
    "auprc": precision_of_labels,
}
