"""Builds whole models from encoders and a trunk, and takes them apart again."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

import keras

from keras_mm.errors import InvalidValueError
from keras_mm.models.fusion import MMBT, create_fusion
from keras_mm.models.fusion.cross_attention import AttentionWeights, CrossAttention
from keras_mm.models.keras_settings import build_settings
from keras_mm.models.multimodal_model import MultimodalModel
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.trunk import create_trunk
from keras_mm.models.vision_encoder import create_vision_encoder, feature_grid
from keras_mm.settings.heads import Head, as_heads

# The input by which an encoder's side is recognised.
_FIRST_INPUT = {"vision": "image_1", "text": "token_ids"}


def create_multimodal_model(
    vision_encoder: Any = "resnet50v2",
    text_encoder: Any = "bert_base_en_uncased",
    heads: int | Head | Mapping[str, Head] = 3,
    *,
    fusion: Any = "concat",
    compare: bool = False,
    num_projection_layers: int = 1,
    projection_dims: int = 256,
    dropout_rate: float = 0.1,
    vision_weights: str | PathLike = "pretrained",
    text_weights: str | PathLike = "pretrained",
    vision_trainable: bool = False,
    text_trainable: bool = False,
    modality_dropout: float = 0.0,
    standardize: bool = False,
    linear_skip: bool = False,
) -> keras.Model:
    """Builds encoders, fusion and heads as one functional model.

    Without arguments, it builds the model of the Keras multimodal entailment example: ResNet50V2 at
    128 x 128 and BERT base on one packed sequence of 256 tokens, both frozen, projected to 256
    dimensions and concatenated, for three classes.

    Args:
        vision_encoder: Name of a backbone (for two images per row), a model of
            `create_vision_encoder`, which takes `num_images`, or a model with the same inputs and
            outputs; `None` for text only.
        text_encoder: Name of a backbone (for packed texts), a model of `create_text_encoder`, or a
            model with the same inputs and outputs; `None` for images only.
        heads: Number of classes, a `Head`, or a dict of heads by name.
        fusion: `"concat"`, `"bilinear"`, `"gated"`, `"cross_attention"`, `"bottleneck"` or
            `"mmbt"`; a dict of `name` and that layer's arguments; or a Keras layer (see
            `keras_mm.models.fusion`).
        compare: Whether to compare the two images, and two separately encoded texts, by
            `[u, v, u - v, |u - v|, u * v]`.
        num_projection_layers: Residual blocks of each projection, >= 0.
        projection_dims: Width of each projection, >= 1; 0 for no projections, which needs a model
            with one side, or the fusion `"concat"` or `"mmbt"`.
        dropout_rate: Dropout of the projections, in [0, 1).
        vision_weights: `"pretrained"`, `"random"` or a path, if `vision_encoder` is a name.
        text_weights: `"pretrained"`, `"random"` or a path, if `text_encoder` is a name.
        vision_trainable: Whether a named vision backbone is trained.
        text_trainable: Whether a named text backbone is trained.
        modality_dropout: Probability, in [0, 1), of hiding all images, or all texts, of a row in
            training; see `keras_mm.models.layers.missing.ModalityDropout`.
        standardize: Whether the trunk standardises the encoders' vectors first; see
            `keras_mm.models.layers.standardization.Standardization`, whose statistics are to be
            set.
        linear_skip: Whether the heads also read the encoders' vectors themselves, as a linear model
            does.

    Returns:
        A `keras_mm.models.multimodal_model.MultimodalModel` from the encoders' inputs, `image_mask`
        `(batch, N)` and `text_mask` `(batch, T)` to logits `(batch, num_logits)`, or to a dict of
        logits by head.

    Raises:
        ValueError: if both encoders are `None`, or `compare` has nothing to compare.
        keras_mm.errors.PretrainedError: if weights cannot be loaded.

    Example:
        >>> model = create_multimodal_model(
        ...     create_vision_encoder("tiny_cnn", weights="random", image_size=(64, 64)),
        ...     create_text_encoder("tiny_bert", weights="random", sequence_length=16),
        ...     heads=3, fusion="bilinear", compare=True)
        >>> model.output_shape
        (None, 3)
    """
    if isinstance(vision_encoder, str):
        vision_encoder = create_vision_encoder(
            vision_encoder, weights=vision_weights, trainable=vision_trainable
        )
    if isinstance(text_encoder, str):
        text_encoder = create_text_encoder(
            text_encoder, weights=text_weights, trainable=text_trainable
        )
    encoders = {
        side: encoder
        for side, encoder in (("vision", vision_encoder), ("text", text_encoder))
        if encoder is not None
    }
    _check_encoders(encoders, compare)
    features = {side: encoder.output for side, encoder in encoders.items()}
    with build_settings():  # in float32, like the whole trunk
        fusion = create_fusion(fusion)
    if isinstance(fusion, MMBT) and len(encoders) > 1:
        # The text network becomes a part of the trunk.
        fusion.read_from(feature_grid(vision_encoder), text_encoder)
        features["text"] = encoders.pop("text").input
    trunk = create_trunk(
        features,
        as_heads(heads),
        fusion=fusion,
        compare=compare,
        num_masks={"text": _num_texts(text_encoder)},
        num_projection_layers=num_projection_layers,
        projection_dims=projection_dims,
        dropout_rate=dropout_rate,
        modality_dropout=modality_dropout,
        standardize=standardize,
        linear_skip=linear_skip,
    )
    return join(encoders, trunk)


class Parts(NamedTuple):
    """The parts of a multimodal model.

    Attributes:
        encoders: Encoders by side.
        trunk: The trunk.
    """

    encoders: dict[str, keras.Model]
    trunk: keras.Model


def parts(model: keras.Model) -> Parts:
    """Takes a model apart into its encoders and its trunk.

    Args:
        model: A model of `create_multimodal_model`.

    Returns:
        The encoders by side, and the trunk; they share their weights with the model.
    """
    trunk = model.get_layer("trunk")
    nested = [
        layer for layer in model.layers if isinstance(layer, keras.Model) and layer is not trunk
    ]
    encoders = {
        side: layer
        for side, first in _FIRST_INPUT.items()
        for layer in nested
        if first in input_names(layer)
    }
    return Parts(encoders, trunk)


def backbones(model: keras.Model) -> dict[str, keras.Model]:
    """Finds the backbone networks of a model; the BERT of MMBT is part of the trunk.

    Args:
        model: A model of `create_multimodal_model`.

    Returns:
        Networks by side.
    """
    networks = {}
    layers = {layer.name: layer for layer in model.layers if isinstance(layer, keras.Model)}
    for side in _FIRST_INPUT:
        for layer in getattr(layers.get(f"{side}_encoder"), "layers", ()):
            if isinstance(layer, keras.Model):
                networks[side] = layer
    for layer in getattr(layers.get("trunk"), "layers", ()):
        if isinstance(layer, MMBT):
            networks["text"] = layer.backbone
    return networks


@build_settings()
def join(encoders: Mapping[str, keras.Model], trunk: keras.Model) -> keras.Model:
    """Joins encoders and a trunk to one model.

    The features of a side without an encoder become inputs of the model.

    Args:
        encoders: Encoders by side.
        trunk: A trunk of `create_trunk`.

    Returns:
        A model that shares the layers of the encoders and the trunk.
    """
    inputs, features = {}, {}
    for side, encoder in encoders.items():
        raw = {name: _same_input(tensor) for name, tensor in encoder.input.items()}
        inputs.update(raw)
        for name, value in encoder(raw).items():
            features[f"{side}_{name}"] = value
    trunk_inputs = {}
    for name, tensor in trunk.input.items():
        if name in features:
            trunk_inputs[name] = features[name]
        else:
            inputs[name] = trunk_inputs[name] = _same_input(tensor)
    return MultimodalModel(inputs, trunk(trunk_inputs), name="multimodal_model")


def cut(model: keras.Model) -> keras.Model:
    """Removes the frozen encoders of a model: their features become inputs.

    Args:
        model: A model of `create_multimodal_model`.

    Returns:
        The trained part, which shares its layers with `model`; `model` itself if no encoder is
        frozen.
    """
    encoders, trunk = parts(model)
    trained = {side: e for side, e in encoders.items() if e.trainable_variables}
    return model if len(trained) == len(encoders) else join(trained, trunk)


def copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights and the states of random generators, such as those of dropout.

    Args:
        source: The model to copy from.
        target: A model with the same layers, which is changed.
    """
    for old, new in zip(target.variables, source.variables, strict=True):
        old.assign(new)


