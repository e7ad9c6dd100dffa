"""Scores and confusions of classes: of all classes, or of the worst of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mm.evaluation.report.findings import Table, amount, percent
from keras_mm.evaluation.results import HeadEvaluation
from keras_mm.metrics.classification import confusion_cells
from keras_mm.metrics.intervals import wilson_interval

# Largest number of classes, labels or targets for which everything is shown, also the matrix.
MOST_CLASSES = 100
_NUM_WORST = 30
_MOST_CONFUSIONS = 15  # beside a matrix
_PLURALS = {"multilabel": "labels", "regression": "targets"}
_UNMEASURED = 2.0  # sorts after any share


@dataclass(frozen=True)
class Confusion:
    """Rows of one class that were predicted as another.

    Attributes:
        label: The class's name.
        answer: Name of the predicted class.
        count: Number of rows; with weights the sum of their weights.
        percent: Their share of the class's rows, as text.
    """

    label: Any
    answer: Any
    count: float
    percent: str


def class_table(one: HeadEvaluation) -> tuple[Table, str]:
    """Scores of classes, labels or targets as text.

    A score that no row was measured for is a dash, not 0.

    Args:
        one: The results of a head, with metrics.

    Returns:
        A table of all, in order, with scikit-learn's averages, and an empty note. Of more than
        `MOST_CLASSES`, a table of the worst, worst first, with the averages of all, and a note that
        says how many are not shown.
    """
    kind = one.head.kind
    # Targets that no row has are not measured.
    names = list(one.metrics["per_target"]) if kind == "regression" else one.classes
    header, line, rank = _TABLES.get(kind, _of_classes)(one)
    places, note = list(range(len(names))), ""
    if len(names) > MOST_CLASSES:
        ranks = [rank(place) for place in places]
        places = sorted(places, key=ranks.__getitem__)[:_NUM_WORST]
        unmeasured = sum(value[0] == _UNMEASURED for value in ranks)
        note = _note(kind, len(names), unmeasured)
    rows = [[names[place], *line(place)] for place in places]
    return Table(header, rows, average_lines(one, len(header))), note


def average_lines(one: HeadEvaluation, width: int = 5) -> list[list[str]]:
    """Averages over a head's classes or labels as text.

    Args:
        one: The results of a head, with metrics.
        width: Number of cells; those after the number of rows are empty.

    Returns:
        For each average its name as in scikit-learn, precision, recall, F1 and number of test rows
        (of labels: how often any label applies); none for a head of numbers.
    """
    return [
        [name, *(f"{row[score]:.3f}" for score in ("precision", "recall", "f1"))]
        + [str(amount(row["support"])), *[""] * (width - 5)]
        for name, row in one.metrics.get("averages", {}).items()
    ]


def _note(kind: str, total: int, unmeasured: int) -> str:
    plural = _PLURALS.get(kind, "classes")
    by = "error, beside that of always the mean" if kind == "regression" else "recall"
    order = "largest" if kind == "regression" else "lowest"
    end = "" if kind == "regression" else " (by the upper end of its interval)"
    words = (
        f"The {_NUM_WORST} {plural} of {total:,} with the {order} {by}{end}; "
        f"{total - _NUM_WORST:,} are not shown"
    )
    if unmeasured:
        words += f", among them {unmeasured:,} without a test row"
    averages = "" if kind == "regression" else f" The averages are of all {plural}."
    return f"{words}.{averages} classification_report() of the evaluation has all."


_Made = tuple[tuple[str, ...], Callable[[int], list[str]], Callable[[int], tuple[float, float]]]


def _of_classes(one: HeadEvaluation) -> _Made:
    """The table's header, a function for each class's line, and a function that ranks classes."""
    labels, answers, counts = confusion_cells(one.metrics)
    width = len(one.classes)
    answered = np.bincount(answers, weights=counts, minlength=width).tolist()
    hits = labels == answers
    correct = np.bincount(labels[hits], weights=counts[hits], minlength=width).tolist()
    scores = [one.metrics["per_class"][str(name)] for name in one.classes]

    def line(place: int) -> list[str]:
        return _class_scores(scores[place], correct[place], answered[place])

    def rank(place: int) -> tuple[float, float]:
        return _recall_rank(scores[place], correct[place])

    return ("Class", "Precision", "Recall", "F1", _counted(one)), line, rank


def _of_labels(one: HeadEvaluation) -> _Made:
    scores = list(one.metrics["per_label"].values())

    def line(place: int) -> list[str]:
        mine = scores[place]
        answered = mine["tp"] + mine["fp"]
        auroc = f"{mine['auroc']:.3f}" if "auroc" in mine else "–"
        found = _class_scores(mine, mine["tp"], answered)
        return [*found, str(amount(answered)), f"{mine['threshold']:.2f}", auroc]

    def rank(place: int) -> tuple[float, float]:
        return _recall_rank(scores[place], scores[place]["tp"])

    more = ("Answered", "Threshold", "ROC area")
    return ("Label", "Precision", "Recall", "F1", _counted(one), *more), line, rank


def _of_targets(one: HeadEvaluation) -> _Made:
    scores = list(one.metrics["per_target"].items())
    means = one.baseline["per_target"]

    def line(place: int) -> list[str]:
        name, mine = scores[place]
        low, high = mine["mean_absolute_error_interval"]
        error = f"{mine['mean_absolute_error']:.4g} [{low:.4g}, {high:.4g}]"
        mean = f"{means[name]['mean_absolute_error']:.4g}"
        return [error, mean, f"{mine['r2']:z.3f}", str(mine["num_rows"])]

    def rank(place: int) -> tuple[float, float]:
        name, mine = scores[place]
        mean = means[name]["mean_absolute_error"]
        return -mine["mean_absolute_error"] / (mean or 1.0), 0

    return ("Target", "Mean absolute error", "Always the mean", "R²", "Test rows"), line, rank


_TABLES = {"multilabel": _of_labels, "regression": _of_targets}


def _counted(one: HeadEvaluation) -> str:
    """What the supports are."""
    return "Weight of test rows" if one.is_weighted else "Test rows"


def _recall_interval(scores: Mapping, correct: float) -> tuple[float, float]:
    """Wilson's interval of the recall of a class that has rows."""
    count = scores.get("effective_rows")
    if count is None:
        return wilson_interval(correct, scores["support"])
    return wilson_interval(min(scores["recall"], 1.0) * count, count)


