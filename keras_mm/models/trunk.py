"""The trunk: missing modalities, comparison, projections, fusion and heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from keras_mm.errors import InvalidValueError
from keras_mm.models.fusion import MMBT, Concat
from keras_mm.models.heads import create_logits
from keras_mm.models.keras_settings import build_settings
from keras_mm.models.layers.comparison import PairComparison
from keras_mm.models.layers.missing import MissingModality, ModalityDropout
from keras_mm.models.layers.projection import TokenProjection, project_embeddings
from keras_mm.models.layers.standardization import Standardization, standardization_name
from keras_mm.settings.by_head import one_or_all
from keras_mm.settings.heads import Head

# The input, by side, that says which images or texts of a row are present.
MASKS = {"vision": "image_mask", "text": "text_mask"}


def create_trunk(
    features: Mapping[str, Mapping[str, Any]],
    heads: Mapping[str, Head],
    *,
    fusion: keras.layers.Layer | None = None,
    compare: bool = False,
    num_masks: Mapping[str, int | None] | None = None,
    num_projection_layers: int = 1,
    projection_dims: int = 256,
    dropout_rate: float = 0.1,
    modality_dropout: float = 0.0,
    standardize: bool = False,
    linear_skip: bool = False,
) -> keras.Model:
    """Builds the part of the model that is always trained, in float32.

    Args:
        features: By side (`"vision"`, `"text"`), the encoder's symbolic outputs. For `mmbt`, the
            text encoder's symbolic inputs.
        heads: Heads by name.
        fusion: A layer of `keras_mm.models.fusion`, or a custom one; not needed for one side.
        compare: Whether to compare the slots of sides with two slots instead of concatenating them.
        num_masks: Width of each side's mask; `None` accepts any.
        num_projection_layers: See `project_embeddings`.
        projection_dims: See `project_embeddings`; 0 leaves the encoders' vectors unchanged.
        dropout_rate: See `project_embeddings`.
        modality_dropout: See `ModalityDropout`; it has no effect with one side.
        standardize: Whether to standardise the encoders' vectors first; see `Standardization`.
        linear_skip: Whether the heads also read the vectors themselves, so that the logits are the
            sum of those of the fusion and of a linear model.

    Returns:
        A model named `"trunk"` to logits `(batch, num_logits)`, or to a dict of logits by head. Its
        inputs are `image_mask`, `text_mask` and the features that the fusion reads:
        `vision_pooled_output`, `text_pooled_output`, for a token-level fusion also
        `..._sequence_output` and `..._sequence_mask`; for `mmbt` the tokens themselves.

    Raises:
        ValueError: if two sides have no fusion, or the fusion needs projections and there are none,
            reads tokens that an encoder does not return, or does not return one vector per row;
            or if the linear skip has no vectors to read.
    """
    if projection_dims == 0 and len(features) > 1 and not isinstance(fusion, Concat | MMBT):
        raise InvalidValueError(
            "projection_dims=0 needs a model with one side, or fusion='concat' or 'mmbt'."
        )
    if fusion is None and len(features) > 1:
        raise InvalidValueError(
            "A model of images and texts needs a `fusion`; see `keras_mm.models.fusion`. "
            "Received: fusion=None"
        )
    with build_settings("float32"):  # only encoders use a global policy of mixed precision
        fusion = fusion if len(features) > 1 else None
        inputs = _inputs(features, fusion, compare, num_masks or {})
        masks = [inputs[MASKS[side]] for side in features]
        if modality_dropout and len(masks) > 1:
            masks = ModalityDropout(modality_dropout, name="modality_dropout")(masks)
        sides, skipped = [], []
        projection = (num_projection_layers, projection_dims, dropout_rate)
        for (side, outputs), mask in zip(features.items(), masks, strict=True):
            read = {name: inputs[full] for name, full in _names(side, outputs, fusion, compare)}
            if "token_ids" in outputs:  # MMBT embeds the tokens itself, and replaces missing texts
                sides.append({**read, "text_mask": mask})
                continue
            slots = outputs["pooled_output"].shape[1]
            if standardize and "pooled_output" in read:
                layer = Standardization(name=standardization_name(side))
                read["pooled_output"] = layer(read["pooled_output"])
            x = MissingModality(slots, name=f"missing_{side}")({**read, "mask": mask})
            if "pooled_output" in x:
                vectors = x["pooled_output"]
                x["pooled_output"] = _join_slots(vectors, compare, side)
                if linear_skip:
                    skipped.append(layers.Flatten()(vectors))
            x = _projected(x, side, slots, fusion, projection)
            sides.append(x if needs_tokens(fusion) else x["pooled_output"])
        fused: Any = sides[0] if fusion is None else fusion(sides)
        if len(fused.shape) != 2:
            raise InvalidValueError(
                f"the fusion {getattr(fusion, 'name', None)!r} must return one vector per row, "
                f"(batch, width). Received: shape {fused.shape}"
            )
        if linear_skip:
            if len(skipped) < len(features):
                raise InvalidValueError("linear_skip=True needs a vector of each encoder.")
            fused = layers.Concatenate(name="linear_skip")([fused, *skipped])
        logits = {name: create_logits(name, head, fused) for name, head in heads.items()}
        return keras.Model(inputs, one_or_all(logits), name="trunk")


def needs_tokens(fusion: Any) -> bool:
    """Whether a fusion layer reads token sequences in addition to vectors.

    Args:
        fusion: A fusion layer, or `None`.

    Returns:
        True if the layer has the attribute `needs_tokens = True`.
    """
    return bool(getattr(fusion, "needs_tokens", False))


def _names(
    side: str, outputs: Mapping, fusion: keras.layers.Layer | None, compare: bool
) -> list[tuple[str, str]]:
    """The features of a side that a fusion reads: their names in the encoder and in the trunk."""
    if "token_ids" in outputs:
        return [(name, name) for name in ("token_ids", "segment_ids", "padding_mask")]
    names = ["pooled_output"]
    if needs_tokens(fusion):
        # MMBT reads image regions; the pooled vector only adds the comparison of two images.
        pooled = [] if isinstance(fusion, MMBT) and not compare else names
        names = [*pooled, "sequence_output", "sequence_mask"]
    return [(name, f"{side}_{name}") for name in names]


def _inputs(
    features: Mapping, fusion: keras.layers.Layer | None, compare: bool, num_masks: Mapping
) -> dict:
    """The trunk's inputs by name: the features that the fusion reads, and each side's mask."""
    inputs = {}
    for side, outputs in features.items():
        for name, full in _names(side, outputs, fusion, compare):
            if fusion is not None and name not in outputs:
                raise InvalidValueError(
                    f"the fusion {fusion.name!r} reads token sequences, but the {side} encoder "
                    "returns only vectors. Use a backbone with a feature map or tokens, or "
                    "fusion='concat', 'gated' or 'bilinear'."
                )
            tensor = outputs[name]
            inputs[full] = keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=full)
        slots = outputs["pooled_output"].shape[1] if "pooled_output" in outputs else None
        mask = MASKS[side]
        inputs[mask] = keras.Input((num_masks.get(side, slots),), dtype="bool", name=mask)
    return inputs


def _projected(
    x: dict[str, Any],
    side: str,
    slots: int,
    fusion: keras.layers.Layer | None,
    projection: tuple[int, int, float],
) -> dict[str, Any]:
    """Projects vectors and tokens of a side; `projection` are `project_embeddings`' arguments."""
    num_layers, dims, dropout_rate = projection
    if "pooled_output" in x and dims:
        vectors = x["pooled_output"]
        x["pooled_output"] = project_embeddings(vectors, num_layers, dims, dropout_rate)
    if "sequence_output" in x and not isinstance(fusion, MMBT):  # MMBT projects to BERT's width
        project = TokenProjection(dims, slots, name=f"{side}_tokens")
        x["sequence_output"] = project(x["sequence_output"])
    return x


def _join_slots(pooled: Any, compare: bool, side: str) -> Any:
    """One vector per row from the vectors of a side's slots, `(batch, S, width)`."""
    if compare and pooled.shape[1] == 2:
        return PairComparison(name=f"compare_{side}")(pooled)
    return layers.Flatten()(pooled)