@build_settings()
def attention_model(model: keras.Model) -> keras.Model:
    """Builds a model that returns the attention weights of the `cross_attention` fusion.

    Args:
        model: A model of `create_multimodal_model` with this fusion.

    Returns:
        A model from the same inputs to a dict of `text_to_image`, float32
        `(batch, num_heads, 1 + text tokens, 1 + image regions)`, and `image_to_text`, where the
        last two axes are swapped. Position 0 of a side is its pooled vector, followed by the
        encoder's `sequence_output`, slot after slot. Each row of weights sums to 1. The model
        shares its weights with `model`.

    Raises:
        ValueError: if the model has another fusion.

    Example:
        >>> model = create_multimodal_model(
        ...     create_vision_encoder("tiny_cnn", weights="random", image_size=(64, 64)),
        ...     create_text_encoder("tiny_bert", weights="random", sequence_length=16),
        ...     fusion="cross_attention")
        >>> sorted(attention_model(model).output)
        ['image_to_text', 'text_to_image']
    """
    encoders, trunk = parts(model)
    fusion = next((la for la in trunk.layers if isinstance(la, CrossAttention)), None)
    if fusion is None:
        raise InvalidValueError("Only a model with fusion='cross_attention' has attention weights.")
    # The fusion's inputs are a flat list; Keras sorts the keys of dicts.
    names = ("pooled_output", "sequence_mask", "sequence_output")
    sides = keras.tree.pack_sequence_as([dict.fromkeys(names, 0)] * 2, fusion.input)
    weights = AttentionWeights(fusion)(sides)
    return join(encoders, keras.Model(trunk.input, weights, name="trunk"))


