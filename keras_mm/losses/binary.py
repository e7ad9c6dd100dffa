"""Losses for several labels per row: binary cross-entropy and binary focal loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mm.errors import InvalidValueError
from keras_mm.losses.base import WeightedMean, smoothing_mistakes
from keras_mm.losses.class_weights import per_class_mistakes
from keras_mm.losses.focal import focal_losses, gamma_mistakes


class MultilabelLoss(WeightedMean):
    """Base of the losses for multi-hot labels: the mean over all labels of all rows.

    Each label is a separate yes or no, predicted by the sigmoid of its logit. `pos_weight`
    multiplies the loss of a positive label and is not normalised away: with 3, a false negative
    costs three times as much as a false positive. A subclass implements only `class_losses`.

    Args:
        pos_weight: Optional floats >= 0, shape `(num_labels,)`.
        label_smoothing: Share of the target spread evenly over yes and no, in `[0, 1)`.
        name: Name in logs; by default the class name.

    Call arguments:
        y_true: Multi-hot labels, 0 or 1, shape `(batch, num_labels)`; a negative label is missing
            and has weight 0. Any other value makes the loss NaN, so that it is noticed.
        y_pred: Logits, shape `(batch, num_labels)`.
        sample_weight: Optional floats, shape `(batch,)` or `(batch, 1)`.

    Call returns:
        Scalar in nats; 0 with zero gradients if the weights sum to 0.

    Raises:
        ValueError: if a setting is out of its range (all are reported at once), or when called
            with shapes that do not fit.
    """

    def __init__(
        self,
        pos_weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        name: str | None = None,
    ):
        self.pos_weight, self.label_smoothing = pos_weight, label_smoothing
        mistakes = self._mistakes()
        if mistakes:
            raise InvalidValueError("\n".join(mistakes))
        if pos_weight is not None:
            self.pos_weight = [float(weight) for weight in pos_weight]
        super().__init__(name)

    def _mistakes(self) -> list[str]:
        """One message for each invalid setting."""
        return pos_weight_mistakes(self.pos_weight) + smoothing_mistakes(self.label_smoothing)

    def class_losses(self, log_probabilities: Any) -> Any:
        """The losses of each label if it is negative, and if it is positive.

        Args:
            log_probabilities: `log(1 - p)` and `log p`, shape `(batch, num_labels, 2)`.

        Returns:
            Losses in nats, shape `(batch, num_labels, 2)`.

        Raises:
            NotImplementedError: in this base class.
        """
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses of the labels, not reduced, shape `(batch, num_labels)`."""
        logits = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        labels = _labels(y_true, logits)
        both = ops.stack([ops.log_sigmoid(-logits), ops.log_sigmoid(logits)], axis=-1)
        losses = self.class_losses(both)
        smoothing = self.label_smoothing
        # A missing label is -1; `weights` gives it weight 0.
        yes = (1 - smoothing) * ops.maximum(labels, 0.0) + smoothing / 2
        no = 1 - yes
        if self.pos_weight is not None:
            mistakes = pos_weight_mistakes(self.pos_weight, logits.shape[-1])
            if mistakes:
                raise InvalidValueError("\n".join(mistakes))
            yes = yes * ops.convert_to_tensor(self.pos_weight, dtype="float32")
        return no * losses[..., 0] + yes * losses[..., 1]

    def weights(self, y_true: Any, y_pred: Any) -> Any:
        """Weights of the labels.

        Args:
            y_true: Multi-hot labels, as in a call.
            y_pred: Logits, as in a call.

        Returns:
            float32 `(batch, num_labels)`: 1 for a label, 0 for a missing one, NaN for any other
            value.
        """
        labels = _labels(y_true, ops.convert_to_tensor(y_pred))
        known = ops.logical_or(ops.equal(labels, 0.0), ops.equal(labels, 1.0))
        weights = ops.cast(known, "float32")
        return ops.where(ops.logical_or(known, labels < 0), weights, float("nan"))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {"pos_weight": self.pos_weight, "label_smoothing": self.label_smoothing}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("keras_mm")
