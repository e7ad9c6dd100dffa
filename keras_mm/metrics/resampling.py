"""Draws of rows, or of clusters of rows, with replacement, and scores of these draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.metrics.additive.score import AdditiveScore, ScoredRows
from keras_mm.metrics.additive.scores import has_label, scored_rows
from keras_mm.row_weights import check_weights

_AT_ONCE = 2**22  # counts of rows in one step; limits the memory


def rows_to_draw(
    labels: Any,
    predictions: Sequence[Any],
    kind: str,
    *,
    thresholds: Sequence[Any],
    sample_weight: Any = None,
    groups: Any = None,
) -> tuple[list[ScoredRows], np.ndarray]:
    """Checks rows, and selects those with a label and a weight above 0.

    Args:
        labels: As in `keras_mm.metrics.bootstrap_interval`.
        predictions: Predictions of one model or several for the same rows.
        kind: As in `keras_mm.metrics.bootstrap_interval`.
        thresholds: For `"multilabel"` the thresholds of each model, as `threshold` in
            `keras_mm.metrics.bootstrap_interval`.
        sample_weight: As in `keras_mm.metrics.bootstrap_interval`.
        groups: As in `keras_mm.metrics.bootstrap_interval`.

    Returns:
        The rows with the predictions of each model; and the clusters of the rows, numbered from 0,
        shape `(num_rows,)`: their groups, or the rows themselves.

    Raises:
        ValueError: as `keras_mm.metrics.bootstrap_interval`.
    """
    weights = check_weights(sample_weight, len(labels))
    weights = np.ones(len(labels)) if weights is None else weights / weights.max()
    parts = [
        scored_rows(labels, predicted, kind, weights=weights, threshold=threshold)
        for predicted, threshold in zip(predictions, thresholds, strict=True)
    ]
    rows = has_label(parts[0], kind)
    if not rows.any():
        raise InvalidValueError("No row has both a label and a weight above 0; pass rows that do.")
    selected = [
        ScoredRows(part.labels[rows], part.predicted[rows], part.thresholds, part.weights[rows])
        for part in parts
    ]
    return selected, _clusters(groups, rows)


def draw_scores(
    scores: Iterable[AdditiveScore], clusters: np.ndarray, num_resamples: int, seed: int
) -> np.ndarray:
    """Computes scores on draws of the rows; all scores on the same draws.

    Args:
        scores: Scores of the same rows.
        clusters: Number of the cluster of each row, from 0, shape `(num_rows,)`. Rows of a cluster
            are drawn together.
        num_resamples: Number of draws, >= 1.
        seed: Seed of the draws.

    Returns:
        Shape `(num_scores, num_resamples)`; NaN where a score is undefined.
    """
    scores = list(scores)
    widest = max([len(clusters), *(score.columns.shape[1] for score in scores)])
    parts = [
        np.stack([score.of_samples(counts[clusters]) for score in scores])
        for counts in _draws(int(clusters.max()) + 1, num_resamples, widest, seed)
    ]
    return np.hstack(parts)


def _draws(size: int, num_resamples: int, widest: int, seed: int) -> Iterator[np.ndarray]:
    """How often each draw has each cluster, shape `(size, num_draws)`, some draws at a time."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // widest)
    for start in range(0, num_resamples, at_once):
        count = min(at_once, num_resamples - start)
        places = rng.integers(0, size, (size, count)) * count + np.arange(count)
        yield np.bincount(places.ravel(), minlength=size * count).reshape(size, count)


def _clusters(groups: Any, counted: np.ndarray) -> np.ndarray:
    if groups is None:
        return np.arange(counted.sum())
    import pandas as pd  # slow to import

    groups = np.asarray(groups)
    if groups.shape != counted.shape:
        raise InvalidValueError(
            f"`groups` must have one group per row, shape {counted.shape}. "
            f"Received: shape {groups.shape}"
        )
    clusters, names = pd.factorize(groups[counted], use_na_sentinel=False)
    if len(names) < 2:
        raise InvalidValueError(
            "`groups` must have at least 2 groups among the rows with a label: an interval needs "
            f"several independent groups. Received: {len(names)}"
        )
    return clusters
