"""Layers of a model that averages the predictions of several members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_mm")
class AveragePrediction(layers.Layer):
    """Averages the predictions of several heads of one kind, and returns the average as logits.

    Probabilities are averaged, not logits. The output is logits again: their softmax (sigmoid for
    `"binary"` and `"multilabel"`) is the weighted mean of the members' probabilities. Numbers of
    `"regression"` heads are averaged themselves. It is computed in log space.

    Args:
        kind: Kind of the head: `"multiclass"`, `"binary"`, `"multilabel"` or `"regression"`.
        weights: Weight of each member, floats > 0 that sum to 1.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        logits: A list of arrays `(batch, num_logits)`, one for each member.

    Call returns:
        Floats `(batch, num_logits)`.

    Example:
        >>> layer = AveragePrediction("regression", [0.5, 0.5])
        >>> float(layer([ops.ones((1, 1)), 3 * ops.ones((1, 1))])[0, 0])
        2.0
    """

    def __init__(self, kind: str, weights: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.kind, self.weights_of_members = kind, tuple(float(weight) for weight in weights)

    def call(self, logits: Sequence[Any]) -> Any:
        """Averages."""
        stacked = ops.stack(logits, axis=0)
        if self.kind == "regression":
            return ops.sum(stacked * self._column(self.weights_of_members), axis=0)
        shares = self._column([math.log(weight) for weight in self.weights_of_members])
        if self.kind == "multiclass":
            return ops.logsumexp(ops.log_softmax(stacked, axis=-1) + shares, axis=0)
        yes = ops.logsumexp(ops.log_sigmoid(stacked) + shares, axis=0)
        return yes - ops.logsumexp(ops.log_sigmoid(-stacked) + shares, axis=0)

    def _column(self, values: Sequence[float]) -> Any:
        """One value per member, shape `(num_members, 1, 1)`."""
        return ops.reshape(ops.convert_to_tensor(values, self.compute_dtype), (-1, 1, 1))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        config = {"kind": self.kind, "weights": list(self.weights_of_members)}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("keras_mm")
class MemberFeatures(layers.Layer):
    """Selects the features of one member from those of all members, joined along the last axis.

    Args:
        member: Number of the member, from 0.
        num_members: Number of members, >= 1.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        features: Floats `(..., num_members * width)`.

    Call returns:
        Floats `(..., width)`.

    Example:
        >>> float(MemberFeatures(1, 2)(ops.convert_to_tensor([[1.0, 2.0, 3.0, 4.0]]))[0, 0])
        3.0
    """

    def __init__(self, member: int, num_members: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.member, self.num_members = member, num_members

    def call(self, features: Any) -> Any:
        """Selects."""
        width = features.shape[-1] // self.num_members
        return features[..., self.member * width : (self.member + 1) * width]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        config = {"member": self.member, "num_members": self.num_members}
        return {**super().get_config(), **config}
