"""Losses on logits, in log space, that hold their class weights."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from keras_mm.losses.base import WeightedLoss
from keras_mm.losses.class_weights import (
    balanced_class_weight,
    effective_number_class_weight,
    resolve_class_weight,
)
from keras_mm.losses.cross_entropy import CrossEntropy
from keras_mm.losses.focal import FocalLoss
from keras_mm.losses.logit_adjusted import LogitAdjusted

__all__ = [
    "CrossEntropy",
    "FocalLoss",
    "LogitAdjusted",
    "WeightedLoss",
    "balanced_class_weight",
    "create_loss",
    "effective_number_class_weight",
    "resolve_class_weight",
]

_LOSSES: dict[str, type[WeightedLoss]] = {
    "cross_entropy": CrossEntropy,
    "focal": FocalLoss,
    "logit_adjusted": LogitAdjusted,
}


def create_loss(
    name: str,
    *,
    class_weight: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    gamma: float = 2.0,
    class_counts: Sequence[float] | None = None,
    tau: float = 1.0,
) -> WeightedLoss:
    """A loss by name, for integer labels and logits.

    All losses share one rule of weighting: a row counts `class_weight[y] * sample_weight`, and
    nothing without a label (-1); the result is divided by the sum of these weights.

    Args:
        name: `"cross_entropy"`, `"focal"` or `"logit_adjusted"`.
        class_weight: Optional floats >= 0, shape `(num_classes,)`; `resolve_class_weight` makes
            them from `"balanced"`, `"effective_number"` or a dict by class name.
        label_smoothing: Share of the target spread evenly over all classes, in `[0, 1)`.
        gamma: Focusing exponent, >= 0; only the focal loss reads it.
        class_counts: Training rows of each class, shape `(num_classes,)`; the logit-adjusted loss
            needs them, and no other reads them.
        tau: Strength of the logit adjustment, >= 0; only the logit-adjusted loss reads it.

    Returns:
        A `keras.losses.Loss`, ready for `model.compile`.

    Raises:
        ValueError: if the name is unknown, or a setting is out of its range.

    Example:
        >>> loss = create_loss("cross_entropy", class_weight=[1, 3])
        >>> round(float(loss([1, 0], [[2.0, 0.0], [2.0, 0.0]])), 6)
        1.626928
    """
    if name not in _LOSSES:
        nearest = get_close_matches(str(name), _LOSSES, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"`name` must be one of {sorted(_LOSSES)}. Received: name={name!r}.{hint}")
    settings: dict[str, Any] = {"class_weight": class_weight, "label_smoothing": label_smoothing}
    if name == "focal":
        settings["gamma"] = gamma
    if name == "logit_adjusted":
        settings.update(class_counts=class_counts, tau=tau)
    return _LOSSES[name](**settings)
