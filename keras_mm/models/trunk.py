"""From the encoders' features to logits: missing, comparison, projections, fusion, heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers

from keras_mm.heads import Head
from keras_mm.models.comparison import PairComparison
from keras_mm.models.fusion import create_fusion
from keras_mm.models.missing import MissingModality, ModalityDropout
from keras_mm.models.projection import project_embeddings

MASKS = {"vision": "image_mask", "text": "text_mask"}


def create_trunk(
    features: Mapping[str, Mapping[str, Any]],
    heads: Mapping[str, Head],
    *,
    fusion: Any = "concat",
    compare: bool = False,
    num_masks: Mapping[str, int | None] | None = None,
    num_projection_layers: int = 1,
    projection_dims: int = 256,
    dropout_rate: float = 0.1,
    modality_dropout: float = 0.0,
) -> keras.Model:
    """Builds the part of the model that is always trained, in float32.

    Args:
        features: By side (`"vision"`, `"text"`), the encoder's symbolic outputs.
        heads: Heads by name.
        fusion: Name of a fusion, or a layer from a list of `(batch, projection_dims)` to
            `(batch, width)`. One side needs none.
        compare: Whether sides with two slots are compared rather than concatenated.
        num_masks: Width of each side's mask; `None` takes any.
        num_projection_layers: See `project_embeddings`.
        projection_dims: See `project_embeddings`.
        dropout_rate: See `project_embeddings`.
        modality_dropout: See `ModalityDropout`; nothing is dropped where there is one side only.

    Returns:
        A model named `"trunk"` from `vision_pooled_output`, `image_mask`, `text_pooled_output` and
        `text_mask` to logits `(batch, num_logits)`, or a dict of them by head.
    """
    with dtype_policy("float32"):
        inputs = _inputs(features, num_masks or {})
        masks = [inputs[MASKS[side]] for side in features]
        if modality_dropout and len(masks) > 1:
            masks = ModalityDropout(modality_dropout, name="modality_dropout")(masks)
        sides = []
        for side, mask in zip(features, masks, strict=True):
            x = MissingModality(name=f"missing_{side}")(
                {"pooled_output": inputs[f"{side}_pooled_output"], "mask": mask}
            )
            x = _join_slots(x["pooled_output"], compare, side)
            sides.append(
                project_embeddings(x, num_projection_layers, projection_dims, dropout_rate)
            )
        fused = create_fusion(fusion)(sides) if len(sides) > 1 else sides[0]
        logits = {
            name: layers.Dense(head.num_logits, name=f"{name}_logits")(fused)
            for name, head in heads.items()
        }
    outputs = logits if len(logits) > 1 else next(iter(logits.values()))
    return keras.Model(inputs, outputs, name="trunk")


def _inputs(features: Mapping[str, Mapping[str, Any]], num_masks: Mapping) -> dict:
    """The features and the mask of each side, by name."""
    inputs = {}
    for side, outputs in features.items():
        shape, name, mask = outputs["pooled_output"].shape, f"{side}_pooled_output", MASKS[side]
        inputs[name] = keras.Input(shape[1:], name=name)
        inputs[mask] = keras.Input((num_masks.get(side, shape[1]),), dtype="bool", name=mask)
    return inputs


def _join_slots(pooled, compare: bool, side: str):
    """One vector from a side's slots `(batch, S, width)`."""
    if compare and pooled.shape[1] == 2:
        return PairComparison(name=f"compare_{side}")(pooled)
    return layers.Flatten()(pooled)


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Layers built inside have the dtype policy `name`, whatever the global policy is."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
