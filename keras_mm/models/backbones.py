"""Backbones by name: `keras.applications`, KerasHub handles and folders, or small ones of ours."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any

import keras
from keras import layers

from keras_mm.presets import BACKBONES, Backbone, unknown_name
from keras_mm.pretrained import failed_download, from_handle

_APPLICATION_WEIGHTS = {"pretrained": "imagenet", "random": None}


@keras.saving.register_keras_serializable("keras_mm")
class ApplicationsPreprocessing(layers.Layer):
    """The `preprocess_input` of one `keras.applications` module, as a layer.

    Args:
        module: Module name, as `"resnet_v2"`.
    """

    def __init__(self, module: str, **kwargs):
        super().__init__(**kwargs)
        self.module = module

    def call(self, images):
        """From 0-255 to what the backbone was trained on."""
        return getattr(keras.applications, self.module).preprocess_input(images)

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "module": self.module}


def vision_backbone(backbone: Any, weights: str | PathLike, image_size: tuple[int, int]):
    """The image network and what its input must go through.

    Args:
        backbone: A name of `keras_mm.presets.BACKBONES`, a `keras.applications` class in lower
            case (`_0.35` appended for a width), a KerasHub handle or folder, or a `keras.Model`
            from `(batch, H, W, 3)`, 0-255, to a map, tokens or vectors.
        weights: `"pretrained"`, `"random"` or a path.
        image_size: `(height, width)`.

    Returns:
        `(model, preprocessing layers)`.

    Raises:
        ValueError: for an unknown name.
        PretrainedError: if weights cannot be loaded.
    """
    if isinstance(backbone, keras.Model):
        return _with_weights(backbone, weights, "vision_weights"), []
    known = BACKBONES.get(str(backbone))
    if known is not None and known.family == "tiny_cnn":
        model = _tiny_cnn(image_size, **known.config)
        return _with_weights(model, weights, "vision_weights"), [layers.Rescaling(1 / 127.5, -1)]
    options = known.config if known else _application_options(str(backbone))
    if options is not None:
        return _application(str(backbone), weights, image_size, **options)
    return _keras_hub_vision(str(backbone), weights)


def text_backbone(backbone: Any, weights: str | PathLike) -> keras.Model:
    """The text network, from `token_ids`, `segment_ids` and `padding_mask`.

    Args:
        backbone: A name of `keras_mm.presets.BACKBONES`, a KerasHub handle, a local folder in
            Hugging Face or KerasHub format, or a `keras.Model`.
        weights: `"pretrained"`, `"random"` or a path: a folder, or a `.weights.h5` file.

    Raises:
        ValueError: for an unknown name.
        PretrainedError: if weights cannot be loaded.
    """
    if isinstance(backbone, keras.Model):
        return _with_weights(backbone, weights, "text_weights")
    known = BACKBONES.get(str(backbone))
    if known is None:
        return _keras_hub_text(str(backbone), weights)
    if weights == "pretrained" and known.handle:
        what = f"weights of {known.name!r} ({known.download_mb:.0f} MB)"
        return from_handle("Backbone", known.handle, what=what, keyword="text_weights")
    if str(weights) not in ("pretrained", "random") and Path(weights).is_dir():
        what = f"weights of {known.name!r}"
        return from_handle("Backbone", str(weights), what=what, keyword="text_weights")
    return _with_weights(_keras_hub_class(known)(**known.config), weights, "text_weights")


def is_buildable(backbone: Any) -> bool:
    """Whether a backbone's name alone says how to build it, without any file."""
    return isinstance(backbone, str) and (
        backbone in BACKBONES or _application_options(backbone) is not None
    )


def _keras_hub_class(backbone: Backbone):
    import keras_hub

    classes = {"bert": "BertBackbone", "distil_bert": "DistilBertBackbone"}
    if backbone.family not in classes:
        raise ValueError(f"{backbone.name!r} is no text backbone but a {backbone.modality} one.")
    return getattr(keras_hub.models, classes[backbone.family])


