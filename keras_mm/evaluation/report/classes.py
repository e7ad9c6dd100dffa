"""Tables of scores and confusions: of all classes, or of the worst of many classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mm.evaluation.report.formats import Table, amount, percent
from keras_mm.evaluation.results import HeadEvaluation
from keras_mm.metrics.classification import confusion_cells
from keras_mm.metrics.intervals import wilson_interval

# Up to this number, the tables list all classes, labels or targets, and the matrix is drawn.
MOST_CLASSES = 100
_NUM_WORST = 30
_MOST_CONFUSIONS = 15  # listed next to a matrix
_PLURALS = {"multilabel": "labels", "regression": "targets"}
_UNMEASURED = 2.0  # rank of a class without rows: sorts after every share, which is at most 1


@dataclass(frozen=True)
class Confusion:
    """The number of rows of one class that were predicted as another.

    Attributes:
        label: Name of the class.
        prediction: Name of the predicted class.
        count: Number of rows, or the sum of their weights if the rows have weights.
        percent: Share of these rows among the rows of the class, as text.
    """

    label: Any
    prediction: Any
    count: float
    percent: str


def class_table(result: HeadEvaluation) -> tuple[Table, str]:
    """Returns a table of the scores of classes, labels or targets.

    A score without any row to compute it on is a dash, not 0.

    Args:
        result: The results of a head, with metrics.

    Returns:
        The table and a note. Up to `MOST_CLASSES` classes, labels or targets are listed in order,
        and the note is empty. Of a larger number the table lists the worst, worst first, and the
        note says how many are not listed. Scikit-learn's averages always include all.
    """
    kind = result.head.kind
    # `per_target` lacks targets without a label in any row.
    names = list(result.metrics["per_target"]) if kind == "regression" else result.classes
    header, line, rank = _TABLES.get(kind, _of_classes)(result)
    places, note = list(range(len(names))), ""
    if len(names) > MOST_CLASSES:
        ranks = [rank(place) for place in places]
        places = sorted(places, key=ranks.__getitem__)[:_NUM_WORST]
        unmeasured = sum(value[0] == _UNMEASURED for value in ranks)
        note = _note(kind, len(names), unmeasured)
    rows = [[names[place], *line(place)] for place in places]
    return Table(header, rows, average_lines(result, len(header))), note


def average_lines(result: HeadEvaluation, width: int = 5) -> list[list[str]]:
    """Returns table lines with the averages over a head's classes or labels.

    Args:
        result: The results of a head, with metrics.
        width: Number of cells in a line, >= 5; cells after the fifth are empty.

    Returns:
        A line for each average, as text: its name in scikit-learn, precision, recall, F1, and the
        number of test rows (for labels: the number of labels that apply, over all rows). An empty
        list for a regression head.
    """
    return [
        [name, *(f"{row[score]:.3f}" for score in ("precision", "recall", "f1"))]
        + [str(amount(row["support"])), *[""] * (width - 5)]
        for name, row in result.metrics.get("averages", {}).items()
    ]


def _note(kind: str, total: int, unmeasured: int) -> str:
    plural = _PLURALS.get(kind, "classes")
    by = "error relative to that of predicting the mean" if kind == "regression" else "recall"
    order = "largest" if kind == "regression" else "lowest"
    end = "" if kind == "regression" else " (ranked by the upper end of its interval)"
    words = (
        f"The {_NUM_WORST} {plural} of {total:,} with the {order} {by}{end}; "
        f"{total - _NUM_WORST:,} are not shown"
    )
    if unmeasured:
        words += f", including {unmeasured:,} without a test row"
    averages = "" if kind == "regression" else f" The averages include all {plural}."
    return f"{words}.{averages} classification_report() of the evaluation lists all."


# Header of a table, and functions from the position of a class to its cells and to its rank.
_TableParts = tuple[
    tuple[str, ...], Callable[[int], list[str]], Callable[[int], tuple[float, float]]
]


def _of_classes(result: HeadEvaluation) -> _TableParts:
    """The parts of a table of classes; classes with a low recall rank first."""
    labels, predictions, counts = confusion_cells(result.metrics)
    width = len(result.classes)
    predicted = np.bincount(predictions, weights=counts, minlength=width).tolist()
    hits = labels == predictions
    correct = np.bincount(labels[hits], weights=counts[hits], minlength=width).tolist()
    scores = [result.metrics["per_class"][str(name)] for name in result.classes]

    def line(place: int) -> list[str]:
        return _class_scores(scores[place], correct[place], predicted[place])

    def rank(place: int) -> tuple[float, float]:
        return _recall_rank(scores[place], correct[place])

    return ("Class", "Precision", "Recall", "F1", _counted(result)), line, rank


def _of_labels(result: HeadEvaluation) -> _TableParts:
    scores = list(result.metrics["per_label"].values())

    def line(place: int) -> list[str]:
        score = scores[place]
        predicted = score["tp"] + score["fp"]
        auroc = f"{score['auroc']:.3f}" if "auroc" in score else "–"
        cells = _class_scores(score, score["tp"], predicted)
        return [*cells, str(amount(predicted)), f"{score['threshold']:.2f}", auroc]

    def rank(place: int) -> tuple[float, float]:
        return _recall_rank(scores[place], scores[place]["tp"])

    more = ("Predicted", "Threshold", "ROC area")
    return ("Label", "Precision", "Recall", "F1", _counted(result), *more), line, rank


def _of_targets(result: HeadEvaluation) -> _TableParts:
    scores = list(result.metrics["per_target"].items())
    means = result.baseline["per_target"]

    def line(place: int) -> list[str]:
        name, score = scores[place]
        low, high = score["mean_absolute_error_interval"]
        error = f"{score['mean_absolute_error']:.4g} [{low:.4g}, {high:.4g}]"
        mean = f"{means[name]['mean_absolute_error']:.4g}"
        return [error, mean, f"{score['r2']:z.3f}", str(score["num_rows"])]

    def rank(place: int) -> tuple[float, float]:
        name, score = scores[place]
        mean = means[name]["mean_absolute_error"]
        # Relative to the baseline, since targets have different units.
        return -score["mean_absolute_error"] / (mean or 1.0), 0

    return ("Target", "Mean absolute error", "Always the mean", "R²", "Test rows"), line, rank


_TABLES = {"multilabel": _of_labels, "regression": _of_targets}


def _counted(result: HeadEvaluation) -> str:
    """The header of the column of supports."""
    return "Weight of test rows" if result.is_weighted else "Test rows"


def _recall_interval(scores: Mapping, correct: float) -> tuple[float, float]:
    """The Wilson interval of the recall of a class with rows."""
    count = scores.get("effective_rows")
    if count is None:
        return wilson_interval(correct, scores["support"])
    # `wilson_interval` raises if successes exceed the total, even by a rounding error.
    return wilson_interval(min(scores["recall"], 1.0) * count, count)


def _recall_rank(scores: Mapping, correct: float) -> tuple[float, float]:
    """Ranks by the upper end of the recall's interval, then by support, largest first."""
    support = scores["support"]
    return (_recall_interval(scores, correct)[1], -support) if support else (_UNMEASURED, 0)


