"""Abstention: rows that the model is too unsure of are not answered."""

from __future__ import annotations

import numpy as np

NEVER = 2.0  # above every confidence


def lowest_confidence(
    confidences: np.ndarray,
    right: np.ndarray,
    error: float,
    sample_weight: np.ndarray | None = None,
) -> float:
    """The lowest confidence at which rows are answered with at most the given error.

    As many of these rows as possible are answered, most confident first. One more wrong row is
    counted than there is, so that a few right rows are no proof: `1 / error - 1` rows are needed.

    Args:
        confidences: Confidence of the answer for each row, in [0, 1], shape `(num_rows,)`.
        right: Whether each answer is right, bool, shape `(num_rows,)`.
        error: Largest share of wrong answers among those given, in (0, 1).
        sample_weight: Weights of the rows, > 0, shape `(num_rows,)`; `None` if all count 1. The
            added row has their mean weight.

    Returns:
        The confidence; above 1 if no row can be answered with this error.

    Example:
        >>> lowest_confidence(np.array([0.9, 0.8, 0.7]), np.array([True, True, False]), 0.4)
        0.8

    Reference:
        Geifman and El-Yaniv 2017, arXiv:1705.08500.
    """
    order = np.argsort(-confidences, kind="stable")
    weights = np.ones(len(order)) if sample_weight is None else sample_weight[order]
    if not len(order):
        return NEVER
    extra = weights.mean()
    wrong = np.cumsum(weights * ~right[order]) + extra
    answered = np.cumsum(weights) + extra
    sorted_confidences = confidences[order]
    # Rows of the same confidence are answered together.
    ends = np.append(sorted_confidences[1:] != sorted_confidences[:-1], True)
    allowed = np.flatnonzero(ends & (wrong <= error * answered * (1 + 1e-9)))
    return float(sorted_confidences[allowed[-1]]) if len(allowed) else NEVER
