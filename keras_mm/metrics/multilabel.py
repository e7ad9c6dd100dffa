"""Metrics of several labels per row, their thresholds, and the frequency baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import label_ranking_average_precision_score, log_loss

from keras_mm.errors import InvalidValueError
from keras_mm.metrics.classification import (
    ClassScores,
    areas_under_curves,
    average_row,
    average_rows,
)
from keras_mm.metrics.intervals import wilson_interval
from keras_mm.settings.heads import resolve_threshold

_CANDIDATES = 1000  # thresholds that are tried when the metric is a function


def multilabel_metrics(
    labels: Any, probabilities: Any, classes: Sequence[Any], *, threshold: Any = 0.5
) -> dict[str, Any]:
    """Metrics of predicted probabilities against multi-hot labels, as plain JSON values.

    A label is predicted where its probability is `>= threshold`. The definitions are
    scikit-learn's, with 0 where scikit-learn would divide by 0 and warn. `macro_f1` is the mean
    over the labels that occur in the rows or in the predictions. `auroc` and `auprc` (average
    precision) are means over the labels that some rows have and others lack.

    Args:
        labels: 0 or 1, shape `(num_rows, num_labels)`; negative (missing) labels are left out.
        probabilities: Floats in [0, 1], shape `(num_rows, num_labels)`.
        classes: Label names in the order of the columns.
        threshold: As in `keras_mm.settings.heads.resolve_threshold`.

    Returns:
        `num_rows subset_accuracy subset_accuracy_interval hamming_loss micro_f1 macro_f1
        samples_f1 lrap log_loss`; where they are defined `auroc auprc`; `per_label` (name to
        `precision recall f1 support threshold tp fp fn tn` and `auroc auprc`); and `averages`
        (`micro avg`, `macro avg`, `weighted avg` and `samples avg`, the rows of scikit-learn's
        `classification_report`, each `precision recall f1 support`). `subset_accuracy` is the share
        of rows whose known labels are all predicted correctly, with Wilson's 95% interval. `lrap`
        is the label ranking average precision of the rows whose labels are all known, and absent if
        there is no such row. `log_loss` is the mean over all known labels, in nats.

    Raises:
        ValueError: if shapes or ranges are wrong, or no label is known.

    Example:
        >>> labels, found = [[1, 0, 0], [0, 0, 1]], [[0.75, 0.5, 1], [1, 0.2, 0.1]]
        >>> round(multilabel_metrics(labels, found, ["a", "b", "c"])["lrap"], 6)
        0.416667
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    _check(labels, probabilities, len(classes))
    some = (labels >= 0).any(axis=1)
    if not some.any():
        raise InvalidValueError("`labels` holds no label that is known.")
    labels, probabilities = labels[some].astype(int), probabilities[some]
    known = labels >= 0
    whole = known.all(axis=1)
    thresholds = resolve_threshold(threshold, classes)
    answers = probabilities >= thresholds
    counts = _Counts(labels == 1, answers, known)
    wrong = (answers != (labels == 1)) & known
    right = int((~wrong).all(axis=1).sum())
    averages = counts.average_rows()
    per_label = _per_label(counts, thresholds, labels, probabilities, classes)
    ranked = [found for found in per_label.values() if "auroc" in found]
    return {
        "num_rows": len(labels),
        "subset_accuracy": right / len(labels),
        "subset_accuracy_interval": list(wilson_interval(right, len(labels))),
        "hamming_loss": float(wrong.sum() / known.sum()),
        **{f"{name}_f1": averages[f"{name} avg"]["f1"] for name in ("micro", "macro", "samples")},
        **({"lrap": _lrap(labels[whole], probabilities[whole])} if whole.any() else {}),
        "log_loss": float(log_loss(labels[known], probabilities[known], labels=[0, 1])),
        **{
            name: float(np.mean([found[name] for found in ranked]))
            for name in ("auroc", "auprc")
            if ranked
        },
        "per_label": per_label,
        "averages": averages,
    }


def frequency_baseline(
    train_labels: Any, labels: Any, classes: Sequence[Any], *, threshold: Any = 0.5
) -> dict[str, Any]:
    """Metrics of always predicting each label's share of the training rows as its probability.

    Args:
        train_labels: Multi-hot labels of the training rows, shape `(num_train_rows, num_labels)`;
            negative (missing) labels are left out.
        labels: Labels to score, shape `(num_rows, num_labels)`.
        classes: Label names.
        threshold: As in `keras_mm.settings.heads.resolve_threshold`.

    Returns:
        As `multilabel_metrics`.

    Example:
        >>> frequency_baseline([[1, 0], [1, 1]], [[1, 0]], ["a", "b"])["subset_accuracy"]
        0.0
    """
    train_labels, labels = np.asarray(train_labels), np.asarray(labels)
    known = np.maximum((train_labels >= 0).sum(axis=0), 1)
    shares = (train_labels == 1).sum(axis=0) / known
    found = np.tile(shares, (len(labels), 1))
    return multilabel_metrics(labels, found, classes, threshold=threshold)


