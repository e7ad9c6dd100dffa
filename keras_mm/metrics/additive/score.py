"""A score that is a function of sums over rows, and the parts that such scores are made of.

A resample draws each row a number of times. A matrix product with these numbers gives the sums of
all resamples, without a copy of any row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class ScoredRows(NamedTuple):
    """Labels and predictions of rows.

    Attributes:
        labels: Integers, shape `(num_rows,)`; for `"multilabel"` multi-hot and for `"regression"`
            numbers, shape `(num_rows, num_columns)`. Negative or NaN where missing.
        predicted: Probabilities or numbers, shape `(num_rows, num_columns)`.
        thresholds: For `"multilabel"`, shape `(num_columns,)`.
        weights: Weights of the rows, floats > 0, shape `(num_rows,)`.
    """

    labels: np.ndarray
    predicted: np.ndarray
    thresholds: np.ndarray
    weights: np.ndarray


class AdditiveScore(NamedTuple):
    """A score of rows that depends on them only through sums.

    Attributes:
        columns: What is summed over the rows, shape `(num_rows, num_columns)`.
        value: Computes the scores, shape `(num_samples,)`, from sums of the columns, shape
            `(num_columns, num_samples)`. NaN where the score is undefined.
    """

    columns: csr_array
    value: Callable[[np.ndarray], np.ndarray]

    def of_samples(self, counts: np.ndarray) -> np.ndarray:
        """Scores samples of the rows.

        Args:
            counts: How often each sample has each row, shape `(num_rows, num_samples)`.

        Returns:
            The scores, shape `(num_samples,)`.
        """
        return self.value(self.columns.T @ counts)


def mean_score(values: np.ndarray, rows: ScoredRows, known: Any = True) -> AdditiveScore:
    """The score that is a mean of values.

    Args:
        values: A value per row or per cell, shape `(num_rows,)` or `(num_rows, num_columns)`.
        rows: The rows, with their weights.
        known: Which values count, bool, of the shape of `values`.

    Returns:
        The weighted mean over all rows, or over all known cells.
    """
    known = np.broadcast_to(known, values.shape).reshape(len(values), -1)
    total = np.where(known, values.reshape(known.shape), 0).sum(axis=1)
    columns = np.stack([total, known.sum(axis=1)], axis=1)
    return AdditiveScore(weighted([columns], rows), lambda sums: ratio(sums[0], sums[1]))


def macro_score(parts: Any, wholes: Any, rows: ScoredRows) -> AdditiveScore:
    """The score that is a mean over classes of a ratio of sums.

    Args:
        parts: Numerators, shape `(num_rows, num_classes)`, dense or sparse.
        wholes: Denominators, of the same shape. Classes whose sum is 0 are left out.
        rows: The rows, with their weights.

    Returns:
        The score.
    """
    num_classes = parts.shape[1]

    def value(sums: np.ndarray) -> np.ndarray:
        return mean_defined(ratio(sums[:num_classes], sums[num_classes:]))

    return AdditiveScore(weighted([parts, wholes], rows), value)


def weighted(parts: Sequence[Any], rows: ScoredRows) -> csr_array:
    """Joins columns, and multiplies them by the weights of the rows.

    Args:
        parts: Matrices, dense or sparse, each with a line per row.
        rows: The rows, with their weights.

    Returns:
        Sparse floats, shape `(num_rows, num_columns)`.
    """
    from scipy.sparse import csr_array, hstack  # slow to import

    columns = hstack([csr_array(part, dtype="float64") for part in parts], format="csr")
    return csr_array(columns.multiply(rows.weights[:, None]))


def ratio(part: np.ndarray, whole: np.ndarray, undefined: float = np.nan) -> np.ndarray:
    """Divides sums.

    Args:
        part: Numerators.
        whole: Denominators >= 0, of the same shape.
        undefined: The result where the denominator is 0.

    Returns:
        Floats of the same shape.
    """
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), undefined)


def mean_defined(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis of the values that are not NaN.

    Args:
        values: Floats, shape `(num_values, num_samples)`.

    Returns:
        Floats, shape `(num_samples,)`; NaN where all values are NaN.
    """
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0))
