"""Average precision as a function of sums over rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from keras_mm.metrics.additive.score import (
    AdditiveScore,
    ScoredRows,
    mean_defined,
    ratio,
    weighted,
)


def precision_of_classes(rows: ScoredRows) -> AdditiveScore:
    """Average precision of classes.

    Args:
        rows: Rows with a class each.

    Returns:
        That of the second of two classes; of more classes the mean over those that occur.
    """
    first = 1 if rows.predicted.shape[1] == 2 else 0
    hot = rows.labels[:, None] == np.arange(first, rows.predicted.shape[1])
    return _average_precision(hot, rows.predicted[:, first:], np.ones_like(hot), rows)


def precision_of_labels(rows: ScoredRows) -> AdditiveScore:
    """Mean average precision over labels.

    Args:
        rows: Rows with several labels each.

    Returns:
        The mean over the labels that some rows have and others lack.
    """
    return _average_precision(rows.labels == 1, rows.predicted, rows.labels >= 0, rows)


def _average_precision(
    hot: np.ndarray, scores: np.ndarray, known: np.ndarray, rows: ScoredRows
) -> AdditiveScore:
    has_both = (hot & known).any(axis=0) & (~hot & known).any(axis=0)
    parts: list[Any] = [np.zeros((len(hot), 0))]
    ends = [0]
    for column in np.flatnonzero(has_both):
        part = _segments(hot[:, column], scores[:, column], known[:, column])
        parts += part
        ends.append(ends[-1] + 2 * part[0].shape[1])
    return AdditiveScore(weighted(parts, rows), partial(_mean_precision, ends=ends))


def _segments(hot: np.ndarray, scores: np.ndarray, known: np.ndarray) -> list:
    """For each distinct score of a positive row: the positive rows, and all rows, at this score.

    A row with a score between two of them counts at the lower one.
    """
    from scipy.sparse import csr_array  # slow to import

    steps = np.unique(-scores[hot & known])
    places = np.searchsorted(steps, -scores)
    above = known & (places < len(steps))  # rows below all positive rows change no precision
    shape = (len(hot), len(steps))
    return [
        csr_array((np.ones(part.sum()), (np.flatnonzero(part), places[part])), shape=shape)
        for part in (hot & known, above)
    ]


def _mean_precision(sums: np.ndarray, ends: Sequence[int]) -> np.ndarray:
    areas = np.full((len(ends) - 1, sums.shape[1]), np.nan)
    for i in range(len(areas)):
        positives, rows = np.split(sums[ends[i] : ends[i + 1]], 2)
        found = np.cumsum(positives, axis=0)
        precision = ratio(found, np.cumsum(rows, axis=0), 0.0)
        areas[i] = ratio((positives * precision).sum(axis=0), found[-1])
    return mean_defined(areas)
