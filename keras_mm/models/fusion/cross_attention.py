"""Fusion by cross-attention: text tokens attend to image regions, and vice versa."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_mm.checks import check_rate, check_whole
from keras_mm.errors import InvalidValueError
from keras_mm.models.fusion.attention import AttentionBlock, masked_mean, with_pooled


@keras.saving.register_keras_serializable("keras_mm")
class CrossAttention(layers.Layer):
    """Token-level attention in both directions, within each row.

    The tokens of a side are its pooled vector (with `compare`, the vector of the comparison), then
    its image regions or word pieces. The tokens of each side attend to those of the other. A side's
    result is the output at its pooled vector plus the mean output at its valid tokens. Both results
    are returned with their product, so that a linear head can use combinations of the modalities.

    Args:
        num_heads: Heads of each attention, >= 1.
        num_layers: Number of layers, >= 1, each with a block per direction; both blocks read the
            output of the previous layer.
        dropout_rate: Dropout of each block, in [0, 1).
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        sides: list of two dicts, vision first: `pooled_output` `(batch, width)`, `sequence_output`
            `(batch, tokens, width)` and `sequence_mask` `(batch, tokens)`, bool.
        return_attention: Whether to return the attention weights of the last layer, too.

    Call returns:
        `(batch, 3 * width)`; with `return_attention` also a dict: `text_to_image`
        `(batch, num_heads, 1 + text tokens, 1 + image tokens)` and `image_to_text`, with the pooled
        vector at position 0. Masked tokens have weight 0; each row of weights sums to 1.

    Example:
        >>> side = {"pooled_output": ops.ones((2, 8)), "sequence_output": ops.ones((2, 3, 8)),
        ...         "sequence_mask": ops.ones((2, 3), dtype="bool")}
        >>> CrossAttention(num_heads=2)([side, side]).shape == (2, 3 * 8)
        True

    Reference:
        Lu et al. 2019, "ViLBERT", arXiv:1908.02265, section 3 (co-attention, and the product).
    """

    needs_tokens = True

    def __init__(
        self, num_heads: int = 4, num_layers: int = 1, dropout_rate: float = 0.1, **kwargs: Any
    ):
        super().__init__(**kwargs)
        check_whole(num_heads=num_heads, num_layers=num_layers)
        check_rate(dropout_rate=dropout_rate)
        self.num_heads, self.num_layers, self.dropout_rate = num_heads, num_layers, dropout_rate

    def build(self, shapes: Any) -> None:
        """Creates a block for each side and layer."""
        if len(shapes) != 2:
            raise InvalidValueError(f"Cross-attention takes two sides. Received: {len(shapes)}")
        image, text = (shape["sequence_output"] for shape in shapes)
        self.blocks = []
        for layer in range(1, self.num_layers + 1):
            pair = [
                AttentionBlock(
                    self.num_heads,
                    self.dropout_rate,
                    name=f"{side}_{layer}",
                    dtype=self.dtype_policy,
                )
                for side in ("image_to_text", "text_to_image")
            ]
            for block, query, context in zip(pair, (image, text), (text, image), strict=True):
                block.build(query, context)
            self.blocks.append(pair)

    def call(self, sides: Any, return_attention: bool = False, training: bool | None = None) -> Any:
        """Runs all layers over the sides."""
        (image, image_mask), (text, text_mask) = map(with_pooled, sides)
        weights = {}
        for to_text, to_image in self.blocks:
            last = return_attention and to_text is self.blocks[-1][0]
            outputs = (
                to_text(image, text, text_mask, return_attention=last, training=training),
                to_image(text, image, image_mask, return_attention=last, training=training),
            )
            if last:
                (image, weights["image_to_text"]), (text, weights["text_to_image"]) = outputs
            else:
                image, text = outputs
        x = image[:, 0] + masked_mean(image, image_mask)
        y = text[:, 0] + masked_mean(text, text_mask)
        fused = ops.concatenate([x, y, x * y], axis=-1)
        return (fused, weights) if return_attention else fused

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dropout_rate": self.dropout_rate,
        }


@keras.saving.register_keras_serializable("keras_mm")
class AttentionWeights(layers.Layer):
    """Returns the attention weights of a `CrossAttention` layer, whose variables it shares.

    It is a separate layer, because a layer of a functional model can have only one structure of
    outputs.

    Args:
        fusion: The `CrossAttention` layer.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        sides: As for `CrossAttention`.

    Call returns:
        The weights by direction, as `CrossAttention` returns them.
    """

    def __init__(self, fusion: CrossAttention, **kwargs: Any):
        super().__init__(**kwargs)
        self.fusion = fusion

    def call(self, sides: Any) -> Any:
        """Computes the weights."""
        return self.fusion(sides, return_attention=True)[1]

    def get_config(self) -> dict:
        """The layer's arguments."""
        fusion = keras.saving.serialize_keras_object(self.fusion)
        return {**super().get_config(), "fusion": fusion}

    @classmethod
    def from_config(cls, config: dict) -> AttentionWeights:
        """Creates the layer of a config, with a new fusion layer."""
        fusion = keras.saving.deserialize_keras_object(config["fusion"])
        return cls(**{**config, "fusion": fusion})
