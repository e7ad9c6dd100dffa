"""Scores of a cell: over all rows, with intervals, and of each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.folds import Fold
from keras_mm.data.tables.rows import Rows
from keras_mm.metrics.bootstrap import bootstrap_interval
from keras_mm.metrics.head_metrics import head_prior, measure
from keras_mm.settings.heads import Head

# The scores in the table, by kind of head; the first is the one that is tested.
SCORES = {
    "multiclass": ("accuracy", "macro_f1", "log_loss"),
    "binary": ("accuracy", "macro_f1", "log_loss"),
    "multilabel": ("subset_accuracy", "macro_f1", "auprc"),
    "regression": ("r2", "mean_absolute_error"),
}
MAIN_SCORES = {kind: names[0] for kind, names in SCORES.items()}
# The columns of the table beside those of the axes.
COLUMNS = frozenset(
    f"{name}{end}"
    for name in ("difference", *(name for names in SCORES.values() for name in names))
    for end in ("", "_low", "_high")
) | {"p_value", "seconds"}


@dataclass(frozen=True)
class CellScores:
    """Scores of a cell.

    Attributes:
        line: The scores over all rows, with the ends of their intervals, by column of the table.
        by_fold: The main score of each fold of each repeat, shape `(num_repeats * num_folds,)`.
    """

    line: dict[str, float]
    by_fold: dict[str, np.ndarray]


def score_cell(
    head: Head,
    rows: Rows,
    labels: np.ndarray,
    folds: Sequence[Sequence[Fold]],
    frames: Sequence[pd.DataFrame],
) -> CellScores:
    """Scores the predictions of a cell.

    Args:
        head: The head, with its classes.
        rows: The rows; their weights and groups count.
        labels: Encoded labels of the rows.
        folds: The folds of each repeat.
        frames: The predictions of each repeat, as `MultimodalClassifier.out_of_fold_`.

    Returns:
        The scores.
    """
    return _scores(head, rows, labels, folds, [_predicted(head, frame) for frame in frames])


def majority_scores(
    head: Head, rows: Rows, labels: np.ndarray, folds: Sequence[Sequence[Fold]]
) -> CellScores:
    """Scores the best constant prediction, from the other folds of each row.

    Args:
        head: As in `score_cell`.
        rows: As in `score_cell`.
        labels: As in `score_cell`.
        folds: As in `score_cell`.

    Returns:
        The scores.
    """
    weights, predicted = rows.sample_weight, []
    for repeat in folds:
        width = head.num_logits if head.kind == "regression" else head.num_classes
        prior = np.zeros((len(rows), width))
        for fold in repeat:
            others = np.concatenate([fold.train, fold.val])
            weight = None if weights is None else weights[others]
            prior[fold.held_out] = head_prior(head, labels[others], weight)
        predicted.append(prior)
    return _scores(head, rows, labels, folds, predicted)


def _scores(
    head: Head,
    rows: Rows,
    labels: np.ndarray,
    folds: Sequence[Sequence[Fold]],
    predicted: Sequence[np.ndarray],
) -> CellScores:
    weights, names = rows.sample_weight, SCORES[head.kind]
    of_repeats = [measure(head, labels, each, sample_weight=weights) for each in predicted]
    line: dict[str, float] = {}
    for name in names:
        line[name] = float(np.mean([metrics[name] for metrics in of_repeats]))
        line[f"{name}_low"], line[f"{name}_high"] = _interval(head, rows, labels, predicted, name)
    by_fold = [
        measure(
            head,
            labels[fold.held_out],
            each[fold.held_out],
            sample_weight=None if weights is None else weights[fold.held_out],
        ).get(names[0], np.nan)
        for repeat, each in zip(folds, predicted, strict=True)
        for fold in repeat
    ]
    return CellScores(line, {names[0]: np.array(by_fold, "float64")})


def _interval(
    head: Head, rows: Rows, labels: np.ndarray, predicted: Sequence[np.ndarray], name: str
) -> tuple[float, float]:
    """Interval by bootstrap over rows or groups, each drawn with its predictions of all repeats."""
    count = len(predicted)
    groups = np.arange(len(rows)) if rows.groups is None else rows.groups
    weights = rows.sample_weight
    return bootstrap_interval(
        np.concatenate([labels] * count),
        np.concatenate(predicted),
        name,
        kind=head.kind,
        threshold=head.threshold,
        sample_weight=None if weights is None else np.tile(weights, count),
        groups=None if count == 1 and rows.groups is None else np.tile(groups, count),
    )


def _predicted(head: Head, frame: pd.DataFrame) -> Any:
    """Probabilities, or numbers, in the order of the head's names."""
    if head.kind != "regression":
        return frame[[f"probability_{name}" for name in head.names]].to_numpy("float64")
    ends = [""] if head.num_logits == 1 else [f"_{name}" for name in head.names]
    return frame[[f"prediction{end}" for end in ends]].to_numpy("float64")