def input_names(model: keras.Model) -> list[str]:
    """Names of a model's inputs.

    Args:
        model: A functional model.

    Returns:
        The names, in the order of the inputs.
    """
    return [tensor.name for tensor in model.inputs]


def _same_input(tensor: Any) -> keras.KerasTensor:
    return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)


def _check_encoders(encoders: Mapping[str, keras.Model], compare: bool) -> None:
    if not encoders:
        raise InvalidValueError(
            "At least one of `vision_encoder` and `text_encoder` is needed. Received: None for both"
        )
    for side, encoder in encoders.items():
        outputs = getattr(encoder, "output", None)
        if not isinstance(outputs, dict) or "pooled_output" not in outputs:
            raise InvalidValueError(
                f"`{side}_encoder` must be the name of a backbone, or a functional model that "
                "returns a dict with `pooled_output` (batch, slots, width), such as those of "
                f"create_vision_encoder and create_text_encoder. Received: {encoder!r}"
            )
    pairs = [side for side, e in encoders.items() if e.output["pooled_output"].shape[1] == 2]
    if compare and not pairs:
        raise InvalidValueError(
            "compare=True needs two images, or two texts with text_pairing='separate'; this model "
            "has neither."
        )


def _num_texts(encoder: keras.Model | None) -> int | None:
    """Width of `text_mask`: the number of separate texts; `None`, any, for one packed sequence."""
    if encoder is None or len(encoder.output["pooled_output"].shape) < 3:
        return None
    slots = encoder.output["pooled_output"].shape[1]
    return slots if slots > 1 else None
