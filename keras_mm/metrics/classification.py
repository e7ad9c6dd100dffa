"""Metrics of predicted classes, and of the majority baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.metrics.intervals import effective_rows, share_with_interval, weight_facts
from keras_mm.row_weights import check_weights

LARGEST_MATRIX = 1000  # with more classes, only the non-zero cells are returned: to save memory
_AT_ONCE = 2**22  # scores sorted in one step; limits the memory
_MAX_SUM_ERROR = 0.01  # rounding error of the sum of probabilities computed in bfloat16


def classification_metrics(
    labels: Any, probabilities: Any, classes: Sequence[Any], *, sample_weight: Any = None
) -> dict[str, Any]:
    """Metrics of predicted probabilities against labels, as plain JSON values.

    The definitions are scikit-learn's, with 0 where scikit-learn would divide by 0 and warn.
    `macro_f1` is the mean over the classes that occur in the labels or the predictions,
    `balanced_accuracy` over those that occur in the labels. `mcc` is 0 if only one class occurs on
    either side. `log_loss` is in nats, with probabilities clipped to at least 2.2e-16.
    `accuracy_interval` is Wilson's 95% interval. With two classes, the second is the positive class
    of `auroc` and `auprc` (average precision).

    With `sample_weight` the metrics are scikit-learn's with that argument: a row of weight 3 counts
    like three rows. Supports and confusions are then sums of weights. Rows of weight 0 are ignored:
    a class that only such rows have does not occur. The interval is computed for the effective
    number of rows, see `keras_mm.metrics.intervals.effective_rows`.

    Args:
        labels: Integer labels, shape `(num_rows,)`. Rows with a negative (missing) label are left
            out.
        probabilities: Floats in [0, 1], shape `(num_rows, num_classes)`, each row summing to 1.
        classes: Class names in the order of the columns.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1.

    Returns:
        `num_rows accuracy accuracy_interval macro_f1 weighted_f1 balanced_accuracy log_loss mcc`;
        with two classes that both occur also `auroc auprc`; `per_class` (`precision recall f1
        support` by class name); `averages` (`macro avg` and `weighted avg`, as in scikit-learn's
        `classification_report`: the same four scores); and `confusion_matrix` (a list of lists: a
        row per label, a column per predicted class). With more than 1,000 classes `confusions`
        replaces the matrix: a list of `[label, prediction, rows]` for each pair of classes that
        occurs. With `sample_weight` also `total_weight` and `effective_rows`, and for each class
        `num_rows` and `effective_rows`; `num_rows` counts the rows with a weight above 0.

    Raises:
        ValueError: if shapes or ranges are wrong, or no row has a label and a weight above 0.

    Example:
        >>> metrics = classification_metrics([0, 1], [[0.9, 0.1], [0.6, 0.4]], ["no", "yes"])
        >>> metrics["accuracy"], metrics["confusion_matrix"]
        (0.5, [[1, 0], [1, 0]])
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    _check(labels, probabilities, len(classes))
    weights = check_weights(sample_weight, len(labels))
    rows = counted_rows(labels >= 0, weights)
    labels, probabilities = labels[rows], probabilities[rows]
    weights = None if weights is None else weights[rows]
    predictions = probabilities.argmax(axis=1)
    scores = _scores(labels, predictions, len(classes), weights)
    averages = average_rows(scores, np.union1d(labels, predictions))
    accuracy, interval = share_with_interval(labels == predictions, weights)
    return {
        "num_rows": len(labels),
        **weight_facts(weights),
        "accuracy": accuracy,
        "accuracy_interval": interval,
        "macro_f1": averages["macro avg"]["f1"],
        "weighted_f1": averages["weighted avg"]["f1"],
        "balanced_accuracy": float(scores.recall[scores.support > 0].mean()),
        "log_loss": _log_loss(labels, probabilities, weights),
        "mcc": _matthews(labels, predictions, len(classes), weights),
        **(_areas_of_two(labels, probabilities, weights) if len(classes) == 2 else {}),
        "per_class": _per_class(scores, classes, labels, weights),
        "averages": averages,
        **_confusions(labels, predictions, len(classes), weights),
    }


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


