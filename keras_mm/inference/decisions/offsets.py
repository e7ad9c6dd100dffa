"""Offsets of classes, which trade the answers of one class against those of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_mm.checks import quote
from keras_mm.errors import InvalidValueError
from keras_mm.inference.answers import names_array

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
_CANDIDATES = 64  # offsets that are tried for a class in one round
_ROUNDS = 3

Score = Callable[[np.ndarray], float]


def tune_offsets(
    labels: np.ndarray,
    log_probabilities: np.ndarray,
    names: Sequence[Any],
    *,
    metric: str | Callable[..., float],
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Finds offsets of the log probabilities that make a metric better on these rows.

    The offsets of the classes are changed in turn, each to the best of at most 64 values, until
    nothing is better. With two classes this is a threshold of the probability.

    Args:
        labels: Positions of classes, none missing, shape `(num_rows,)`.
        log_probabilities: Floats, shape `(num_rows, num_classes)`.
        names: Class names in order.
        metric: `"accuracy"`, `"balanced_accuracy"`, `"macro_f1"`, or a function of the true and the
            predicted class names, each of shape `(num_rows,)`, that returns a number, where higher
            is better. With weights it is called with `sample_weight=`.
        sample_weight: Weights of the rows, floats > 0, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        Offsets, float64, shape `(num_classes,)`; all 0 if no offset makes the metric better.

    Raises:
        ValueError: for an unknown metric.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2], [0.95, 0.05]])
        >>> offsets = tune_offsets(
        ...     np.array([0, 1, 1, 0]), np.log(probabilities), ["no", "yes"], metric="macro_f1"
        ... )
        >>> (np.log(probabilities) + offsets).argmax(axis=1).tolist()
        [0, 1, 1, 0]
    """
    score = scorer(metric, labels, names, sample_weight)
    offsets = np.zeros(len(names))
    best = score(log_probabilities.argmax(axis=1))
    for _ in range(_ROUNDS):
        before = best
        for place in range(len(names)):
            offsets[place], best = _best_offset(place, offsets, log_probabilities, score, best)
        if best <= before:
            break
    return offsets


def _best_offset(
    place: int, offsets: np.ndarray, logs: np.ndarray, score: Score, best: float
) -> tuple[float, float]:
    """The best offset of one class, and its score; the present one unless another is better."""
    others = logs + offsets
    others[:, place] = -np.inf
    rival = others.argmax(axis=1)
    turns = others.max(axis=1) - logs[:, place]  # with more than this, the row gets the class
    chosen = float(offsets[place])
    for offset in _between(turns):
        found = score(np.where(turns < offset, place, rival))
        # Of equally good offsets the one nearest to 0 is kept, which changes the fewest answers.
        if found > best + 1e-12 or (found > best - 1e-12 and abs(offset) < abs(chosen)):
            chosen, best = offset, max(found, best)
    return chosen, best


def _between(turns: np.ndarray) -> list[float]:
    """Offsets halfway between neighbouring turns, spread evenly over the rows."""
    values = np.unique(turns[np.isfinite(turns)])
    middles = (values[1:] + values[:-1]) / 2
    if len(middles) > _CANDIDATES:
        places = np.linspace(0, len(middles) - 1, _CANDIDATES).round().astype(int)
        middles = middles[places]
    return middles.tolist()


def scorer(
    metric: Any, labels: np.ndarray, names: Sequence[Any], weights: np.ndarray | None
) -> Score:
    """Creates a function that measures predicted classes.

    Args:
        metric: As in `tune_offsets`.
        labels: As in `tune_offsets`.
        names: As in `tune_offsets`.
        weights: Weights of the rows, as in `tune_offsets`.

    Returns:
        A function from positions of predicted classes, int `(num_rows,)`, to the metric.

    Raises:
        ValueError: for an unknown metric.

    Example:
        >>> scorer("accuracy", np.array([0, 1]), ["no", "yes"], None)(np.array([0, 0]))
        0.5
    """
    if callable(metric):
        known, options = names_array(names), {} if weights is None else {"sample_weight": weights}
        return lambda predicted: float(metric(known[labels], known[predicted], **options))
    if metric not in METRICS:
        raise InvalidValueError(
            f"`metric` of classes must be one of {METRICS}, or a function. "
            f"Received: metric={quote(metric)}"
        )
    # scikit-learn's metrics take a millisecond for each of the many offsets.
    size = len(names)
    rows = np.ones(len(labels)) if weights is None else weights
    support = np.bincount(labels, rows, size)

    def score(predicted: np.ndarray) -> float:
        right = predicted == labels
        hits = np.bincount(labels[right], rows[right], size)
        if metric == "accuracy":
            return float(hits.sum() / support.sum())
        if metric == "balanced_accuracy":
            return float((hits[support > 0] / support[support > 0]).mean())
        answers = np.bincount(predicted, rows, size)
        found = support + answers > 0
        return float((2 * hits[found] / (support + answers)[found]).mean())

    return score
