"""Tests of differences: on the same rows, over folds, and of several differences at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keras_mm.checks import quote
from keras_mm.errors import InvalidValueError
from keras_mm.metrics.bootstrap import Difference
from keras_mm.row_weights import check_weights


class McNemar(NamedTuple):
    """Rows that only one of two models predicts correctly, and a test.

    Attributes:
        only_first: Number of rows, or sum of weights, that only the first model predicts correctly.
        only_second: The same for the second model.
        p_value: Two-sided p-value of the hypothesis that both models are equally accurate.
    """

    only_first: float
    only_second: float
    p_value: float


def mcnemar(first: Any, second: Any, *, sample_weight: Any = None) -> McNemar:
    """McNemar's test: whether two models differ in accuracy on the same rows.

    Only rows matter that one model predicts correctly and the other does not: of equally accurate
    models each is right on half of them. The test is the exact binomial test, for any number of
    rows. With weights, the rows count as many as equally weighted ones would that are as
    informative (see `keras_mm.metrics.effective_rows`), and the test is an approximation.

    Rows that depend on each other make p-values too small; use
    `keras_mm.metrics.bootstrap_difference` with `groups` then.

    Args:
        first: Whether the first model is right, bool, shape `(num_rows,)`.
        second: Whether the second model is right, bool, shape `(num_rows,)`.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        Counts and p-value; the p-value is 1 if no row is predicted correctly by only one model.

    Raises:
        ValueError: if shapes differ, or values are not 0 or 1.

    Example:
        >>> labels = np.array([0, 1, 1, 0, 1, 0])
        >>> print(mcnemar(labels == [0, 1, 1, 0, 1, 1], labels == [1, 0, 0, 1, 1, 0]))
        McNemar(only_first=4, only_second=1, p_value=0.375)

    Reference:
        McNemar 1947, Psychometrika 12, 153-157.
    """
    from scipy.special import betainc  # slow to import

    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 1 or first.shape != second.shape:
        raise InvalidValueError(
            "`first` and `second` must be of the same shape, (num_rows,). Received: shapes "
            f"{first.shape} and {second.shape}"
        )
    for name, values in (("first", first), ("second", second)):
        if not np.isin(values, (0, 1)).all():
            raise InvalidValueError(
                f"`{name}` must say whether the model is right, True or False for each row. Pass "
                f"`labels == predictions`. Received: {quote(values.tolist())}"
            )
    weights = check_weights(sample_weight, len(first))
    differs = first != second
    weights = None if weights is None else weights[differs]
    wins = first[differs].astype(bool)
    counts = _total(wins, weights), _total(~wins, weights)
    # Binomial tails by the incomplete beta function, which also takes numbers that are not whole.
    few, many = sorted(np.multiply(counts, _information(weights)))
    p_value = min(1.0, 2 * float(betainc(many, few + 1, 0.5))) if many else 1.0
    return McNemar(*counts, p_value)


def _total(rows: np.ndarray, weights: np.ndarray | None) -> float:
    return int(rows.sum()) if weights is None else float(weights[rows].sum())


def _information(weights: np.ndarray | None) -> float:
    """The number of equally weighted rows that a weight of 1 is worth."""
    if weights is None or not weights.any():
        return 1.0
    weights = weights / (largest := weights.max())
    return float(weights.sum() / (weights @ weights) / largest)


def corrected_t_test(
    differences: Any, train_size: float, test_size: float, *, confidence: float = 0.95
) -> Difference:
    """Corrected resampled t-test over folds, also over repeated ones.

    The training rows of two folds overlap, so differences between two models vary less over folds
    than they would over new data. The plain t-test takes this for certainty, and finds differences
    where there are none. Here the variance is multiplied by `1/k + test_size/train_size` instead of
    by `1/k`, for `k` differences.

    Args:
        differences: The difference of two models' scores for each fold of each repetition, shape
            `(num_differences,)`, at least 2.
        train_size: Number of training rows of a fold, or their share, > 0.
        test_size: Number of test rows of a fold, or their share, > 0.
        confidence: Probability that the interval covers the true difference, in (0, 1).

    Returns:
        The mean difference, its interval, and the two-sided p-value.

    Raises:
        ValueError: for fewer than 2 differences, one that is not finite, or a size that is not > 0.

    Example:
        >>> result = corrected_t_test([0.02, 0.01, 0.03, 0.02, 0.02], train_size=80, test_size=20)
        >>> print(f"{result.value:.3f} [{result.low:.3f}, {result.high:.3f}]")
        0.020 [0.007, 0.033]

    Reference:
        Nadeau and Bengio 2003, Machine Learning 52, 239-281; for repeated cross-validation:
        Bouckaert and Frank 2004, PAKDD.
    """
    from scipy.stats import t as student  # slow to import

    values = np.asarray(differences, "float64")
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InvalidValueError(
            "`differences` must be at least 2 finite numbers, one for each fold. Received: "
            f"{quote(values.tolist())}"
        )
    for name, size in (("train_size", train_size), ("test_size", test_size)):
        if not (np.isfinite(size) and size > 0):
            raise InvalidValueError(f"`{name}` must be > 0. Received: {name}={size!r}")
    if not 0 < confidence < 1:
        raise InvalidValueError(f"`confidence` must be in (0, 1). Received: {confidence!r}")
    count, mean = len(values), float(values.mean())
    error = float(np.sqrt(values.var(ddof=1) * (1 / count + test_size / train_size)))
    margin = float(student.ppf((1 + confidence) / 2, count - 1)) * error
    if error > 0:
        p_value = 2 * float(student.sf(abs(mean) / error, count - 1))
    else:
        p_value = 1.0 if mean == 0 else 0.0
    return Difference(mean, mean - margin, mean + margin, p_value)


def holm(p_values: Any) -> np.ndarray:
    """Adjusts the p-values of several tests, by Holm's method.

    If all hypotheses hold, the probability that any adjusted p-value is at most .05 is at most .05.
    The tests may depend on each other in any way.

    Args:
        p_values: P-values in [0, 1], shape `(num_tests,)`.

    Returns:
        Adjusted p-values in the same order, in [0, 1], shape `(num_tests,)`.

    Raises:
        ValueError: for another shape, or a number outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]

    Reference:
        Holm 1979, Scand. J. Stat. 6, 65-70.
    """
    values = np.asarray(p_values, "float64")
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise InvalidValueError(
            "`p_values` must be numbers in [0, 1], shape (num_tests,). Received: "
            f"{quote(values.tolist())}"
        )
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return adjusted[np.argsort(order, kind="stable")]
