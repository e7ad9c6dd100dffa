"""Models that average several members: trunks on the same encoders, or on encoders of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from keras_mm.models.keras_settings import build_settings
from keras_mm.models.layers.average import AveragePrediction, MemberFeatures
from keras_mm.models.multimodal import backbones, join, parts
from keras_mm.models.trunk import MASKS
from keras_mm.settings.by_head import by_head, one_or_all
from keras_mm.settings.heads import Head
from keras_mm.settings.members import SIDE_OF

_MEMBER = "member_{}"  # the name of a member's trunk, from 1
_SUFFIX = "_average"  # of the name of the layer that averages a head
_MASK_OF = {modality: MASKS[side] for modality, side in SIDE_OF.items()}


@dataclass(frozen=True)
class MemberWeights:
    """The weights of the members in the prediction of a head; each sum to 1.

    Attributes:
        everywhere: Of rows that have all modalities.
        without: Of rows that lack all images or all texts, by `"image"` and `"text"`. Empty if they
            have the same weights.
    """

    everywhere: tuple[float, ...]
    without: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@build_settings()
def average(
    models: Sequence[keras.Model],
    heads: Mapping[str, Head],
    *,
    weights: Mapping[str, MemberWeights] | None = None,
    own_sides: Collection[str] = (),
) -> keras.Model:
    """Builds a model whose predictions are the mean of the predictions of its members.

    Probabilities are averaged; for regression heads, numbers.

    Args:
        models: The members: models of `create_multimodal_model` with the same heads, at least one.
            A member may lack one of the sides.
        heads: The heads by name, with their classes.
        weights: Weights of the members by head; by default all weigh the same.
        own_sides: Sides (`"vision"`, `"text"`) of which each member has an encoder of its own. The
            encoders of other sides are equal, and that of the first member is used for all.

    Returns:
        A model with the inputs of all members, and the same outputs, that shares its layers with
        the members; the member itself if there is only one.
    """
    if len(models) == 1:
        return models[0]
    taken = [parts(model) for model in models]
    encoders: dict[str, keras.Model] = {}
    inputs: dict[str, Any] = {}
    for side in MASKS:
        own = [member.encoders[side] for member in taken if side in member.encoders]
        if own:
            encoders[side] = _side_by_side(side, own) if side in own_sides else own[0]
    for member in taken:
        for name, tensor in member.trunk.input.items():
            joined = _feature(encoders, name)
            shape, dtype = (tensor if joined is None else joined).shape[1:], tensor.dtype
            inputs.setdefault(name, keras.Input(shape, dtype=dtype, name=name))
    logits = [
        by_head(heads, _view(member.trunk, number)(_inputs(member.trunk, number, inputs, models)))
        for number, member in enumerate(taken)
    ]
    outputs = {}
    for name, head in heads.items():
        own_weights = (weights or {}).get(name, _equal(len(models)))
        without = {_MASK_OF[key]: row for key, row in own_weights.without.items()}
        layer = AveragePrediction(
            head.kind, own_weights.everywhere, without, name=f"{name}{_SUFFIX}"
        )
        present = {mask: inputs[mask] for mask in without} or None
        outputs[name] = layer([each[name] for each in logits], present=present)
    return join(encoders, keras.Model(inputs, one_or_all(outputs), name="trunk"))


def _equal(count: int) -> MemberWeights:
    return MemberWeights((1 / count,) * count)


def members(model: keras.Model) -> list[keras.Model]:
    """Takes a model of `average` apart.

    Args:
        model: Any model of `create_multimodal_model` or `average`.

    Returns:
        The members, which share their layers with the model; `model` itself if it has none.
    """
    encoders, trunk = parts(model)
    trunks = _member_trunks(trunk)
    if not trunks:
        return [model]
    own = {side: _own_encoders(side, encoder, len(trunks)) for side, encoder in encoders.items()}
    return [
        join(
            {side: each[number] for side, each in own.items() if MASKS[side] in trunk.input},
            keras.Model(trunk.input, trunk.output, name="trunk"),
        )
        for number, trunk in enumerate(trunks)
    ]


def member_backbones(model: keras.Model) -> dict[str, keras.Model]:
    """Finds the backbone networks of the first members that read each side.

    Args:
        model: Any model of `create_multimodal_model` or `average`.

    Returns:
        Networks by side, see `keras_mm.models.multimodal.backbones`.
    """
    networks: dict[str, keras.Model] = {}
    for member in members(model):
        networks = {**backbones(member), **networks}
    return networks


def own_sides(models: Sequence[keras.Model]) -> set[str]:
    """Finds the sides of which each model has an encoder of its own.

    Args:
        models: What `members` returned.

    Returns:
        Any of `"vision"` and `"text"`.
    """
    found: dict[str, set[int]] = {}
    for model in models:
        for side, encoder in parts(model).encoders.items():
            found.setdefault(side, set()).add(id(encoder))
    return {side for side, encoders in found.items() if len(encoders) > 1}


def member_weights(model: keras.Model) -> dict[str, MemberWeights]:
    """The weights of the members of an average.

    Args:
        model: Any model of `create_multimodal_model` or `average`.

    Returns:
        Weights by head, in the order of `members`; empty for a single model.
    """
    key_of = {mask: key for key, mask in _MASK_OF.items()}
    return {
        layer.name.removesuffix(_SUFFIX): MemberWeights(
            layer.weights_of_members, {key_of[mask]: own for mask, own in layer.without.items()}
        )
        for layer in parts(model).trunk.layers
        if isinstance(layer, AveragePrediction)
    }


def _member_trunks(trunk: keras.Model) -> list[keras.Model]:
    """The trunks of the members, in order; none in the trunk of a single model."""
    known = {layer.name: layer for layer in trunk.layers if isinstance(layer, keras.Model)}
    names = [_MEMBER.format(number) for number in range(1, len(known) + 1)]
    return [known[name] for name in names if name in known]


def _view(trunk: keras.Model, number: int) -> keras.Model:
    """A trunk under the name of a member."""
    return keras.Model(trunk.input, trunk.output, name=_MEMBER.format(number + 1))


def _inputs(
    trunk: keras.Model, number: int, inputs: Mapping[str, Any], models: Sequence
) -> dict[str, Any]:
    """The inputs of a member's trunk, selected from those of the whole trunk."""
    selected = {}
    for name, tensor in trunk.input.items():
        selected[name] = inputs[name]
        if inputs[name].shape[-1] != tensor.shape[-1]:
            select = MemberFeatures(number, len(models), name=f"{name}_{number + 1}")
            selected[name] = select(inputs[name])
    return selected


