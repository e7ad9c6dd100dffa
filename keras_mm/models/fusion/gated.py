"""Gated fusion: the model weighs the modalities for each row and dimension."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_mm.checks import check_whole
from keras_mm.errors import InvalidValueError


@keras.saving.register_keras_serializable("keras_mm")
class Gated(layers.Layer):
    """The gated multimodal unit: `z * tanh(W_1 x) + (1 - z) * tanh(W_2 y)`.

    The gate `z = sigmoid(W_z [x, y])` depends on both sides, so that one modality can decide how
    much the other counts.

    Args:
        units: Width of the result, >= 1; `None` is the width of the first side.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        embeddings: list of two tensors `(batch, width)`, vision first.

    Call returns:
        `(batch, units)`.

    Example:
        >>> Gated(units=5)([ops.ones((2, 3)), ops.ones((2, 4))]).shape == (2, 5)
        True

    Reference:
        Arevalo et al. 2017, "Gated Multimodal Units for Information Fusion", arXiv:1702.01992,
        section 3.1.
    """

    def __init__(self, units: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if units is not None:
            check_whole(units=units)
        self.units = units

    def build(self, shapes: Any) -> None:
        """Creates the two transforms and the gate."""
        if len(shapes) != 2:
            raise InvalidValueError(f"Gated fusion takes two sides. Received: {len(shapes)}")
        units = self.units or shapes[0][-1]
        options = {"dtype": self.dtype_policy}
        self.transforms = [
            layers.Dense(units, activation="tanh", name=f"transform_{i}", **options) for i in (1, 2)
        ]
        for transform, shape in zip(self.transforms, shapes, strict=True):
            transform.build(shape)
        self.gate = layers.Dense(units, activation="sigmoid", name="gate", **options)
        self.gate.build((shapes[0][0], shapes[0][-1] + shapes[1][-1]))

    def call(self, embeddings: Any) -> Any:
        """Mixes the transformed sides by the gate."""
        x, y = (f(e) for f, e in zip(self.transforms, embeddings, strict=True))
        gate = self.gate(ops.concatenate(embeddings, axis=-1))
        return gate * x + (1 - gate) * y

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "units": self.units}
