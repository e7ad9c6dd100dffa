"""Base classes of the losses: the weighted mean, and losses for integer labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mm.checks import is_number
from keras_mm.errors import InvalidValueError
from keras_mm.losses.class_weights import class_weight_mistakes


class WeightedMean(keras.losses.Loss):
    """Base of all losses: `sum(weight * loss) / sum(weight)`, in float32.

    A subclass implements `call`, which returns the losses, and `weights`. Both have the shape
    `(batch,)`, or `(batch, num_columns)` where each column has a weight of its own. Masks that
    Keras attaches to the logits are ignored, because each row has one prediction.

    Args:
        name: Name in logs; by default the class name.

    Call arguments:
        y_true: Labels or targets, as the subclass defines them.
        y_pred: Logits, shape `(batch, num_logits)`.
        sample_weight: Optional floats, shape `(batch,)` or `(batch, 1)`.

    Call returns:
        Scalar; 0 with zero gradients if the weights sum to 0.
    """

    def __init__(self, name: str | None = None):
        super().__init__(name=name, reduction="mean_with_sample_weight", dtype="float32")

    def weights(self, y_true: Any, y_pred: Any) -> Any:
        """Weights of the losses that `call` returns.

        Args:
            y_true: Labels or targets, as in a call.
            y_pred: Logits, as in a call.

        Returns:
            Floats >= 0 of the shape of the losses; 0 for a missing label or target.

        Raises:
            NotImplementedError: in this base class.
        """
        raise NotImplementedError

    # Not Keras' `__call__`: it knows no class weights, and it applies masks of the logits.
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Weighted mean of the losses."""
        y_pred = ops.convert_to_tensor(y_pred)
        losses, weights = self.call(y_true, y_pred), self.weights(y_true, y_pred)
        if sample_weight is not None:
            sample_weight = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
            shape = (-1,) + (1,) * (len(weights.shape) - 1)
            weights = weights * ops.reshape(sample_weight, shape)
        return ops.divide_no_nan(ops.sum(weights * losses), ops.sum(weights))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name}


