"""Finds backbones by name: of `keras.applications`, KerasHub, a folder, or this package."""

from __future__ import annotations

import json
import re
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import keras
from keras import layers

from keras_mm.checks import unknown_name
from keras_mm.downloads import from_handle
from keras_mm.errors import InvalidValueError
from keras_mm.load_order import load_keras_hub
from keras_mm.models.backbones.applications import (
    application,
    application_names,
    application_options,
)
from keras_mm.models.backbones.keras_hub import text_tower, vision_tower
from keras_mm.models.layers.batch_normalization import BatchNormalization
from keras_mm.presets.backbones import BACKBONES, Backbone

# KerasHub's classes by family.
_CLASSES = {
    "bert": "BertBackbone",
    "distil_bert": "DistilBertBackbone",
    "roberta": "RobertaBackbone",
    "xlm_roberta": "XLMRobertaBackbone",
    "deberta_v3": "DebertaV3Backbone",
    "albert": "AlbertBackbone",
    "electra": "ElectraBackbone",
    "dinov2": "DINOV2Backbone",
}


def vision_backbone(
    backbone: Any, weights: str | PathLike, image_size: tuple[int, int]
) -> tuple[keras.Model, list[layers.Layer]]:
    """Builds or loads an image network, and its preprocessing.

    Args:
        backbone: A name of `keras_mm.presets.backbones.BACKBONES`, a `keras.applications` class in
            lower case (with a width such as `_0.35` at the end), a KerasHub handle or folder, or a
            `keras.Model` from `(batch, H, W, 3)`, 0-255, to a feature map, tokens or vectors.
        weights: `"pretrained"`, `"random"` or a path.
        image_size: `(height, width)` in pixels.

    Returns:
        `(model, preprocessing layers)`.

    Raises:
        ValueError: for an unknown name, or an image size that the network cannot take.
        PretrainedError: if weights cannot be loaded.
    """
    if isinstance(backbone, keras.Model):
        return _with_weights(backbone, weights, "vision_weights"), []
    name = str(backbone)
    known = _known(name, "vision")
    if known is not None and known.family == "tiny_cnn":
        model = _tiny_cnn(image_size, **known.config)
        return _with_weights(model, weights, "vision_weights"), [layers.Rescaling(1 / 127.5, -1)]
    if known is None or known.family == "applications":
        options = known.config if known else application_options(name)
        if options is not None:
            model, preprocessing = application(name, weights, image_size, **options)
            return _with_weights(model, weights, "vision_weights"), preprocessing
    if known is None:
        network = _network_of_handle(name, weights, "vision")
        scale, offset = _preset_rescaling(name)
    else:
        network = _listed_network(known, weights, "vision", image_size)
        scale, offset = _rescaling(known.image_mean, known.image_std)
    return vision_tower(network, name, image_size, scale, offset), []


def text_backbone(backbone: Any, weights: str | PathLike) -> keras.Model:
    """Builds or loads a text network.

    Args:
        backbone: A name of `keras_mm.presets.backbones.BACKBONES`, a KerasHub handle, a local
            folder in Hugging Face or KerasHub format, or a `keras.Model`.
        weights: `"pretrained"`, `"random"` or a path: a folder, or a `.weights.h5` file.

    Returns:
        A model from a dict with `token_ids` and, for most networks, `segment_ids` and
        `padding_mask`.

    Raises:
        ValueError: for an unknown name.
        PretrainedError: if weights cannot be loaded.
    """
    if isinstance(backbone, keras.Model):
        return _with_weights(backbone, weights, "text_weights")
    name = str(backbone)
    known = _known(name, "text")
    if known is None:
        return text_tower(_network_of_handle(name, weights, "text"), name)
    return text_tower(_listed_network(known, weights, "text"), name)


def is_buildable(backbone: Any) -> bool:
    """Whether a backbone can be built from its name alone, without any file.

    Args:
        backbone: A backbone as in `create_vision_encoder` or `create_text_encoder`.

    Returns:
        True for a name of `BACKBONES` or of `keras.applications`.
    """
    return isinstance(backbone, str) and (
        backbone in BACKBONES or application_options(backbone) is not None
    )


def _known(name: str, modality: str) -> Backbone | None:
    known = BACKBONES.get(name)
    if known is not None and known.modality not in (modality, "image_text"):
        raise InvalidValueError(
            f"{name!r} is a {known.modality} backbone. A {modality} backbone is needed here."
        )
    return known


def _listed_network(
    known: Backbone,
    weights: str | PathLike,
    modality: str,
    image_size: tuple[int, int] | None = None,
) -> keras.Model:
    """A KerasHub network of `BACKBONES`: downloaded, from a folder, or with a file's weights."""
    keyword = f"{modality}_weights"
    if weights == "pretrained" and known.handle:
        what = f"weights of {known.name!r} ({known.download_mb:.0f} MB)"
        return from_handle("Backbone", known.handle, what=what, keyword=keyword)
    if str(weights) not in ("pretrained", "random") and Path(weights).is_dir():
        what = f"weights of {known.name!r}"
        return from_handle("Backbone", str(weights), what=what, keyword=keyword)
    return _with_weights(_build(known, modality, image_size), weights, keyword)


