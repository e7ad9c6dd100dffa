"""Chooses the best of several estimators by inner validation, and fits it on all rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.baselines.head_model import Create, fit_head
from keras_mm.metrics.head_metrics import is_labelled, measure
from keras_mm.settings.heads import Head

_FEWEST_ROWS = 20  # with fewer rows, inner validation decides nothing
_PARTS = 5  # one part of so many is held out


class Candidate(NamedTuple):
    """An estimator and its features.

    Attributes:
        name: What it is, for a report.
        create: Creates the estimator for a head.
        features: Features of the training rows, `(num_rows, num_features)`, dense or CSR.
        test_features: The same features of the rows to predict.
    """

    name: str
    create: Create
    features: Any
    test_features: Any


class Chosen(NamedTuple):
    """The predictions of the best candidate.

    Attributes:
        name: Name of the candidate, or of both; empty if there was no choice.
        predicted: Probabilities or numbers of the rows to predict, `(num_rows, num_columns)`.
    """

    name: str
    predicted: np.ndarray


def predict_best(
    name: str, head: Head, rows: Rows, candidates: Sequence[Candidate], *, seed: int = 0
) -> Chosen:
    """Predicts with the candidate that is best on held-out training rows.

    Candidates are compared by the log loss, or by the root mean squared error of numbers. Held-out
    rows have the same shares of the classes, and none of their groups is among the other rows. The
    best candidate is fitted again on all training rows; so is the second, if the mean of both is
    better than the best alone.

    Args:
        name: Name of the head.
        head: The head.
        rows: Training rows with labels of the head; they may have weights and groups.
        candidates: At least one. The first is used if there are too few rows to compare them.
        seed: Seed of the draw.

    Returns:
        The predictions, and the name of the candidate or of both.
    """
    chosen, labels, weights = list(candidates[:1]), rows.labels[name], rows.sample_weight
    split = inner_split(head, labels, rows.groups, seed) if len(candidates) > 1 else None
    if split is not None and is_labelled(head, labels[split[1]], _at(weights, split[1])):
        chosen = _best(head, candidates, labels, weights, split)
    predicted = [
        fit_head(head, one.create, one.features, labels, weights)(one.test_features)
        for one in chosen
    ]
    return Chosen(" and ".join(one.name for one in chosen), np.mean(predicted, axis=0))


def inner_split(
    head: Head, labels: np.ndarray, groups: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Draws the held-out rows.

    Args:
        head: The head of the labels.
        labels: Encoded labels of the training rows.
        groups: Number of each row's group; rows of a group stay together. `None` without groups.
        seed: Seed of the draw.

    Returns:
        Positions of the rows to fit, and of the held-out rows; `None` if there are too few rows or
        groups.
    """
    count = len(labels) if groups is None else len(np.unique(groups))
    if len(labels) < _FEWEST_ROWS or count < 2:
        return None
    parts = min(_PARTS, count)
    strata = labels.reshape(-1) if head.kind in ("multiclass", "binary") else None
    if strata is not None and np.unique(strata, return_counts=True)[1].max() >= parts:
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    else:
        kind = KFold if groups is None else GroupKFold
    folds = kind(parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class may have fewer rows than parts
        return next(folds.split(np.zeros(len(labels)), strata, groups))


def _best(
    head: Head,
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    weights: np.ndarray | None,
    split: tuple[np.ndarray, np.ndarray],
) -> list[Candidate]:
    """The best candidate, or the best two if their mean is better."""
    fitted, held_out = split
    own, predicted = _at(weights, fitted), []
    for one in candidates:
        predict = fit_head(head, one.create, one.features[fitted], labels[fitted], own)
        predicted.append(predict(one.features[held_out]))
    first, second, *_ = np.argsort(
        [_loss(head, labels, weights, held_out, values) for values in predicted], kind="stable"
    )
    mean = (predicted[first] + predicted[second]) / 2
    losses = [_loss(head, labels, weights, held_out, v) for v in (predicted[first], mean)]
    chosen = [first, second] if losses[1] < losses[0] else [first]
    return [candidates[place] for place in chosen]


def _loss(
    head: Head,
    labels: np.ndarray,
    weights: np.ndarray | None,
    held_out: np.ndarray,
    predicted: np.ndarray,
) -> float:
    own = _at(weights, held_out)
    metrics = measure(head, labels[held_out], predicted, sample_weight=own, extended=False)
    return metrics["root_mean_squared_error" if head.kind == "regression" else "log_loss"]


def _at(values: np.ndarray | None, positions: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[positions]
