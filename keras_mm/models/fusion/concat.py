"""Fusion by concatenation."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_mm")
class Concat(layers.Layer):
    """The sides one after the other.

    With a linear head on top this is additive: no product of the modalities can be learned.

    Call arguments:
        embeddings: list of `(batch, width)`, vision first.

    Call returns:
        `(batch, sum of widths)`.
    """

    def call(self, embeddings: Any) -> Any:
        """Concatenates the sides."""
        return ops.concatenate(embeddings, axis=-1)
