"""Measures decisions on labelled rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_mm.inference.decisions.answers import (
    answered_confidences,
    in_set,
    intervals,
    threshold_answers,
)
from keras_mm.inference.decisions.conformal import covers, members
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.inference.decisions.offsets import scorer
from keras_mm.inference.decisions.temperature import log_loss
from keras_mm.metrics.intervals import share_with_interval
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head


def measure_decisions(
    head: Head, decisions: HeadDecisions, labels: Any, logits: Any, sample_weight: Any = None
) -> dict[str, Any]:
    """Measures the decisions of a head on labelled rows, as plain JSON values.

    Args:
        head: The head.
        decisions: Its decisions, fitted on other rows.
        labels: As in `keras_mm.metrics.head_metrics.head_metrics`.
        logits: Floats, shape `(num_rows, num_logits)`.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1.

    Returns:
        `source`, `held_out_rows` and `error` of the decisions; and on these rows `coverage` (the
        share of the rows whose set has all their labels) with `coverage_interval`,
        `mean_set_size` and `empty_sets` (their share); `abstention_rate`; where any row is answered
        `answered_accuracy` with `answered_accuracy_interval`; `temperature`, and `log_loss_before`
        and `log_loss_after` it. With `classwise` also `coverage_per_class`; with offsets or costs
        `threshold_accuracy` and `threshold_macro_f1`; with costs `mean_cost`, and that of the most
        probable class, `mean_cost_before`. For regression `coverage` and `mean_width`, means over
        the targets, and `per_target` both by name. Intervals are Wilson's, for 95%.

    Example:
        >>> decisions = HeadDecisions("rows", 99, 0.1, set_limits=(0.1,), min_confidence=0.9)
        >>> logits = np.array([[5.0, 0.0], [0.0, 1.0]])
        >>> found = measure_decisions(Head(classes=2), decisions, [0, 0], logits)
        >>> found["coverage"], found["mean_set_size"], found["abstention_rate"]
        (1.0, 1.5, 0.5)
    """
    labels, logits = np.asarray(labels), np.asarray(logits)
    weights = None if sample_weight is None else np.asarray(sample_weight, "float64")
    known = ~np.isnan(labels) if head.kind == "regression" else labels >= 0
    used = known if known.ndim == 1 else known.any(axis=1)
    used = used if weights is None else used & (weights > 0)
    labels, logits = labels[used], logits[used]
    weights = None if weights is None else weights[used]
    facts = {
        "source": decisions.source,
        "held_out_rows": decisions.num_rows,
        "error": decisions.error,
    }
    if head.kind == "regression":
        return facts | _of_intervals(head, decisions, labels, logits, weights)
    kind = head.kind
    return {
        **facts,
        "temperature": decisions.temperature,
        "log_loss_before": log_loss(labels, logits, kind, weights),
        "log_loss_after": log_loss(labels, logits / decisions.temperature, kind, weights),
        **_of_sets(head, decisions, labels, logits, weights),
        **_of_answers(head, decisions, labels, logits, weights),
    }


def _of_sets(
    head: Head,
    decisions: HeadDecisions,
    labels: np.ndarray,
    logits: np.ndarray,
    weights: np.ndarray | None,
) -> dict[str, Any]:
    chosen = in_set(head, decisions, logits)
    rows = members(labels, chosen.shape[1])
    sizes = chosen.sum(axis=1)
    coverage, interval = share_with_interval(covers(labels, chosen), weights)
    found: dict[str, Any] = {
        "coverage": coverage,
        "coverage_interval": interval,
        "mean_set_size": float(np.average(sizes, weights=weights)),
        "empty_sets": float(np.average(sizes == 0, weights=weights)),
    }
    if decisions.classwise:
        found["coverage_per_class"] = {
            str(name): float(
                np.average(chosen[p, place], weights=None if weights is None else weights[p])
            )
            for place, (name, p) in enumerate(zip(head.names, rows, strict=True))
            if len(p)
        }
    return found


def _of_answers(
    head: Head,
    decisions: HeadDecisions,
    labels: np.ndarray,
    logits: np.ndarray,
    weights: np.ndarray | None,
) -> dict[str, Any]:
    answers = threshold_answers(head, decisions, logits)
    wrong = (answers != labels) & (labels >= 0)
    right = ~(wrong if wrong.ndim == 1 else wrong.any(axis=1))
    answered = answered_confidences(head, decisions, logits, answers) >= (
        decisions.min_confidence or 0.0
    )
    found: dict[str, Any] = {"abstention_rate": float(np.average(~answered, weights=weights))}
    if answered.any():
        share, interval = share_with_interval(
            right[answered], None if weights is None else weights[answered]
        )
        found |= {"answered_accuracy": share, "answered_accuracy_interval": interval}
    if decisions.offsets is not None or decisions.costs is not None:
        for metric in ("accuracy", "macro_f1"):
            found[f"threshold_{metric}"] = scorer(metric, labels, head.names, weights)(answers)
    if decisions.costs is not None:
        costs, plain = np.asarray(decisions.costs), probabilities(logits, head.kind).argmax(axis=1)
        found["mean_cost"] = float(np.average(costs[labels, answers], weights=weights))
        found["mean_cost_before"] = float(np.average(costs[labels, plain], weights=weights))
    return found


def _of_intervals(
    head: Head,
    decisions: HeadDecisions,
    labels: np.ndarray,
    logits: np.ndarray,
    weights: np.ndarray | None,
) -> dict[str, Any]:
    ends = intervals(decisions, logits)
    per_target: dict[str, dict[str, Any]] = {}
    for target, name in enumerate(head.names):
        rows = np.flatnonzero(~np.isnan(labels[:, target]))
        if not len(rows):
            continue
        low, high = ends[rows, target].T
        inside = (labels[rows, target] >= low) & (labels[rows, target] <= high)
        share, interval = share_with_interval(inside, None if weights is None else weights[rows])
        half = decisions.half_widths[target]
        width = None if half is None else 2 * half
        per_target[str(name)] = {
            "coverage": share,
            "coverage_interval": interval,
            "width": width,
        }
    widths = [scores["width"] for scores in per_target.values()]
    return {
        "coverage": float(np.mean([scores["coverage"] for scores in per_target.values()])),
        "mean_width": None if None in widths else float(np.mean(widths)),
        "per_target": per_target,
    }