class WeightedLoss(WeightedMean):
    """Base of the losses for integer labels: `sum(weight * loss) / sum(weight)` over the rows.

    A row has the weight `class_weight[y] * sample_weight`, or 0 without a label. A subclass
    implements only `class_losses`; the loss of a row is their mean under the (smoothed) target.

    Args:
        class_weight: Optional floats >= 0, shape `(num_classes,)`; two for a binary head.
        label_smoothing: Share of the target spread evenly over all classes, in `[0, 1)`. The
            row keeps the weight of its label.
        name: Name in logs; by default the class name.

    Call arguments:
        y_true: Integer labels in `[0, num_classes)`, shape `(batch,)` or `(batch, 1)`; negative
            means no label. Any other value makes the loss NaN, so that it is noticed.
        y_pred: Logits, shape `(batch, num_classes)`, or `(batch, 1)` for a binary head.
        sample_weight: Optional floats, shape `(batch,)` or `(batch, 1)`.

    Call returns:
        Scalar in nats; 0 with zero gradients if the weights sum to 0.

    Raises:
        ValueError: if a setting is out of its range (all are reported at once), or when called
            with shapes that do not fit.
    """

    def __init__(
        self,
        class_weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        name: str | None = None,
    ):
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        mistakes = self._mistakes()
        if mistakes:
            raise InvalidValueError("\n".join(mistakes))
        if class_weight is not None:
            self.class_weight = [float(weight) for weight in class_weight]
        super().__init__(name)

    def _mistakes(self) -> list[str]:
        """One message for each invalid setting."""
        return class_weight_mistakes(self.class_weight) + smoothing_mistakes(self.label_smoothing)

    def class_losses(self, log_probabilities: Any) -> Any:
        """The loss of each row for each class as the label.

        Args:
            log_probabilities: `log p_c`, shape `(batch, num_classes)`.

        Returns:
            Losses in nats, shape `(batch, num_classes)`.

        Raises:
            NotImplementedError: in this base class.
        """
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Unweighted losses of the rows, shape `(batch,)`."""
        log_probabilities = log_probabilities_of(y_pred)
        one_hot = one_hot_of(y_true, log_probabilities.shape[-1])
        smoothing = self.label_smoothing
        targets = (1 - smoothing) * one_hot + smoothing / log_probabilities.shape[-1]
        return ops.sum(targets * self.class_losses(log_probabilities), axis=-1)

    def weights(self, y_true: Any, y_pred: Any) -> Any:
        """Weights of the rows.

        Args:
            y_true: Integer labels, as in a call.
            y_pred: Logits, as in a call.

        Returns:
            Floats, shape `(batch,)`: the class weight of the label, or 1; 0 without a label.

        Raises:
            ValueError: if the class weights do not fit the logits.
        """
        num_classes = num_classes_of(y_pred)
        one_hot = one_hot_of(y_true, num_classes)
        if self.class_weight is not None:
            mistakes = class_weight_mistakes(self.class_weight, num_classes)
            if mistakes:
                raise InvalidValueError("\n".join(mistakes))
            one_hot = one_hot * ops.convert_to_tensor(self.class_weight, dtype="float32")
        return ops.sum(one_hot, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "class_weight": self.class_weight,
            "label_smoothing": self.label_smoothing,
            "name": self.name,
        }


def smoothing_mistakes(label_smoothing: Any) -> list[str]:
    """Error messages for an invalid label smoothing.

    Args:
        label_smoothing: The value to check; valid in `[0, 1)`.

    Returns:
        Messages; empty if the value is valid.
    """
    if is_number(label_smoothing) and 0 <= label_smoothing < 1:
        return []
    return [
        "`label_smoothing` must be in [0, 1); 0 smooths nothing, 0.1 is usual. "
        f"Received: label_smoothing={label_smoothing!r}"
    ]


def num_classes_of(y_pred: Any) -> int:
    """The number of classes of logits.

    Args:
        y_pred: Logits, shape `(batch, num_classes)`, or `(batch, 1)` for a binary head.

    Returns:
        The width of the logits, or 2 for a single logit.

    Raises:
        ValueError: if the logits have another shape.
    """
    shape = y_pred.shape
    if len(shape) != 2 or not shape[-1]:
        raise InvalidValueError(
            "`y_pred` must hold logits of shape (batch, num_classes), or (batch, 1) for a "
            f"binary head. Received: shape {tuple(shape)}"
        )
    return max(shape[-1], 2)


def log_probabilities_of(y_pred: Any) -> Any:
    """Log-probabilities from the logits of a multiclass or a binary head.

    Args:
        y_pred: Logits, shape `(batch, num_classes)`, or `(batch, 1)` for a binary head.

    Returns:
        float32 `(batch, num_classes)`.

    Raises:
        ValueError: if the logits have another shape.
    """
    logits = ops.cast(ops.convert_to_tensor(y_pred), "float32")
    if num_classes_of(logits) > logits.shape[-1]:
        # sigmoid(z) is the softmax of (0, z): from here on a binary head is like any other.
        logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
    return ops.log_softmax(logits, axis=-1)


def one_hot_of(y_true: Any, num_classes: int) -> Any:
    """One-hot labels.

    Args:
        y_true: Integer labels, shape `(batch,)` or `(batch, 1)`; negative means no label.
        num_classes: Number of classes.

    Returns:
        float32 `(batch, num_classes)`: zeros for a negative label, NaN for a label that is not an
        integer below `num_classes`, so that the loss becomes NaN and the error is noticed.

    Raises:
        ValueError: if the labels have another shape.
    """
    labels = ops.cast(ops.convert_to_tensor(y_true), "float32")
    if len(labels.shape) == 1:
        labels = ops.expand_dims(labels, axis=-1)
    if len(labels.shape) != 2 or labels.shape[-1] not in (1, None):
        raise InvalidValueError(
            "`y_true` must hold integer labels of shape (batch,) or (batch, 1); turn one-hot rows "
            f"into integers with argmax. Received: shape {tuple(labels.shape)}"
        )
    # Compared as floats: a cast to integers would turn NaN or 1.5 into a class.
    matches = ops.equal(labels, ops.arange(num_classes, dtype="float32"))
    known = ops.logical_or(ops.any(matches, axis=-1, keepdims=True), labels < 0)
    return ops.where(known, ops.cast(matches, "float32"), float("nan"))
