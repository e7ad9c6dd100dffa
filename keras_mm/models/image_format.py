"""Images: always channels last, whatever Keras' global setting, and as many as the model takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.keras_internals import all_layers

_IMAGE = re.compile(r"image_\d+")


def check_channels_last(network: keras.Model) -> None:
    """Makes an image network independent of the global image data format.

    A `Rescaling` layer with factors by channel reads the global setting in each call, so its
    factors get an explicit channel axis.

    Args:
        network: A network from `(batch, height, width, 3)`, which is changed in place.

    Raises:
        ValueError: if a layer reads channels first, and no layer transposes the images.
    """
    if any(type(part).__name__ in ("Permute", "Transpose") for part in _operations(network)):
        return
    for layer in all_layers(network):
        if isinstance(layer, keras.layers.Rescaling):
            layer.scale, layer.offset = _on_last_axis(layer.scale), _on_last_axis(layer.offset)
        first = getattr(layer, "data_format", None) == "channels_first"
        if first and not isinstance(layer, keras.layers.Flatten):
            raise InvalidValueError(
                f"A vision backbone must read images channels last, (batch, height, width, 3). "
                f"Received: {network.name!r}, whose layer {layer.name!r} has "
                "data_format='channels_first'. Build it with data_format='channels_last'."
            )


def check_images(model: keras.Model, inputs: Any) -> None:
    """Refuses inputs of fewer images than a model takes; Keras' error would not say what to do.

    Args:
        model: A vision encoder, or a model with one.
        inputs: What it is called with: arrays by name, or for an encoder arrays in order.

    Raises:
        ValueError: naming `num_images`, if an image is missing.
    """
    wanted = [tensor.name for tensor in model.inputs if _IMAGE.fullmatch(tensor.name)]
    if isinstance(inputs, Mapping):
        given = [name for name in inputs if _IMAGE.fullmatch(str(name))]
    elif len(wanted) == len(model.inputs):
        given = wanted[: len(keras.tree.flatten(inputs))]
    else:
        return
    if not set(wanted) <= set(given):
        raise InvalidValueError(
            f"{model.name!r} takes {len(wanted)} images a row, {', '.join(wanted)}. "
            f"Received: {', '.join(given) or 'none'}. For rows of another number build the vision "
            f"encoder with it: create_vision_encoder(..., num_images={max(len(given), 1)})."
        )


def _operations(network: Any) -> Iterator[Any]:
    """The layers and operations of a network, and of those inside it."""
    for part in getattr(network, "operations", ()):
        yield part
        yield from _operations(part)


def _on_last_axis(value: Any) -> Any:
    """Reshapes factors by channel to `(1, 1, channels)`; other values are unchanged."""
    return np.asarray(value).reshape(1, 1, -1).tolist() if np.ndim(value) == 1 else value
