"""Confidence intervals of proportions, with and without row weights."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from keras_mm.errors import InvalidValueError


def wilson_interval(
    successes: float, total: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Wilson's score interval of a proportion, such as an accuracy.

    Unlike the interval of the normal approximation it stays within [0, 1], and it keeps its
    coverage for small test sets and for proportions near 0 or 1.

    Args:
        successes: Number of correct rows, in `[0, total]`.
        total: Number of rows, > 0; for weighted rows the effective number.
        confidence: Probability that the interval covers the true proportion, in (0, 1).

    Returns:
        `(low, high)`, both in [0, 1].

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> low, high = wilson_interval(121, 140)
        >>> print(f"{low:.3f} {high:.3f}")
        0.798 0.911

    Reference:
        Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    """
    mistakes = []
    if not total > 0:
        mistakes.append(f"`total` must be > 0. Received: total={total}")
    if not 0 <= successes <= max(total, 0):
        mistakes.append(f"`successes` must be in [0, total={total}]. Received: {successes}")
    if not 0 < confidence < 1:
        mistakes.append(f"`confidence` must be in (0, 1), e.g. 0.95. Received: {confidence}")
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    # scipy.stats.binomtest gives the same interval, but runs an exact test first. That is 100 times
    # slower, and a report needs an interval for each class.
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / total
    scale = 1 + z * z / total
    center = (share + z * z / (2 * total)) / scale
    margin = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, center - margin), min(1.0, center + margin)


def effective_rows(weights: Any) -> float:
    """The effective number of weighted rows: that many equally weighted rows are as informative.

    Computed as `(sum of weights)^2 / sum of squared weights`. It equals the number of rows if all
    weights are equal, and is smaller the more they differ. A row of weight 3 is one observation,
    not three: large weights do not narrow an interval.

    Args:
        weights: Floats >= 0, shape `(num_rows,)`.

    Returns:
        A number from 1 to `num_rows`; 0 if no weight is above 0.

    Example:
        >>> effective_rows([2, 2, 2]), effective_rows([1, 1, 4])
        (3.0, 2.0)

    Reference:
        Kish 1965, "Survey Sampling", section 11.7. For Wilson's interval with it: Franco et al.
        2019, J. Surv. Stat. Methodol. 7, 334-364.
    """
    weights = np.asarray(weights, "float64")
    largest = weights.max(initial=0.0)
    if not largest > 0:
        return 0.0
    weights = weights / largest  # the squares of large weights could overflow
    return float(weights.sum() ** 2 / (weights @ weights))


def share_with_interval(
    hits: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, list[float]]:
    """The share of correct rows and Wilson's 95% interval.

    Args:
        hits: Whether each row is correct, bool `(num_rows,)`.
        weights: Weights of the rows, float64 `(num_rows,)`, not all 0; `None` if all count 1.

    Returns:
        The weighted share; and the two ends of its interval, computed for the number of rows, with
        weights for `effective_rows(weights)`.

    Example:
        >>> share_with_interval(np.array([True, False]), np.array([3.0, 1.0]))[0]
        0.75
    """
    if weights is None:
        correct, total = int(hits.sum()), len(hits)
        return correct / total, list(wilson_interval(correct, total))
    share = min(float(weights[hits].sum() / weights.sum()), 1.0)  # rounding may exceed 1
    count = effective_rows(weights)
    return share, list(wilson_interval(share * count, count))


def weight_facts(weights: np.ndarray | None) -> dict[str, float]:
    """The entries of a metrics dict that describe the row weights.

    Args:
        weights: Weights of the rows, float64 `(num_rows,)`; `None` if all count 1.

    Returns:
        `total_weight` (the sum) and `effective_rows`; an empty dict without weights.
    """
    if weights is None:
        return {}
    return {"total_weight": float(weights.sum()), "effective_rows": effective_rows(weights)}
