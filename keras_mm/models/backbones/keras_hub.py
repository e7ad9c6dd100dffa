"""KerasHub's networks as backbones: preprocessing inside, one side of image-text networks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_mm.errors import InvalidValueError
from keras_mm.keras_internals import all_layers


@keras.saving.register_keras_serializable("keras_mm")
class WithoutClassToken(keras.Model):
    """A backbone whose first token is like the others, so that `"cls"` would mean nothing."""

    has_class_token = False


def vision_tower(
    network: keras.Model, name: str, image_size: tuple[int, int], scale: Any, offset: Any
) -> keras.Model:
    """A network of KerasHub from 0-255 images to a map, or to tokens and what it pools them to.

    Args:
        network: A KerasHub image network, or image-text network whose image side is taken.
        name: What the user calls it, for messages.
        image_size: `(height, width)`.
        scale: What pixels are multiplied by: a float, or three.
        offset: What is added to them then.

    Raises:
        ValueError: if it has no image side, or cannot take images of this size.
    """
    encoder = getattr(network, "vision_encoder", network)
    if len(encoder.inputs) != 1 or len(encoder.inputs[0].shape) != 4:
        names = [tensor.name for tensor in encoder.inputs]
        raise InvalidValueError(f"{name!r} is no vision backbone: its inputs are {names}.")
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
        # Nothing is cut: KerasHub only announces one token more than there is.
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
        name: What the user calls it, for messages.

    Raises:
        ValueError: if it has no text side.
    """
    encoder = getattr(network, "text_encoder", network)
    kind = type(encoder).__name__
    if kind == "SigLIPTextEncoder":
        # It adds all its positions at once and attends to the padding: the length is fixed.
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
        raise InvalidValueError(f"{name!r} is no text backbone: its inputs are {sorted(names)}.")
    return network


def with_vocabulary(network: keras.Model, vocabulary_size: int) -> keras.Model:
    """A text network with an embedding for at least so many tokens; new ones are random.

    Args:
        network: A text network of KerasHub.
        vocabulary_size: Tokens, >= 1.

    Raises:
        ValueError: if it is a network of another kind.
    """
    embedding = getattr(network, "token_embedding", None)
    before = getattr(network, "vocabulary_size", None)
    if embedding is None or before is None:
        raise InvalidValueError(
            f"The text encoder {network.name!r} takes no further tokens; `special_tokens` need a "
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
    """Keeps DINOv2's positions as they are.

    KerasHub stores trained ones only if they grew in sum, so that half of all trainings would
    come back changed from a file.
    """
    for layer in all_layers(model):
        if hasattr(layer, "interpolated_position_embeddings"):
            layer.interpolated_position_embeddings.trainable = False


def _token_ids(length: int | None) -> dict:
    return {"token_ids": keras.Input((length,), dtype="int32", name="token_ids")}


def _through(encoder: Any, x: Any) -> Any:
    """SigLIP's tokens, which its encoders pool before they give them."""
    x = encoder.embedding(x)
    for block in encoder.encoder_layers:
        x = block(x)
    return encoder.post_layer_norm(x)


def _dinov2_at(network: Any, name: str, image_size: tuple[int, int]) -> keras.Model:
    """DINOv2 for images of another size.

    Its positions are interpolated here, once: KerasHub would do so at every loading, and each
    backend in its own way.
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
        mine.assign(ops.convert_to_numpy(value))  # a copy: JAX lets no two variables share one
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
