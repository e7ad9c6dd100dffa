"""Comparison of the two slots of a side."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_mm.errors import InvalidValueError


@keras.saving.register_keras_serializable("keras_mm")
class PairComparison(layers.Layer):
    """Computes `[u, v, u - v, |u - v|, u * v]` from two layer-normalised slots.

    Both slots share one normalisation, so that equal inputs stay equal. The signed difference
    shows the direction of a change, which the symmetric features do not.

    Call arguments:
        pair: `(batch, 2, width)`.

    Call returns:
        `(batch, 5 * width)`.

    Example:
        >>> PairComparison()(ops.ones((3, 2, 4))).shape == (3, 5 * 4)
        True

    Reference:
        Conneau et al. 2017, "InferSent", arXiv:1705.02364, without its omission of the sign.
    """

    def build(self, shape: tuple) -> None:
        """Creates the shared normalisation."""
        if shape[1] != 2:
            raise InvalidValueError(
                f"A comparison needs exactly two slots (images or texts). Received: {shape[1]}"
            )
        self.norm = layers.LayerNormalization(name="norm", dtype=self.dtype_policy)
        self.norm.build(shape)

    def call(self, pair: Any) -> Any:
        """Compares the slots."""
        pair = self.norm(pair)
        u, v = pair[:, 0], pair[:, 1]
        return ops.concatenate([u, v, u - v, ops.absolute(u - v), u * v], axis=-1)
