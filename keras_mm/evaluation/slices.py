"""Scores of the rows with each value of a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from keras_mm.data.tables.slices import slice_rows
from keras_mm.evaluation.predicted import Predicted, read_predicted
from keras_mm.evaluation.results import BASELINE_SCORES, FEW_ROWS, SCORES, Results
from keras_mm.metrics.head_metrics import is_labelled, measure, prior_metrics

Evaluated = TypeVar("Evaluated", bound=Results)

_ALSO = {
    "multiclass": ("macro_f1", "log_loss"),
    "binary": ("macro_f1", "log_loss"),
    "multilabel": ("macro_f1", "log_loss"),
    "regression": ("root_mean_squared_error", "r2"),
}


def with_slices(evaluation: Evaluated, cells: pd.Series, priors: Mapping[str, Any]) -> Evaluated:
    """Adds scores by the values of a column to an evaluation.

    Args:
        evaluation: The results, with their rows.
        cells: The column of the evaluated table, with the index of all its rows. If the index has
            repeated values, it must equal that of the evaluated rows.
        priors: For each head the best constant prediction, as returned by
            `keras_mm.metrics.head_metrics.head_prior`.

    Returns:
        A copy in which each head has `slices`; see
        `keras_mm.evaluation.results.HeadEvaluation.slices`.
    """
    index = evaluation.predictions.index
    cells = cells.reindex(index) if cells.index.is_unique else cells
    slices = slice_rows(cells)
    heads = {}
    for name, result in evaluation.heads.items():
        predicted = read_predicted(evaluation, name)
        scores = {value: _scores(predicted, rows, priors[name]) for value, rows in slices.items()}
        found = {value: one for value, one in scores.items() if one}
        heads[name] = replace(result, slices={str(cells.name): found})
    return replace(evaluation, heads=heads)


def _scores(predicted: Predicted, rows: np.ndarray, prior: Any) -> dict[str, Any]:
    """Scores of the rows at these positions; empty if none of them counts."""
    head, labels, values, weights = predicted.take(rows)
    if not is_labelled(head, labels, weights):
        return {}
    metrics = measure(head, labels, values, None, weights, extended=False, intervals=True)
    main = SCORES[head.kind][1]
    names = [name for score in (main, *_ALSO[head.kind]) for name in (score, f"{score}_interval")]
    facts = ["num_rows", *(["effective_rows"] if weights is not None else [])]
    return {
        **{name: metrics[name] for name in (*facts, *names) if name in metrics},
        BASELINE_SCORES[head.kind]: prior_metrics(head, prior, labels, weights)[main],
        "small": metrics["num_rows"] < FEW_ROWS,
    }
