"""Standardisation of the features of frozen encoders, with statistics of the training rows."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

_PREFIX = "standardize_"
_LEAST = 0.3  # of the median deviation: a feature that is 0 in nearly all rows has a tiny deviation


@keras.saving.register_keras_serializable("keras_mm")
class Standardization(layers.Layer):
    """Computes `(x - mean) / scale` of each feature, the same for all images or texts of a row.

    `set_statistics` sets mean and scale; until then, the layer returns its input. Unlike those of
    `keras.layers.Normalization`, both are variables, so that a copy of a model can take them over.

    Call arguments:
        x: Floats, shape `(..., width)`.

    Call returns:
        Floats of that shape.

    Example:
        >>> layer = Standardization()
        >>> float(layer(np.full((1, 1), 3.0, "float32"))[0, 0])
        3.0
    """

    def build(self, input_shape: tuple) -> None:
        """Creates the weights, which are not trained."""
        width = (input_shape[-1],)
        self.mean = self.add_weight(width, "zeros", name="mean", trainable=False)
        self.scale = self.add_weight(width, "ones", name="scale", trainable=False)

    def call(self, x: Any) -> Any:
        """Shifts and scales."""
        return (x - self.mean) / self.scale

    def set_statistics(self, features: np.ndarray) -> None:
        """Takes mean and standard deviation from features.

        Args:
            features: Floats `(num_items, width)`, at least one item. A feature that is constant,
                or nearly so compared with its mean, is only shifted. Of the others, the scale is
                at least 0.3 of their median deviation: a feature that is 0 in nearly all rows
                would be enormous in a new row that has it.
        """
        wide = np.asarray(features, "float64")
        mean, deviation = wide.mean(axis=0), wide.std(axis=0)
        constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
        if not constant.all():
            deviation = np.maximum(deviation, _LEAST * np.median(deviation[~constant]))
        self.mean.assign(mean.astype("float32"))
        self.scale.assign(np.where(constant, 1.0, deviation).astype("float32"))


def standardization_name(side: str) -> str:
    """The name of the layer that standardises the features of a side.

    Args:
        side: `"vision"` or `"text"`.

    Returns:
        The layer's name.
    """
    return _PREFIX + side


def standardizations(trunk: keras.Model) -> dict[str, Standardization]:
    """Finds the layers that standardise the features of a trunk.

    Args:
        trunk: A trunk of `keras_mm.models.trunk.create_trunk`.

    Returns:
        Layers by side; none for a trunk that was built with `standardize=False`.
    """
    return {
        layer.name.removeprefix(_PREFIX): layer
        for layer in trunk.layers
        if isinstance(layer, Standardization)
    }
