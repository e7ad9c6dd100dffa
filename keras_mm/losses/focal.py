"""Focal loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mm.checks import is_number
from keras_mm.losses.base import WeightedLoss


@keras.saving.register_keras_serializable("keras_mm")
class FocalLoss(WeightedLoss):
    """Focal loss for integer labels, computed in log space.

    Down-weights easy rows: `FL = -w_y (1 - p_y)^gamma log p_y`. Gradients stay finite and
    non-zero for confidently wrong logits, where a probability-space version clips them to zero,
    and finite for confidently right ones, even with `gamma < 1`. With label smoothing, the loss is
    the sum over the classes of `target_c * -(1 - p_c)^gamma log p_c`.

    Args:
        gamma: Focusing exponent, >= 0. 0 gives (weighted) cross-entropy.
        class_weight: Optional floats >= 0, shape `(num_classes,)`.
        label_smoothing: Share of the target spread evenly over all classes, in `[0, 1)`.
        name: Name in logs.

    Call arguments:
        y_true: Integer labels, shape `(batch,)` or `(batch, 1)`; negative means no label.
        y_pred: Logits, shape `(batch, num_classes)`, or `(batch, 1)` for a binary head.
        sample_weight: Optional floats, shape `(batch,)` or `(batch, 1)`.

    Call returns:
        Scalar: weighted mean over the rows that have a label, in nats.

    Raises:
        ValueError: if `gamma < 0`, a weight is negative or not finite, or the smoothing outside
            `[0, 1)`.

    Example:
        >>> loss = FocalLoss(gamma=2.0)
        >>> round(float(loss([0, 0], [[2.0, 0.0], [0.0, 2.0]])), 6)
        0.825941

    Reference:
        Lin et al. 2017, arXiv:1708.02002, eq. 5.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        class_weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        name: str = "focal",
    ):
        self.gamma = gamma
        super().__init__(class_weight, label_smoothing, name)

    def _mistakes(self) -> list[str]:
        return super()._mistakes() + gamma_mistakes(self.gamma)

    def class_losses(self, log_probabilities: Any) -> Any:
        """`-(1 - p_c)^gamma log p_c` of every class; see `WeightedLoss.class_losses`."""
        return focal_losses(log_probabilities, self.gamma)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "gamma": self.gamma}


def gamma_mistakes(gamma: Any) -> list[str]:
    """Error messages for an invalid focusing exponent.

    Args:
        gamma: The value to check; valid if finite and >= 0.

    Returns:
        Messages; empty if the value is valid.
    """
    if is_number(gamma) and gamma >= 0:
        return []
    return [
        "`gamma` must be a finite number >= 0; 2 is usual, 0 gives cross-entropy. "
        f"Received: gamma={gamma!r}"
    ]


def focal_losses(log_probabilities: Any, gamma: float) -> Any:
    """Focal losses `-(1 - p_c)^gamma log p_c`.

    Args:
        log_probabilities: `log p_c`, shape `(..., num_classes)`.
        gamma: Focusing exponent, >= 0.

    Returns:
        Losses of that shape.
    """
    return -ops.exp(gamma * log_complements_of(log_probabilities)) * log_probabilities


def log_complements_of(log_probabilities: Any) -> Any:
    """`log(1 - p_c)` of every class, exact and with finite gradients even where `p_c` is 1.

    Args:
        log_probabilities: `log p_c`, shape `(..., num_classes)`.

    Returns:
        Logarithms of that shape.
    """
    top = ops.one_hot(ops.argmax(log_probabilities, axis=-1), log_probabilities.shape[-1])
    top = ops.cast(top, "bool")
    # 1 - p loses precision only where p is near 1, that is, for the most probable class: there the
    # probabilities of the other classes are summed instead. All other classes have p <= 1/2.
    others = ops.logsumexp(ops.where(top, -1e30, log_probabilities), axis=-1, keepdims=True)
    # Without the inner `where`, log1p would have an infinite gradient at p = 1, and the outer
    # `where` would multiply it by 0, which is NaN.
    rest = ops.log1p(-ops.exp(ops.where(top, -1.0, log_probabilities)))
    return ops.where(top, others, rest)
