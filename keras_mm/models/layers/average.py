"""Layers of a model that averages the predictions of several members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers, ops

_LEAST = 1e-30  # so that no logarithm is of 0
_NOTHING = -1e9  # the logarithm of a weight of 0; larger than the range of logits


@keras.saving.register_keras_serializable("keras_mm")
class AveragePrediction(layers.Layer):
    """Averages the predictions of several heads of one kind, and returns the average as logits.

    Probabilities are averaged, not logits. The output is logits again: their softmax (sigmoid for
    `"binary"` and `"multilabel"`) is the weighted mean of the members' probabilities. Numbers of
    `"regression"` heads are averaged themselves. It is computed in log space.

    Args:
        kind: Kind of the head: `"multiclass"`, `"binary"`, `"multilabel"` or `"regression"`.
        weights: Weight of each member, floats >= 0 that sum to 1.
        without: Weights for the rows that lack all images or all texts, by the name of the mask
            that says so; rows that lack both have `weights`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        logits: A list of arrays `(batch, num_logits)`, one for each member.
        present: A dict of the masks that `without` names, bool `(batch, M)`, False where an input
            is missing; `None` without `without`.

    Call returns:
        Floats `(batch, num_logits)`.

    Example:
        >>> layer = AveragePrediction("regression", [0.5, 0.5])
        >>> float(layer([ops.ones((1, 1)), 3 * ops.ones((1, 1))])[0, 0])
        2.0
    """

    def __init__(
        self,
        kind: str,
        weights: Sequence[float],
        without: Mapping[str, Sequence[float]] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.kind, self.weights_of_members = kind, tuple(float(weight) for weight in weights)
        self.without = {name: tuple(map(float, own)) for name, own in (without or {}).items()}

    def call(self, logits: Sequence[Any], present: Mapping[str, Any] | None = None) -> Any:
        """Averages."""
        stacked, shares = ops.stack(logits, axis=0), self._shares(present)
        if self.kind == "regression":
            return ops.sum(stacked * shares, axis=0)
        shares = ops.where(shares > 0, ops.log(ops.maximum(shares, _LEAST)), _NOTHING)
        if self.kind == "multiclass":
            return ops.logsumexp(ops.log_softmax(stacked, axis=-1) + shares, axis=0)
        yes = ops.logsumexp(ops.log_sigmoid(stacked) + shares, axis=0)
        return yes - ops.logsumexp(ops.log_sigmoid(-stacked) + shares, axis=0)

    def _shares(self, present: Mapping[str, Any] | None) -> Any:
        """The members' weights for each row, or for all rows: `(num_members, batch or 1, 1)`."""
        shares = self._row(self.weights_of_members)
        if self.without and present is not None:
            lacks = {name: ~ops.any(present[name], axis=1) for name in self.without}
            lacks_all = ops.all(ops.stack(list(lacks.values()), axis=0), axis=0)
            everything = len(lacks) > 1
            for name, own in self.without.items():
                chosen = ops.logical_and(lacks[name], ~lacks_all) if everything else lacks[name]
                shares = ops.where(chosen[:, None], self._row(own), shares)
        return ops.transpose(shares)[..., None]

    def _row(self, weights: Sequence[float]) -> Any:
        """One value per member, shape `(1, num_members)`."""
        return ops.reshape(ops.convert_to_tensor(weights, self.compute_dtype), (1, -1))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        config: dict[str, Any] = {"kind": self.kind, "weights": list(self.weights_of_members)}
        if self.without:
            config["without"] = {name: list(own) for name, own in self.without.items()}
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
