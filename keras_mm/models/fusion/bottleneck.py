"""Bottleneck fusion: the modalities exchange information through shared tokens only."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_mm.checks import check_rate, check_whole
from keras_mm.errors import InvalidValueError
from keras_mm.models.fusion.attention import AttentionBlock, masked_mean, with_pooled


@keras.saving.register_keras_serializable("keras_mm")
class Bottleneck(layers.Layer):
    """Attention bottlenecks: each side attends to itself and to a small number of shared tokens.

    In each layer, both sides update the shared tokens, and the next layer reads the mean of the two
    updates. So each modality must condense its information for the other. The tokens of a side are
    its pooled vector (with `compare`, the vector of the comparison), then its image regions or word
    pieces.

    Args:
        num_bottlenecks: Number of shared tokens, >= 1.
        num_heads: Heads of each attention, >= 1.
        num_layers: Number of layers, >= 2, because a side reads the other side's updates only in
            the next layer.
        dropout_rate: Dropout of each block, in [0, 1).
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        sides: list of two dicts, vision first: `pooled_output` `(batch, width)`, `sequence_output`
            `(batch, tokens, width)` and `sequence_mask` `(batch, tokens)`, bool.

    Call returns:
        `(batch, 3 * width)`: for each side, the output at its pooled vector plus the mean output at
        its valid tokens; and the product of the two.

    Raises:
        ValueError: if `num_layers` is below 2.

    Example:
        >>> side = {"pooled_output": ops.ones((2, 8)), "sequence_output": ops.ones((2, 3, 8)),
        ...         "sequence_mask": ops.ones((2, 3), dtype="bool")}
        >>> Bottleneck(num_heads=2)([side, side]).shape == (2, 3 * 8)
        True

    Reference:
        Nagrani et al. 2021, "Attention Bottlenecks for Multimodal Fusion", arXiv:2107.00135,
        section 3.3.
    """

    needs_tokens = True

    def __init__(
        self,
        num_bottlenecks: int = 4,
        num_heads: int = 4,
        num_layers: int = 2,
        dropout_rate: float = 0.1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_whole(num_bottlenecks=num_bottlenecks, num_heads=num_heads)
        check_whole(2, num_layers=num_layers)
        check_rate(dropout_rate=dropout_rate)
        self.num_bottlenecks, self.num_heads = num_bottlenecks, num_heads
        self.num_layers, self.dropout_rate = num_layers, dropout_rate

    def build(self, shapes: Any) -> None:
        """Creates the shared tokens, and a block for each side and layer."""
        if len(shapes) != 2:
            raise InvalidValueError(f"Bottleneck fusion takes two sides. Received: {len(shapes)}")
        shapes = [shape["sequence_output"] for shape in shapes]
        self.shared = self.add_weight(
            shape=(1, self.num_bottlenecks, shapes[0][-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="shared",
        )
        self.blocks = [
            [
                AttentionBlock(
                    self.num_heads,
                    self.dropout_rate,
                    name=f"{side}_{layer}",
                    dtype=self.dtype_policy,
                )
                for side in ("vision", "text")
            ]
            for layer in range(1, self.num_layers + 1)
        ]
        for pair in self.blocks:
            for block, shape in zip(pair, shapes, strict=True):
                block.build(shape, shape)

    def call(self, sides: Any, training: bool | None = None) -> Any:
        """Runs all layers over the sides and the shared tokens."""
        tokens, masks = map(list, zip(*map(with_pooled, sides), strict=True))
        shared = self.shared + ops.zeros_like(tokens[0][:, :1])  # repeated for each row
        always = ops.ones_like(shared[..., 0], dtype="bool")
        for pair in self.blocks:
            written = []
            for i, block in enumerate(pair):
                x = ops.concatenate([shared, tokens[i]], axis=1)
                mask = ops.concatenate([always, masks[i]], axis=1)
                x = block(x, x, mask, training=training)
                written.append(x[:, : self.num_bottlenecks])
                tokens[i] = x[:, self.num_bottlenecks :]
            shared = (written[0] + written[1]) / 2
        x, y = (t[:, 0] + masked_mean(t, mask) for t, mask in zip(tokens, masks, strict=True))
        return ops.concatenate([x, y, x * y], axis=-1)

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {
            **super().get_config(),
            "num_bottlenecks": self.num_bottlenecks,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dropout_rate": self.dropout_rate,
        }
