"""The attention block of token-level fusions, and operations on masked tokens."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_mm.checks import check_rate, check_whole


@keras.saving.register_keras_serializable("keras_mm")
class AttentionBlock(layers.Layer):
    """A transformer block: tokens attend to a context, then pass through a feed-forward layer.

    Each half is layer-normalised before and added to its input (a residual). Masked context tokens
    get no attention.

    Args:
        num_heads: Attention heads, >= 1. Each has `width // num_heads` dimensions, at least one.
        dropout_rate: Dropout of the output of each half, in [0, 1).
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        query: `(batch, T, width)`.
        context: `(batch, S, width)`.
        context_mask: bool `(batch, S)`, True for valid tokens; at least one per row.
        return_attention: Whether to return the attention weights, too.

    Call returns:
        `(batch, T, width)`; with `return_attention` also the weights `(batch, num_heads, T, S)`,
        which sum to 1 over the context.

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762, section 3; Xiong et al.
        2020, "On Layer Normalization in the Transformer Architecture", arXiv:2002.04745, section 3
        (normalisation before each half also learns from small data sets).
    """

    def __init__(self, num_heads: int = 4, dropout_rate: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        check_whole(num_heads=num_heads)
        check_rate(dropout_rate=dropout_rate)
        self.num_heads, self.dropout_rate = num_heads, dropout_rate

    def build(self, query_shape: tuple, context_shape: tuple) -> None:
        """Creates the attention and the feed-forward layer."""
        width = query_shape[-1]
        size = max(width // self.num_heads, 1)
        options = {"dtype": self.dtype_policy}
        self.attention = layers.MultiHeadAttention(
            self.num_heads, size, name="attention", **options
        )
        self.attention.build(query_shape, context_shape)
        self.wide = layers.Dense(2 * width, activation="gelu", name="wide", **options)
        self.narrow = layers.Dense(width, name="narrow", **options)
        self.wide.build(query_shape)
        self.narrow.build((*query_shape[:-1], 2 * width))
        self.norms = [layers.LayerNormalization(name=f"norm_{i}", **options) for i in (1, 2)]
        for norm in self.norms:
            norm.build(query_shape)
        self.dropout = layers.Dropout(self.dropout_rate, **options)

    def call(
        self,
        query: Any,
        context: Any,
        context_mask: Any,
        return_attention: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Attends and transforms."""
        result = self.attention(
            self.norms[0](query),
            self.norms[0](context),
            attention_mask=ops.expand_dims(context_mask, 1),  # the same for each query
            return_attention_scores=return_attention,
            training=training,
        )
        attended, weights = result if return_attention else (result, None)
        x = query + self.dropout(attended, training=training)
        x = x + self.dropout(self.narrow(self.wide(self.norms[1](x))), training=training)
        return (x, weights) if return_attention else x

    def compute_output_shape(self, query_shape: tuple, context_shape: tuple) -> tuple:
        """The shape of the query."""
        return query_shape

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout_rate": self.dropout_rate,
        }


def masked_mean(tokens: Any, mask: Any) -> Any:
    """Averages the valid tokens of each row.

    Args:
        tokens: `(batch, T, width)`.
        mask: bool `(batch, T)`, True for valid tokens.

    Returns:
        `(batch, width)`; zeros for a row without valid tokens.
    """
    weight = ops.cast(mask, tokens.dtype)[..., None]
    total = ops.sum(ops.where(mask[..., None], tokens, 0.0), axis=1)
    return total / ops.maximum(ops.sum(weight, axis=1), 1.0)


def with_pooled(side: Any) -> tuple:
    """Puts a side's pooled vector before its tokens, as a token that is always valid.

    Args:
        side: `pooled_output` `(batch, width)`, `sequence_output` `(batch, T, width)` and
            `sequence_mask` `(batch, T)`, bool.

    Returns:
        Tokens `(batch, 1 + T, width)`, and their mask `(batch, 1 + T)`.
    """
    pooled = ops.expand_dims(side["pooled_output"], 1)
    tokens = ops.concatenate([pooled, side["sequence_output"]], axis=1)
    first = ops.ones_like(side["sequence_mask"][:, :1])
    return tokens, ops.concatenate([first, side["sequence_mask"]], axis=1)