def tune_thresholds(
    labels: Any,
    probabilities: Any,
    *,
    metric: str | Callable[[np.ndarray, np.ndarray], float] = "f1",
) -> np.ndarray:
    """The best threshold of each label on these rows.

    Choose thresholds on validation rows: metrics on the same rows would be too optimistic.

    Args:
        labels: 0 or 1, shape `(num_rows, num_labels)`; negative (missing) labels are left out.
        probabilities: Floats in [0, 1], shape `(num_rows, num_labels)`.
        metric: `"f1"`, or a function of one label's labels and predictions, each 0 or 1 and of
            shape `(num_rows,)`, that returns a number; higher is better. At most 1000 thresholds
            are tried.

    Returns:
        Floats in [0, 1], shape `(num_labels,)`, each halfway between two probabilities that occur.
        Of equally good thresholds the nearest to 0.5; 0.5 for a label that no row has or every row
        has.

    Raises:
        ValueError: if shapes or ranges are wrong.

    Example:
        >>> tune_thresholds([[1], [1], [0]], [[0.4], [0.3], [0.1]]).tolist()
        [0.2]
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    _check(labels, probabilities, labels.shape[-1] if labels.ndim == 2 else 0)
    if not (metric == "f1" or callable(metric)):
        raise InvalidValueError(f"`metric` must be 'f1' or a function. Received: metric={metric!r}")
    found = [
        _best_threshold(column[column >= 0] == 1, scores[column >= 0], metric)
        for column, scores in zip(labels.T, probabilities.T, strict=True)
    ]
    return np.asarray(found)


def _best_threshold(labels: np.ndarray, scores: np.ndarray, metric: Any) -> float:
    if not labels.any() or labels.all():
        return 0.5
    values = np.unique(scores)
    candidates = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [(values[-1] + 1) / 2]])
    if callable(metric):
        # Within a run of scores whose rows all have, or all lack, the label, the best threshold is
        # at an end of the run; so only the ends are tried.
        above = np.isin(values, scores[labels])
        below = np.isin(values, scores[~labels])
        turns = np.concatenate([[True], above[1:] & below[:-1], [True]])
        candidates = candidates[turns]
        if len(candidates) > _CANDIDATES:
            places = np.linspace(0, len(candidates) - 1, _CANDIDATES).round().astype(int)
            candidates = candidates[places]
        results = np.asarray(
            [float(metric(labels.astype(int), (scores >= t).astype(int))) for t in candidates]
        )
    else:
        order = np.sort(scores)
        answered = len(scores) - np.searchsorted(order, candidates)
        found = np.sort(scores[labels])
        right = len(found) - np.searchsorted(found, candidates)
        results = 2 * right / np.maximum(answered + len(found), 1)
    best = candidates[results >= results.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def _lrap(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(label_ranking_average_precision_score(labels, probabilities))


class _Counts:
    """Correct and wrong predictions of the known labels, by label and by row.

    scikit-learn's metrics can leave out rows, but not single labels of a row.
    """

    def __init__(self, labels: np.ndarray, answers: np.ndarray, known: np.ndarray):
        self.tp, self.fp = labels & answers & known, ~labels & answers & known
        self.fn, self.tn = labels & ~answers & known, ~labels & ~answers & known

    def of_labels(self) -> dict[str, np.ndarray]:
        """Scores by name, `(num_labels,)` each."""
        parts = self.tp, self.fp, self.fn, self.tn
        tp, fp, fn, tn = (part.sum(axis=0) for part in parts)
        return {
            **_scores(tp, fp, fn)._asdict(),
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "tn": tn,
        }

    def average_rows(self) -> dict[str, dict[str, float]]:
        """Averages over all labels, by label, and by row, named as in scikit-learn."""
        parts = self.tp, self.fp, self.fn
        by_label, by_row = (tuple(part.sum(axis=axis) for part in parts) for axis in (0, 1))
        support = int(sum(by_label[::2]).sum())

        def mean(*counts: np.ndarray) -> dict[str, float]:
            return average_row(_scores(*counts)[:3], support)

        return {
            "micro avg": mean(*(part.sum().reshape(1) for part in parts)),
            **average_rows(_scores(*by_label), sum(by_label) > 0),
            "samples avg": mean(*by_row),
        }


def _per_label(
    counts: _Counts,
    thresholds: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[Any],
) -> dict[str, dict[str, Any]]:
    """Scores by label name; with areas only for labels that some rows have and others lack."""
    scores = {**counts.of_labels(), "threshold": thresholds}
    order = ("precision", "recall", "f1", "support", "threshold", "tp", "fp", "fn", "tn")
    columns = zip(*(scores[name].tolist() for name in order), strict=True)
    found: list[dict[str, Any]] = [dict(zip(order, values, strict=True)) for values in columns]
    for place, areas in areas_under_curves(labels, probabilities).items():
        found[place].update(areas)
    return dict(zip(map(str, classes), found, strict=True))


def _scores(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> ClassScores:
    """Scores of counts; 0 where scikit-learn would divide by 0."""
    precision, recall = tp / np.maximum(tp + fp, 1), tp / np.maximum(tp + fn, 1)
    return ClassScores(precision, recall, _f1(tp, fp, fn), tp + fn)


def _f1(tp: Any, fp: Any, fn: Any) -> Any:
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def _check(labels: np.ndarray, probabilities: np.ndarray, num_labels: int) -> None:
    if labels.ndim != 2 or labels.shape != probabilities.shape or labels.shape[1] != num_labels:
        raise InvalidValueError(
            "`labels` and `probabilities` must have the same rows and one column per label, "
            f"{num_labels} in all. Received: shapes {labels.shape} and {probabilities.shape}"
        )
    if not len(labels):
        raise InvalidValueError("`labels` holds no row.")
    if not (np.isin(labels, (0, 1)) | (labels < 0)).all():
        raise InvalidValueError("`labels` must be multi-hot: 0 or 1, or negative where missing.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise InvalidValueError(
            "`probabilities` must be in [0, 1]; pass logits through a sigmoid first. Received: "
            f"values from {probabilities.min()} to {probabilities.max()}"
        )
