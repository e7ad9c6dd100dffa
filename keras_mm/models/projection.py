"""The projection head of the Keras multimodal entailment example."""

from __future__ import annotations

from keras import layers, ops


def project_embeddings(
    embeddings,
    num_projection_layers: int = 1,
    projection_dims: int = 256,
    dropout_rate: float = 0.1,
):
    """Projects vectors to a common width: a Dense layer, then residual blocks.

    Each block is `LayerNorm(x + Dropout(Dense(gelu(x))))`.

    Args:
        embeddings: `(batch, width)`, symbolic or an array.
        num_projection_layers: Residual blocks, >= 0.
        projection_dims: Width of the result.
        dropout_rate: In [0, 1).

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
