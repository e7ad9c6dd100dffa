"""Losses on logits, computed in log space, with class weights inside the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_mm.checks import nearest_name
from keras_mm.errors import InvalidValueError
from keras_mm.losses.base import WeightedLoss, WeightedMean
from keras_mm.losses.binary import MultilabelCrossEntropy, MultilabelFocalLoss
from keras_mm.losses.class_weights import (
    balanced_class_weight,
    effective_number_class_weight,
    resolve_class_weight,
    resolve_pos_weight,
)
from keras_mm.losses.cross_entropy import CrossEntropy
from keras_mm.losses.focal import FocalLoss
from keras_mm.losses.logit_adjusted import LogitAdjusted
from keras_mm.losses.numeric import AbsoluteError, HuberLoss, SquaredError

__all__ = [
    "AbsoluteError",
    "CrossEntropy",
    "FocalLoss",
    "HuberLoss",
    "LogitAdjusted",
    "MultilabelCrossEntropy",
    "MultilabelFocalLoss",
    "SquaredError",
    "WeightedLoss",
    "WeightedMean",
    "balanced_class_weight",
    "create_loss",
    "effective_number_class_weight",
    "resolve_class_weight",
    "resolve_pos_weight",
]

# Of heads with one class per row. A binary head uses the same losses with its single logit.
_ONE_CLASS: dict[str, type[WeightedMean]] = {
    "cross_entropy": CrossEntropy,
    "focal": FocalLoss,
    "logit_adjusted": LogitAdjusted,
}
_LOSSES: dict[str, dict[str, type[WeightedMean]]] = {
    "multiclass": _ONE_CLASS,
    "binary": _ONE_CLASS,
    "multilabel": {"cross_entropy": MultilabelCrossEntropy, "focal": MultilabelFocalLoss},
    "regression": {
        "mean_squared_error": SquaredError,
        "mean_absolute_error": AbsoluteError,
        "huber": HuberLoss,
    },
}


def create_loss(
    name: str,
    *,
    kind: str = "multiclass",
    class_weight: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    gamma: float = 2.0,
    class_counts: Sequence[float] | None = None,
    tau: float = 1.0,
    scale: Sequence[float] | None = None,
) -> WeightedMean:
    """Creates a loss by name, for one kind of head.

    All losses return a weighted mean. With integer labels, a row has the weight
    `class_weight[y] * sample_weight`, or 0 if its label is missing (-1). A `multilabel` or
    `regression` head weights each label or target separately; missing ones (-1, or NaN) have
    weight 0.

    Args:
        name: For `multiclass` and `binary` heads `"cross_entropy"`, `"focal"` or
            `"logit_adjusted"`; for `multilabel` heads `"cross_entropy"` or `"focal"`; for
            `regression` heads `"mean_squared_error"`, `"mean_absolute_error"` or `"huber"`.
        kind: Kind of the head, see `keras_mm.Head`.
        class_weight: Optional floats >= 0, shape `(num_classes,)`; `resolve_class_weight` makes
            them from `"balanced"`, `"effective_number"` or a dict by class name. For `multilabel`
            heads, the weight of each label's positive term; `resolve_pos_weight` makes it.
        label_smoothing: Share of the target spread evenly over all classes, in `[0, 1)`.
        gamma: Focusing exponent, >= 0; only the focal loss reads it.
        class_counts: Training rows of each class, shape `(num_classes,)`. The logit-adjusted loss
            requires them; other losses ignore them.
        tau: Strength of the logit adjustment, >= 0; only the logit-adjusted loss reads it.
        scale: Divisor of the errors of a `regression` head, shape `(num_targets,)`.

    Returns:
        A `keras.losses.Loss`, ready for `model.compile`.

    Raises:
        ValueError: if the name or the kind is unknown, a setting is out of its range, or class
            weights or label smoothing are given for a `regression` head.

    Example:
        >>> loss = create_loss("cross_entropy", class_weight=[1, 3])
        >>> round(float(loss([1, 0], [[2.0, 0.0], [2.0, 0.0]])), 6)
        1.626928
    """
    if kind not in _LOSSES:
        raise InvalidValueError(f"`kind` must be one of {sorted(_LOSSES)}. Received: kind={kind!r}")
    losses = _LOSSES[kind]
    if name not in losses:
        nearest = nearest_name(name, losses)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        of = "" if kind == "multiclass" else f" for a {kind} head"
        raise InvalidValueError(
            f"`name` must be one of {sorted(losses)}{of}. Received: name={name!r}.{hint}"
        )
    if kind == "regression":
        if class_weight is not None or label_smoothing:
            raise InvalidValueError(
                "A regression head has no classes to weigh or to smooth. Received: "
                f"class_weight={class_weight!r}, label_smoothing={label_smoothing!r}"
            )
        scaled: dict[str, Any] = {"scale": scale}
        return losses[name](**scaled)
    weights = "pos_weight" if kind == "multilabel" else "class_weight"
    settings: dict[str, Any] = {weights: class_weight, "label_smoothing": label_smoothing}
    if name == "focal":
        settings["gamma"] = gamma
    if name == "logit_adjusted":
        settings.update(class_counts=class_counts, tau=tau)
    return losses[name](**settings)
