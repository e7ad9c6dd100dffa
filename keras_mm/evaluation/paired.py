"""Compares two models by their predictions for the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mm.checks import quote, unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.evaluation.predicted import Predicted, read_predicted
from keras_mm.evaluation.results import SCORES, Results
from keras_mm.metrics.bootstrap import Difference, score_differences
from keras_mm.metrics.classification import lower_is_better
from keras_mm.metrics.significance import McNemar, mcnemar
from keras_mm.settings.heads import Head, resolve_threshold

# Scores that are compared beside the main score, by kind of head.
_ALSO = {
    "multiclass": ("macro_f1", "log_loss"),
    "binary": ("macro_f1", "log_loss"),
    "multilabel": ("macro_f1", "log_loss"),
    "regression": ("root_mean_squared_error", "r2"),
}


@dataclass(frozen=True)
class PairedComparison:
    """How two models differ on the same rows.

    Attributes:
        score: Name of the main score: accuracy, of a multilabel head subset accuracy, of a
            regression head the mean absolute error.
        differences: By name of the score, the score of the first model minus that of the second,
            with 95% interval and p-value: the main score, macro-F1 and log loss; of a regression
            head the main score, root mean squared error and R².
        mcnemar: Rows that only one of the models predicts correctly, and McNemar's test; `None` for
            a regression head.
        num_rows: Number of rows with a label and a weight above 0.
    """

    score: str
    differences: dict[str, Difference]
    mcnemar: McNemar | None
    num_rows: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the comparison as JSON-serialisable values.

        Returns:
            The attributes; differences and test as dicts.
        """
        return {
            "score": self.score,
            "num_rows": self.num_rows,
            "differences": {name: one._asdict() for name, one in self.differences.items()},
            "mcnemar": None if self.mcnemar is None else self.mcnemar._asdict(),
        }

    def __str__(self) -> str:
        lines = [
            f"{name.replace('_', ' ')}: {_verdict(name, one)}, {one.value:+.4g} "
            f"[{one.low:+.4g}, {one.high:+.4g}], p = {one.p_value:.3g}"
            for name, one in self.differences.items()
        ]
        if self.mcnemar is not None:
            first, second, p = self.mcnemar
            lines.append(
                f"only the first is right: {first:.6g}, only the second: {second:.6g}; "
                f"McNemar's test p = {p:.3g}"
            )
        return "\n".join([*lines, f"{self.num_rows} rows"])


def compare_predictions(
    first: Results, second: Results, *, head: str | None = None, groups: Any = None
) -> PairedComparison:
    """Compares two models by their predictions for the same rows, with a paired bootstrap.

    Args:
        first: Results of the first model, as `MultimodalClassifier.evaluate` returns them.
        second: Results of the second model on the same rows, in any order.
        head: The head that is compared, with the same name in both models; not needed if the first
            results have one head.
        groups: The group of each row, in the order of `first`, shape `(num_rows,)`: rows that
            depend on each other, because they share a picture or a person. Then whole groups are
            drawn; McNemar's test, which knows no groups, is left out.

    Returns:
        Differences, first minus second.

    Raises:
        ValueError: if the rows, their labels or weights, the kinds of the heads or the classes
            differ; each message names the first that does.
    """
    name = _head_name(first, second, head)
    one, other = read_predicted(first, name), read_predicted(second, name)
    other = other.take(_same_rows(first, second))
    if one.head.kind != other.head.kind:
        raise InvalidValueError(
            f"The heads {name!r} must be of one kind. Received: {one.head.kind} and "
            f"{other.head.kind}"
        )
    _check_classes(one.head.names, other.head.names)
    other = other.reorder(list(one.head.names))
    _check_labels(one, other, first)
    kind, score = one.head.kind, SCORES[one.head.kind][1]
    differences = score_differences(
        one.labels,
        (one.values, other.values),
        [score, *_ALSO[kind]],
        kind=kind,
        thresholds=(_threshold(one.head), _threshold(other.head)),
        sample_weight=one.weights,
        groups=groups,
    )
    test = None if kind == "regression" or groups is not None else _mcnemar(one, other)
    return PairedComparison(score, differences, test, first.heads[name].metrics["num_rows"])


