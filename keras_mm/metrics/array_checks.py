"""Checks of labels, probabilities and numbers that are passed as arrays."""

from __future__ import annotations

import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.progress import counted

_MAX_SUM_ERROR = 0.01  # rounding error of the sum of probabilities computed in bfloat16


def counted_rows(labelled: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Selects the rows that metrics are computed on.

    Args:
        labelled: Whether each row has a label, bool `(num_rows,)`.
        weights: Weights of the rows, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        Whether each row has a label and a weight above 0, bool `(num_rows,)`.

    Raises:
        ValueError: if no row has both.
    """
    rows = labelled if weights is None else labelled & (weights > 0)
    if not rows.any():
        raise InvalidValueError("No row has both a label and a weight above 0; pass rows that do.")
    return rows


def check_probabilities(labels: np.ndarray, probabilities: np.ndarray, num_classes: int) -> None:
    """Checks labels and probabilities of classes.

    Args:
        labels: Integers below `num_classes`, negative where missing, shape `(num_rows,)`.
        probabilities: Floats in [0, 1], shape `(num_rows, num_classes)`, each row summing to 1.
        num_classes: Number of classes.

    Raises:
        ValueError: if a shape, a type or a range is wrong, or no row has a label.
    """
    check_labels("labels", labels, num_classes)
    if probabilities.shape != (len(labels), num_classes):
        raise InvalidValueError(
            f"`probabilities` must have one row per label and one column per class, shape "
            f"{(len(labels), num_classes)}. Received: shape {probabilities.shape}"
        )
    sums_to_one = np.abs(probabilities.sum(axis=1) - 1) <= _MAX_SUM_ERROR
    if not (sums_to_one.all() and probabilities.min() >= 0):
        check_no_nan(probabilities)
        raise InvalidValueError(
            "`probabilities` must be >= 0 and sum to 1 in every row; pass logits through a "
            f"softmax first. Received: values from {probabilities.min()} to {probabilities.max()}"
        )


def check_no_nan(probabilities: np.ndarray) -> None:
    """Checks that no probability is NaN.

    Args:
        probabilities: Floats, shape `(num_rows, num_columns)`.

    Raises:
        ValueError: for NaN, with the first row that has one.
    """
    rows = np.flatnonzero(np.isnan(probabilities).any(axis=1))
    if len(rows):
        raise InvalidValueError(
            f"`probabilities` must be numbers. Received: NaN in {counted(len(rows), 'row')}, first "
            f"in row {rows[0]} (from 0). Leave out rows without a prediction, as those that were "
            "skipped; if training diverged, lower the learning rate."
        )


def check_labels(name: str, labels: np.ndarray, num_classes: int) -> None:
    """Checks labels of classes.

    Args:
        name: Name of the argument, for the message.
        labels: Integers below `num_classes`, negative where missing, shape `(num_rows,)`.
        num_classes: Number of classes.

    Raises:
        ValueError: if the shape, the type or a value is wrong, or no row has a label.
    """
    if labels.ndim != 1 or (labels.size and not np.issubdtype(labels.dtype, np.integer)):
        raise InvalidValueError(
            f"`{name}` must be integers of shape (num_rows,), in the order of `classes`. "
            f"Received: dtype {labels.dtype}, shape {labels.shape}"
        )
    if not labels.size or labels.max() < 0:
        raise InvalidValueError(f"`{name}` has no label; pass rows that have one.")
    if labels.max() >= num_classes:
        raise InvalidValueError(
            f"`{name}` must be below the number of classes, {num_classes}. Received: {labels.max()}"
        )


def check_multilabel(labels: np.ndarray, probabilities: np.ndarray, num_labels: int) -> None:
    """Checks multi-hot labels and their probabilities.

    Args:
        labels: 0 or 1, negative where missing, shape `(num_rows, num_labels)`.
        probabilities: Floats in [0, 1], shape `(num_rows, num_labels)`.
        num_labels: Number of labels.

    Raises:
        ValueError: if a shape or a value is wrong, or there are no rows.
    """
    if labels.ndim != 2 or labels.shape != probabilities.shape or labels.shape[1] != num_labels:
        raise InvalidValueError(
            "`labels` and `probabilities` must have the same rows and one column per label, "
            f"{num_labels} in all. Received: shapes {labels.shape} and {probabilities.shape}"
        )
    if not len(labels):
        raise InvalidValueError("`labels` has no rows.")
    if not (np.isin(labels, (0, 1)) | (labels < 0)).all():
        raise InvalidValueError("`labels` must be multi-hot: 0 or 1, or negative where missing.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        check_no_nan(probabilities)
        raise InvalidValueError(
            "`probabilities` must be in [0, 1]; pass logits through a sigmoid first. Received: "
            f"values from {probabilities.min()} to {probabilities.max()}"
        )


def check_numbers(targets: np.ndarray, predictions: np.ndarray, num_targets: int) -> None:
    """Checks targets and predicted numbers.

    Args:
        targets: Floats, NaN where missing, shape `(num_rows, num_targets)`.
        predictions: Floats, shape `(num_rows, num_targets)`.
        num_targets: Number of targets.

    Raises:
        ValueError: if shapes are wrong, or a prediction is not finite.
    """
    if targets.ndim != 2 or targets.shape != predictions.shape or targets.shape[1] != num_targets:
        raise InvalidValueError(
            "`targets` and `predictions` must have one column per target, "
            f"{num_targets} in all. Received: shapes {targets.shape} and {predictions.shape}"
        )
    if not np.isfinite(predictions).all():
        raise InvalidValueError("`predictions` must be finite numbers.")
