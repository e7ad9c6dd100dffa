"""Scores of a searched model on rows that took no part in the search, and on those that did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.metrics.additive.scores import SCORES
from keras_mm.metrics.bootstrap import bootstrap_interval
from keras_mm.metrics.head_metrics import is_labelled, measure
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head

_MAIN = {"multiclass": "macro_f1", "binary": "macro_f1", "multilabel": "auprc", "regression": "r2"}


@dataclass(frozen=True)
class Score:
    """A score with its interval.

    Attributes:
        metric: Name of the metric; `"main score"` if heads of several kinds have different ones.
        value: The metric, with several heads the mean over those that have it.
        interval: Its 95% interval by bootstrap over rows or groups; NaN if the metric has none, or
            there are several heads.
    """

    metric: str
    value: float
    interval: tuple[float, float] = (float("nan"), float("nan"))


def score_logits(
    heads: Mapping[str, Head],
    rows: Rows,
    logits: Mapping[str, Any],
    metric: str | None,
    *,
    interval: bool = True,
) -> Score:
    """Scores logits.

    Args:
        heads: Heads by name, with their classes.
        rows: Rows with labels.
        logits: Logits of the rows by head.
        metric: The metric; `None` or `"loss"` for macro-F1, mean average precision or R2.
        interval: Whether to compute the interval.

    Returns:
        The score; NaN if no head has the metric.
    """
    values, names = [], []
    for name, head in heads.items():
        labels = rows.labels[name]
        if not is_labelled(head, labels, rows.sample_weight):
            continue
        chosen = _MAIN[head.kind] if metric in (None, "loss") else metric
        own = np.asarray(logits[name])
        predicted = own if head.kind == "regression" else probabilities(own, head.kind)
        found = measure(head, labels, predicted, sample_weight=rows.sample_weight)
        if chosen in found:
            values.append(found[chosen])
            names.append(chosen)
    different = dict.fromkeys(names)
    word = next(iter(different)) if len(different) == 1 else "main score"
    value = float(np.mean(values)) if values else float("nan")
    if not interval or len(heads) > 1 or not values or word not in SCORES[head.kind]:
        return Score(word, value)
    ends = bootstrap_interval(
        labels,
        predicted,
        word,
        kind=head.kind,
        threshold=head.threshold,
        sample_weight=rows.sample_weight,
        groups=rows.groups,
    )
    return Score(word, value, ends)
