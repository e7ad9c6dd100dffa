"""Metrics of a head's logits, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mm.metrics.classification import classification_metrics
from keras_mm.metrics.multilabel import multilabel_metrics
from keras_mm.metrics.probabilities import probabilities
from keras_mm.metrics.regression import regression_metrics
from keras_mm.settings.heads import Head


def head_metrics(
    head: Head, labels: Any, logits: Any, names: Sequence[Any] | None = None
) -> dict[str, Any]:
    """Metrics of logits against labels: those of the head's kind.

    Args:
        head: What the logits answer.
        labels: As the kind has them: integers `(num_rows,)`, multi-hot `(num_rows, num_labels)`, or
            floats `(num_rows, num_targets)`; negative or NaN where not known.
        logits: `(num_rows, num_logits)`.
        names: Label names in order; by default the head's.

    Returns:
        See `classification_metrics`, `multilabel_metrics` and `regression_metrics`.

    Raises:
        ValueError: if shapes do not fit, or no row has labels.

    Example:
        >>> head_metrics(Head("binary"), [1, 0], [[2.0], [1.0]])["accuracy"]
        0.5
    """
    logits = np.asarray(logits)
    answers = logits if head.kind == "regression" else probabilities(logits, head.kind)
    return measure(head, labels, answers, names)


def is_labelled(head: Head, labels: Any) -> bool:
    """Whether there is any label to measure by.

    Args:
        head: What the labels are of.
        labels: As in `head_metrics`.

    Example:
        >>> is_labelled(Head(classes=2), [-1, -1])
        False
    """
    labels = np.asarray(labels)
    return bool((~np.isnan(labels) if head.kind == "regression" else labels >= 0).any())


def head_prior(head: Head, labels: Any) -> np.ndarray:
    """The best answer that sees neither image nor text.

    Args:
        head: What the labels are of.
        labels: Of the training rows, as in `head_metrics`.

    Returns:
        Floats `(num_classes,)`: each class's share of the rows, or each label's; for `"regression"`
        the mean of each target. 0 where nothing is known.

    Example:
        >>> head_prior(Head(classes=("no", "yes")), [1, 1, 0, -1]).round(2).tolist()
        [0.33, 0.67]
    """
    labels = np.asarray(labels)
    if head.kind in ("multiclass", "binary"):
        codes = labels.reshape(-1)
        counts = np.bincount(codes[codes >= 0], minlength=head.num_classes)
        return counts / max(counts.sum(), 1)
    columns = labels.reshape(len(labels), -1).astype("float64")
    known = ~np.isnan(columns) if head.kind == "regression" else columns >= 0
    return np.where(known, columns, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def prior_metrics(head: Head, prior: Any, labels: Any) -> dict[str, Any]:
    """Metrics of always giving a head's prior: what a model has to beat.

    Args:
        head: What the labels are of.
        prior: As `head_prior` gives it.
        labels: As in `head_metrics`.

    Returns:
        As `head_metrics`.
    """
    prior = np.asarray(prior, "float64")
    answers = np.broadcast_to(prior, (len(np.asarray(labels)), len(prior)))
    return measure(head, labels, answers)


def measure(
    head: Head, labels: Any, answers: Any, names: Sequence[Any] | None = None
) -> dict[str, Any]:
    """Metrics of a head's answers: its probabilities, or its numbers.

    Args:
        head: What is answered.
        labels: As in `head_metrics`.
        answers: `(num_rows, num_classes)`, or `(num_rows, num_targets)`.
        names: As in `head_metrics`.

    Returns:
        As `head_metrics`.
    """
    names = list(head.names if names is None else names)
    if head.kind == "regression":
        targets = np.asarray(labels, "float64").reshape(len(labels), -1)
        return regression_metrics(targets, answers, names)
    if head.kind == "multilabel":
        return multilabel_metrics(labels, answers, names, threshold=head.threshold)
    return classification_metrics(np.asarray(labels).reshape(-1), answers, names)