class MultilabelCrossEntropy(MultilabelLoss):
    """Binary cross-entropy of each label, from logits: `-(v y log p + (1 - y) log(1 - p))`.

    `v` is the label's `pos_weight`. Call arguments and result are those of `MultilabelLoss`.

    Args:
        pos_weight: Optional floats >= 0, shape `(num_labels,)`.
        label_smoothing: Share of the target spread evenly over yes and no, in `[0, 1)`.
        name: Name in logs.

    Example:
        >>> loss = MultilabelCrossEntropy(pos_weight=[1, 2, 3])
        >>> round(float(loss([[1, 0, 1]], [[0.0, 0.0, 0.0]])), 6)
        1.155245
    """

    def __init__(
        self,
        pos_weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        name: str = "multilabel_cross_entropy",
    ):
        super().__init__(pos_weight, label_smoothing, name)

    def class_losses(self, log_probabilities: Any) -> Any:
        """`-log(1 - p)` and `-log p`; see `MultilabelLoss.class_losses`."""
        return -log_probabilities


@keras.saving.register_keras_serializable("keras_mm")
class MultilabelFocalLoss(MultilabelLoss):
    """Focal loss of each label, in log space; labels that are easy to predict count less.

    `-(v y (1 - p)^gamma log p + (1 - y) p^gamma log(1 - p))`, where `v` is the label's
    `pos_weight`. Call arguments and result are those of `MultilabelLoss`.

    Args:
        gamma: Focusing exponent, >= 0. 0 gives cross-entropy.
        pos_weight: Optional floats >= 0, shape `(num_labels,)`.
        label_smoothing: Share of the target spread evenly over yes and no, in `[0, 1)`.
        name: Name in logs.

    Raises:
        ValueError: if `gamma < 0`.

    Example:
        >>> loss = MultilabelFocalLoss(gamma=2.0)
        >>> round(float(loss([[1, 0]], [[0.0, 0.0]])), 6)
        0.173287

    Reference:
        Lin et al. 2017, arXiv:1708.02002, eq. 4 and 5.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        pos_weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        name: str = "multilabel_focal",
    ):
        self.gamma = gamma
        super().__init__(pos_weight, label_smoothing, name)

    def _mistakes(self) -> list[str]:
        return super()._mistakes() + gamma_mistakes(self.gamma)

    def class_losses(self, log_probabilities: Any) -> Any:
        """`-p^gamma log(1 - p)` and `-(1 - p)^gamma log p`; see `MultilabelLoss.class_losses`."""
        return focal_losses(log_probabilities, self.gamma)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "gamma": self.gamma}


def pos_weight_mistakes(pos_weight: Any, num_labels: int | None = None) -> list[str]:
    """Error messages for invalid weights of positive labels.

    Args:
        pos_weight: One weight per label, or `None`.
        num_labels: Required number of weights; `None` accepts one or more.

    Returns:
        Messages; empty if the weights are valid.
    """
    if pos_weight is None:
        return []
    return per_class_mistakes(
        "pos_weight",
        pos_weight,
        num_labels,
        source="`resolve_pos_weight` makes them from a name or from a dict by label name",
        zero="1 weights positive and negative labels alike, 0 ignores positive ones",
        least=1,
    )


def _labels(y_true: Any, logits: Any) -> Any:
    labels = ops.cast(ops.convert_to_tensor(y_true), "float32")
    if len(logits.shape) != 2 or len(labels.shape) != 2 or labels.shape[-1] != logits.shape[-1]:
        raise InvalidValueError(
            "`y_true` must hold multi-hot labels and `y_pred` logits, both of shape "
            f"(batch, num_labels). Received: shapes {tuple(labels.shape)} and "
            f"{tuple(logits.shape)}"
        )
    return labels
