"""Probabilities from logits, computed with NumPy outside of the model."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax


def probabilities(logits: np.ndarray, kind: str = "multiclass") -> np.ndarray:
    """Probabilities of the classes, or of each label independently.

    Args:
        logits: Floats, shape `(num_rows, num_classes)`, or `(num_rows, 1)` for a binary head.
        kind: Kind of the head: `"multiclass"`, `"binary"` or `"multilabel"`.

    Returns:
        float64 in [0, 1], shape `(num_rows, num_classes)`; a binary head has two classes. Each row
        sums to 1, except for `"multilabel"`.

    Example:
        >>> probabilities(np.array([[0.0]])).tolist()
        [[0.5, 0.5]]
    """
    logits = np.asarray(logits, "float64")
    if kind == "multilabel":
        return expit(logits)
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    return softmax(logits, axis=-1)
