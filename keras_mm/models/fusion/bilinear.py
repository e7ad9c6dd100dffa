"""Low-rank bilinear fusion: the product of the modalities."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_mm.checks import check_whole
from keras_mm.errors import InvalidValueError


@keras.saving.register_keras_serializable("keras_mm")
class Bilinear(layers.Layer):
    """Concatenates both sides and their product in a common space.

    `[x, y, LN(U x) * LN(V y)]`: each side is layer-normalised before the product, so that both
    have the same scale. The sides themselves are included (the paper's shortcut connection), so
    that information of a single modality does not depend on the product.

    Args:
        rank: Width of the product, >= 1; `None` is the width of the first side.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        embeddings: list of two tensors `(batch, width)`, vision first.

    Call returns:
        `(batch, width_1 + width_2 + rank)`.

    Example:
        >>> Bilinear(rank=5)([ops.ones((2, 3)), ops.ones((2, 4))]).shape == (2, 3 + 4 + 5)
        True

    Reference:
        Kim et al. 2017, "Hadamard Product for Low-rank Bilinear Pooling", arXiv:1610.04325.
    """

    def __init__(self, rank: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if rank is not None:
            check_whole(rank=rank)
        self.rank = rank

    def build(self, shapes: Any) -> None:
        """Creates a projection and a normalisation for each side."""
        if len(shapes) != 2:
            raise InvalidValueError(f"Bilinear fusion takes two sides. Received: {len(shapes)}")
        rank = self.rank or shapes[0][-1]
        options = {"dtype": self.dtype_policy}
        self.projections = [layers.Dense(rank, name=f"projection_{i}", **options) for i in (1, 2)]
        self.norms = [layers.LayerNormalization(name=f"norm_{i}", **options) for i in (1, 2)]
        for projection, norm, shape in zip(self.projections, self.norms, shapes, strict=True):
            projection.build(shape)
            norm.build((shape[0], rank))

    def call(self, embeddings: Any) -> Any:
        """Multiplies the projected, normalised sides."""
        left, right = (
            norm(projection(x))
            for norm, projection, x in zip(self.norms, self.projections, embeddings, strict=True)
        )
        return ops.concatenate([*embeddings, left * right], axis=-1)

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "rank": self.rank}
