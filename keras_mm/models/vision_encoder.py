"""Images to vectors: one backbone shared by all image slots."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import keras
from keras import layers, ops

from keras_mm.augmentation import Augmentation, as_augmentation
from keras_mm.models.augmentation import ImageAugmentation
from keras_mm.models.backbones import vision_backbone
from keras_mm.models.encoder import Encoder, pool


def create_vision_encoder(
    backbone: Any = "resnet50v2",
    *,
    weights: str | PathLike = "pretrained",
    image_size: tuple[int, int] = (128, 128),
    num_images: int = 2,
    pooling: str = "mean",
    trainable: bool = False,
    augmentation: Augmentation | Mapping | None = None,
) -> Encoder:
    """Builds the model from images to one vector per image, plus their tokens.

    All images of a row go through the backbone in one batch, each by itself.

    Args:
        backbone: A `keras.applications` name, a KerasHub handle or folder, or a `keras.Model` from
            `(batch, H, W, 3)`, 0-255, to a feature map, tokens or vectors.
        weights: `"pretrained"`, `"random"`, or the path of a weights file.
        image_size: `(height, width)` in pixels.
        num_images: Image slots of a row, >= 1.
        pooling: `"mean"`, `"max"`, or `"cls"` (backbones that give tokens).
        trainable: Whether the backbone is trained.
        augmentation: How training changes the images at random: a `keras_mm.Augmentation`, or a
            dict of its fields. For a trainable backbone only.

    Returns:
        A model from `image_1 ... image_N`, `(batch, H, W, 3)`, 0-255, to `pooled_output`
        `(batch, N, width)`, `sequence_output` `(batch, N * tokens, width)` and `sequence_mask`.

    Raises:
        ValueError: for an unknown backbone or pooling, an image size it cannot take, or an
            augmentation of a frozen backbone.
        keras_mm.pretrained.PretrainedError: if the weights cannot be loaded.

    Example:
        >>> encoder = create_vision_encoder("tiny_cnn", weights="random", image_size=(64, 64))
        >>> encoder.output["pooled_output"].shape
        (None, 2, 64)
    """
    if num_images < 1:
        raise ValueError(f"`num_images` must be >= 1. Received: num_images={num_images}")
    augmentation = as_augmentation(augmentation)
    if augmentation.is_on and not trainable:
        raise ValueError(
            "`augmentation` needs trainable=True: a frozen encoder gives the same features in "
            f"training as in inference. Received: trainable={trainable}, {augmentation}"
        )
    network, preprocessing = vision_backbone(backbone, weights, image_size)
    network.trainable = trainable
    height, width = image_size

    inputs = {
        f"image_{slot}": keras.Input((height, width, 3), name=f"image_{slot}")
        for slot in range(1, num_images + 1)
    }
    x = ops.stack(list(inputs.values()), axis=1)
    if augmentation.is_on:
        x = ImageAugmentation(augmentation, name="augmentation")(x)
    x = ops.reshape(x, (-1, height, width, 3))
    for layer in preprocessing:
        x = layer(x)
    outputs = _slots(network(x), num_images, pooling)

    encoder = Encoder(inputs=inputs, outputs=outputs, name="vision_encoder")
    encoder.trainable = trainable
    return encoder


def feature_grid(encoder: keras.Model) -> tuple[int, int] | None:
    """Rows and columns of the backbone's feature map; `None` where it gives none."""
    network = next((layer for layer in encoder.layers if isinstance(layer, keras.Model)), None)
    shape = getattr(getattr(network, "output", None), "shape", ())
    return tuple(shape[1:3]) if len(shape) == 4 else None


def _slots(features, num_images: int, pooling: str) -> dict:
    """Contract outputs from a map `(B * N, h, w, D)`, tokens `(B * N, T, D)` or `(B * N, D)`."""
    if isinstance(features, dict):
        features = features.get("sequence_output", features.get("pooled_output"))
    width = features.shape[-1]
    if len(features.shape) == 2:
        return {"pooled_output": _split(features, num_images, width)}
    is_map = len(features.shape) == 4
    if is_map and pooling == "cls":
        raise ValueError("pooling='cls' needs a backbone that gives tokens; use 'mean' or 'max'.")
    tokens = layers.Reshape((-1, width))(features) if is_map else features
    sequence = ops.cast(ops.reshape(tokens, (-1, num_images * tokens.shape[1], width)), "float32")
    return {
        "pooled_output": _split(pool(tokens, None, pooling), num_images, width),
        "sequence_output": sequence,
        "sequence_mask": ops.ones_like(sequence[..., 0], dtype="bool"),
    }


def _split(vectors, num_images: int, width: int):
    return ops.reshape(ops.cast(vectors, "float32"), (-1, num_images, width))
