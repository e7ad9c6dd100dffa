"""Metrics of predicted classes, and of the majority baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from sklearn.metrics import precision_recall_fscore_support

from keras_mm.errors import InvalidValueError
from keras_mm.metrics.intervals import wilson_interval

# With more classes only the cells that are not 0 are returned: the matrix grows by the square.
LARGEST_MATRIX = 1000
_AT_ONCE = 2**22  # scores that are ranked at a time, which bounds the memory
_MAX_SUM_ERROR = 0.01  # probabilities computed in bfloat16 sum to 1 no more exactly than this


def classification_metrics(
    labels: Any, probabilities: Any, classes: Sequence[Any]
) -> dict[str, Any]:
    """Metrics of predicted probabilities against labels, as plain JSON values.

    The definitions are scikit-learn's, with 0 where scikit-learn would divide by 0 and warn.
    `macro_f1` is the mean over the classes that occur in the labels or the predictions,
    `balanced_accuracy` over those that occur in the labels. `mcc` is 0 if only one class occurs on
    either side. `log_loss` is in nats, with probabilities clipped to at least 2.2e-16.
    `accuracy_interval` is Wilson's 95% interval. With two classes, the second is the positive class
    of `auroc` and `auprc` (average precision).

    Args:
        labels: Integer labels, shape `(num_rows,)`. Rows with a negative (missing) label are left
            out.
        probabilities: Floats in [0, 1], shape `(num_rows, num_classes)`, each row summing to 1.
        classes: Class names in the order of the columns.

    Returns:
        `num_rows accuracy accuracy_interval macro_f1 weighted_f1 balanced_accuracy log_loss mcc`;
        with two classes that both occur also `auroc auprc`; `per_class` (name to `precision recall
        f1 support`, for every class); `averages` (`macro avg` and `weighted avg`, the rows of
        scikit-learn's `classification_report`, with the same scores); and `confusion_matrix` (a
        list of lists: a row per label, a column per predicted class). With more than 1,000 classes
        `confusions` replaces the matrix: a list of integers `[label, prediction, rows]`, one for
        each pair that occurs.

    Raises:
        ValueError: if shapes or ranges are wrong, or no row has a label.

    Example:
        >>> metrics = classification_metrics([0, 1], [[0.9, 0.1], [0.6, 0.4]], ["no", "yes"])
        >>> metrics["accuracy"], metrics["confusion_matrix"]
        (0.5, [[1, 0], [1, 0]])
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    _check(labels, probabilities, len(classes))
    probabilities, labels = probabilities[labels >= 0], labels[labels >= 0]
    answers = probabilities.argmax(axis=1)
    scores = _scores(labels, answers, len(classes))
    averages = average_rows(scores, np.union1d(labels, answers))
    correct, total = int((labels == answers).sum()), len(labels)
    return {
        "num_rows": total,
        "accuracy": correct / total,
        "accuracy_interval": list(wilson_interval(correct, total)),
        "macro_f1": averages["macro avg"]["f1"],
        "weighted_f1": averages["weighted avg"]["f1"],
        "balanced_accuracy": float(scores.recall[scores.support > 0].mean()),
        "log_loss": _log_loss(labels, probabilities),
        "mcc": _matthews(labels, answers, len(classes)),
        **(_areas_of_two(labels, probabilities) if len(classes) == 2 else {}),
        "per_class": _per_class(scores, classes),
        "averages": averages,
        **_confusions(labels, answers, len(classes)),
    }


def confusion_cells(metrics: Mapping[str, Any]) -> np.ndarray:
    """The cells of a confusion matrix that are not 0.

    Args:
        metrics: What `classification_metrics` returns.

    Returns:
        Integers, shape `(num_cells, 3)`: label, predicted class and number of rows, sorted by label
        and predicted class.

    Example:
        >>> confusion_cells({"confusion_matrix": [[2, 1], [0, 3]]}).tolist()
        [[0, 0, 2], [0, 1, 1], [1, 1, 3]]
    """
    if "confusions" in metrics:
        return np.asarray(metrics["confusions"], dtype="int64").reshape(-1, 3)
    matrix = np.asarray(metrics["confusion_matrix"], dtype="int64")
    places = np.nonzero(matrix)
    return np.column_stack([*places, matrix[places]])


