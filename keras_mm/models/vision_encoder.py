"""Vision encoders: one backbone for all image slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import keras
from keras import layers, ops

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.models.backbones.blocks import freeze_batch_norm
from keras_mm.models.backbones.keras_hub import freeze_positions
from keras_mm.models.backbones.lookup import vision_backbone
from keras_mm.models.encoder import POOLINGS, Encoder, pool
from keras_mm.models.image_format import check_channels_last
from keras_mm.models.keras_settings import build_settings, encoder_policy
from keras_mm.models.layers.augmentation import ImageAugmentation
from keras_mm.settings.augmentation import Augmentation, as_augmentation


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
    """Builds an encoder of images: one vector per image, and its tokens.

    The images of a row are encoded separately, as one batch.

    Args:
        backbone: A name of `keras_mm.presets.backbones.BACKBONES`, any class of
            `keras.applications` in lower case, a KerasHub handle, a local KerasHub or Hugging Face
            folder, or a `keras.Model` from `(batch, H, W, 3)`, 0-255, to a feature map, tokens or
            vectors, or to a dict of `sequence_output` and `pooled_output`.
        weights: `"pretrained"`, `"random"`, or the path of a weights file.
        image_size: `(height, width)` in pixels.
        num_images: Number of images per row, >= 1.
        pooling: `"mean"`, `"max"`, `"cls"` (backbones with a class token, such as ViT, DINOv2 and
            CLIP) or `"pooler"` (backbones with a pooled output, such as SigLIP and CLIP).
        trainable: Whether the backbone is trained. Its batch normalisation is trained only if
            `weights` is `"random"`: pretrained statistics are not changed.
        augmentation: Random changes of the images in training: a `keras_mm.Augmentation`, or a
            dict of its fields. For a trainable backbone only.

    Returns:
        A model from `image_1 ... image_N`, `(batch, H, W, 3)`, 0-255, to `pooled_output`
        `(batch, N, width)`, `sequence_output` `(batch, N * tokens, width)` and `sequence_mask`.

    Raises:
        ValueError: for an unknown backbone or pooling, an image size that the backbone cannot take,
            or an augmentation of a frozen backbone.
        keras_mm.errors.PretrainedError: if the weights cannot be loaded.

    Example:
        >>> encoder = create_vision_encoder("tiny_cnn", weights="random", image_size=(64, 64))
        >>> encoder.output["pooled_output"].shape
        (None, 2, 64)
    """
    if num_images < 1:
        raise InvalidValueError(f"`num_images` must be >= 1. Received: num_images={num_images}")
    augmentation = as_augmentation(augmentation)
    if augmentation.is_on and not trainable:
        raise InvalidValueError(
            "`augmentation` needs trainable=True: a frozen encoder gives the same features in "
            f"training as in inference. Received: trainable={trainable}, {augmentation}"
        )
    with build_settings(encoder_policy(trainable=trainable)):
        network, preprocessing = vision_backbone(backbone, weights, image_size)
        check_channels_last(network)
        encoder = _encoder(network, preprocessing, image_size, num_images, pooling, augmentation)
    encoder.trainable = trainable
    if str(weights) != "random":
        freeze_batch_norm(network)
    freeze_positions(encoder)
    return encoder


def _encoder(
    network: keras.Model,
    preprocessing: Sequence[layers.Layer],
    image_size: tuple[int, int],
    num_images: int,
    pooling: str,
    augmentation: Augmentation,
) -> Encoder:
    """Builds the encoder from a backbone and its preprocessing layers."""
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
    if len(network.inputs) != 1:
        names = [tensor.name for tensor in network.inputs]
        raise InvalidValueError(
            f"A vision backbone must have one input, the images. Received: {network.name!r} with "
            f"the inputs {names}."
        )
    # A user's model may name its input.
    features = network(dict.fromkeys(network.input, x) if isinstance(network.input, dict) else x)
    has_class_token = getattr(network, "has_class_token", True)
    outputs = _slots(features, num_images, pooling, has_class_token)
    return Encoder(inputs=inputs, outputs=outputs, name="vision_encoder")


def feature_grid(encoder: keras.Model) -> tuple[int, int] | None:
    """The size of an encoder's feature map.

    Args:
        encoder: A vision encoder.

    Returns:
        Rows and columns; `None` if the backbone does not return a feature map.
    """
    network = next((layer for layer in encoder.layers if isinstance(layer, keras.Model)), None)
    shape = getattr(getattr(network, "output", None), "shape", ())
    return tuple(shape[1:3]) if len(shape) == 4 else None


def _slots(features: Any, num_images: int, pooling: str, has_class_token: bool) -> dict:
    """The outputs from a map `(B * N, h, w, D)`, tokens `(B * N, T, D)` or vectors `(B * N, D)`."""
    pooler_output = None
    if isinstance(features, dict):
        pooler_output = features.get("pooled_output")
        features = features.get("sequence_output", pooler_output)
    if len(features.shape) == 2:
        _check_vectors(pooling)
        return {"pooled_output": _split(features, num_images)}
    is_map = len(features.shape) == 4
    if 0 in features.shape:  # strides have reduced the map to nothing
        raise InvalidValueError(
            f"The images are too small: their feature map is {tuple(features.shape[1:])}. Use a "
            "larger `image_size`."
        )
    width = features.shape[-1]
    # The regions of a feature map are its tokens; none of them is a class token.
    tokens = layers.Reshape((-1, width))(features) if is_map else features
    pooled = pool(
        tokens, None, pooling, pooler_output, has_class_token=has_class_token and not is_map
    )
    sequence = ops.cast(ops.reshape(tokens, (-1, num_images * tokens.shape[1], width)), "float32")
    return {
        "pooled_output": _split(pooled, num_images),
        "sequence_output": sequence,
        "sequence_mask": ops.ones_like(sequence[..., 0], dtype="bool"),
    }


def _check_vectors(pooling: str) -> None:
    if pooling not in POOLINGS:
        raise InvalidValueError(unknown_name("pooling", pooling, POOLINGS))
    if pooling in ("max", "cls"):
        raise InvalidValueError(
            f"pooling={pooling!r} needs a backbone that returns tokens or a feature map; this one "
            "returns one vector per image. Leave `pooling` out."
        )


def _split(vectors: Any, num_images: int) -> Any:
    return ops.reshape(ops.cast(vectors, "float32"), (-1, num_images, vectors.shape[-1]))
