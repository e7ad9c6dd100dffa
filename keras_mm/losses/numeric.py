"""Losses for regression targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mm.checks import is_number
from keras_mm.errors import InvalidValueError
from keras_mm.losses.base import WeightedMean


class RegressionLoss(WeightedMean):
    """Base of the regression losses: the mean over all targets that are present.

    A subclass implements only `error_losses`.

    Args:
        scale: Divisor of the errors, > 0, shape `(num_targets,)`. With the standard deviations of
            the targets, the loss is that of standardised targets. `None` does not divide.
        name: Name in logs; by default the class name.

    Call arguments:
        y_true: Floats, shape `(batch, num_targets)`, or `(batch,)` for one target; NaN marks a
            missing target, which has weight 0.
        y_pred: Predictions, shape `(batch, num_targets)`.
        sample_weight: Optional floats, shape `(batch,)` or `(batch, 1)`.

    Call returns:
        Scalar; 0 with zero gradients if the weights sum to 0.

    Raises:
        ValueError: when called with shapes that do not fit.
    """

    def __init__(self, scale: Sequence[float] | None = None, name: str | None = None):
        self.scale = None if scale is None else _checked_scale(scale)
        super().__init__(name)

    def error_losses(self, errors: Any) -> Any:
        """The loss of each error.

        Args:
            errors: `(prediction - target) / scale`, shape `(batch, num_targets)`.

        Returns:
            Losses of that shape.

        Raises:
            NotImplementedError: in this base class.
        """
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses of the targets, not reduced, shape `(batch, num_targets)`."""
        predictions = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        targets = _targets(y_true, predictions)
        # NaN is replaced before the loss: a gradient through NaN is NaN, even times 0.
        present = ops.logical_not(ops.isnan(targets))
        errors = ops.where(present, predictions - targets, 0.0)
        if self.scale is not None:
            errors = errors / ops.convert_to_tensor(self.scale, "float32")
        return self.error_losses(errors)

    def weights(self, y_true: Any, y_pred: Any) -> Any:
        """Weights of the targets.

        Args:
            y_true: Targets, as in a call.
            y_pred: Predictions, as in a call.

        Returns:
            float32 `(batch, num_targets)`: 1 for a target, 0 for a missing one.
        """
        targets = _targets(y_true, ops.convert_to_tensor(y_pred))
        return ops.cast(ops.logical_not(ops.isnan(targets)), "float32")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("keras_mm")
class SquaredError(RegressionLoss):
    """Mean squared error over the targets that are present.

    Args:
        scale: See `RegressionLoss`.
        name: Name in logs.

    Example:
        >>> float(SquaredError()([[1.0], [float("nan")]], [[3.0], [7.0]]))
        4.0
    """

    def __init__(self, scale: Sequence[float] | None = None, name: str = "mean_squared_error"):
        super().__init__(scale, name)

    def error_losses(self, errors: Any) -> Any:
        """`e^2`; see `RegressionLoss.error_losses`."""
        return ops.square(errors)


@keras.saving.register_keras_serializable("keras_mm")
class AbsoluteError(RegressionLoss):
    """Mean absolute error over the targets that are present; its optimum is the median.

    Args:
        scale: See `RegressionLoss`.
        name: Name in logs.

    Example:
        >>> float(AbsoluteError()([1.0, 2.0], [[3.0], [1.0]]))
        1.5
    """

    def __init__(self, scale: Sequence[float] | None = None, name: str = "mean_absolute_error"):
        super().__init__(scale, name)

    def error_losses(self, errors: Any) -> Any:
        """`|e|`; see `RegressionLoss.error_losses`."""
        return ops.abs(errors)


@keras.saving.register_keras_serializable("keras_mm")
class HuberLoss(RegressionLoss):
    """Huber loss: quadratic for small errors, linear for large ones.

    `e^2 / 2` for `|e| <= delta`, else `delta (|e| - delta / 2)`.

    Args:
        delta: Error at which the loss becomes linear, > 0, in the unit of the targets; with
            `scale`, in multiples of it.
        scale: See `RegressionLoss`.
        name: Name in logs.

    Raises:
        ValueError: if `delta` is not a finite number > 0.

    Example:
        >>> float(HuberLoss()([0.0, 0.0], [[0.5], [3.0]]))
        1.3125

    Reference:
        Huber 1964, Ann. Math. Statist. 35, 73-101.
    """

    def __init__(
        self, delta: float = 1.0, scale: Sequence[float] | None = None, name: str = "huber"
    ):
        if not (is_number(delta) and delta > 0):
            raise InvalidValueError(
                f"`delta` must be a finite number > 0. Received: delta={delta!r}"
            )
        self.delta = float(delta)
        super().__init__(scale, name)

    def error_losses(self, errors: Any) -> Any:
        """`e^2 / 2`, or `delta (|e| - delta / 2)`; see `RegressionLoss.error_losses`."""
        # One formula for both cases: `inside` is the part of the error up to `delta`.
        size = ops.abs(errors)
        inside = ops.minimum(size, self.delta)
        return 0.5 * ops.square(inside) + self.delta * (size - inside)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "delta": self.delta}


def _targets(y_true: Any, predictions: Any) -> Any:
    targets = ops.cast(ops.convert_to_tensor(y_true), "float32")
    if len(targets.shape) == 1:
        targets = ops.expand_dims(targets, axis=-1)
    shapes = targets.shape, predictions.shape
    if any(len(shape) != 2 for shape in shapes) or shapes[0][-1] != shapes[1][-1]:
        raise InvalidValueError(
            "`y_true` and `y_pred` must have one column per target, shape (batch, num_targets). "
            f"Received: shapes {tuple(shapes[0])} and {tuple(shapes[1])}"
        )
    return targets


def _checked_scale(scale: Any) -> list[float]:
    scales = np.asarray(scale, "float64")
    if scales.ndim != 1 or not len(scales) or not (np.isfinite(scales) & (scales > 0)).all():
        raise InvalidValueError(
            f"`scale` must be a finite number > 0 for each target. Received: scale={scale!r}"
        )
    return scales.tolist()
