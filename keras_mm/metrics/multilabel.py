"""Metrics of several labels per row, their thresholds, and the frequency baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.metrics.areas import areas_under_curves, mean_areas
from keras_mm.metrics.array_checks import check_multilabel, counted_rows
from keras_mm.metrics.classification import (
    ClassScores,
    average_row,
    average_rows,
)
from keras_mm.metrics.intervals import effective_rows, share_with_interval, weight_facts
from keras_mm.metrics.probability_errors import expected_calibration_error, multilabel_losses
from keras_mm.row_weights import check_weights
from keras_mm.settings.heads import resolve_threshold

_AVERAGES = ("micro", "macro", "weighted", "samples")
_CANDIDATES = 1000  # most thresholds that are tried if the metric is a function


def multilabel_metrics(
    labels: Any,
    probabilities: Any,
    classes: Sequence[Any],
    *,
    threshold: Any = 0.5,
    sample_weight: Any = None,
    extended: bool = True,
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
        sample_weight: Weights of the rows, as in
            `keras_mm.metrics.classification.classification_metrics`. Supports and the counts `tp fp
            fn tn` are then sums of weights.
        extended: Whether to compute also `brier_score_loss` and `expected_calibration_error`.

    Returns:
        `num_rows subset_accuracy subset_accuracy_interval hamming_loss micro_f1 macro_f1
        weighted_f1 samples_f1 lrap log_loss brier_score_loss expected_calibration_error`; where
        they are defined `auroc auprc`; `per_label` (by label name `precision recall f1 support
        threshold tp fp fn tn`, and `auroc auprc` where defined); and `averages` (`micro avg`,
        `macro avg`, `weighted avg` and `samples avg`, as in scikit-learn's
        `classification_report`, each `precision recall f1 support`). `subset_accuracy` is the share
        of rows whose known labels are all predicted correctly, with Wilson's 95% interval. `lrap`
        is the label ranking average precision over the rows whose labels are all known; it is left
        out if there is no such row. `log_loss` in nats, `brier_score_loss` (the mean squared error
        of the probabilities) and `expected_calibration_error` are computed over all known labels
        together, each label of a row being one binary prediction. With `sample_weight` also
        `total_weight` and `effective_rows`, and for each label `num_rows` and `effective_rows` of
        the rows that have it.

    Raises:
        ValueError: if shapes or ranges are wrong, or no row has a known label and a weight above 0.

    Example:
        >>> labels, scores = [[1, 0, 0], [0, 0, 1]], [[0.75, 0.5, 1], [1, 0.2, 0.1]]
        >>> round(multilabel_metrics(labels, scores, ["a", "b", "c"])["lrap"], 6)
        0.416667
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    check_multilabel(labels, probabilities, len(classes))
    weights = check_weights(sample_weight, len(labels))
    counted = (labels >= 0).any(axis=1)
    if not counted.any():
        raise InvalidValueError("`labels` has no known label; pass rows that have one.")
    counted = counted_rows(counted, weights)
    labels, probabilities = labels[counted].astype(int), probabilities[counted]
    weights = None if weights is None else weights[counted]
    return _metrics(labels, probabilities, classes, weights, threshold, extended=extended)


def _metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[Any],
    weights: np.ndarray | None,
    threshold: Any,
    *,
    extended: bool,
) -> dict[str, Any]:
    thresholds = resolve_threshold(threshold, classes)
    predicted, known = probabilities >= thresholds, labels >= 0
    counts = _Counts(labels == 1, predicted, known, weights)
    wrong = (predicted != (labels == 1)) & known
    averages = counts.average_rows()
    accuracy, interval = share_with_interval((~wrong).all(axis=1), weights)
    per_label = _per_label(counts, thresholds, labels, probabilities, classes)
    return {
        "num_rows": len(labels),
        **weight_facts(weights),
        "subset_accuracy": accuracy,
        "subset_accuracy_interval": interval,
        "hamming_loss": float(_sums(wrong, weights).sum() / _sums(known, weights).sum()),
        **{f"{name}_f1": averages[f"{name} avg"]["f1"] for name in _AVERAGES},
        **_lrap(labels, probabilities, weights),
        **_probability_errors(labels, probabilities, weights, extended=extended),
        **mean_areas(scores for scores in per_label.values() if "auroc" in scores),
        "per_label": per_label,
        "averages": averages,
    }


def frequency_baseline(
    train_labels: Any,
    labels: Any,
    classes: Sequence[Any],
    *,
    threshold: Any = 0.5,
    sample_weight: Any = None,
) -> dict[str, Any]:
    """Metrics of always predicting each label's share of the training rows as its probability.

    Args:
        train_labels: Multi-hot labels of the training rows, shape `(num_train_rows, num_labels)`;
            negative (missing) labels are left out.
        labels: Labels to score, shape `(num_rows, num_labels)`.
        classes: Label names.
        threshold: As in `keras_mm.settings.heads.resolve_threshold`.
        sample_weight: Weights of the rows to score, as in `multilabel_metrics`.

    Returns:
        As `multilabel_metrics`.

    Example:
        >>> frequency_baseline([[1, 0], [1, 1]], [[1, 0]], ["a", "b"])["subset_accuracy"]
        0.0
    """
    train_labels, labels = np.asarray(train_labels), np.asarray(labels)
    known = np.maximum((train_labels >= 0).sum(axis=0), 1)
    shares = (train_labels == 1).sum(axis=0) / known
    probabilities = np.tile(shares, (len(labels), 1))
    return multilabel_metrics(
        labels, probabilities, classes, threshold=threshold, sample_weight=sample_weight
    )


def tune_thresholds(
    labels: Any,
    probabilities: Any,
    *,
    metric: str | Callable[..., float] = "f1",
    sample_weight: Any = None,
) -> np.ndarray:
    """Finds the threshold of each label that is best on these rows.

    Pass validation rows: metrics computed on the same rows are too optimistic.

    Args:
        labels: 0 or 1, shape `(num_rows, num_labels)`; negative (missing) labels are left out.
        probabilities: Floats in [0, 1], shape `(num_rows, num_labels)`.
        metric: `"f1"`, or a function of one label's labels and predictions, each 0 or 1 and of
            shape `(num_rows,)`, that returns a number, where higher is better. At most 1000
            thresholds per label are tried.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1. A function receives the weights of its rows as the keyword `sample_weight`.

    Returns:
        Floats in [0, 1], shape `(num_labels,)`, each halfway between two probabilities that occur,
        or at the ends of their range. If several thresholds are equally good, the one nearest to
        0.5; 0.5 for a label that no row or every row has.

    Raises:
        ValueError: if shapes or ranges are wrong.

    Example:
        >>> tune_thresholds([[1], [1], [0]], [[0.4], [0.3], [0.1]]).tolist()
        [0.2]
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype="float64")
    check_multilabel(labels, probabilities, labels.shape[-1] if labels.ndim == 2 else 0)
    if not (metric == "f1" or callable(metric)):
        raise InvalidValueError(f"`metric` must be 'f1' or a function. Received: metric={metric!r}")
    weights = check_weights(sample_weight, len(labels))
    counted = np.ones(len(labels), bool) if weights is None else weights > 0
    thresholds = []
    for column, scores in zip(labels.T, probabilities.T, strict=True):
        rows = (column >= 0) & counted
        row_weights = None if weights is None else weights[rows]
        thresholds.append(_best_threshold(column[rows] == 1, scores[rows], metric, row_weights))
    return np.asarray(thresholds)


