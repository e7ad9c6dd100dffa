"""From logits to probabilities, in NumPy: at the edge of the model."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax


def probabilities(logits: np.ndarray, kind: str = "multiclass") -> np.ndarray:
    """Probabilities of the classes, or of each label by itself.

    Args:
        logits: `(batch, C)`, or `(batch, 1)` of a binary head.
        kind: The head's: `"multiclass"`, `"binary"` or `"multilabel"`.

    Returns:
        float64 `(batch, C)`, `(batch, 2)` for a binary head; each row sums to 1, but for
        `"multilabel"`.

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