def _class_scores(scores: Mapping, correct: float, predicted: float) -> list[str]:
    """The cells of a class: precision, recall with its interval, F1 and number of rows."""
    support = scores["support"]
    recall = "–"
    if support:
        low, high = _recall_interval(scores, correct)
        recall = f"{scores['recall']:.3f} [{low:.2f}, {high:.2f}]"
    precision = f"{scores['precision']:.3f}" if predicted else "–"
    f1 = f"{scores['f1']:.3f}" if support + predicted else "–"
    return [precision, recall, f1, str(amount(support))]


def frequent_confusions(result: HeadEvaluation) -> tuple[list[Confusion], str]:
    """Finds the pairs of classes that were confused most often.

    Args:
        result: The results of a multiclass or binary head.

    Returns:
        The confusions, most frequent first, and a note. Up to `MOST_CLASSES` classes there are at
        most 15 confusions and the note is empty. With more classes there are at most 30 confusions,
        and the note says how many are not listed.
    """
    (labels, predictions, counts), names = confusion_cells(result.metrics), result.classes
    support = np.bincount(labels, weights=counts)
    misses = np.flatnonzero(labels != predictions)
    shares = counts[misses] / support[labels[misses]]
    misses = misses[np.lexsort((-shares, -counts[misses]))]
    many = len(names) > MOST_CLASSES
    shown = misses[: _NUM_WORST if many else _MOST_CONFUSIONS].tolist()
    confusions = [
        Confusion(
            names[labels[cell]],
            names[predictions[cell]],
            amount(counts[cell]),
            percent(counts[cell] / support[labels[cell]]),
        )
        for cell in shown
    ]
    if not many:
        return confusions, ""
    rest = counts[misses[len(shown) :]]
    size = f"a weight of {amount(rest.sum()):,}" if result.is_weighted else f"{rest.sum():,} rows"
    note = (
        f"{len(shown)} of {len(misses):,} pairs of label and wrong prediction"
        + (f"; {len(rest):,} with {size} are not shown" if len(rest) else "")
        + f". The matrix of {len(names):,} classes is not drawn: confusion_matrix() of the "
        "evaluation returns it."
    )
    return confusions, note
