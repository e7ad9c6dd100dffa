"""Metrics of a classifier, and of the majority answer it has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_mm.metrics.intervals import wilson_interval

_MAX_SUM_ERROR = 0.01  # of a row of probabilities; bfloat16 gets this near to 1


def classification_metrics(
    labels: Any, probabilities: Any, classes: Sequence[Any]
) -> dict[str, Any]:
    """Metrics of predicted probabilities against labels, as plain JSON values.

    All follow scikit-learn, with 0 where it would divide by 0 and warn: `macro_f1` is the mean
    over the classes that occur in the labels or the predictions, `balanced_accuracy` over those
    that occur in the labels; `mcc` is 0 if only one class occurs on either side. `log_loss` is in
    nats, with probabilities kept 2.2e-16 away from 0. `accuracy_interval` is Wilson's at 95%. Of
    two classes the second is the positive one of `auroc` and `auprc` (average precision).

    Args:
        labels: Integer labels, shape `(num_rows,)`; rows with a negative (missing) one are left
            out.
        probabilities: Floats in [0, 1], shape `(num_rows, num_classes)`, each row summing to 1.
        classes: Class names in the order of the columns.

    Returns:
        `num_rows accuracy accuracy_interval macro_f1 weighted_f1 balanced_accuracy log_loss mcc`,
        of two classes that both occur `auroc auprc`, `per_class` (name to `precision recall f1
        support`, for every class) and `confusion_matrix` (a list of lists, a row for each label, a
        column for each answer).

    Raises:
        ValueError: if the shapes or ranges do not fit, or no row has a label.

    Example:
        >>> metrics = classification_metrics([0, 1], [[0.9, 0.1], [0.6, 0.4]], ["no", "yes"])
        >>> metrics["accuracy"], metrics["confusion_matrix"]
        (0.5, [[1, 0], [1, 0]])
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    _check(labels, probabilities, len(classes))
    probabilities, labels = probabilities[labels >= 0], labels[labels >= 0]
    matrix = np.zeros((len(classes), len(classes)), dtype="int64")
    np.add.at(matrix, (labels, probabilities.argmax(axis=1)), 1)
    correct, total = int(matrix.trace()), int(matrix.sum())
    return {
        "num_rows": total,
        "accuracy": correct / total,
        "accuracy_interval": list(wilson_interval(correct, total)),
        **_averages(matrix),
        "log_loss": _log_loss(labels, probabilities),
        "mcc": _matthews(matrix),
        **(areas_under_curves(labels, probabilities[:, 1]) if len(classes) == 2 else {}),
        "per_class": _per_class(matrix, classes),
        "confusion_matrix": matrix.tolist(),
    }


def majority_baseline(train_labels: Any, labels: Any, classes: Sequence[Any]) -> dict[str, Any]:
    """Metrics of always answering the most frequent class of the training rows.

    Its probabilities are the classes' shares of the training rows, the best a model can give
    that sees neither image nor text. Of equally frequent classes the first in `classes` is the
    answer.

    Args:
        train_labels: Integer labels of the training rows; negative (missing) ones are left out.
        labels: Integer labels to score, shape `(num_rows,)`.
        classes: Class names.

    Returns:
        As `classification_metrics`.

    Raises:
        ValueError: if a label is out of range, or there are none.

    Example:
        >>> majority_baseline([0, 0, 1], [0, 1], ["no", "yes"])["accuracy"]
        0.5
    """
    train_labels, labels = np.asarray(train_labels), np.asarray(labels)
    _check_labels("train_labels", train_labels, len(classes))
    counts = np.bincount(train_labels[train_labels >= 0], minlength=len(classes))
    shares = np.tile(counts / counts.sum(), (len(labels), 1))
    return classification_metrics(labels, shares, classes)


def _check(labels: np.ndarray, probabilities: np.ndarray, num_classes: int) -> None:
    _check_labels("labels", labels, num_classes)
    if probabilities.shape != (len(labels), num_classes):
        raise ValueError(
            f"`probabilities` must have one row per label and one column per class, shape "
            f"{(len(labels), num_classes)}. Received: shape {probabilities.shape}"
        )
    sums_to_one = np.abs(probabilities.sum(axis=1) - 1) <= _MAX_SUM_ERROR
    if not (sums_to_one.all() and probabilities.min() >= 0):
        raise ValueError(
            "`probabilities` must be >= 0 and sum to 1 in every row; pass logits through a "
            f"softmax first. Received: values from {probabilities.min()} to {probabilities.max()}"
        )


def _check_labels(name: str, labels: np.ndarray, num_classes: int) -> None:
    if labels.ndim != 1 or (labels.size and not np.issubdtype(labels.dtype, np.integer)):
        raise ValueError(
            f"`{name}` must be integers of shape (num_rows,), in the order of `classes`. "
            f"Received: dtype {labels.dtype}, shape {labels.shape}"
        )
    if not labels.size or labels.max() < 0:
        raise ValueError(f"`{name}` holds no label; give rows that have one.")
    if labels.max() >= num_classes:
        raise ValueError(
            f"`{name}` must be below the number of classes, {num_classes}. Received: {labels.max()}"
        )


def _scores(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class; 0 where nothing was answered or labelled."""
    correct, answered, support = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    precision = correct / np.maximum(answered, 1)
    recall = correct / np.maximum(support, 1)
    return precision, recall, 2 * correct / np.maximum(answered + support, 1)


def _averages(matrix: np.ndarray) -> dict[str, float]:
    _, recall, f1 = _scores(matrix)
    support = matrix.sum(axis=1)
    occurring = (support + matrix.sum(axis=0)) > 0
    return {
        "macro_f1": float(f1[occurring].mean()),
        "weighted_f1": float(f1 @ support / support.sum()),
        "balanced_accuracy": float(recall[support > 0].mean()),
    }


def _log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    own = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    eps = np.finfo("float64").eps
    return float(-np.log(np.clip(own, eps, 1 - eps)).mean())


def _matthews(matrix: np.ndarray) -> float:
    """Matthews' correlation between labels and answers, for any number of classes."""
    matrix = matrix.astype("float64")
    total, answered, support = matrix.sum(), matrix.sum(axis=0), matrix.sum(axis=1)
    spread = (total**2 - answered @ answered) * (total**2 - support @ support)
    return float((matrix.trace() * total - answered @ support) / np.sqrt(spread)) if spread else 0.0


def areas_under_curves(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """`auroc` and `auprc` of 0 or 1 and its scores; empty where only one of them occurs."""
    if labels.min() == labels.max():
        return {}
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "auprc": float(average_precision_score(labels, scores)),
    }


def _per_class(matrix: np.ndarray, classes: Sequence[Any]) -> dict[str, dict[str, Any]]:
    columns = zip(*_scores(matrix), matrix.sum(axis=1), strict=True)
    return {
        str(name): {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(support),
        }
        for name, (precision, recall, f1, support) in zip(classes, columns, strict=True)
    }


def lower_is_better(monitor: str) -> bool:
    """Whether a metric's best value is its lowest: a loss or an error.

    Example:
        >>> lower_is_better("val_loss"), lower_is_better("val_macro_f1")
        (True, False)
    """
    return monitor.endswith(("loss", "error"))
