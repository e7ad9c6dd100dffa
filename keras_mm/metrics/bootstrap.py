"""Intervals by bootstrap: of scores, and of differences between two models on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mm.checks import check_whole, is_number
from keras_mm.errors import InvalidValueError
from keras_mm.metrics.additive.scores import additive_score
from keras_mm.metrics.resampling import draw_scores, rows_to_draw

_RESAMPLES = 1000
_FEWEST = 200  # draws of very many rows, whose intervals are narrow
_MOST_COUNTS = 10**8  # rows times draws; takes about two seconds
_MOST_RANKED = 500_000  # probabilities that are ranked for an interval of average precision


class Difference(NamedTuple):
    """A difference between two scores, with an interval and a test.

    Attributes:
        value: The first score minus the second.
        low: Lower end of the interval.
        high: Upper end of the interval.
        p_value: Two-sided p-value of the hypothesis that the true difference is 0, in (0, 1].
    """

    value: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    labels: Any,
    predicted: Any,
    score: str = "macro_f1",
    *,
    kind: str = "multiclass",
    threshold: Any = 0.5,
    sample_weight: Any = None,
    groups: Any = None,
    confidence: float = 0.95,
    num_resamples: int = _RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a score by bootstrap over the rows.

    The rows are drawn with replacement, as many as there are, and scored; the interval holds the
    middle 95% of the scores. It describes the choice of the test rows, not that of the training
    rows or of a seed. If rows depend on each other, because they share a picture or a person, pass
    `groups`: then whole groups are drawn, and the interval is as wide as it must be.

    If every draw has the same score, because all predictions are right or there is one row, both
    ends are that score: rows that are all alike cannot say how others would differ.

    Args:
        labels: Integers, shape `(num_rows,)`; for `"multilabel"` 0 or 1, shape
            `(num_rows, num_labels)`; for `"regression"` numbers, shape `(num_rows,)` or
            `(num_rows, num_targets)`. Rows without a label (negative or NaN) are left out.
        predicted: Probabilities, shape `(num_rows, num_classes)`; for `"regression"` numbers, of
            the shape of `labels`.
        score: `"accuracy"`, `"macro_f1"`, `"balanced_accuracy"`, `"log_loss"`,
            `"brier_score_loss"` or `"auprc"` (mean average precision); for `"multilabel"`
            `"subset_accuracy"`, `"hamming_loss"`, `"micro_f1"`, `"macro_f1"`, `"log_loss"`,
            `"brier_score_loss"` or `"auprc"`; for `"regression"` `"mean_absolute_error"`,
            `"root_mean_squared_error"` or `"r2"`.
        kind: `"multiclass"`, `"binary"`, `"multilabel"` or `"regression"`.
        threshold: For `"multilabel"`: a label is predicted from this probability; a number, or one
            per label.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all count 1.
        groups: The group of each row, shape `(num_rows,)`; `None` if rows are independent.
        confidence: Probability that the interval should cover the true score, in (0, 1).
        num_resamples: Number of draws, >= 1.
        seed: Seed of the draws. The same seed gives the same interval.

    Returns:
        `(low, high)`; NaN if the score is undefined in every draw.

    Raises:
        ValueError: if a shape, a range or a name is wrong, or no row has a label and a weight above
            0.

    Example:
        >>> labels = [0, 0, 1, 1, 1, 0, 1, 0]
        >>> low, high = bootstrap_interval(labels, np.eye(2)[[0, 0, 1, 1, 1, 0, 0, 1]])
        >>> print(f"{low:.2f} {high:.2f}")
        0.37 1.00

    Reference:
        Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13.
    """
    _check(confidence, num_resamples)
    rows, clusters = rows_to_draw(
        labels,
        [predicted],
        kind,
        thresholds=[threshold],
        sample_weight=sample_weight,
        groups=groups,
    )
    scores = [additive_score(score, kind, part) for part in rows]
    return _middle(draw_scores(scores, clusters, num_resamples, seed)[0], confidence)


