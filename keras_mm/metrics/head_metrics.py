"""Metrics of one head's logits, for every kind of head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mm.metrics.bootstrap import score_intervals
from keras_mm.metrics.class_probabilities import TOP
from keras_mm.metrics.classification import classification_metrics
from keras_mm.metrics.multilabel import multilabel_metrics
from keras_mm.metrics.probabilities import probabilities
from keras_mm.metrics.regression import EXTENDED as OF_NUMBERS
from keras_mm.metrics.regression import regression_metrics
from keras_mm.settings.heads import Head, resolve_threshold

# Each epoch computes these only if one is monitored: some take long for many classes.
EXTENDED = (
    *OF_NUMBERS,
    *("auroc", "auprc", "brier_score_loss", "expected_calibration_error"),
    *(f"top_{k}_accuracy" for k in TOP),
)
# All metrics, of any kind of head, that are a single number and can be compared. `loss` is computed
# by training, the others by this room.
METRICS = (
    *("loss", "accuracy", "macro_f1", "weighted_f1", "balanced_accuracy", "log_loss", "mcc"),
    *("subset_accuracy", "hamming_loss", "micro_f1", "samples_f1", "lrap"),
    *("mean_absolute_error", "root_mean_squared_error", "r2", "pearson", "spearman"),
    *EXTENDED,
)


def head_metrics(
    head: Head,
    labels: Any,
    logits: Any,
    names: Sequence[Any] | None = None,
    sample_weight: Any = None,
    *,
    extended: bool = True,
    intervals: bool = False,
) -> dict[str, Any]:
    """Metrics of a head's logits against labels.

    Args:
        head: The head that the logits come from.
        labels: Integers, shape `(num_rows,)`; for `"multilabel"` multi-hot, shape
            `(num_rows, num_labels)`; for `"regression"` floats, shape `(num_rows, num_targets)`.
            Negative or NaN where the label is missing.
        logits: Floats, shape `(num_rows, num_logits)`.
        names: Label names in order; `None` uses those of the head.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1.
        extended: Whether to compute also what takes long for many classes, see
            `classification_metrics`.
        intervals: Whether to compute also intervals by bootstrap, see
            `keras_mm.metrics.bootstrap.score_intervals`. It takes some tenths of a second for
            10,000 rows.

    Returns:
        What `classification_metrics`, `multilabel_metrics` or `regression_metrics` returns, and
        with `intervals` the 95% intervals `macro_f1_interval log_loss_interval auprc_interval`; for
        `"regression"` `r2_interval`.

    Raises:
        ValueError: if shapes are wrong, or no row has a label.

    Example:
        >>> head_metrics(Head("binary"), [1, 0], [[2.0], [1.0]])["accuracy"]
        0.5
    """
    logits = np.asarray(logits)
    predicted = logits if head.kind == "regression" else probabilities(logits, head.kind)
    return measure(
        head, labels, predicted, names, sample_weight, extended=extended, intervals=intervals
    )


def is_labelled(head: Head, labels: Any, sample_weight: Any = None) -> bool:
    """Whether any row has both a label and a weight above 0.

    Args:
        head: The head of the labels.
        labels: As in `head_metrics`.
        sample_weight: As in `head_metrics`.

    Returns:
        False if all rows with a weight above 0 lack a label.

    Example:
        >>> is_labelled(Head(classes=2), [-1, -1])
        False
    """
    labels = np.asarray(labels)
    if sample_weight is not None:
        labels = labels[np.asarray(sample_weight) > 0]
    return bool((~np.isnan(labels) if head.kind == "regression" else labels >= 0).any())


def head_prior(head: Head, labels: Any, sample_weight: Any = None) -> np.ndarray:
    """The best constant prediction: what a model can predict without any input.

    Args:
        head: The head of the labels.
        labels: Labels of the training rows, as in `head_metrics`.
        sample_weight: Weights of the training rows, as in `head_metrics`.

    Returns:
        Floats, shape `(num_classes,)`: for each class or label its share of the labelled rows; for
        `"regression"` the mean of each target. 0 for a class, label or target that no row has.

    Example:
        >>> head_prior(Head(classes=("no", "yes")), [1, 1, 0, -1]).round(2).tolist()
        [0.33, 0.67]
    """
    labels = np.asarray(labels)
    if head.kind in ("multiclass", "binary"):
        codes = labels.reshape(-1)
        known = codes >= 0
        weights = None if sample_weight is None else np.asarray(sample_weight, "float64")[known]
        counts = np.bincount(codes[known], weights, head.num_classes)
        return counts / (counts.sum() or 1)
    columns = labels.reshape(len(labels), -1).astype("float64")
    known = ~np.isnan(columns) if head.kind == "regression" else columns >= 0
    values = np.where(known, columns, 0)
    if sample_weight is not None:
        known = known * np.asarray(sample_weight, "float64")[:, None]
        values = values * known
    total = known.sum(axis=0)
    return values.sum(axis=0) / np.where(total > 0, total, 1)


def prior_metrics(head: Head, prior: Any, labels: Any, sample_weight: Any = None) -> dict[str, Any]:
    """Metrics of always predicting a head's prior: the baseline for a model.

    Args:
        head: The head of the labels.
        prior: What `head_prior` returns.
        labels: As in `head_metrics`.
        sample_weight: As in `head_metrics`.

    Returns:
        As `head_metrics`.
    """
    prior = np.asarray(prior, "float64")
    predicted = np.broadcast_to(prior, (len(np.asarray(labels)), len(prior)))
    return measure(head, labels, predicted, sample_weight=sample_weight)


def measure(
    head: Head,
    labels: Any,
    predicted: Any,
    names: Sequence[Any] | None = None,
    sample_weight: Any = None,
    *,
    extended: bool = True,
    intervals: bool = False,
) -> dict[str, Any]:
    """Metrics of a head's predicted probabilities or numbers.

    Args:
        head: The head.
        labels: As in `head_metrics`.
        predicted: Probabilities, shape `(num_rows, num_classes)`; for `"regression"` numbers, shape
            `(num_rows, num_targets)`.
        names: As in `head_metrics`.
        sample_weight: As in `head_metrics`.
        extended: As in `head_metrics`.
        intervals: As in `head_metrics`.

    Returns:
        As `head_metrics`.
    """
    names = list(head.names if names is None else names)
    labels = np.asarray(labels)
    options: dict[str, Any] = {"sample_weight": sample_weight}
    if head.kind == "regression":
        labels = labels.astype("float64").reshape(len(labels), -1)
        metrics = regression_metrics(labels, predicted, names, extended=extended, **options)
    elif head.kind == "multilabel":
        options["threshold"] = resolve_threshold(head.threshold, names)
        metrics = multilabel_metrics(labels, predicted, names, extended=extended, **options)
    else:
        labels = labels.reshape(-1)
        metrics = classification_metrics(labels, predicted, names, extended=extended, **options)
    if intervals:
        metrics |= score_intervals(labels, predicted, head.kind, **options)
    return metrics
