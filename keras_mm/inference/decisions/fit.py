"""Fits the decisions of one head on held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_mm.checks import is_number, quote
from keras_mm.errors import InvalidValueError
from keras_mm.inference.decisions.abstention import NEVER, lowest_confidence
from keras_mm.inference.decisions.answers import answered_confidences, threshold_answers
from keras_mm.inference.decisions.conformal import half_widths, members, set_limits
from keras_mm.inference.decisions.costs import cost_matrix
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.inference.decisions.offsets import tune_offsets
from keras_mm.inference.decisions.temperature import fit_temperature
from keras_mm.metrics.multilabel import tune_thresholds
from keras_mm.metrics.probabilities import probabilities
from keras_mm.row_weights import check_weights
from keras_mm.settings.heads import Head
from keras_mm.warn import warn

Metric = str | Callable[..., float] | None


@dataclass(frozen=True)
class Options:
    """What decisions are fitted for; see `MultimodalClassifier.fit_decisions`."""

    metric: Metric = None
    costs: Any = None
    error: float = 0.1
    classwise: bool = False

    def __post_init__(self):
        if not (is_number(self.error) and 0 < self.error < 1):
            raise InvalidValueError(
                f"`error` must be a number in (0, 1), such as 0.1. Received: error={self.error!r}"
            )
        if self.metric is not None and self.costs is not None:
            raise InvalidValueError(
                "`metric` and `costs` both choose among the classes: pass one of them. "
                f"Received: metric={quote(self.metric)}, costs={quote(self.costs)}"
            )

    @property
    def metric_name(self) -> str | None:
        """The metric as text, for the saved model."""
        if callable(self.metric):
            return getattr(self.metric, "__name__", type(self.metric).__name__)
        return self.metric


@dataclass(frozen=True)
class _Rows:
    """The labelled rows of a head: labels, logits, and weights or `None`."""

    labels: np.ndarray
    logits: np.ndarray
    weights: np.ndarray | None


def fit_head_decisions(
    name: str,
    head: Head,
    labels: Any,
    logits: Any,
    options: Options,
    *,
    source: str = "rows",
    sample_weight: Any = None,
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
    rows = _labelled(name, head, np.asarray(labels), np.asarray(logits), sample_weight)
    fitted = HeadDecisions(source, len(rows.labels), options.error, metric=options.metric_name)
    if head.kind == "regression":
        return head, _with_intervals(name, fitted, rows, options)
    temperature = fit_temperature(rows.labels, rows.logits, head.kind, rows.weights)
    fitted = replace(fitted, temperature=temperature)
    head, fitted = _with_choice(name, head, fitted, rows, options)
    limits = set_limits(
        rows.labels,
        fitted.probabilities(head, rows.logits),
        options.error,
        classwise=options.classwise,
        sample_weight=rows.weights,
    )
    fitted = replace(fitted, set_limits=tuple(limits.tolist()), classwise=options.classwise)
    answers = threshold_answers(head, fitted, rows.logits)
    wrong = (answers != rows.labels) & (rows.labels >= 0)
    lowest = lowest_confidence(
        answered_confidences(head, fitted, rows.logits, answers),
        ~(wrong if wrong.ndim == 1 else wrong.any(axis=1)),
        options.error,
        rows.weights,
    )
    fitted = replace(fitted, min_confidence=lowest)
    _warn_of_few(name, head, fitted, rows)
    return head, fitted


def _labelled(
    name: str, head: Head, labels: np.ndarray, logits: np.ndarray, sample_weight: Any
) -> _Rows:
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
    return _Rows(labels[used], logits[used], None if weights is None else weights[used])


def _with_choice(
    name: str, head: Head, fitted: HeadDecisions, rows: _Rows, options: Options
) -> tuple[Head, HeadDecisions]:
    """Adds thresholds, offsets or costs."""
    if head.kind == "multilabel":
        if options.costs is not None:
            raise _no_classes("costs", name, head)
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
    name: str, fitted: HeadDecisions, rows: _Rows, options: Options
) -> HeadDecisions:
    """Adds the widths of the intervals of a regression head."""
    for argument in ("costs", "metric", "classwise"):
        if getattr(options, argument):
            raise _no_classes(argument, name, Head("regression"))
    widths = half_widths(rows.labels, rows.logits, options.error, sample_weight=rows.weights)
    if not np.isfinite(widths).all():
        warn(
            f"{_few(name, fitted)}: its intervals have no ends. Use more held-out rows, or a "
            "larger `error`."
        )
    finite = (width if np.isfinite(width) else None for width in widths)
    return replace(fitted, half_widths=tuple(finite))


def _no_classes(argument: str, name: str, head: Head) -> InvalidValueError:
    return InvalidValueError(
        f"`{argument}` cannot be used for {name!r}, a {head.kind} head. Leave it out, or name the "
        "heads that it is for as `head`."
    )


def _warn_of_few(name: str, head: Head, fitted: HeadDecisions, rows: _Rows) -> None:
    """Warns of sets that hold a class always, and of rows that are never answered."""
    if fitted.num_rows < 1 / fitted.error - 1:
        warn(
            f"{_few(name, fitted)}: its sets hold every label, and decide='abstain' answers no "
            "row. Use more held-out rows, or a larger `error`."
        )
        return
    if fitted.classwise:
        counts = [len(places) for places in members(rows.labels, len(head.names))]
        few = {
            label: count
            for label, count in zip(head.names, counts, strict=True)
            if count < 1 / fitted.error - 1
        }
        if few:
            warn(
                f"Every set of the head {name!r} holds {quote(list(few))}: only "
                f"{quote(list(few.values()))} held-out rows have these labels, and an error of "
                f"{fitted.error:g} needs {_needed(fitted.error)}."
            )
    if fitted.min_confidence == NEVER:
        warn(
            f"decide='abstain' answers no row of the head {name!r}: also the most confident "
            f"answers on held-out rows have an error above {fitted.error:g}. Use a larger `error`."
        )


def _few(name: str, fitted: HeadDecisions) -> str:
    return (
        f"The head {name!r} has {fitted.num_rows} held-out rows with a label, and an error of "
        f"{fitted.error:g} needs {_needed(fitted.error)}"
    )


def _needed(error: float) -> int:
    return int(np.ceil(1 / error - 1 - 1e-9))
