"""From logits to probabilities, in NumPy: at the edge of the model."""

from __future__ import annotations

import numpy as np


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Probabilities of the classes.

    Args:
        logits: `(batch, C)`, or `(batch, 1)` of a binary head.

    Returns:
        float64 `(batch, C)`, `(batch, 2)` for a binary head; each row sums to 1.

    Example:
        >>> probabilities(np.array([[0.0]])).tolist()
        [[0.5, 0.5]]
    """
    logits = np.asarray(logits, "float64")
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)
