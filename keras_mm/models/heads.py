"""Creates heads on the fused features, adds them to a trunk, widens them, or takes them as a model.

A model that is built from another one shares all its other layers, so that nothing else changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mm.models.keras_settings import build_settings
from keras_mm.models.layers.scaling import TargetScaling, scaling_name
from keras_mm.settings.by_head import by_head, one_or_all
from keras_mm.settings.heads import Head


def create_logits(name: str, head: Head, fused: Any) -> Any:
    """Builds a head: dropout if it has any, a linear layer, and the scaling of regression targets.

    Args:
        name: The head's name.
        head: The head, with its classes.
        fused: Symbolic fused features, shape `(batch, width)`.

    Returns:
        Symbolic logits `(batch, num_logits)`.
    """
    options = {"dtype": "float32"}  # logits need full precision, whatever the global dtype policy
    if head.dropout_rate:
        fused = layers.Dropout(head.dropout_rate, name=f"{name}_dropout", **options)(fused)
    penalty = keras.regularizers.L2(head.l2) if head.l2 else None
    dense = layers.Dense(
        head.num_logits, kernel_regularizer=penalty, name=f"{name}_logits", **options
    )
    if head.kind != "regression":
        return dense(fused)
    return TargetScaling(name=scaling_name(name), **options)(dense(fused))


def head_layers(trunk: keras.Model, name: str) -> list[keras.layers.Layer]:
    """The layers of a head, from the fused features on.

    Args:
        trunk: A trunk of `create_trunk`.
        name: The head's name.

    Returns:
        The layers in order; none for an unknown head.
    """
    names = (f"{name}_dropout", f"{name}_logits", scaling_name(name))
    known = {layer.name: layer for layer in trunk.layers}
    return [known[wanted] for wanted in names if wanted in known]


def logits_layer(model: keras.Model, name: str) -> keras.layers.Dense | None:
    """Finds the linear layer of a head in a model and the models inside it.

    Args:
        model: A model that may contain the head.
        name: The head's name.

    Returns:
        The layer; `None` if there is none.
    """
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.layers.Dense) and layer.name == f"{name}_logits":
            return layer
        if isinstance(layer, keras.Model):
            inner = logits_layer(layer, name)
            if inner is not None:
                return inner
    return None


def fused_features(trunk: keras.Model, name: str) -> Any:
    """The input of a head.

    Args:
        trunk: A trunk of `create_trunk`.
        name: The head's name.

    Returns:
        A symbolic tensor `(batch, width)`.
    """
    return head_layers(trunk, name)[0].input


@build_settings()
def with_heads(
    trunk: keras.Model, heads: Mapping[str, Head], present: Sequence[str]
) -> keras.Model:
    """Builds a trunk with new heads, in addition to its heads or in their place.

    Args:
        trunk: A trunk of `create_trunk`.
        heads: The new heads by name.
        present: Names of the trunk's heads, in order.

    Returns:
        A trunk with the same inputs that shares all layers except those of `heads`. Its output is a
        dict of logits by head; with one head, the logits.
    """
    outputs = by_head(present, trunk.output)
    fused = fused_features(trunk, present[0])
    outputs = {**outputs, **{n: create_logits(n, head, fused) for n, head in heads.items()}}
    return keras.Model(trunk.input, one_or_all(outputs), name="trunk")


def widened(trunk: keras.Model, heads: Mapping[str, Head], names: Sequence[str]) -> keras.Model:
    """Builds a trunk in which some heads have additional classes, after their present ones.

    Args:
        trunk: A trunk of `create_trunk`.
        heads: The wider heads by name; the trunk must have heads of these names.
        names: Names of the trunk's heads, in order.

    Returns:
        A trunk whose heads compute the same logits for their present classes. The weights of new
        classes are random, like those of a new head.
    """
    wider = with_heads(trunk, heads, names)
    for name in heads:
        before, after = (model.get_layer(f"{name}_logits") for model in (trunk, wider))
        for old, new in zip(before.weights, after.weights, strict=True):
            value = np.array(keras.ops.convert_to_numpy(new))
            value[..., : old.shape[-1]] = keras.ops.convert_to_numpy(old)
            new.assign(value)
    return wider


@build_settings()
def body_of(trunk: keras.Model, name: str) -> keras.Model:
    """The part of a trunk before its heads.

    Args:
        trunk: A trunk of `create_trunk`.
        name: Name of one of its heads.

    Returns:
        A model from the trunk's inputs to the fused features, which shares the trunk's layers.
    """
    return keras.Model(trunk.input, fused_features(trunk, name), name="trunk")


@build_settings()
def heads_alone(trunk: keras.Model, names: Sequence[str]) -> keras.Model:
    """Builds a model from the fused features to the logits of some heads of a trunk.

    Args:
        trunk: A trunk of `create_trunk`.
        names: The heads' names, at least one.

    Returns:
        A model from one input, `fused` `(batch, width)`, to logits, or to a dict of logits by head
        if there are several. It shares the heads' layers.
    """
    fused = keras.Input(fused_features(trunk, names[0]).shape[1:], name="fused")
    outputs = {}
    for name in names:
        x = fused
        for layer in head_layers(trunk, name):
            x = layer(x)
        outputs[name] = x
    return keras.Model({"fused": fused}, one_or_all(outputs), name="heads")


@build_settings()
def only(trunk: keras.Model, names: Sequence[str]) -> keras.Model:
    """Builds a trunk with only some of a trunk's heads.

    Args:
        trunk: A trunk of `create_trunk`.
        names: Names of heads, at least one.

    Returns:
        A trunk that shares its layers with `trunk`; `trunk` itself if it has one head.
    """
    if not isinstance(trunk.output, Mapping):
        return trunk
    outputs = {name: trunk.output[name] for name in names}
    return keras.Model(trunk.input, one_or_all(outputs), name="trunk")
