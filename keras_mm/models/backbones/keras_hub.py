"""Makes backbones of KerasHub's networks: adds preprocessing, or takes one tower of two."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_mm.errors import InvalidValueError
from keras_mm.keras_internals import all_layers


@keras.saving.register_keras_serializable("keras_mm")
class WithoutClassToken(keras.Model):
    """A backbone without a class token; the pooling `"cls"` is refused for it."""

    has_class_token = False


def vision_tower(
    network: keras.Model, name: str, image_size: tuple[int, int], scale: Any, offset: Any
) -> keras.Model:
    """Builds the image side of a KerasHub network.

    Args:
        network: A KerasHub image network, or an image-text network, of which the image tower is
            used.
        name: The user's name of the network, for messages.
        image_size: `(height, width)` in pixels.
        scale: Factor of the pixels: one float, or three, by channel.
        offset: Added to the scaled pixels: one float, or three, by channel.

    Returns:
        A model from `(batch, height, width, 3)`, 0-255, to a feature map, to tokens, or to a dict
        of `sequence_output` and `pooled_output`.

    Raises:
        ValueError: if it has no image tower, or cannot take images of this size.
    """
    encoder = getattr(network, "vision_encoder", network)
    if len(encoder.inputs) != 1 or len(encoder.inputs[0].shape) != 4:
        names = [tensor.name for tensor in encoder.inputs]
        raise InvalidValueError(
            f"A vision backbone must have one input, the images. Received: {name!r} with the "
            f"inputs {names}."
        )
    if hasattr(encoder, "position_embedding_shape"):
        encoder = _dinov2_at(encoder, name, image_size)
    expected = tuple(encoder.inputs[0].shape[1:3])
    if None not in expected and expected != tuple(image_size):
        raise InvalidValueError(
            f"{name!r} takes images of {expected} only. Received: image_size={tuple(image_size)}"
        )
    images = keras.Input((*image_size, 3), name="images")
    x = layers.Rescaling(scale, offset)(images)
    if type(encoder).__name__ == "SigLIPVisionEncoder":
        patches = (encoder.image_shape[0] // encoder.patch_size) ** 2
        # The slice only corrects the static shape: KerasHub declares one token too many.
        x = _through(encoder, x)[:, :patches]
        outputs = {"sequence_output": x, "pooled_output": encoder.head(x)}
        return WithoutClassToken(images, outputs, name=encoder.name)
    try:
        outputs = encoder({"images": x} if isinstance(encoder.input, dict) else x)
    except ValueError as error:
        raise InvalidValueError(f"{name!r} cannot take images of {image_size}: {error}") from error
    if type(network).__name__ == "CLIPBackbone":
        pooled = network.vision_projection(network.vision_pooler(outputs))
        outputs = {"sequence_output": outputs, "pooled_output": pooled}
    create = keras.Model if getattr(encoder, "use_class_token", True) else WithoutClassToken
    return create(images, outputs, name=f"{encoder.name}_tower")


def text_tower(network: keras.Model, name: str) -> keras.Model:
    """Builds the text side of a KerasHub network.

    Args:
        network: A KerasHub text network, `CLIPBackbone`, `SigLIPBackbone` or its text encoder.
        name: The user's name of the network, for messages.

    Returns:
        A model from a dict of `token_ids` `(batch, tokens)` and, for most networks, `padding_mask`
        and `segment_ids`, to a dict of `sequence_output` and, for some networks, `pooled_output`,
        or to the sequence alone.

    Raises:
        ValueError: if it has no text tower.
    """
    encoder = getattr(network, "text_encoder", network)
    kind = type(encoder).__name__
    if kind == "SigLIPTextEncoder":
        # The length is fixed: SigLIP adds all positions at once, and attends to padding.
        inputs = _token_ids(encoder.max_sequence_length)
        x = _through(encoder, inputs["token_ids"])
        outputs = {"sequence_output": x, "pooled_output": encoder.head(x[:, -1])}
        return WithoutClassToken(inputs, outputs, name=encoder.name)
    if type(network).__name__ == "CLIPBackbone":
        inputs = _token_ids(None)
        x = encoder(inputs)
        pooled = network.text_projection(network.text_pooler(x, inputs["token_ids"]))
        outputs = {"sequence_output": x, "pooled_output": pooled}
        return WithoutClassToken(inputs, outputs, name=f"{encoder.name}_tower")
    names = {tensor.name for tensor in network.inputs}
    if not {"token_ids", "padding_mask"} <= names:
        raise InvalidValueError(
            "A text backbone must have the inputs 'token_ids' and 'padding_mask'. Received: "
            f"{name!r} with the inputs {sorted(names)}."
        )
    return network


def with_vocabulary(network: keras.Model, vocabulary_size: int) -> keras.Model:
    """Extends the embedding of a text network; the embeddings of new tokens are random.

    Args:
        network: A text network of KerasHub.
        vocabulary_size: Number of tokens that must have an embedding, >= 1.

    Returns:
        The network itself if its vocabulary is large enough, else a copy with a larger embedding.

    Raises:
        ValueError: if the network is not a text network of KerasHub.
    """
    embedding = getattr(network, "token_embedding", None)
    before = getattr(network, "vocabulary_size", None)
    if embedding is None or before is None:
        raise InvalidValueError(
            f"The text encoder {network.name!r} cannot take new tokens; `special_tokens` need a "
            "text network of KerasHub, such as BERT or RoBERTa."
        )
    if before >= vocabulary_size:
        return network
    config = {**network.get_config(), "vocabulary_size": vocabulary_size}
    wider = type(network).from_config(config)
    for new, old in zip(wider.weights, network.weights, strict=True):
        value = np.array(ops.convert_to_numpy(old))
        if old is embedding.embeddings:
            value = np.concatenate([value, ops.convert_to_numpy(new)[before:]])
        new.assign(value)
    return wider


def freeze_positions(model: keras.Model) -> None:
    """Freezes the position embeddings of DINOv2.

    KerasHub saves trained positions only if their sum has grown, so about half of all trained
    models would get wrong positions when they are loaded.

    Args:
        model: A model that may contain DINOv2.
    """
    for layer in all_layers(model):
        if hasattr(layer, "interpolated_position_embeddings"):
            layer.interpolated_position_embeddings.trainable = False


def _token_ids(length: int | None) -> dict:
    return {"token_ids": keras.Input((length,), dtype="int32", name="token_ids")}


def _through(encoder: Any, x: Any) -> Any:
    """The tokens of a SigLIP encoder, whose call returns only a pooled output."""
    x = encoder.embedding(x)
    for block in encoder.encoder_layers:
        x = block(x)
    return encoder.post_layer_norm(x)


def _dinov2_at(network: Any, name: str, image_size: tuple[int, int]) -> keras.Model:
    """Builds DINOv2 for images of another size.

    The positions are interpolated once, here. KerasHub would interpolate them each time the model
    is loaded, and differently on each backend.
    """
    height, width = image_size
    patch = network.patch_size
    if height != width or height % patch:
        near = max(round(height / patch), 1) * patch
        raise InvalidValueError(
            f"{name!r} takes square images whose side is a multiple of {patch}, such as "
            f"{(near, near)}. Received: image_size={image_size}"
        )
    before = network.image_shape[:2], network.position_embedding_shape[:2]
    if {tuple(size) for size in before} == {(height, width)}:
        return network
    config = {"image_shape": (height, width, 3), "position_embedding_shape": (height, width)}
    resized = type(network).from_config({**network.get_config(), **config})
    table = _interpolated(network, height // patch)
    for new, old in zip(resized.weights, network.weights, strict=True):
        value = table if old.path.endswith("position_embeddings") else old
        new.assign(ops.convert_to_numpy(value))  # a copy: JAX variables must not share an array
    return resized


def _interpolated(network: Any, side: int) -> Any:
    """The positions of DINOv2, `(1, 1 + side * side, width)`; the first is the class token's."""
    table = ops.convert_to_tensor(network.embeddings.position_embeddings)
    before = int(round((table.shape[1] - 1) ** 0.5))
    grid = ops.image.resize(
        ops.reshape(table[:, 1:], (1, before, before, -1)),
        (side, side),
        interpolation="bicubic",
        antialias=network.antialias_in_interpolation,
        data_format="channels_last",
    )
    return ops.concatenate([table[:, :1], ops.reshape(grid, (1, side * side, -1))], axis=1)
