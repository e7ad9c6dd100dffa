"""Chooses the weights of the members of a model by their out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.metrics.classification import lower_is_better
from keras_mm.metrics.head_metrics import is_labelled, measure
from keras_mm.settings.heads import Head

Score = Callable[[np.ndarray], float]  # predictions to a score; higher is better

_ROUNDS = 40  # weights are multiples of 1 / rounds, at most
_LEAST = 1e-7  # probabilities are at least this in a log loss


def blend_weights(
    head: Head,
    labels: np.ndarray,
    predictions: Sequence[np.ndarray],
    *,
    metric: str | None = None,
    sample_weight: np.ndarray | None = None,
) -> tuple[float, ...]:
    """Chooses weights whose mean prediction is best on held-out rows.

    Greedy selection with replacement: beginning with the best member, each round adds the member
    that makes the mean of those chosen so far best. The weights are the shares of the best round.

    Args:
        head: The head that is predicted.
        labels: Encoded labels of the rows, as in `keras_mm.metrics.head_metrics.head_metrics`.
        predictions: For each member, probabilities of the classes or labels, or numbers, floats
            `(num_rows, num_columns)`.
        metric: A metric of `keras_mm.metrics.head_metrics.head_metrics` that is to be best, or
            `"loss"`: the log loss, or for numbers the mean squared error in units of each target's
            variance. By default it is this loss, for classes minus the macro-F1.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        A weight for each member, which sum to 1. All weigh the same if no row has a label.

    Example:
        >>> labels, good = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
        >>> blend_weights(Head(classes=("no", "yes")), labels, [1 - good, good])
        (0.0, 1.0)

    Reference:
        Caruana et al. 2004, "Ensemble selection from libraries of models".
    """
    count = len(predictions)
    score = scorer(head, labels, metric, sample_weight)
    if count == 1 or score is None:
        return (1 / count,) * count
    chosen = np.zeros(count, int)
    total = np.zeros_like(predictions[0], dtype="float64")
    best, best_chosen = -np.inf, chosen
    for number in range(1, _ROUNDS + 1):
        scores = [score((total + each) / number) for each in predictions]
        place = int(np.argmax(scores))
        total, chosen = total + predictions[place], chosen + (np.arange(count) == place)
        if scores[place] > best:
            best, best_chosen = scores[place], chosen
    return tuple((best_chosen / best_chosen.sum()).tolist())


def check_metric(
    metric: str | None, heads: Mapping[str, Head], labels: Mapping[str, np.ndarray]
) -> None:
    """Checks that a metric of `blend_weights` is one of at least one head.

    Args:
        metric: The metric.
        heads: Heads by name.
        labels: Encoded labels of the training rows by head.

    Raises:
        ValueError: for a metric that no head has, with the nearest name.
    """
    known = {name for n, head in heads.items() for name in _metrics(head, labels[n])}
    if metric not in (None, *known):
        words = unknown_name("metric in `blend_metric`:", metric, sorted(known))
        raise InvalidValueError(f"{words} The heads have {', '.join(sorted(known))}.")


def _metrics(head: Head, labels: np.ndarray) -> set[str]:
    """The metrics of a head that are a single number."""
    labels = np.asarray(labels)
    if not is_labelled(head, labels):
        return {"loss"}
    constant = np.full((len(labels), head.num_classes), 1 / head.num_classes)
    found = measure(head, labels, constant)
    return {"loss", *(name for name, value in found.items() if isinstance(value, float))}


def scorer(head: Head, labels: np.ndarray, metric: str | None, weights: Any) -> Score | None:
    """The function that predictions are compared by; `None` if no row has a label."""
    labels = np.asarray(labels)
    if head.kind in ("multiclass", "binary"):
        labels = labels.reshape(-1)
        known = labels >= 0
    else:
        labels = labels.reshape(len(labels), -1)
        known = labels >= 0 if head.kind == "multilabel" else ~np.isnan(labels.astype("float64"))
    row_weights = np.ones(len(labels)) if weights is None else np.asarray(weights, "float64")
    counted = known * (row_weights if known.ndim == 1 else row_weights[:, None])
    if not counted.any():
        return None
    if metric is not None and metric not in _metrics(head, labels):  # a metric of another head
        metric = None
    if metric is not None and metric != "loss":
        sign = -1 if lower_is_better(metric) else 1
        return lambda values: sign * measure(head, labels, values, sample_weight=weights)[metric]
    if head.kind == "regression":
        return _squared_error(labels.astype("float64"), counted)
    if head.kind == "multilabel":
        return _label_loss(labels, counted)
    rows = np.flatnonzero(counted)
    return _class_score(labels[rows], counted[rows], rows, with_f1=metric is None)


def _class_score(
    labels: np.ndarray, weights: np.ndarray, rows: np.ndarray, *, with_f1: bool
) -> Score:
    weights = weights / weights.sum()

    def score(values: np.ndarray) -> float:
        own = values[rows]
        loss = -weights @ np.log(np.maximum(own[np.arange(len(rows)), labels], _LEAST))
        return _macro_f1(labels, own, weights) - loss if with_f1 else -loss

    return score


def _macro_f1(labels: np.ndarray, values: np.ndarray, weights: np.ndarray) -> float:
    """The mean F1 of the classes that are labelled or predicted, without a table of all classes."""
    predicted, count = values.argmax(axis=1), values.shape[1]
    right = predicted == labels
    hits = np.bincount(labels[right], weights[right], count)
    both = np.bincount(labels, weights, count) + np.bincount(predicted, weights, count)
    occurs = both > 0
    return float(np.mean(2 * hits[occurs] / both[occurs]))


def _label_loss(labels: np.ndarray, weights: np.ndarray) -> Score:
    yes, share = labels == 1, weights / weights.sum()

    def score(values: np.ndarray) -> float:
        right = np.where(yes, values, 1 - values)
        return float(np.sum(share * np.log(np.maximum(right, _LEAST))))

    return score


def _squared_error(targets: np.ndarray, weights: np.ndarray) -> Score:
    total = np.maximum(weights.sum(axis=0), 1e-12)
    filled = np.nan_to_num(targets)
    mean = (weights * filled).sum(axis=0) / total
    variance = (weights * (filled - mean) ** 2).sum(axis=0) / total
    unit = np.where(variance > 0, variance, 1.0)

    def score(values: np.ndarray) -> float:
        errors = (weights * (values - filled) ** 2).sum(axis=0) / total
        return -float(np.mean(errors / unit))

    return score