def _recall_rank(scores: Mapping, correct: float) -> tuple[float, float]:
    """A rank by the upper end of the recall's interval; classes without rows come last."""
    support = scores["support"]
    return (_recall_interval(scores, correct)[1], -support) if support else (_UNMEASURED, 0)


def _class_scores(scores: Mapping, correct: float, answered: float) -> list[str]:
    """Precision, recall with its interval, F1 and rows of one class."""
    support = scores["support"]
    recall = "–"
    if support:
        low, high = _recall_interval(scores, correct)
        recall = f"{scores['recall']:.3f} [{low:.2f}, {high:.2f}]"
    precision = f"{scores['precision']:.3f}" if answered else "–"
    f1 = f"{scores['f1']:.3f}" if support + answered else "–"
    return [precision, recall, f1, str(amount(support))]


def frequent_confusions(one: HeadEvaluation) -> tuple[list[Confusion], str]:
    """The most frequent confusions.

    Args:
        one: The results of a multiclass or binary head.

    Returns:
        The confusions, most frequent first; and with many classes a note that says how many more
        there are, else an empty text.
    """
    (labels, answers, counts), names = confusion_cells(one.metrics), one.classes
    support = np.bincount(labels, weights=counts)
    misses = np.flatnonzero(labels != answers)
    shares = counts[misses] / support[labels[misses]]
    misses = misses[np.lexsort((-shares, -counts[misses]))]
    many = len(names) > MOST_CLASSES
    shown = misses[: _NUM_WORST if many else _MOST_CONFUSIONS].tolist()
    found = [
        Confusion(
            names[labels[cell]],
            names[answers[cell]],
            amount(counts[cell]),
            percent(counts[cell] / support[labels[cell]]),
        )
        for cell in shown
    ]
    if not many:
        return found, ""
    rest = counts[misses[len(shown) :]]
    what = f"a weight of {amount(rest.sum()):,}" if one.is_weighted else f"{rest.sum():,} rows"
    note = (
        f"{len(shown)} of {len(misses):,} pairs of label and answer that were confused"
        + (f"; {len(rest):,} with {what} are not shown" if len(rest) else "")
        + f". The matrix of {len(names):,} classes is not drawn: confusion_matrix() of the "
        "evaluation gives it."
    )
    return found, note
