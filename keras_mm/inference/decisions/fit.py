"""Fits the decisions of one head on held-out rows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, logit

from keras_mm.errors import InvalidValueError
from keras_mm.inference.decisions.abstention import lowest_confidence
from keras_mm.inference.decisions.answers import answered_confidences, threshold_answers
from keras_mm.inference.decisions.conformal import covers, half_widths, set_limits
from keras_mm.inference.decisions.costs import cost_matrix
from keras_mm.inference.decisions.extrapolation import (
    Extrapolation,
    LabelledRows,
    extrapolation,
)
from keras_mm.inference.decisions.few_rows import warn_of_few, warn_of_wide
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.inference.decisions.offsets import tune_offsets
from keras_mm.inference.decisions.options import Options
from keras_mm.inference.decisions.temperature import fit_temperature
from keras_mm.metrics.multilabel import tune_thresholds
from keras_mm.metrics.probabilities import probabilities
from keras_mm.row_weights import check_weights
from keras_mm.settings.heads import Head


def fit_head_decisions(
    name: str,
    head: Head,
    labels: Any,
    logits: Any,
    options: Options,
    *,
    source: str = "rows",
    sample_weight: Any = None,
    second: Any = None,
    num_members: int = 1,
) -> tuple[Head, HeadDecisions]:
    """Fits the decisions of a head on rows that its weights were not trained on.

    Args:
        name: Name of the head, for messages.
        head: The head, with its classes.
        labels: Encoded labels, see `keras_mm.data.tables.targets.Encoded`.
        logits: Floats, shape `(num_rows, num_logits)`.
        options: Metric or costs, error, and whether sets are classwise.
        source: As in `HeadDecisions`.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1.
        second: Logits of a second member of an average that was not trained on the row, NaN where
            there is none; `None` for none.
        num_members: Number of members whose mean predicts new rows; each of `logits` is of one.

    Returns:
        The head, a multilabel one with the thresholds of the best metric; and its decisions.

    Raises:
        ValueError: if no row has a label, logits are not finite, or an option is not valid for the
            kind of the head.

    Warns:
        UserWarning: if there are too few rows for the error, or for the error of a class.

    Example:
        >>> labels = np.repeat([0, 1], 50)
        >>> logits = np.eye(2)[labels] * 3
        >>> head, decisions = fit_head_decisions(
        ...     "label", Head(classes=("no", "yes")), labels, logits, Options()
        ... )
        >>> decisions.num_rows, decisions.temperature < 1
        (100, True)
    """
    rows = _labelled(name, head, np.asarray(labels), np.asarray(logits), sample_weight, second)
    rows = replace(rows, num_members=num_members)
    members = extrapolation(rows, head.kind)
    fitted = HeadDecisions(source, len(rows.labels), options.error, metric=options.metric_name)
    if head.kind == "regression":
        return head, _with_intervals(name, fitted, rows, members, options)
    fitted = replace(fitted, temperature=_temperature(rows, members, head.kind))
    head, fitted = _with_choice(name, head, fitted, rows, options)
    fitted = _with_limits(head, fitted, rows, members, options)
    warn_of_few(name, head, fitted, rows.labels)
    return head, fitted


def _temperature(rows: LabelledRows, members: Extrapolation | None, kind: str) -> float:
    def estimate(part: LabelledRows) -> float:
        return fit_temperature(part.labels, part.logits, kind, part.weights)

    if members is not None:
        change = members.change(lambda part: np.log(estimate(part)))
        return float(estimate(rows) * np.exp(change))
    # That of one member would make the mean of several too unsure.
    return estimate(rows) if rows.num_members == 1 else 1.0


def _with_limits(
    head: Head,
    fitted: HeadDecisions,
    rows: LabelledRows,
    members: Extrapolation | None,
    options: Options,
) -> HeadDecisions:
    """Adds the limits of sets, and the confidence below which rows are not answered."""

    def limits(error: float) -> np.ndarray:
        return set_limits(
            rows.labels,
            fitted.probabilities(head, rows.logits),
            error,
            classwise=options.classwise,
            sample_weight=rows.weights,
        )

    def covered(part: LabelledRows, found: np.ndarray) -> np.ndarray:
        chosen = fitted.probabilities(head, part.logits) >= found
        return covers(part.labels, chosen)

    def confidence(part: LabelledRows) -> float:
        answers = threshold_answers(head, fitted, part.logits)
        wrong = (answers != part.labels) & (part.labels >= 0)
        return lowest_confidence(
            answered_confidences(head, fitted, part.logits, answers),
            ~(wrong if wrong.ndim == 1 else wrong.any(axis=1)),
            options.error,
            part.weights,
        )

    error, lowest = options.error, confidence(rows)
    if members is not None:
        error = members.error_of_one(error, limits, covered)
        change = members.change(lambda part: float(logit(confidence(part))))
        lowest = float(expit(logit(lowest) + change)) if 0 < lowest < 1 else lowest
    return replace(
        fitted,
        set_limits=tuple(limits(error).tolist()),
        classwise=options.classwise,
        min_confidence=lowest,
    )


def _labelled(
    name: str,
    head: Head,
    labels: np.ndarray,
    logits: np.ndarray,
    sample_weight: Any,
    second: Any,
) -> LabelledRows:
    """The rows with a label and a weight above 0."""
    weights = check_weights(sample_weight, len(labels))
    known = ~np.isnan(labels) if head.kind == "regression" else labels >= 0
    used = known if known.ndim == 1 else known.any(axis=1)
    used = used if weights is None else used & (weights > 0)
    if not used.any():
        raise InvalidValueError(
            f"No held-out row has a label of the head {name!r}. Pass `rows` that have one, or "
            "other heads as `head`."
        )
    wrong = np.flatnonzero(used & ~np.isfinite(logits).all(axis=1))
    if len(wrong):
        raise InvalidValueError(
            f"The model predicts NaN or infinite values for {len(wrong)} of {len(labels)} held-out "
            f"rows of the head {name!r} (row positions from 0: {wrong[:3].tolist()}). Train it "
            "again, with a lower `learning_rate`."
        )
    return LabelledRows(labels, logits, weights, second).take(np.flatnonzero(used))


def _with_choice(
    name: str, head: Head, fitted: HeadDecisions, rows: LabelledRows, options: Options
) -> tuple[Head, HeadDecisions]:
    """Adds thresholds, offsets or costs."""
    if head.kind == "multilabel":
        if options.costs is not None:
            raise InvalidValueError(_not_for("costs", name, head))
        metric = "f1" if options.metric is None else options.metric
        scores = probabilities(rows.logits, "multilabel")
        tuned = tune_thresholds(rows.labels, scores, metric=metric, sample_weight=rows.weights)
        return replace(head, threshold=tuple(tuned.tolist())), replace(
            fitted, metric=options.metric_name or "f1"
        )
    if options.costs is not None:
        costs = cost_matrix(options.costs, head.names).tolist()
        return head, replace(fitted, costs=tuple(map(tuple, costs)))
    if options.metric is None:
        return head, fitted
    calibrated = np.maximum(fitted.probabilities(head, rows.logits), 1e-300)
    offsets = tune_offsets(
        rows.labels,
        np.log(calibrated),
        head.names,
        metric=options.metric,
        sample_weight=rows.weights,
    )
    return head, replace(fitted, offsets=tuple(offsets.tolist()))


def _with_intervals(
    name: str,
    fitted: HeadDecisions,
    rows: LabelledRows,
    members: Extrapolation | None,
    options: Options,
) -> HeadDecisions:
    """Adds the widths of the intervals of a regression head."""
    for argument in ("costs", "metric", "classwise"):
        if getattr(options, argument):
            raise InvalidValueError(_not_for(argument, name, Head("regression")))

    def fit(target: int, error: float) -> float:
        one = slice(target, target + 1)
        labels, logits = rows.labels[:, one], rows.logits[:, one]
        return half_widths(labels, logits, error, sample_weight=rows.weights)[0]

    def covered(target: int, part: LabelledRows, width: float) -> np.ndarray:
        errors = np.abs(part.logits[:, target] - part.labels[:, target])
        return ~(errors > width)  # a missing target changes nothing

    widths = []
    for target in range(rows.logits.shape[1]):
        error = options.error
        if members is not None:
            error = members.error_of_one(error, partial(fit, target), partial(covered, target))
        widths.append(fit(target, error))
    if not np.isfinite(widths).all():
        warn_of_wide(name, fitted)
    finite = (width if np.isfinite(width) else None for width in widths)
    return replace(fitted, half_widths=tuple(finite))


def _not_for(argument: str, name: str, head: Head) -> str:
    """The sentence that an argument cannot be used for a kind of head."""
    return (
        f"`{argument}` cannot be used for {name!r}, a {head.kind} head. Leave it out, or name the "
        "heads that it is for as `head`."
    )
