"""The whole model: encoders and trunk, and the parts it can be taken apart into."""

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
) -> keras.Model:
    """Builds encoders, fusion and heads as one functional model.

    Without arguments it is the model of the Keras multimodal entailment example: ResNet50V2 at
    128 x 128 and BERT base on one packed sequence of 256, both frozen, projected to 256 and
    concatenated, three classes.

    Args:
        vision_encoder: A backbone's name (two images a row), a model of `create_vision_encoder`,
            which takes `num_images`, or one with the same inputs and outputs; `None` for text only.
        text_encoder: A backbone's name (packed texts), a model of `create_text_encoder` or one
            with the same inputs and outputs; `None` for images only.
        heads: Number of classes, a `Head`, or a dict of them by name.
        fusion: `"concat"`, `"bilinear"`, `"gated"`, `"cross_attention"`, `"bottleneck"` or
            `"mmbt"`; a dict of `name` and that layer's arguments; or a Keras layer (see
            `keras_mm.models.fusion`).
        compare: Compare the two images, and two separately encoded texts:
            `[u, v, u - v, |u - v|, u * v]`.
        num_projection_layers: Residual blocks of each projection, >= 0.
        projection_dims: Width of each projection, >= 1; 0 for none, which is possible with one
            side, or with `"concat"` or `"mmbt"`.
        dropout_rate: Dropout of the projections, in [0, 1).
        vision_weights: `"pretrained"`, `"random"` or a path, if `vision_encoder` is a name.
        text_weights: `"pretrained"`, `"random"` or a path, if `text_encoder` is a name.
        vision_trainable: Whether a named vision backbone is trained.
        text_trainable: Whether a named text backbone is trained.
        modality_dropout: Probability, in [0, 1), with which training hides all images or all texts
            of a row; see `keras_mm.models.layers.missing.ModalityDropout`.

    Returns:
        A `keras_mm.models.multimodal_model.MultimodalModel` from the encoders' inputs, `image_mask`
        `(batch, N)` and `text_mask` `(batch, T)` to logits `(batch, num_logits)`, or a dict of them
        by head.

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
    with build_settings():
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
    )
    return join(encoders, trunk)


class Parts(NamedTuple):
    """A multimodal model taken apart.

    Attributes:
        encoders: Encoders by side.
        trunk: The trunk.
    """

    encoders: dict[str, keras.Model]
    trunk: keras.Model


def parts(model: keras.Model) -> Parts:
    """The encoders and the trunk of a model.

    Args:
        model: A model of `create_multimodal_model`.

    Returns:
        Encoders by side, and the trunk; they share their weights with the model.
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
    """The backbone networks, wherever they are in the model: MMBT's BERT is a part of the trunk.

    Args:
        model: A model of `create_multimodal_model`.

    Returns:
        Networks by side.
    """
    found = {}
    layers = {layer.name: layer for layer in model.layers if isinstance(layer, keras.Model)}
    for side in _FIRST_INPUT:
        for layer in getattr(layers.get(f"{side}_encoder"), "layers", ()):
            if isinstance(layer, keras.Model):
                found[side] = layer
    for layer in getattr(layers.get("trunk"), "layers", ()):
        if isinstance(layer, MMBT):
            found["text"] = layer.backbone
    return found


@build_settings()
def join(encoders: Mapping[str, keras.Model], trunk: keras.Model) -> keras.Model:
    """A model of encoders, which read their raw inputs, and a trunk.

    The features of sides without an encoder become inputs of the model.

    Args:
        encoders: Encoders by side.
        trunk: A trunk of `create_trunk`.

    Returns:
        A model that shares its layers with them.
    """
    inputs, features = {}, {}
    for side, encoder in encoders.items():
        raw = {name: _same_input(tensor) for name, tensor in encoder.input.items()}
        inputs.update(raw)
        for name, value in encoder(raw).items():
            features[f"{side}_{name}"] = value
    fed = {}
    for name, tensor in trunk.input.items():
        if name in features:
            fed[name] = features[name]
        else:
            inputs[name] = fed[name] = _same_input(tensor)
    return MultimodalModel(inputs, trunk(fed), name="multimodal_model")


def cut(model: keras.Model) -> keras.Model:
    """The part of a model that is trained: frozen encoders are replaced by their features.

    Args:
        model: A model of `create_multimodal_model`.

    Returns:
        A model that shares its layers with `model`; `model` itself if no encoder is frozen.
    """
    encoders, trunk = parts(model)
    trained = {side: e for side, e in encoders.items() if e.trainable_variables}
    return model if len(trained) == len(encoders) else join(trained, trunk)


def copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Copies weights and random states.

    Args:
        source: A model.
        target: A model of the same layers, which is changed.
    """
    for old, new in zip(target.variables, source.variables, strict=True):
        old.assign(new)


@build_settings()
def attention_model(model: keras.Model) -> keras.Model:
    """The model that gives the attention weights of a model with `cross_attention` fusion.

    It shares its weights with `model`.

    Args:
        model: A model of `create_multimodal_model`.

    Returns:
        A model from the same inputs to `text_to_image`, float32
        `(batch, num_heads, 1 + text tokens, 1 + image regions)`, and `image_to_text`. Position 0 is
        a side's pooled vector; the rest are the encoder's `sequence_output`, slot after slot. Each
        row of weights sums to 1.

    Raises:
        ValueError: if the model's fusion is another.

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
            "At least one of `vision_encoder` and `text_encoder` must be given."
        )
    for side, encoder in encoders.items():
        outputs = getattr(encoder, "output", None)
        if not isinstance(outputs, dict) or "pooled_output" not in outputs:
            raise InvalidValueError(
                f"`{side}_encoder` must be a backbone's name or a functional model that gives a "
                "dict with `pooled_output` (batch, slots, width), as create_vision_encoder and "
                f"create_text_encoder make. Received: {encoder!r}"
            )
    pairs = [side for side, e in encoders.items() if e.output["pooled_output"].shape[1] == 2]
    if compare and not pairs:
        raise InvalidValueError(
            "compare=True needs two images, or two texts with text_pairing='separate'; there is "
            "no such pair."
        )


def _num_texts(encoder: keras.Model | None) -> int | None:
    """Width of `text_mask`: the slots of separate texts; any width for one packed sequence."""
    if encoder is None or len(encoder.output["pooled_output"].shape) < 3:
        return None
    slots = encoder.output["pooled_output"].shape[1]
    return slots if slots > 1 else None
