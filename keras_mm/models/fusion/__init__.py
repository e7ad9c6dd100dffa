"""Fusions by name: layers from a list of both sides, vision first, to one vector per row.

A fusion receives a vector `(batch, projection_dims)` for each side. A fusion with the attribute
`needs_tokens = True` receives a dict instead: `pooled_output`, the same vector; `sequence_output`
`(batch, tokens, projection_dims)`; and `sequence_mask` `(batch, tokens)`, bool. Any Keras layer
with these inputs can be a fusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import keras

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.models.fusion.bilinear import Bilinear
from keras_mm.models.fusion.bottleneck import Bottleneck
from keras_mm.models.fusion.concat import Concat
from keras_mm.models.fusion.cross_attention import CrossAttention
from keras_mm.models.fusion.gated import Gated
from keras_mm.models.fusion.mmbt import MMBT
from keras_mm.presets.presets import FUSIONS

__all__ = ["MMBT", "Bilinear", "Bottleneck", "Concat", "CrossAttention", "Gated", "create_fusion"]

_CLASSES = {
    "concat": Concat,
    "bilinear": Bilinear,
    "gated": Gated,
    "cross_attention": CrossAttention,
    "bottleneck": Bottleneck,
    "mmbt": MMBT,
}


def create_fusion(fusion: str | Mapping[str, Any] | keras.layers.Layer) -> keras.layers.Layer:
    """Creates a fusion layer.

    Args:
        fusion: A name; a dict of `name` and the layer's arguments; or a layer, whose config is
            used for a new one, so that models do not share weights.

    Returns:
        The layer, not built yet.

    Raises:
        ValueError: for an unknown name (the message suggests the nearest) or argument.

    Example:
        >>> create_fusion({"name": "cross_attention", "num_heads": 2}).num_heads
        2
    """
    if isinstance(fusion, keras.layers.Layer):
        config = fusion.get_config()
        if isinstance(fusion, tuple(_CLASSES.values())):
            # MMBT gets the text network of its new model.
            config = {k: v for k, v in config.items() if k not in ("grid", "backbone")}
            config["dtype"] = "float32"  # like the whole trunk, under any global policy
        return type(fusion).from_config(config)
    options = dict(fusion) if isinstance(fusion, Mapping) else {"name": fusion}
    name = options.pop("name", None)
    if name not in _CLASSES:
        raise InvalidValueError(unknown_name("fusion", name, FUSIONS))
    known = [p for p in signature(_CLASSES[name]).parameters if p != "kwargs"]
    for argument in options:
        if argument not in known:
            raise InvalidValueError(
                unknown_name(f"argument of the fusion {name!r}:", argument, known)
            )
    return _CLASSES[name](name=f"{name}_fusion", **options)
