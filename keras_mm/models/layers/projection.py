"""Projections to a common width, for vectors (as in the Keras example) and for tokens."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


def project_embeddings(
    embeddings: Any,
    num_projection_layers: int = 1,
    projection_dims: int = 256,
    dropout_rate: float = 0.1,
) -> Any:
    """Projects vectors to a common width: a Dense layer, then residual blocks.

    Each block is `LayerNorm(x + Dropout(Dense(gelu(x))))`.

    Args:
        embeddings: `(batch, width)`, symbolic or an array.
        num_projection_layers: Residual blocks, >= 0.
        projection_dims: Width of the result, >= 1.
        dropout_rate: Dropout of each block, in [0, 1).

    Returns:
        `(batch, projection_dims)`.

    Example:
        >>> import keras
        >>> project_embeddings(keras.Input((7,)), projection_dims=5).shape
        (None, 5)

    Reference:
        The Keras example "Multimodal entailment".
    """
    projected = layers.Dense(projection_dims)(embeddings)
    for _ in range(num_projection_layers):
        x = ops.gelu(projected)
        x = layers.Dense(projection_dims)(x)
        x = layers.Dropout(dropout_rate)(x)
        x = layers.Add()([projected, x])
        projected = layers.LayerNormalization()(x)
    return projected


@keras.saving.register_keras_serializable("keras_mm")
class TokenProjection(layers.Layer):
    """Projects tokens to a common width, and adds an embedding of their slot.

    Without this embedding, attention could not distinguish the regions of the first image from
    those of the second.

    Args:
        dims: Width of the result, >= 1.
        slots: Number of images, or of separately encoded texts, in a sequence, >= 1.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        tokens: `(batch, slots * T, width)`.

    Call returns:
        `(batch, slots * T, dims)`, layer-normalised.
    """

    def __init__(self, dims: int, slots: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.dims, self.slots = dims, slots

    def build(self, shape: tuple) -> None:
        """Creates the projection and, for several slots, their embeddings."""
        self.dense = layers.Dense(self.dims, name="dense", dtype=self.dtype_policy)
        self.dense.build(shape)
        self.norm = layers.LayerNormalization(name="norm", dtype=self.dtype_policy)
        self.norm.build((*shape[:-1], self.dims))
        if self.slots > 1:
            self.marks = self.add_weight(
                shape=(self.slots, 1, self.dims),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
                name="marks",
            )

    def call(self, tokens: Any) -> Any:
        """Projects, adds the slot embeddings and normalises."""
        x = self.dense(tokens)
        if self.slots > 1:
            length = ops.shape(x)[1]
            x = ops.reshape(x, (-1, self.slots, length // self.slots, self.dims)) + self.marks
            x = ops.reshape(x, (-1, length, self.dims))
        return self.norm(x)

    def compute_output_shape(self, shape: tuple) -> tuple:
        """The tokens' shape with the new width."""
        return (*shape[:-1], self.dims)

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "dims": self.dims, "slots": self.slots}
