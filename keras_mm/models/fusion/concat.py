"""Fusion by concatenation."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_mm")
class Concat(layers.Layer):
    """Concatenates the sides.

    With a linear head, the logits are additive: the model cannot learn products of the modalities.

    Call arguments:
        embeddings: list of `(batch, width)`, vision first.

    Call returns:
        `(batch, sum of widths)`.

    Example:
        >>> Concat()([ops.ones((2, 3)), ops.ones((2, 4))]).shape == (2, 7)
        True
    """

    def call(self, embeddings: Any) -> Any:
        """Concatenates the sides."""
        return ops.concatenate(embeddings, axis=-1)