def _head_name(first: Results, second: Results, head: str | None) -> str:
    if head is None and len(first.heads) > 1:
        raise InvalidValueError(
            f"`head` must name the head to compare: one of {quote(list(first.heads))}. "
            "Received: head=None"
        )
    name = next(iter(first.heads)) if head is None else head
    for results in (first, second):
        if name not in results.heads:
            raise InvalidValueError(unknown_name("head", name, results.heads))
    return name


def _same_rows(first: Results, second: Results) -> np.ndarray:
    """Positions of the first results' rows in the second results."""
    index, other = first.predictions.index, second.predictions.index
    if index.equals(other):
        return np.arange(len(index))
    if not (index.is_unique and other.is_unique):
        raise InvalidValueError(
            "Both results must be of the same rows. The indexes of their tables differ, and have "
            "repeated values, so rows cannot be matched; evaluate both on the same table."
        )
    for mine, theirs, which in ((index, other, "first"), (other, index, "second")):
        only = mine.difference(theirs, sort=False)
        if len(only):
            raise InvalidValueError(
                f"Both results must be of the same rows. Only the {which} have row {quote(only[0])}"
                f"{f' and {len(only) - 1} more' if len(only) > 1 else ''}. Evaluate both on the "
                "same table, without rows that one of the models skipped."
            )
    return other.get_indexer(index)


def _check_classes(names: Sequence, others: Sequence) -> None:
    for mine, theirs, which in ((names, others, "first"), (others, names, "second")):
        only = [name for name in mine if name not in theirs]
        if only:
            raise InvalidValueError(
                f"Both models must have the same classes. Only the {which} has {quote(only)}. "
                "Train both with the same `classes`."
            )


def _check_labels(one: Predicted, other: Predicted, first: Results) -> None:
    index = first.predictions.index
    pairs = {"label": (one.labels, other.labels), "weight": (one.weights, other.weights)}
    for what, values in pairs.items():
        if values[0] is None and values[1] is None:
            continue
        mine, theirs = (np.ones(len(index)) if part is None else part for part in values)
        differs = ~np.isclose(mine, theirs, rtol=0, atol=0, equal_nan=True)
        rows = np.flatnonzero(differs.reshape(len(index), -1).any(axis=1))
        if len(rows):
            raise InvalidValueError(
                f"Both results must be of the same rows. Row {quote(index[rows[0]])} has another "
                f"{what} in the second; {len(rows)} of {len(index)} rows do."
            )


def _mcnemar(one: Predicted, other: Predicted) -> McNemar:
    labelled = one.labels >= 0
    rows = labelled if labelled.ndim == 1 else labelled.any(axis=1)
    right = [_is_right(part)[rows] for part in (one, other)]
    return mcnemar(*right, sample_weight=None if one.weights is None else one.weights[rows])


def _is_right(predicted: Predicted) -> np.ndarray:
    head, labels = predicted.head, predicted.labels
    if head.kind != "multilabel":
        return predicted.values.argmax(axis=1) == labels
    answers = predicted.values >= _threshold(head)
    return np.all((answers == (labels == 1)) | (labels < 0), axis=1)


def _threshold(head: Head) -> Any:
    """One threshold per label; of other heads, which have none, the default."""
    return resolve_threshold(head.threshold, head.names) if head.kind == "multilabel" else 0.5


def _verdict(name: str, difference: Difference) -> str:
    if not (difference.low > 0 or difference.high < 0):
        return "no significant difference"
    better = "second" if (difference.value > 0) == lower_is_better(name) else "first"
    return f"the {better} is better"