def _best_threshold(
    labels: np.ndarray, scores: np.ndarray, metric: Any, weights: np.ndarray | None
) -> float:
    if not labels.any() or labels.all():
        return 0.5
    values = np.unique(scores)
    candidates = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [(values[-1] + 1) / 2]])
    if callable(metric):
        # Sort the rows by score. Within a run of rows that all have, or all lack, the label, each
        # step of the threshold changes the metric in the same direction. So the best threshold is
        # at an end of a run, and only these are tried.
        above = np.isin(values, scores[labels])
        below = np.isin(values, scores[~labels])
        turns = np.concatenate([[True], above[1:] & below[:-1], [True]])
        candidates = candidates[turns]
        if len(candidates) > _CANDIDATES:
            indices = np.linspace(0, len(candidates) - 1, _CANDIDATES).round().astype(int)
            candidates = candidates[indices]
        options = {} if weights is None else {"sample_weight": weights}
        true_labels = labels.astype(int)
        results = np.asarray(
            [float(metric(true_labels, (scores >= t).astype(int), **options)) for t in candidates]
        )
    else:
        row_weights = np.ones(len(scores), int) if weights is None else weights
        predicted = _weight_from(scores, row_weights, candidates)
        correct = _weight_from(scores[labels], row_weights[labels], candidates)
        results = _ratio(2 * correct, predicted + row_weights[labels].sum())
    best = candidates[results >= results.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def _weight_from(scores: np.ndarray, weights: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """For each candidate threshold, the total weight of the rows that reach it."""
    order = np.argsort(scores, kind="stable")
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0)
    return above[np.searchsorted(scores[order], candidates)]


def _lrap(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    """Label ranking average precision of the rows whose labels are all known."""
    from sklearn.metrics import label_ranking_average_precision_score  # slow to import

    rows = (labels >= 0).all(axis=1)
    if not rows.any():
        return {}
    weights = None if weights is None else weights[rows]
    lrap = label_ranking_average_precision_score(
        labels[rows], probabilities[rows], sample_weight=weights
    )
    return {"lrap": float(lrap)}


def _probability_errors(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None, *, extended: bool
) -> dict[str, float]:
    known = labels >= 0
    losses = multilabel_losses(labels, probabilities)[known]
    weights = None if weights is None else np.repeat(weights, known.sum(axis=1))
    errors = {"log_loss": float(np.average(losses, weights=weights))}
    if not extended:
        return errors
    labels, probabilities = labels[known], probabilities[known]
    squares = (probabilities - labels) ** 2
    return errors | {
        "brier_score_loss": float(np.average(squares, weights=weights)),
        "expected_calibration_error": expected_calibration_error(labels, probabilities, weights),
    }


class _Counts:
    """Correct and wrong predictions of the known labels, by label and by row.

    scikit-learn's metrics cannot be used: they can leave out a row, but not one label of a row.
    """

    def __init__(
        self,
        labels: np.ndarray,
        predicted: np.ndarray,
        known: np.ndarray,
        weights: np.ndarray | None,
    ):
        self.labels, self.weights = labels & known, weights
        self.tp, self.fp = labels & predicted & known, ~labels & predicted & known
        self.fn, self.tn = labels & ~predicted & known, ~labels & ~predicted & known

    def of_labels(self) -> dict[str, np.ndarray]:
        """Scores by name, `(num_labels,)` each."""
        parts = self.tp, self.fp, self.fn, self.tn
        tp, fp, fn, tn = (_sums(part, self.weights) for part in parts)
        return {
            **_scores(tp, fp, fn)._asdict(),
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "tn": tn,
            **self._rows_of_labels(),
        }

    def _rows_of_labels(self) -> dict[str, np.ndarray]:
        """With weights, the rows that have each label."""
        weights = self.weights
        if weights is None:
            return {}
        counts = [effective_rows(weights[rows]) for rows in self.labels.T]
        return {"num_rows": self.labels.sum(axis=0), "effective_rows": np.asarray(counts)}

    def average_rows(self) -> dict[str, dict[str, float]]:
        """Averages over all labels, by label, and by row, named as in scikit-learn."""
        parts = self.tp, self.fp, self.fn
        by_label = tuple(_sums(part, self.weights) for part in parts)
        by_row = tuple(part.sum(axis=1) for part in parts)
        support = (by_label[0] + by_label[2]).sum().item()

        def mean(*counts: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
            return average_row(_scores(*counts)[:3], support, weights)

        return {
            "micro avg": mean(*(part.sum().reshape(1) for part in by_label)),
            **average_rows(_scores(*by_label), sum(by_label) > 0),
            "samples avg": mean(*by_row, weights=self.weights),
        }


def _sums(mask: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """For each column the number, or the total weight, of the rows where it is True."""
    return mask.sum(axis=0) if weights is None else weights @ mask


def _per_label(
    counts: _Counts,
    thresholds: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[Any],
) -> dict[str, dict[str, Any]]:
    """Scores by label name; with areas for the labels that some rows have and others lack."""
    scores = {**counts.of_labels(), "threshold": thresholds}
    order = ["precision", "recall", "f1", "support", "threshold", "tp", "fp", "fn", "tn"]
    order += [name for name in ("num_rows", "effective_rows") if name in scores]
    columns = zip(*(scores[name].tolist() for name in order), strict=True)
    per_label: list[dict[str, Any]] = [dict(zip(order, values, strict=True)) for values in columns]
    for index, areas in areas_under_curves(labels, probabilities, counts.weights).items():
        per_label[index].update(areas)
    return dict(zip(map(str, classes), per_label, strict=True))


def _scores(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> ClassScores:
    """Scores from counts; 0 where scikit-learn would divide by 0."""
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    return ClassScores(precision, recall, _f1(tp, fp, fn), tp + fn)


def _f1(tp: Any, fp: Any, fn: Any) -> Any:
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _ratio(part: Any, whole: Any) -> Any:
    """`part / whole`; 0 where the whole is 0."""
    return part / np.where(whole > 0, whole, 1)
