"""Checks row weights that are passed as an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_mm.errors import InvalidValueError


def check_weights(sample_weight: Any, num_rows: int) -> np.ndarray | None:
    """Checks the weights of rows.

    Args:
        sample_weight: A finite number >= 0 for each row, not all 0, shape `(num_rows,)`; `None` for
            no weights.
        num_rows: Number of rows.

    Returns:
        The weights, float64, shape `(num_rows,)`; `None` for no weights.

    Raises:
        ValueError: if the shape, the dtype or a weight is wrong. The message names the first three
            wrong rows, counted from 0.

    Example:
        >>> check_weights([1, 0.5], 2).tolist()
        [1.0, 0.5]
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.shape != (num_rows,) or weights.dtype.kind not in "biuf":
        raise InvalidValueError(
            f"`sample_weight` must hold one number per row, shape ({num_rows},). "
            f"Received: shape {weights.shape}, dtype {weights.dtype}"
        )
    weights = weights.astype("float64")
    wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if len(wrong):
        rows = ", ".join(f"{weights[row]} in row {row}" for row in wrong[:3].tolist())
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InvalidValueError(
            f"`sample_weight` must hold finite numbers >= 0. Received: {rows}{more}"
        )
    if not weights.any():
        raise InvalidValueError("`sample_weight` must have a weight above 0. Received: all are 0")
    return weights
