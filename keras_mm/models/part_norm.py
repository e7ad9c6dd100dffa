"""Normalisation of the fused vector, before the heads."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

# Of the root mean square of a part.
_LIMIT = 4.0


@keras.saving.register_keras_serializable("keras_mm")
class PartNorm(keras.layers.Layer):
    """Bounds the scale of each part of a vector: `gamma * x / sqrt(1 + mean(x^2) / 4^2)`.

    A fused vector is made of parts, as `[x, y, x * y]`, whose scales differ by the fusion, the
    encoders and the row. Each part is bounded by itself, so that what one side says does not depend
    on the scale of the other. Vectors of scale 1 stay nearly as they are: how large a product is
    decides how soon it is learned, and brought down to the scale of the sides, products of
    attention are learned late or never. The length of a vector stays readable: it grows with that
    of `x`, also for a part of width 1.

    Args:
        widths: Widths of the parts, in order.

    Call arguments:
        x: Floats, shape `(batch, sum of widths)`.

    Returns:
        Floats of that shape. While `gamma` is 1, the root mean square of each part is below 4.

    Example:
        >>> float(PartNorm([1])(ops.array([[1e6]]))[0, 0])
        4.0

    Reference:
        Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, with an
        epsilon of `4^2` and its root as the gain.
    """

    def __init__(self, widths: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self.widths = [int(width) for width in widths]

    def build(self, shape):
        """Creates the learned weight of each part."""
        if shape[-1] != sum(self.widths):
            raise ValueError(
                f"`widths` must sum to the width of the vector, {shape[-1]}. "
                f"Received: widths={self.widths}"
            )
        self.gamma = self.add_weight((len(self.widths),), "ones", name="gamma")

    def call(self, x):
        """Normalises each part."""
        parts, start = [], 0
        for number, width in enumerate(self.widths):
            part = x[:, start : start + width]
            square = ops.mean(ops.square(part / _LIMIT), axis=-1, keepdims=True)
            parts.append(self.gamma[number] * part * ops.rsqrt(1.0 + square))
            start += width
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, shape):
        """The vector's own shape."""
        return shape

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "widths": self.widths}
