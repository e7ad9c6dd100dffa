"""KerasHub's networks as backbones: with preprocessing, or as one side of an image-text network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_mm.errors import InvalidValueError
from keras_mm.keras_internals import all_layers


@keras.saving.register_keras_serializable("keras_mm")
class WithoutClassToken(keras.Model):
    """A backbone without a class token, for which the pooling `"cls"` is refused."""

    has_class_token = False


def vision_tower(
    network: keras.Model, name: str, image_size: tuple[int, int], scale: Any, offset: Any
) -> keras.Model:
    """A network of KerasHub from images to a feature map, or to tokens and a pooled output.

    Args:
        network: A KerasHub image network, or image-text network whose image side is taken.
        name: The user's name of the network, for messages.
        image_size: `(height, width)` in pixels.
        scale: Factor of the pixels: a float, or three, by channel.
        offset: Is added to them afterwards: a float, or three, by channel.

    Returns:
        A model from `(batch, height, width, 3)`, 0-255.

    Raises:
        ValueError: if it has no image side, or cannot take images of this size.
    """
    encoder = getattr(network, "vision_encoder", network)
    if len(encoder.inputs) != 1 or len(encoder.inputs[0].shape) != 4:
        names = [tensor.name for tensor in encoder.inputs]
        raise InvalidValueError(f"{name!r} is not a vision backbone; its inputs: {names}.")
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
        # Nothing is cut off: KerasHub declares one token more than there is.
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
    """A text network of KerasHub, or the text side of an image-text network.

    Args:
        network: A KerasHub text network, `CLIPBackbone`, `SigLIPBackbone` or its text encoder.
        name: The user's name of the network, for messages.

    Returns:
        A model from a dict of `token_ids` `(batch, tokens)` and, for most networks, `padding_mask`
        and `segment_ids`.

    Raises:
        ValueError: if it has no text side.
    """
    encoder = getattr(network, "text_encoder", network)
    kind = type(encoder).__name__
    if kind == "SigLIPTextEncoder":
        # It adds all positions at once and attends to padding: the length is fixed.
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
        raise InvalidValueError(f"{name!r} is not a text backbone; its inputs: {sorted(names)}.")
    return network


def with_vocabulary(network: keras.Model, vocabulary_size: int) -> keras.Model:
    """A text network with embeddings for more tokens; new ones are random.

    Args:
        network: A text network of KerasHub.
        vocabulary_size: Tokens that must have an embedding, >= 1.

    Returns:
        The network itself if it has as many, else a copy with a larger embedding.

    Raises:
        ValueError: if it is a network of another kind.
    """
    embedding = getattr(network, "token_embedding", None)
    before = getattr(network, "vocabulary_size", None)
    if embedding is None or before is None:
        raise InvalidValueError(
            f"The text encoder {network.name!r} cannot take new tokens; `special_tokens` need a "
            "text network of KerasHub, as BERT or RoBERTa."
        )
    if before >= vocabulary_size:
        return network
    config = {**network.get_config(), "vocabulary_size": vocabulary_size}
    wider = type(network).from_config(config)
    for mine, its in zip(wider.weights, network.weights, strict=True):
        value = np.array(ops.convert_to_numpy(its))
        if its is embedding.embeddings:
            value = np.concatenate([value, ops.convert_to_numpy(mine)[before:]])
        mine.assign(value)
    return wider


def freeze_positions(model: keras.Model) -> None:
    """Freezes the positions of DINOv2.

    KerasHub stores trained positions only if their sum has grown, so that half of all trained
    models would be loaded with other positions than they were saved with.

    Args:
        model: A model that may hold DINOv2.
    """
    for layer in all_layers(model):
        if hasattr(layer, "interpolated_position_embeddings"):
            layer.interpolated_position_embeddings.trainable = False


def _token_ids(length: int | None) -> dict:
    return {"token_ids": keras.Input((length,), dtype="int32", name="token_ids")}


def _through(encoder: Any, x: Any) -> Any:
    """The tokens of a SigLIP encoder, which returns only their pooled output."""
    x = encoder.embedding(x)
    for block in encoder.encoder_layers:
        x = block(x)
    return encoder.post_layer_norm(x)


def _dinov2_at(network: Any, name: str, image_size: tuple[int, int]) -> keras.Model:
    """DINOv2 for images of another size.

    Its positions are interpolated here, once: KerasHub would do so each time the model is loaded,
    and differently on each backend.
    """
    height, width = image_size
    patch = network.patch_size
    if height != width or height % patch:
        near = max(round(height / patch), 1) * patch
        raise InvalidValueError(
            f"{name!r} takes square images whose side is a multiple of {patch}, as "
            f"{(near, near)}. Received: image_size={image_size}"
        )
    before = network.image_shape[:2], network.position_embedding_shape[:2]
    if {tuple(size) for size in before} == {(height, width)}:
        return network
    config = {"image_shape": (height, width, 3), "position_embedding_shape": (height, width)}
    resized = type(network).from_config({**network.get_config(), **config})
    table = _interpolated(network, height // patch)
    for mine, its in zip(resized.weights, network.weights, strict=True):
        value = table if its.path.endswith("position_embeddings") else its
        mine.assign(ops.convert_to_numpy(value))  # a copy: JAX variables share no array
    return resized


def _interpolated(network: Any, side: int) -> Any:
    """DINOv2's positions, `(1, 1 + side * side, width)`; the first is the class token's."""
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