def confusion_cells(metrics: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The non-zero cells of a confusion matrix.

    Args:
        metrics: What `classification_metrics` returns.

    Returns:
        Labels, predicted classes and numbers of rows (with weights their sums), sorted by label and
        predicted class; each of shape `(num_cells,)`.

    Example:
        >>> [x.tolist() for x in confusion_cells({"confusion_matrix": [[2, 1], [0, 3]]})]
        [[0, 0, 1], [0, 1, 1], [2, 1, 3]]
    """
    if "confusions" in metrics:
        labels, predictions, counts = map(np.asarray, zip(*metrics["confusions"], strict=True))
        return labels, predictions, counts
    matrix = np.asarray(metrics["confusion_matrix"])
    labels, predictions = np.nonzero(matrix)
    return labels, predictions, matrix[labels, predictions]


def majority_baseline(
    train_labels: Any, labels: Any, classes: Sequence[Any], *, sample_weight: Any = None
) -> dict[str, Any]:
    """Metrics of always predicting the most frequent class of the training rows.

    Its probabilities are the shares of the classes among the training rows: the best constant
    prediction. If several classes are most frequent, the first of them in `classes` is predicted.

    Args:
        train_labels: Integer labels of the training rows, shape `(num_train_rows,)`; negative
            (missing) labels are left out.
        labels: Integer labels to score, shape `(num_rows,)`.
        classes: Class names.
        sample_weight: Weights of the rows to score, as in `classification_metrics`.

    Returns:
        As `classification_metrics`.

    Raises:
        ValueError: if a label is out of range, or there is no label.

    Example:
        >>> majority_baseline([0, 0, 1], [0, 1], ["no", "yes"])["accuracy"]
        0.5
    """
    train_labels, labels = np.asarray(train_labels), np.asarray(labels)
    _check_labels("train_labels", train_labels, len(classes))
    counts = np.bincount(train_labels[train_labels >= 0], minlength=len(classes))
    shares = np.broadcast_to(counts / counts.sum(), (len(labels), len(counts)))
    return classification_metrics(labels, shares, classes, sample_weight=sample_weight)


def _check(labels: np.ndarray, probabilities: np.ndarray, num_classes: int) -> None:
    _check_labels("labels", labels, num_classes)
    if probabilities.shape != (len(labels), num_classes):
        raise InvalidValueError(
            f"`probabilities` must have one row per label and one column per class, shape "
            f"{(len(labels), num_classes)}. Received: shape {probabilities.shape}"
        )
    sums_to_one = np.abs(probabilities.sum(axis=1) - 1) <= _MAX_SUM_ERROR
    if not (sums_to_one.all() and probabilities.min() >= 0):
        raise InvalidValueError(
            "`probabilities` must be >= 0 and sum to 1 in every row; pass logits through a "
            f"softmax first. Received: values from {probabilities.min()} to {probabilities.max()}"
        )


def _check_labels(name: str, labels: np.ndarray, num_classes: int) -> None:
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


class ClassScores(NamedTuple):
    """Scores of each class or label, and its number of rows: arrays of shape `(num_classes,)`."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def _scores(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, weights: np.ndarray | None
) -> ClassScores:
    """Scores of each class; 0 where a score is undefined."""
    from sklearn.metrics import precision_recall_fscore_support  # slow to import

    all_classes = np.arange(num_classes)
    return ClassScores(
        *precision_recall_fscore_support(
            labels, predictions, labels=all_classes, zero_division=0, sample_weight=weights
        )
    )


def _confusions(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, weights: np.ndarray | None
) -> dict[str, list]:
    """The confusion matrix; for many classes its non-zero cells."""
    from scipy.sparse import coo_array  # slow to import

    # Not scikit-learn's `confusion_matrix`: it is always dense, and warns if there is one class.
    values = np.ones(len(labels), "int64") if weights is None else weights
    counts = coo_array((values, (labels, predictions)), shape=(num_classes, num_classes)).tocsr()
    if num_classes <= LARGEST_MATRIX:
        return {"confusion_matrix": counts.toarray().tolist()}
    cells = counts.tocoo()
    columns = (cells.row.tolist(), cells.col.tolist(), cells.data.tolist())
    return {"confusions": [list(cell) for cell in zip(*columns, strict=True)]}


def average_rows(scores: ClassScores, occurring: Any) -> dict[str, dict[str, float]]:
    """The averages that scikit-learn's `classification_report` shows.

    Args:
        scores: Scores of each class or label.
        occurring: Classes of `macro avg`, as an index or mask: those that occur in the labels or
            the predictions.

    Returns:
        `macro avg`, the unweighted means, and `weighted avg`, the means weighted by support: each a
        dict of `precision recall f1 support`. Means of no class are 0.

    Example:
        >>> scores = ClassScores(*map(np.array, ([0.5, 1.0], [1.0, 0.5], [0.6, 0.7], [3, 1])))
        >>> average_rows(scores, [0, 1])["weighted avg"]["precision"]
        0.625
    """
    *columns, support = scores
    total = support.sum().item()
    return {
        "macro avg": average_row([column[occurring] for column in columns], total),
        "weighted avg": average_row(columns, total, weights=support),
    }


