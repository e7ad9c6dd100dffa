"""Finds the blocks of a backbone, and sets which of its variables are trained."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import keras

from keras_mm.errors import InvalidValueError
from keras_mm.keras_internals import all_layers

# The part of a layer's name that names its block, as in conv2_block1_out or block_13_expand.
_DEPTHWISE = re.compile(r"^conv_[dp]w")  # depthwise and pointwise halves of MobileNet's blocks
_NAMED = re.compile(r"^(.*?(?:block|expanded_conv)_?\d*[a-z]?(?:_block_?\d+)?)(?:_|$)")


def backbone_blocks(network: keras.Model) -> list[list[Any]]:
    """Groups the variables of a backbone by block, from its input to its top.

    The first list holds the variables before the first block (embeddings or a stem). Variables
    between or after blocks (a last norm, a pooler) belong to the block before them.

    Args:
        network: A backbone: a stack of transformer blocks, or a network of `keras.applications` or
            KerasHub whose layer names contain the block.

    Returns:
        `1 + num_blocks` lists; a single list if no blocks were recognised.
    """
    layers = [layer for layer in all_layers(network, itself=False) if layer.weights]
    groups = [[layer] for layer in attention_blocks(network)] or _named_blocks(layers)
    # Keras lists layers inside a layer from the last to the first, but weights in order.
    position = {id(variable): n for n, variable in enumerate(network.weights)}
    groups.sort(key=lambda group: min(position[id(v)] for layer in group for v in layer.weights))
    # By `id`, because Keras variables compare elementwise.
    block_of = {id(v): n for n, group in enumerate(groups, 1) for la in group for v in la.weights}
    blocks: list[list[Any]] = [[] for _ in range(1 + len(groups))]
    number = 0
    for variable in network.weights:
        number = block_of.get(id(variable), number)
        blocks[number].append(variable)
    return blocks


def top_blocks(network: keras.Model, depth: int | str, side: str) -> list[Any]:
    """The variables of the top blocks of a network.

    Args:
        network: A backbone.
        depth: Number of blocks, >= 1; or `"all"` for all variables.
        side: `"vision"` or `"text"`, for messages.

    Returns:
        The variables, from the input to the top.

    Raises:
        ValueError: if the network has fewer blocks, or none were recognised.
    """
    if isinstance(depth, str):
        return list(network.weights)
    blocks = backbone_blocks(network)[1:]
    if depth > len(blocks):
        has = f"has {len(blocks)} blocks" if blocks else "has no blocks with a known name"
        raise InvalidValueError(
            f"the network {network.name!r} of the {side} encoder {has}, but a stage trains the top "
            f"{depth}. Use fewer, or 'all'."
        )
    return [variable for block in blocks[len(blocks) - depth :] for variable in block]


def train_only(network: keras.Model, variables: Collection[Any]) -> None:
    """Makes only some variables of a network trainable.

    Layers without such a variable are frozen, so their batch normalisation is in inference mode.

    Args:
        network: The network.
        variables: The trainable variables; an empty collection freezes the whole network.
    """
    chosen = {id(variable) for variable in variables}
    network.trainable = False
    if not chosen:
        return
    # After the False above: under TensorFlow, only a change reaches the inner layers.
    network.trainable = True
    for layer in all_layers(network, itself=False):
        ids = [id(variable) for variable in layer.weights]
        if ids and not chosen.intersection(ids):
            layer.trainable = False
    for variable in network.weights:
        if id(variable) not in chosen:
            variable.trainable = False


class TrainableState:
    """Records which layers and variables of a network are trainable, to restore this later.

    Args:
        network: The network.
    """

    def __init__(self, network: keras.Model):
        self._network = network
        # Outer layers come first: setting one also sets the layers inside it.
        self._layers = [(layer, layer.trainable) for layer in all_layers(network)]
        self._variables = [(variable, variable.trainable) for variable in network.weights]

    def restore(self) -> None:
        """Restores the recorded state; layers that were added since are not changed."""
        for layer, trainable in self._layers:
            layer.trainable = trainable
        for variable, trainable in self._variables:
            variable.trainable = trainable


def freeze_batch_norm(network: keras.Model) -> None:
    """Keeps the batch normalisation of a pretrained network in inference mode.

    Its statistics come from a large data set; those of a small batch would make them worse.

    Args:
        network: The network.
    """
    for layer in all_layers(network):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def attention_blocks(network: keras.Model) -> list[Any]:
    """The blocks of a transformer: layers that directly contain attention.

    If layers of several classes do, those of the most frequent class are the blocks.

    Args:
        network: A backbone.

    Returns:
        Layers in no particular order; an empty list for other networks.
    """
    holders = [
        layer
        for layer in all_layers(network, itself=False)
        if layer.weights
        and not _is_attention(layer)
        and not isinstance(layer, keras.Model)
        and any(_is_attention(part) for part in all_layers(layer, itself=False, nested=False))
    ]
    if not holders:
        return []
    kind, _ = Counter(type(layer) for layer in holders).most_common(1)[0]
    return [layer for layer in holders if type(layer) is kind]


def _is_attention(layer: Any) -> bool:
    return type(layer).__name__.endswith("Attention")


def _named_blocks(layers: Sequence[Any]) -> list[list[Any]]:
    """Layers with the same block in their names, in the order of the network."""
    blocks: dict[str, list[Any]] = {}
    for layer in layers:
        match = _NAMED.match(_DEPTHWISE.sub("block", layer.name))
        if match and not isinstance(layer, keras.Model):
            blocks.setdefault(match[1], []).append(layer)
    return list(blocks.values())
