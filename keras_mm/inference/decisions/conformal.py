"""Split conformal prediction: sets and intervals that hold the truth as often as asked."""

from __future__ import annotations

import numpy as np


def quantile(scores: np.ndarray, error: float, sample_weight: np.ndarray | None = None) -> float:
    """The finite-sample quantile of scores: a new row exceeds it with at most the given error.

    It is the score of rank `ceil((num_rows + 1) * (1 - error))`. With weights, a new row is given
    the mean weight of the rows.

    Args:
        scores: Scores of held-out rows, shape `(num_rows,)`.
        error: In (0, 1).
        sample_weight: Weights of the rows, > 0, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        The quantile; infinity if there are fewer than `1 / error - 1` rows.

    Example:
        >>> quantile(np.arange(1.0, 10.0), 0.2), quantile(np.arange(3.0), 0.1)
        (8.0, inf)

    Reference:
        Vovk et al. 2005, "Algorithmic Learning in a Random World"; Angelopoulos and Bates 2021,
        arXiv:2107.07511, section 1.
    """
    order = np.argsort(scores, kind="stable")
    weights = np.ones(len(scores)) if sample_weight is None else sample_weight[order]
    total = weights.sum()
    if not len(scores):
        return np.inf
    needed = (1 - error) * (total + weights.mean()) - 1e-9 * total  # rounding must not add a rank
    rank = int(np.searchsorted(np.cumsum(weights), needed))
    return float(scores[order[rank]]) if rank < len(scores) else np.inf


def set_limits(
    labels: np.ndarray,
    probabilities: np.ndarray,
    error: float,
    *,
    classwise: bool = False,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """The lowest probabilities of labels in a set, so that the set holds the truth of a row.

    The score of a row is 1 minus the probability of its label; with several labels per row, that of
    the least probable one.

    Args:
        labels: Positions of classes `(num_rows,)`; or 0, 1 or negative (missing)
            `(num_rows, num_labels)`.
        probabilities: Floats in [0, 1], shape `(num_rows, num_classes)`.
        error: Share of the rows whose set may lack one of their labels, in (0, 1).
        classwise: Whether the error holds for the rows of each class (Mondrian).
        sample_weight: As in `quantile`.

    Returns:
        A limit for all classes, shape `(1,)`; with `classwise` one by class, shape
        `(num_classes,)`. The limit is 0, so that the class is in every set, if rows are too few.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
        >>> set_limits(np.array([0, 1, 1]), probabilities, 0.25).tolist()
        [0.4]
    """
    if classwise:
        return np.asarray(
            [
                _limit(probabilities[rows, place], error, _of(sample_weight, rows))
                for place, rows in enumerate(members(labels, probabilities.shape[1]))
            ]
        )
    if labels.ndim == 1:
        truth = probabilities[np.arange(len(labels)), labels]
    else:
        truth = np.where(labels == 1, probabilities, 1.0).min(axis=1)
    return np.asarray([_limit(truth, error, sample_weight)])


def members(labels: np.ndarray, num_classes: int) -> list[np.ndarray]:
    """The rows of each class.

    Args:
        labels: As in `set_limits`.
        num_classes: Number of classes or labels.

    Returns:
        Positions of rows by class.
    """
    if labels.ndim == 1:
        return [np.flatnonzero(labels == place) for place in range(num_classes)]
    return [np.flatnonzero(column == 1) for column in labels.T]


def covers(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Whether sets have all labels of their rows.

    Args:
        labels: As in `set_limits`.
        chosen: Whether each label is in the set, bool, shape `(num_rows, num_classes)`.

    Returns:
        Bool, shape `(num_rows,)`.

    Example:
        >>> covers(np.array([1, 0]), np.array([[True, True], [False, True]])).tolist()
        [True, False]
    """
    if labels.ndim == 1:
        return chosen[np.arange(len(labels)), labels]
    return ((labels != 1) | chosen).all(axis=1)


def half_widths(
    targets: np.ndarray,
    predictions: np.ndarray,
    error: float,
    *,
    sample_weight: np.ndarray | None = None,
) -> list[float]:
    """Half the widths of intervals around predicted numbers, from their absolute errors.

    Args:
        targets: Floats, shape `(num_rows, num_targets)`; NaN where the target is missing.
        predictions: Floats, shape `(num_rows, num_targets)`.
        error: Share of the rows whose target may be outside of its interval, in (0, 1).
        sample_weight: As in `quantile`.

    Returns:
        A number by target, >= 0; infinity if rows are too few.

    Example:
        >>> half_widths(np.array([[1.0], [4.0], [2.0]]), np.array([[2.0], [2.0], [2.0]]), 0.25)
        [2.0]
    """
    errors = np.abs(np.asarray(predictions, "float64") - targets)
    known = [np.flatnonzero(~np.isnan(column)) for column in errors.T]
    return [
        quantile(column[rows], error, _of(sample_weight, rows))
        for column, rows in zip(errors.T, known, strict=True)
    ]


def _limit(truth: np.ndarray, error: float, weights: np.ndarray | None) -> float:
    # Of the negative probability: 1 minus it, and 1 minus that, would be rounded twice.
    return max(-quantile(-truth, error, weights), 0.0)


def _of(weights: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if weights is None else weights[rows]