def _with_weights(model: keras.Model, weights: str | PathLike, keyword: str) -> keras.Model:
    """`model` with the weights of a file; with its own for `"pretrained"` and `"random"`."""
    if str(weights) in ("pretrained", "random"):
        return model
    if not Path(weights).is_file():
        raise ValueError(
            f"`{keyword}` must be 'pretrained', 'random' or an existing path. "
            f"Received: {str(weights)!r}"
        )
    try:
        model.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"`{keyword}`={str(weights)!r} does not fit {model.name!r}: {error}"
        ) from error
    return model


def _tiny_cnn(image_size: tuple[int, int], filters: tuple[int, ...]) -> keras.Model:
    """Strided 3x3 convolutions with batch normalisation, halving the map each time."""
    x = inputs = keras.Input((*image_size, 3), name="images")
    for width in filters:
        x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
    return keras.Model(inputs, x, name="tiny_cnn")


def _application_classes() -> dict[str, tuple[str, str]]:
    """Lower-case class names of `keras.applications`, to (module, class)."""
    found = {}
    for module in vars(keras.applications).values():
        if hasattr(module, "preprocess_input"):
            for name, value in vars(module).items():
                if callable(value) and name[0].isupper():
                    found[name.lower()] = (module.__name__.rsplit(".", 1)[-1], name)
    return found


def _application_options(name: str) -> dict | None:
    """`class_name` and `alpha` that a name of `keras.applications` stands for."""
    match = re.fullmatch(r"(.+?)(?:_(\d\.\d+))?", name)
    if match is None:
        return None
    known = _application_classes().get(match[1].replace("_", "").lower())
    if known is None:
        return None
    return {"class_name": known[1], **({"alpha": float(match[2])} if match[2] else {})}


def _application(name: str, weights, image_size, class_name: str, **options):
    module, _ = _application_classes()[class_name.lower()]
    create = getattr(keras.applications, class_name)
    source = _APPLICATION_WEIGHTS.get(str(weights))
    shape = (*image_size, 3)
    try:
        model = create(include_top=False, weights=source, input_shape=shape, **options)
    except Exception as error:  # what the network throws; Keras itself raises bare Exception
        if source is None:
            raise ValueError(f"{name!r} cannot take images of {image_size}: {error}") from error
        what = f"ImageNet weights of {name!r}"
        raise failed_download(what, class_name, "vision_weights", error) from error
    return (
        _with_weights(model, weights, "vision_weights"),
        [ApplicationsPreprocessing(module, name=f"{module}_preprocessing")],
    )


def _load_keras_hub(handle: str, weights, modality: str) -> keras.Model:
    import keras_hub

    if "/" not in handle and handle not in keras_hub.models.Backbone.presets:
        known = [b.name for b in BACKBONES.values() if b.modality == modality]
        names = [*known, *keras_hub.models.Backbone.presets]
        if modality == "vision":
            names += _application_classes()
        raise ValueError(unknown_name(f"{modality} backbone", handle, names))
    keyword = f"{modality}_weights"
    options = {} if weights == "pretrained" else {"load_weights": False}
    model = from_handle("Backbone", handle, what=f"backbone {handle!r}", keyword=keyword, **options)
    return _with_weights(model, weights, keyword)


def _keras_hub_text(handle: str, weights) -> keras.Model:
    model = _load_keras_hub(handle, weights, "text")
    names = set(getattr(model, "input_names", None) or [tensor.name for tensor in model.inputs])
    if not {"token_ids", "padding_mask"} <= names:
        raise ValueError(f"{handle!r} is no text backbone: its inputs are {sorted(names)}.")
    return model


def _keras_hub_vision(handle: str, weights):
    model = _load_keras_hub(handle, weights, "vision")
    what, keyword = f"image preprocessing of {handle!r}", "vision_weights"
    converter = from_handle("ImageConverter", handle, what=what, keyword=keyword)
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return model, [layers.Rescaling(scale, offset)]
