"""From one member to the mean of several: parameters of decisions for rows that all predict.

Only one member was not trained on an out-of-fold row, but the mean of all members predicts a new
row. The mean is better, and less often too sure, so what fits one member does not fit the mean.
Some rows were also validation rows of a second member. On these the mean of two is compared with
one. What averaging removes is variance, which falls with `1 / num_members`: so the step from one to
two gives the step from one to all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from keras_mm.metrics.window_votes import join_windows

_ROUNDS = 3
_FEWEST = 50  # rows with two members: with fewer, the difference of two estimates is mostly noise


@dataclass(frozen=True)
class LabelledRows:
    """The labelled rows that the decisions of a head are fitted on.

    Attributes:
        labels: Encoded labels, first axis the rows.
        logits: Floats, shape `(num_rows, num_logits)`.
        weights: Weights of the rows, > 0, shape `(num_rows,)`; `None` if all count 1.
        second: Logits of a second member that was not trained on the row, NaN where there is none;
            `None` if there is no such row.
        num_members: Number of members whose mean predicts new rows, >= 1.
    """

    labels: np.ndarray
    logits: np.ndarray
    weights: np.ndarray | None = None
    second: np.ndarray | None = None
    num_members: int = 1

    def take(self, chosen: np.ndarray) -> LabelledRows:
        """Selects rows.

        Args:
            chosen: Positions, or bool `(num_rows,)`.

        Returns:
            These rows.
        """
        weights = None if self.weights is None else self.weights[chosen]
        second = None if self.second is None else self.second[chosen]
        return replace(
            self,
            labels=self.labels[chosen],
            logits=self.logits[chosen],
            weights=weights,
            second=second,
        )


@dataclass(frozen=True)
class Extrapolation:
    """The same rows as each of two members predicts them, and as the mean of both does.

    Validation rows chose the epoch of the second member, which fits them a little too well. The
    mean is compared with both members, so that this is no part of the difference.

    Attributes:
        first: The rows with the out-of-fold logits.
        second: The rows with the logits of the second member.
        mean: The rows with the logits of the mean of both.
        factor: The change from one to all members, as a multiple of that from one to two.
    """

    first: LabelledRows
    second: LabelledRows
    mean: LabelledRows
    factor: float

    def change(self, estimate: Callable[[LabelledRows], float]) -> float:
        """The change of a parameter from one member to the mean of all.

        Args:
            estimate: Estimates the parameter, on a scale on which changes add up.

        Returns:
            The change; 0 if the parameter cannot be estimated on these rows.
        """
        change = estimate(self.mean) - (estimate(self.first) + estimate(self.second)) / 2
        return float(self.factor * change) if np.isfinite(change) else 0.0

    def error_of_one(
        self,
        error: float,
        fit: Callable[[float], Any],
        covered: Callable[[LabelledRows, Any], np.ndarray],
    ) -> float:
        """The error of one member at which the mean of all has the given error.

        The share of covered rows rises from one member to two as these rows show. This change is
        not multiplied by `factor`: sets promise at most this error, and what is left out makes it
        smaller.

        Args:
            error: The error for the mean, in (0, 1).
            fit: Fits limits to the rows of one member, for an error.
            covered: Whether limits cover each row, bool `(num_rows,)`.

        Returns:
            The error for one member, in (0, 1): mostly a larger one.
        """
        found = error
        for _ in range(_ROUNDS):
            limits = fit(found)
            gain = self.change(partial(_share, covered, limits)) / self.factor
            found = float(np.clip(error + gain, error / 2, (1 + error) / 2))
        return found


def extrapolation(rows: LabelledRows, kind: str) -> Extrapolation | None:
    """Finds the rows that two members were not trained on.

    Args:
        rows: All rows.
        kind: Kind of the head.

    Returns:
        The rows with one and with two members; `None` if there are fewer than 50.

    Example:
        >>> logits = np.tile([[2.0, 0.0]], (60, 1))
        >>> rows = LabelledRows(np.zeros(60, int), logits, second=logits * 0, num_members=5)
        >>> found = extrapolation(rows, "multiclass")
        >>> round(found.change(lambda part: part.logits[0, 0] - part.logits[0, 1]), 2)
        -0.32
    """
    if rows.second is None or rows.num_members < 2:
        return None
    paired = np.isfinite(rows.second).all(axis=1)
    if paired.sum() < _FEWEST:
        return None
    first = rows.take(paired)
    second = replace(first, logits=rows.second[paired])
    both = np.stack([first.logits, second.logits], axis=1).reshape(-1, first.logits.shape[1])
    mean = join_windows(both, np.repeat(np.arange(len(first.labels)), 2), kind)
    factor = 2 * (1 - 1 / rows.num_members)
    return Extrapolation(first, second, replace(first, logits=mean), factor)


def _share(
    covered: Callable[[LabelledRows, Any], np.ndarray], limits: Any, rows: LabelledRows
) -> float:
    return float(np.average(covered(rows, limits), weights=rows.weights))
