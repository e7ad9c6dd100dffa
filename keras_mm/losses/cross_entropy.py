"""Cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_mm.losses.base import WeightedLoss


@keras.saving.register_keras_serializable("keras_mm")
class CrossEntropy(WeightedLoss):
    """Cross-entropy for integer labels, computed from logits: `CE = -w_y log p_y`.

    Unlike Keras' own loss, it contains the class weights (so `evaluate` and `val_loss` use them
    too), smooths integer labels, skips rows without a label and accepts a single logit. Smoothing
    replaces the target by `(1 - s) * one_hot + s / num_classes`; the row keeps the weight of its
    label.

    Args:
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
        ValueError: if a weight is negative or not finite, or the smoothing outside `[0, 1)`.

    Example:
        >>> loss = CrossEntropy(class_weight=[1, 3])
        >>> round(float(loss([1, 0], [[2.0, 0.0], [2.0, 0.0]])), 6)
        1.626928

    Reference:
        Label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """

    def __init__(
        self,
        class_weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        name: str = "cross_entropy",
    ):
        super().__init__(class_weight, label_smoothing, name)

    def class_losses(self, log_probabilities: Any) -> Any:
        """`-log p_c` of every class; see `WeightedLoss.class_losses`."""
        return -log_probabilities
