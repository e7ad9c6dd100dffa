"""Evaluates the predictions of a head beside those of its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.baselines.selection import Chosen
from keras_mm.evaluation.differences import drawn_groups, score_differences
from keras_mm.evaluation.results import BASELINES, HeadEvaluation
from keras_mm.metrics.bootstrap import score_intervals
from keras_mm.metrics.head_metrics import measure
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head, resolve_threshold


def evaluate_beside(
    name: str,
    head: Head,
    rows: Rows,
    logits: np.ndarray,
    prior: list[float],
    rivals: Mapping[str, Mapping[str, Chosen]],
    modalities: dict[str, Any],
) -> HeadEvaluation:
    """Computes the metrics of a head and of its baselines, and the differences.

    Args:
        name: Name of the head.
        head: The head.
        rows: Rows, at least one of them with a label of the head and a weight above 0; they may
            have weights and groups.
        logits: Logits of the head, `(num_rows, num_logits)`.
        prior: The best constant prediction, see `keras_mm.metrics.head_metrics.head_prior`.
        rivals: Predictions of trained baselines, by name of the baseline and of the head.
        modalities: Scores by modality, see `HeadEvaluation`.

    Returns:
        The results of the head.
    """
    labels, weights = rows.labels[name], rows.sample_weight
    groups = drawn_groups(head, labels, weights, rows.groups)
    options: dict[str, Any] = {"sample_weight": weights, "groups": groups}
    own = logits if head.kind == "regression" else probabilities(logits, head.kind)
    constant = np.broadcast_to(np.asarray(prior, "float64"), own.shape)
    # The thresholds of the head were chosen for its own probabilities.
    plain = replace(head, threshold=Head().threshold)
    predicted = {BASELINES[head.kind]: (head, constant)}
    chosen = {rival: heads[name] for rival, heads in rivals.items() if name in heads}
    predicted |= {rival: (plain, one.predicted) for rival, one in chosen.items()}
    return HeadEvaluation(
        head,
        _metrics(head, own, labels, **options),
        {rival: _metrics(*pair, labels, **options) for rival, pair in predicted.items()},
        modalities,
        differences={
            rival: score_differences(head, labels, own, values, baseline_head=rival_head, **options)
            for rival, (rival_head, values) in predicted.items()
        },
        methods={rival: one.name for rival, one in chosen.items()},
    )


def _metrics(
    head: Head, predicted: np.ndarray, labels: Any, *, sample_weight: Any, groups: Any
) -> dict[str, Any]:
    """Metrics with all intervals."""
    threshold = resolve_threshold(head.threshold, head.names)
    return {
        **measure(head, labels, predicted, sample_weight=sample_weight),
        **score_intervals(
            labels,
            predicted,
            head.kind,
            threshold=threshold,
            sample_weight=sample_weight,
            groups=groups,
        ),
    }