def average_row(
    columns: Sequence[np.ndarray], support: float, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Means of precision, recall and F1.

    Args:
        columns: Arrays of precision, recall and F1, each of shape `(n,)`.
        support: Number of labels that the means describe; for weighted rows the sum of weights.
        weights: Weights of the values, floats >= 0, shape `(n,)`; `None` for equal weights.

    Returns:
        `precision recall f1 support`; the means are 0 if no value has a weight above 0.
    """
    has_values = len(columns[0]) and (weights is None or weights.any())
    means = [float(np.average(x, weights=weights)) if has_values else 0.0 for x in columns]
    return {**dict(zip(("precision", "recall", "f1"), means, strict=True)), "support": support}


def _log_loss(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None) -> float:
    # scikit-learn's `log_loss` copies `probabilities` several times, and raises for a single class.
    label_probabilities = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    eps = np.finfo("float64").eps
    return float(np.average(-np.log(np.clip(label_probabilities, eps, 1 - eps)), weights=weights))


def _matthews(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, weights: np.ndarray | None
) -> float:
    """Matthews' correlation of labels and predictions, for any number of classes."""
    # Not scikit-learn's: it builds the dense confusion matrix, 800 MB for 10,000 classes.
    predicted, support = (
        np.bincount(x, weights, num_classes).astype("float64") for x in (predictions, labels)
    )
    hits = labels == predictions
    correct = float(hits.sum() if weights is None else weights[hits].sum())
    total = support.sum()
    spread = (total**2 - predicted @ predicted) * (total**2 - support @ support)
    if min(np.count_nonzero(predicted), np.count_nonzero(support)) < 2:  # the spread is 0
        return 0.0
    return float((correct * total - predicted @ support) / np.sqrt(spread))


def _areas_of_two(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    return areas_under_curves(labels[:, None], probabilities[:, 1:], weights).get(0, {})


def areas_under_curves(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> dict[int, dict[str, float]]:
    """Areas under the curves of binary labels: `auroc` and `auprc` (average precision).

    Args:
        labels: 0 or 1, shape `(num_rows, num_columns)`; negative (missing) labels are left out.
        scores: Floats, shape `(num_rows, num_columns)`; a higher score makes a 1 more likely.
        weights: Weights of the rows, floats > 0, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        Areas by column index, only for columns in which both 0 and 1 occur.

    Example:
        >>> areas_under_curves(np.array([[0], [1], [1]]), np.array([[0.2], [0.1], [0.3]]))
        {0: {'auroc': 0.5, 'auprc': 0.8333333333333333}}
    """
    columns = np.flatnonzero((labels == 1).any(axis=0) & (labels == 0).any(axis=0))
    size = max(1, _AT_ONCE // max(len(labels), 1))
    areas_by_column = {}
    for start in range(0, len(columns), size):
        part = columns[start : start + size]
        # Transposed, so that the values that are sorted and summed are contiguous in memory.
        areas = _areas(labels.T[part], scores.T[part], weights)
        for column, auroc, auprc in zip(part.tolist(), *areas, strict=True):
            areas_by_column[column] = {"auroc": float(auroc), "auprc": float(auprc)}
    return areas_by_column


def _areas(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both areas of each row of scores; equal scores share a threshold, as in scikit-learn."""
    order = np.argsort(-scores, axis=1, kind="stable")
    labels, scores = (np.take_along_axis(x, order, axis=1) for x in (labels, scores))
    places = np.arange(labels.shape[1])
    differs = scores[:, 1:] != scores[:, :-1]
    edge = np.ones_like(differs, shape=(len(scores), 1))
    begins, ends = np.hstack([edge, differs]), np.hstack([differs, edge])
    first = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    last = np.where(ends, places, places[-1])[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    is_positive, is_negative = labels == 1, labels == 0
    if weights is not None:
        is_positive, is_negative = is_positive * weights[order], is_negative * weights[order]
    positives, negatives = np.cumsum(is_positive, axis=1), np.cumsum(is_negative, axis=1)
    tp, fp = (np.take_along_axis(x, last, axis=1) for x in (positives, negatives))
    fp_before = np.take_along_axis(negatives - is_negative, first, axis=1)
    # For each score the negatives with a lower one; those with an equal one count half.
    below = negatives[:, -1:] - (fp + fp_before) / 2
    so_far = tp + fp
    precision = tp / np.where(so_far > 0, so_far, 1)
    auroc, auprc = (_sum(is_positive * x) / positives[:, -1] for x in (below, precision))
    return auroc / negatives[:, -1], auprc


def _sum(values: np.ndarray) -> np.ndarray:
    """Row sums, added from left to right, so that zeros in between do not change the rounding."""
    return np.cumsum(values, axis=1)[:, -1]


def _per_class(
    scores: ClassScores, classes: Sequence[Any], labels: np.ndarray, weights: np.ndarray | None
) -> dict[str, dict[str, Any]]:
    per_class: dict[str, dict[str, Any]] = {
        str(name): {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(support) if weights is None else float(support),
        }
        for name, precision, recall, f1, support in zip(classes, *scores, strict=True)
    }
    if weights is not None:
        order = np.argsort(labels, kind="stable")
        ends = np.cumsum(np.bincount(labels, minlength=len(classes)))[:-1]
        for name, weights_of_class in zip(classes, np.split(weights[order], ends), strict=True):
            per_class[str(name)] |= {
                "num_rows": len(weights_of_class),
                "effective_rows": effective_rows(weights_of_class),
            }
    return per_class


def lower_is_better(monitor: str) -> bool:
    """Whether a lower value of a metric is better, as for a loss or an error.

    Args:
        monitor: The metric's name, with or without `val_`.

    Returns:
        True for names that end in `loss` or `error`.

    Example:
        >>> lower_is_better("val_loss"), lower_is_better("val_macro_f1")
        (True, False)
    """
    return monitor.endswith(("loss", "error"))