def majority_baseline(train_labels: Any, labels: Any, classes: Sequence[Any]) -> dict[str, Any]:
    """Metrics of always predicting the most frequent class of the training rows.

    Its probabilities are the classes' shares of the training rows: the best that a model can do
    without any input. Of equally frequent classes the first in `classes` is predicted.

    Args:
        train_labels: Integer labels of the training rows, shape `(num_train_rows,)`; negative
            (missing) labels are left out.
        labels: Integer labels to score, shape `(num_rows,)`.
        classes: Class names.

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
    return classification_metrics(labels, shares, classes)


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
        raise InvalidValueError(f"`{name}` holds no label; give rows that have one.")
    if labels.max() >= num_classes:
        raise InvalidValueError(
            f"`{name}` must be below the number of classes, {num_classes}. Received: {labels.max()}"
        )


class ClassScores(NamedTuple):
    """Scores of each class or label and its labelled rows, `(num_classes,)` each."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def _scores(labels: np.ndarray, answers: np.ndarray, num_classes: int) -> ClassScores:
    """Scores of each class; 0 where no row is predicted or labelled as the class."""
    return ClassScores(
        *precision_recall_fscore_support(
            labels, answers, labels=np.arange(num_classes), zero_division=0
        )
    )


def _confusions(labels: np.ndarray, answers: np.ndarray, num_classes: int) -> dict[str, list]:
    """The confusion matrix, or its cells that are not 0."""
    # As scikit-learn's `confusion_matrix`, which gives no cells and warns of a single class.
    ones, shape = np.ones(len(labels), "int64"), (num_classes, num_classes)
    counts = coo_array((ones, (labels, answers)), shape=shape).tocsr()
    if num_classes <= LARGEST_MATRIX:
        return {"confusion_matrix": counts.toarray().tolist()}
    cells = counts.tocoo()
    return {"confusions": np.column_stack([cells.row, cells.col, cells.data]).tolist()}


def average_rows(scores: ClassScores, occurring: Any) -> dict[str, dict[str, float]]:
    """The rows of averages of scikit-learn's `classification_report`.

    Args:
        scores: Scores of each class or label.
        occurring: The classes of `macro avg`, as an index: those that any row is labelled or
            predicted as.

    Returns:
        `macro avg`, the plain means, and `weighted avg`, the means weighted by the classes' rows:
        each `precision recall f1 support`. 0 where there is nothing to average.

    Example:
        >>> scores = ClassScores(*map(np.array, ([0.5, 1.0], [1.0, 0.5], [0.6, 0.7], [3, 1])))
        >>> average_rows(scores, [0, 1])["weighted avg"]["precision"]
        0.625
    """
    *columns, support = scores
    total = int(support.sum())
    return {
        "macro avg": average_row([column[occurring] for column in columns], total),
        "weighted avg": average_row(columns, total, weights=support),
    }


