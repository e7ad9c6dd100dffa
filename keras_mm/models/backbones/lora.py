"""Low-rank adapters (LoRA): small matrices are trained beside those of a frozen transformer."""

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

    The kernel `W` of a projection becomes `W + alpha / rank * A @ B`. `A` is random and `B` is
    zero, so the network computes the same at first. A saved model holds the sum without adapters.

    Args:
        network: A backbone, which is changed in place.
        rank: Columns of `A` and rows of `B`, >= 1.
        alpha: Scale of the adapters' contribution, > 0; `None` is `rank`.

    Returns:
        The adapters' variables.

    Raises:
        ValueError: if the network has no attention, such as a convolutional network.

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
            f"LoRA adapts the attention layers of transformers, but {network.name!r} has none. "
            "Train its blocks with `stages`, or leave `lora_rank` out."
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
        network: A backbone, which is changed in place; without adapters, nothing changes.
    """
    for layer in all_layers(network):
        if getattr(layer, "lora_enabled", False):
            product = ops.matmul(layer.lora_kernel_a, layer.lora_kernel_b)
            kernel = kernel_without_lora(layer)
            kernel.assign(kernel + layer.lora_alpha / layer.lora_rank * product)
            layer.lora_kernel_b.assign(ops.zeros(layer.lora_kernel_b.shape))
