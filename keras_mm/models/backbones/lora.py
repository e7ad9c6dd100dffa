"""Low-rank adapters (LoRA): a frozen transformer learns small matrices beside its own."""

from __future__ import annotations

import re
from typing import Any

import keras
from keras import ops

from keras_mm.errors import InvalidValueError
from keras_mm.keras_internals import all_layers, kernel_without_lora
from keras_mm.models.backbones.blocks import attention_blocks

# Names of the query and value projections in KerasHub and Keras.
_TARGET = re.compile(r"(query|value|q|v)(_|$)")


def enable_lora(network: keras.Model, rank: int, alpha: float | None = None) -> list[Any]:
    """Freezes a transformer and adds trainable adapters to its query and value projections.

    A projection's kernel `W` becomes `W + alpha / rank * A @ B`, with `A` random and `B` zero, so
    that at first nothing changes. A saved model holds the sum, and needs no adapters.

    Args:
        network: A backbone.
        rank: Columns of `A` and rows of `B`, >= 1.
        alpha: Strength of the adapters; `None` is `rank`.

    Returns:
        The adapters' variables.

    Raises:
        ValueError: if the network has no attention, as a convolutional one.

    Reference:
        Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685,
        sections 4.1 and 4.2.
    """
    targets = [
        layer
        for block in attention_blocks(network)
        for layer in all_layers(block)
        if _TARGET.match(layer.name) and hasattr(layer, "enable_lora")
    ]
    if not targets:
        raise InvalidValueError(
            f"LoRA adapts the attention of transformers, and {network.name!r} has none. Train "
            "its blocks by `stages`, or leave `lora_rank` out."
        )
    network.trainable = False
    adapters = []
    for layer in targets:
        layer.trainable = True
        layer.enable_lora(rank, lora_alpha=rank if alpha is None else alpha)
        adapters += [layer.lora_kernel_a, layer.lora_kernel_b]
    return adapters


def merge_lora(network: keras.Model) -> None:
    """Adds the adapters to the kernels, and sets the adapters to zero.

    Args:
        network: A backbone; without adapters it stays as it is.
    """
    for layer in all_layers(network):
        if getattr(layer, "lora_enabled", False):
            added = ops.matmul(layer.lora_kernel_a, layer.lora_kernel_b)
            kernel = kernel_without_lora(layer)
            kernel.assign(kernel + layer.lora_alpha / layer.lora_rank * added)
            layer.lora_kernel_b.assign(ops.zeros(layer.lora_kernel_b.shape))