def bootstrap_difference(
    labels: Any,
    first: Any,
    second: Any,
    score: str = "macro_f1",
    *,
    kind: str = "multiclass",
    threshold: Any = 0.5,
    sample_weight: Any = None,
    groups: Any = None,
    confidence: float = 0.95,
    num_resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compares a score of two models that predicted the same rows, by a paired bootstrap.

    Both models are scored on each draw of rows, so what makes a row hard for both of them does not
    widen the interval. The p-value is the confidence at which the interval begins to exclude 0,
    subtracted from 1; it is at least `2 / (num_resamples + 1)`.

    Args:
        labels: As in `bootstrap_interval`.
        first: Predictions of the first model, as in `bootstrap_interval`.
        second: Predictions of the second model, of the same shape.
        score: As in `bootstrap_interval`.
        kind: As in `bootstrap_interval`.
        threshold: As in `bootstrap_interval`.
        sample_weight: As in `bootstrap_interval`.
        groups: As in `bootstrap_interval`.
        confidence: As in `bootstrap_interval`.
        num_resamples: As in `bootstrap_interval`.
        seed: As in `bootstrap_interval`.

    Returns:
        The score of the first model minus that of the second, with interval and p-value. For a loss
        or an error, a negative difference means that the first model is better.

    Raises:
        ValueError: as `bootstrap_interval`; or if the predictions differ in shape.

    Example:
        >>> labels, first = np.arange(40) % 2, np.arange(40) % 2
        >>> second = np.where(np.arange(40) < 20, labels, 0)
        >>> found = bootstrap_difference(labels, np.eye(2)[first], np.eye(2)[second], "accuracy")
        >>> print(f"{found.value} [{found.low:.2f}, {found.high:.2f}], p = {found.p_value:.3f}")
        0.25 [0.12, 0.38], p = 0.002

    Reference:
        Efron and Tibshirani 1993, "An introduction to the bootstrap", chapters 13 and 15.
    """
    _check(confidence, num_resamples)
    differences = score_differences(
        labels,
        (first, second),
        [score],
        kind=kind,
        thresholds=(threshold, threshold),
        sample_weight=sample_weight,
        groups=groups,
        confidence=confidence,
        num_resamples=num_resamples,
        seed=seed,
    )
    return differences[score]


def score_differences(
    labels: Any,
    predictions: tuple[Any, Any],
    names: Sequence[str],
    *,
    kind: str = "multiclass",
    thresholds: tuple[Any, Any] = (0.5, 0.5),
    sample_weight: Any = None,
    groups: Any = None,
    confidence: float = 0.95,
    num_resamples: int = _RESAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compares several scores of two models on the same draws; see `bootstrap_difference`.

    Args:
        labels: As in `bootstrap_interval`.
        predictions: Predictions of both models.
        names: Names of the scores.
        kind: As in `bootstrap_interval`.
        thresholds: For `"multilabel"`: the thresholds of each model.
        sample_weight: As in `bootstrap_interval`.
        groups: As in `bootstrap_interval`.
        confidence: As in `bootstrap_interval`.
        num_resamples: As in `bootstrap_interval`.
        seed: As in `bootstrap_interval`.

    Returns:
        Differences by name of the score.

    Raises:
        ValueError: as `bootstrap_difference`.
    """
    _check(confidence, num_resamples)
    shapes = [np.shape(predicted) for predicted in predictions]
    if shapes[0] != shapes[1]:
        raise InvalidValueError(
            "`first` and `second` must be predictions of the same rows and classes. Received: "
            f"shapes {shapes[0]} and {shapes[1]}"
        )
    rows, clusters = rows_to_draw(
        labels,
        predictions,
        kind,
        thresholds=thresholds,
        sample_weight=sample_weight,
        groups=groups,
    )
    scores = [additive_score(name, kind, part) for name in names for part in rows]
    values = [one.of_samples(np.ones((len(clusters), 1))).item() for one in scores]
    drawn = draw_scores(scores, clusters, num_resamples, seed)
    found = {}
    for i, name in enumerate(names):
        samples = drawn[2 * i] - drawn[2 * i + 1]
        value = values[2 * i] - values[2 * i + 1]
        found[name] = Difference(value, *_middle(samples, confidence), _p_value(samples))
    return found


def score_intervals(
    labels: Any,
    predicted: Any,
    kind: str,
    *,
    threshold: Any = 0.5,
    sample_weight: Any = None,
    groups: Any = None,
) -> dict[str, list[float]]:
    """The intervals by bootstrap that stand among the metrics of a head.

    Args:
        labels: As in `bootstrap_interval`.
        predicted: As in `bootstrap_interval`.
        kind: As in `bootstrap_interval`.
        threshold: As in `bootstrap_interval`.
        sample_weight: As in `bootstrap_interval`.
        groups: As in `bootstrap_interval`.

    Returns:
        The 95% intervals `macro_f1_interval log_loss_interval auprc_interval`, for `"regression"`
        `r2_interval`. Left out are those of undefined scores, those that are the same in all draws
        (of a perfect model, or of a single row), and `auprc_interval` of more than 500,000
        probabilities, which takes too long. More than 100,000 rows are drawn less often.
    """
    rows, clusters = rows_to_draw(
        labels,
        [predicted],
        kind,
        thresholds=[threshold],
        sample_weight=sample_weight,
        groups=groups,
    )
    names = ["r2"] if kind == "regression" else ["macro_f1", "log_loss", "auprc"]
    if rows[0].predicted.size > _MOST_RANKED:
        names = [name for name in names if name != "auprc"]
    scores = [additive_score(name, kind, rows[0]) for name in names]
    num_resamples = int(np.clip(_MOST_COUNTS // len(clusters), _FEWEST, _RESAMPLES))
    drawn = draw_scores(scores, clusters, num_resamples, seed=0)
    middles = {name: _middle(values, 0.95) for name, values in zip(names, drawn, strict=True)}
    return {f"{name}_interval": [*ends] for name, ends in middles.items() if ends[0] < ends[1]}


def _middle(values: np.ndarray, confidence: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _p_value(differences: np.ndarray) -> float:
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return np.nan
    beyond = min((differences <= 0).sum(), (differences >= 0).sum())
    return min(1.0, float(2 * (beyond + 1) / (len(differences) + 1)))


def _check(confidence: float, num_resamples: int) -> None:
    check_whole(num_resamples=num_resamples)
    if not (is_number(confidence) and 0 < confidence < 1):
        raise InvalidValueError(
            f"`confidence` must be in (0, 1), e.g. 0.95. Received: {confidence!r}"
        )