def average_row(
    columns: Sequence[np.ndarray], support: int, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Means of precision, recall and F1.

    Args:
        columns: Precisions, recalls and F1s, an array `(n,)` each.
        support: Number of labels that the means are of.
        weights: Weights of the values, `(n,)`, >= 0; `None` for equal ones.

    Returns:
        `precision recall f1 support`; means are 0 if there is no value with a weight.
    """
    some = len(columns[0]) and (weights is None or weights.any())
    means = [float(np.average(x, weights=weights)) if some else 0.0 for x in columns]
    return {**dict(zip(("precision", "recall", "f1"), means, strict=True)), "support": support}


def _log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    # scikit-learn's makes several tables of the size of `probabilities`, and refuses one class.
    own = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    eps = np.finfo("float64").eps
    return float(-np.log(np.clip(own, eps, 1 - eps)).mean())


def _matthews(labels: np.ndarray, answers: np.ndarray, num_classes: int) -> float:
    """Matthews' correlation between labels and answers, for any number of classes."""
    # scikit-learn's makes a whole matrix, which takes 800 MB for 10,000 classes.
    answered, support = (
        np.bincount(values, minlength=num_classes).astype("float64") for values in (answers, labels)
    )
    right, total = float((labels == answers).sum()), support.sum()
    spread = (total**2 - answered @ answered) * (total**2 - support @ support)
    return float((right * total - answered @ support) / np.sqrt(spread)) if spread else 0.0


def _areas_of_two(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return areas_under_curves(labels[:, None], probabilities[:, 1:]).get(0, {})


def areas_under_curves(labels: np.ndarray, scores: np.ndarray) -> dict[int, dict[str, float]]:
    """Areas under the curves of binary labels: `auroc` and `auprc` (average precision).

    Args:
        labels: 0 or 1, shape `(num_rows, num_columns)`; negative (missing) labels are left out.
        scores: Floats, shape `(num_rows, num_columns)`; higher means more likely 1.

    Returns:
        Areas by index of the column, for the columns in which both 0 and 1 occur.

    Example:
        >>> areas_under_curves(np.array([[0], [1], [1]]), np.array([[0.2], [0.1], [0.3]]))
        {0: {'auroc': 0.5, 'auprc': 0.8333333333333333}}
    """
    columns = np.flatnonzero((labels == 1).any(axis=0) & (labels == 0).any(axis=0))
    size = max(1, _AT_ONCE // max(len(labels), 1))
    found = {}
    for start in range(0, len(columns), size):
        part = columns[start : start + size]
        # Transposed, so that the values that are sorted and summed are contiguous in memory.
        areas = _areas(labels.T[part], scores.T[part])
        for column, auroc, auprc in zip(part.tolist(), *areas, strict=True):
            found[column] = {"auroc": float(auroc), "auprc": float(auprc)}
    return found


def _areas(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both areas of each row of scores; equal scores form one step, as in scikit-learn."""
    order = np.argsort(-scores, axis=1, kind="stable")
    labels, scores = (np.take_along_axis(x, order, axis=1) for x in (labels, scores))
    places = np.arange(labels.shape[1])
    differs = scores[:, 1:] != scores[:, :-1]
    edge = np.ones_like(differs, shape=(len(scores), 1))
    begins, ends = np.hstack([edge, differs]), np.hstack([differs, edge])
    first = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    last = np.where(ends, places, places[-1])[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    is_yes, is_no = labels == 1, labels == 0
    yes, no = np.cumsum(is_yes, axis=1), np.cumsum(is_no, axis=1)
    yes_so_far, no_so_far = (np.take_along_axis(x, last, axis=1) for x in (yes, no))
    no_before = np.take_along_axis(no - is_no, first, axis=1)
    # Zeros with a lower score; zeros with an equal score count half.
    below = no[:, -1:] - (no_so_far + no_before) / 2
    precision = yes_so_far / np.maximum(yes_so_far + no_so_far, 1)
    auroc, auprc = (_sum(np.where(is_yes, x, 0.0)) / yes[:, -1] for x in (below, precision))
    return auroc / no[:, -1], auprc


def _sum(values: np.ndarray) -> np.ndarray:
    """Sums of rows, added in order: zeros in between change no bit of the result."""
    return np.cumsum(values, axis=1)[:, -1]


def _per_class(scores: ClassScores, classes: Sequence[Any]) -> dict[str, dict[str, Any]]:
    return {
        str(name): {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(support),
        }
        for name, precision, recall, f1, support in zip(classes, *scores, strict=True)
    }


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
