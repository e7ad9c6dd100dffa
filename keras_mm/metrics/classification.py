"""Metrics of predicted classes, and of the majority baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mm.metrics.areas import areas_under_curves
from keras_mm.metrics.array_checks import check_labels, check_probabilities, counted_rows
from keras_mm.metrics.class_probabilities import class_probability_metrics
from keras_mm.metrics.intervals import effective_rows, share_with_interval, weight_facts
from keras_mm.metrics.probability_errors import label_losses
from keras_mm.row_weights import check_weights

LARGEST_MATRIX = 1000  # with more classes, only the non-zero cells are returned: to save memory


def classification_metrics(
    labels: Any,
    probabilities: Any,
    classes: Sequence[Any],
    *,
    sample_weight: Any = None,
    extended: bool = True,
) -> dict[str, Any]:
    """Metrics of predicted probabilities against labels, as plain JSON values.

    The definitions are scikit-learn's, with 0 where scikit-learn would divide by 0 and warn.
    `macro_f1` is the mean over the classes that occur in the labels or the predictions,
    `balanced_accuracy` over those that occur in the labels. `mcc` is 0 if only one class occurs on
    either side. `log_loss` is in nats, with probabilities clipped to at least 2.2e-16.
    `accuracy_interval` is Wilson's 95% interval. With two classes, the second is the positive class
    of `auroc` and `auprc` (average precision). With more, both are means over the classes that some
    rows have and others lack, each against all others. `top_2_accuracy` is the share of rows whose
    label is among the 2 most probable classes; of equally probable classes, the first in `classes`
    counts as more probable. `expected_calibration_error` compares the probability of the predicted
    class with the share of correct rows, see
    `keras_mm.metrics.probability_errors.expected_calibration_error`.

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
        extended: Whether to compute also what takes longer with many classes, as said below.

    Returns:
        `num_rows accuracy accuracy_interval macro_f1 weighted_f1 balanced_accuracy log_loss mcc`;
        if both of two classes occur also `auroc auprc`; `per_class` (`precision recall f1 support`
        by class name); `averages` (`macro avg` and `weighted avg`, as in scikit-learn's
        `classification_report`: the same four scores); and `confusion_matrix` (a list of lists: a
        row per label, a column per predicted class). With more than 1,000 classes `confusions`
        replaces the matrix: a list of `[label, prediction, rows]` for each pair of classes that
        occurs. With `sample_weight` also `total_weight` and `effective_rows`, and for each class
        `num_rows` and `effective_rows`; `num_rows` counts the rows with a weight above 0. Only if
        `extended`: `brier_score_loss expected_calibration_error`, `top_<k>_accuracy` for each k
        from 2 to 5 that is below the number of classes, and `auroc auprc` of more than two classes.

    Raises:
        ValueError: if shapes or ranges are wrong, or no row has a label and a weight above 0.

    Example:
        >>> metrics = classification_metrics([0, 1], [[0.9, 0.1], [0.6, 0.4]], ["no", "yes"])
        >>> metrics["accuracy"], metrics["confusion_matrix"]
        (0.5, [[1, 0], [1, 0]])
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    check_probabilities(labels, probabilities, len(classes))
    weights = check_weights(sample_weight, len(labels))
    rows = counted_rows(labels >= 0, weights)
    labels, probabilities = labels[rows], probabilities[rows]
    weights = None if weights is None else weights[rows]
    return _metrics(labels, probabilities, classes, weights, extended=extended)


def _metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[Any],
    weights: np.ndarray | None,
    *,
    extended: bool,
) -> dict[str, Any]:
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
        "log_loss": float(np.average(label_losses(labels, probabilities), weights=weights)),
        "mcc": _matthews(labels, predictions, len(classes), weights),
        **(_areas_of_two(labels, probabilities, weights) if len(classes) == 2 else {}),
        **(class_probability_metrics(labels, probabilities, weights) if extended else {}),
        "per_class": _per_class(scores, classes, labels, weights),
        "averages": averages,
        **_confusions(labels, predictions, len(classes), weights),
    }


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
    check_labels("train_labels", train_labels, len(classes))
    counts = np.bincount(train_labels[train_labels >= 0], minlength=len(classes))
    shares = np.broadcast_to(counts / counts.sum(), (len(labels), len(counts)))
    return classification_metrics(labels, shares, classes, sample_weight=sample_weight)


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