def _side_by_side(side: str, encoders: Sequence[keras.Model]) -> keras.Model:
    """An encoder that runs several encoders, and joins their features along the last axis."""
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in encoders[0].input.items()
    }
    outputs = [
        type(encoder)(encoder.input, encoder.output, name=f"{encoder.name}_{number}")(inputs)
        for number, encoder in enumerate(encoders, 1)
    ]
    joined = {
        name: first
        if first.dtype == "bool"
        else layers.Concatenate(dtype="float32", name=f"{name}_of_members")(
            [output[name] for output in outputs]
        )
        for name, first in outputs[0].items()
    }
    return type(encoders[0])(inputs, joined, name=f"{side}_encoder")


def _own_encoders(side: str, encoder: keras.Model, count: int) -> list[keras.Model]:
    """The encoders of the members, in order; the same one for all if they share it."""
    known = {layer.name: layer for layer in encoder.layers if isinstance(layer, keras.Model)}
    name = f"{side}_encoder"
    if f"{name}_1" not in known:
        return [encoder] * count
    own = [known[f"{name}_{number}"] for number in range(1, count + 1)]
    return [type(each)(each.input, each.output, name=name) for each in own]


def _feature(encoders: Mapping[str, keras.Model], name: str) -> Any:
    """The output of the encoders that is the trunk's input `name`; `None` for a mask."""
    side, _, output = name.partition("_")
    encoder = encoders.get(side)
    return None if encoder is None else encoder.output.get(output)