def _build(known: Backbone, modality: str, image_size: tuple[int, int] | None) -> keras.Model:
    """A KerasHub network of `BACKBONES` with random weights."""
    keras_hub = load_keras_hub()
    if known.family == "siglip":
        side = {"vision": "SigLIPVisionEncoder", "text": "SigLIPTextEncoder"}[modality]
        return getattr(keras_hub.models, side)(**known.config[modality])
    config = dict(known.config)
    if known.family == "dinov2" and image_size is not None:
        patch = config["patch_size"]
        # The nearest square that DINOv2 can take; `vision_tower` raises for any other size.
        side = max(image_size[0] // patch, 1) * patch
        config.update(image_shape=(side, side, 3), position_embedding_shape=(side, side))
    return getattr(keras_hub.models, _CLASSES[known.family])(**config)


def _with_weights(model: keras.Model, weights: str | PathLike, keyword: str) -> keras.Model:
    """Loads the weights of a file into a model, unless `weights` is "pretrained" or "random"."""
    if str(weights) in ("pretrained", "random"):
        return model
    if not Path(weights).is_file():
        raise InvalidValueError(
            f"`{keyword}` must be 'pretrained', 'random' or an existing path. "
            f"Received: {str(weights)!r}"
        )
    try:
        with warnings.catch_warnings():
            # No need to warn of layers without weights in the file: they raise an error.
            warnings.filterwarnings("ignore", message="Skipping nested container")
            model.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        raise InvalidValueError(
            f"`{keyword}`={str(weights)!r} does not fit {model.name!r}: {_shortened(error)}"
        ) from error
    return model


def _shortened(error: Exception) -> str:
    """The message of a failed `load_weights`, without the values of the weights, which are long."""
    message = " ".join(str(error).split())
    message = re.sub(r"\.? (Target variable: |List of objects ).*", "", message)
    return message[:400]


def _tiny_cnn(image_size: tuple[int, int], filters: tuple[int, ...]) -> keras.Model:
    """Builds strided 3 x 3 convolutions with batch normalisation; each halves the feature map."""
    x = inputs = keras.Input((*image_size, 3), name="images")
    for number, width in enumerate(filters, 1):
        # No bias: the batch normalisation that follows has one.
        options = {"strides": 2, "padding": "same", "use_bias": False}
        x = layers.Conv2D(width, 3, **options, name=f"block_{number}_conv")(x)
        x = BatchNormalization(momentum=0.9, name=f"block_{number}_norm")(x)
        x = layers.Activation("relu")(x)
    return keras.Model(inputs, x, name="tiny_cnn")


def _network_of_handle(handle: str, weights: Any, modality: str) -> keras.Model:
    keras_hub = load_keras_hub()
    # Handles such as hf://... contain a slash; KerasHub reports whether they exist.
    is_path = "/" in handle or Path(handle).is_dir()
    if not is_path and handle not in keras_hub.models.Backbone.presets:
        known = [b.name for b in BACKBONES.values() if b.modality in (modality, "image_text")]
        names = [*known, *keras_hub.models.Backbone.presets]
        if modality == "vision":
            names += application_names()
        raise InvalidValueError(unknown_name(f"{modality} backbone", handle, names))
    keyword = f"{modality}_weights"
    options = {} if weights == "pretrained" else {"load_weights": False}
    model = from_handle("Backbone", handle, what=f"backbone {handle!r}", keyword=keyword, **options)
    return _with_weights(model, weights, keyword)


def _preset_rescaling(handle: str) -> tuple:
    """Scale and offset of the pixels, as stated by a KerasHub preset or a Hugging Face folder."""
    what, keyword = f"image preprocessing of {handle!r}", "vision_weights"
    converter = from_handle("ImageConverter", handle, what=what, keyword=keyword)
    if converter is not None:
        scale = 1.0 if converter.scale is None else converter.scale
        return scale, 0.0 if converter.offset is None else converter.offset
    stated = _hugging_face_json(handle, "preprocessor_config.json")
    if not stated.get("do_normalize", True):
        return stated.get("rescale_factor", 1 / 255), 0.0
    return _rescaling(stated["image_mean"], stated["image_std"])


def _rescaling(mean: Any, std: Any) -> tuple[list[float], list[float]]:
    """Scale and offset that compute `(pixel / 255 - mean) / std` from pixels 0-255."""
    return (
        [1 / (255 * s) for s in std],
        [-m / s for m, s in zip(mean, std, strict=True)],
    )


def _hugging_face_json(handle: str, name: str) -> dict:
    """Reads a JSON file of a Hugging Face handle or folder that KerasHub does not read."""
    if handle.startswith("hf://"):
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(handle.removeprefix("hf://"), name))
    else:
        path = Path(handle) / name
    if not path.is_file():
        raise InvalidValueError(
            f"{handle!r} has no {name}, which states how images are normalised. Add this file to "
            "the folder, or use a KerasHub preset."
        )
    return json.loads(path.read_text(encoding="utf-8"))
