"""Costs of wrong answers, and the answer of the lowest expected cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mm.checks import is_number, quote
from keras_mm.errors import InvalidValueError
from keras_mm.settings.label_keys import by_place


def cost_matrix(costs: Any, names: Sequence[Any]) -> np.ndarray:
    """Converts the forms in which users may pass costs to a matrix.

    Args:
        costs: A matrix `(num_classes, num_classes)` with the cost of each answer (columns) for each
            class (rows); or a dict by class. Its values are the cost of every wrong answer, or
            dicts of the cost by answer. What a dict leaves out costs 0 for the right answer and 1
            for a wrong one.
        names: Class names in order.

    Returns:
        float64, shape `(num_classes, num_classes)`.

    Raises:
        ValueError: for an unknown class, a wrong shape, or a cost that is not a finite number.

    Example:
        >>> cost_matrix({"ill": 10}, ["well", "ill"]).tolist()
        [[0.0, 1.0], [10.0, 0.0]]
        >>> cost_matrix({"ill": {"well": 10}}, ["well", "ill"]).tolist()
        [[0.0, 1.0], [10.0, 0.0]]
    """
    if not isinstance(costs, Mapping):
        return _checked(costs, len(names))
    matrix = 1.0 - np.eye(len(names))
    for true, row in _by_place(costs, names).items():
        if isinstance(row, Mapping):
            for answer, cost in _by_place(row, names).items():
                matrix[true, answer] = _number(cost)
        else:
            matrix[true] *= _number(row)
    return matrix


def cheapest(probabilities: np.ndarray, costs: Any) -> np.ndarray:
    """The answers of the lowest expected cost.

    Args:
        probabilities: Floats, shape `(num_rows, num_classes)`.
        costs: Costs, shape `(num_classes, num_classes)`, as `cost_matrix` returns them.

    Returns:
        Positions of classes, int, shape `(num_rows,)`.

    Example:
        >>> cheapest(np.array([[0.8, 0.2]]), [[0, 1], [10, 0]]).tolist()
        [1]
    """
    return (probabilities @ np.asarray(costs, "float64")).argmin(axis=1)


def _checked(costs: Any, num_classes: int) -> np.ndarray:
    try:
        matrix = np.asarray(costs, "float64")
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (num_classes, num_classes) or not np.isfinite(matrix).all():
        raise InvalidValueError(
            "`costs` must be a dict by class, or a matrix of finite numbers with a row for each "
            f"class and a column for each answer, {num_classes} by {num_classes}. "
            f"Received: costs={quote(costs)}"
        )
    return matrix


def _by_place(costs: Mapping, names: Sequence[Any]) -> dict[int, Any]:
    known, unknown, repeated = by_place(costs, names)
    if unknown:
        raise InvalidValueError(
            f"`costs` names {quote(unknown[0])}, which is not one of {quote(list(names))}."
        )
    if repeated:
        raise InvalidValueError(f"`costs` names the class {quote(repeated[0])} twice.")
    return known


def _number(cost: Any) -> float:
    if not is_number(cost):
        raise InvalidValueError(f"`costs` must have finite numbers. Received: {quote(cost)}")
    return float(cost)
