"""Confidence intervals of proportions."""

from __future__ import annotations

import math
from statistics import NormalDist

from keras_mm.errors import InvalidValueError


def wilson_interval(successes: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, such as an accuracy.

    Unlike the usual plus-minus it stays within [0, 1] and keeps its coverage for small test
    sets and shares near 0 or 1.

    Args:
        successes: Number of correct rows, in `[0, total]`.
        total: Number of rows, > 0.
        confidence: Probability with which the interval covers the true share, in (0, 1).

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
    # scipy.stats.binomtest gives the same interval, but runs an exact test first: that is 100 times
    # slower, and a report needs the interval of each class.
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / total
    scale = 1 + z * z / total
    center = (share + z * z / (2 * total)) / scale
    margin = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, center - margin), min(1.0, center + margin)
