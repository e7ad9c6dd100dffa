"""Scaling of regression targets: heads learn standardised targets and predict in their unit."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mm.errors import InvalidValueError

_SUFFIX = "_scaling"


@keras.saving.register_keras_serializable("keras_mm")
class TargetScaling(layers.Layer):
    """Computes `mean + scale * x`: predictions of a regression head in the unit of its targets.

    The linear layer before it learns standardised targets. `standardize_targets` sets mean and
    scale; until then, the layer returns its input.

    Call arguments:
        x: Floats, shape `(batch, num_targets)`.

    Call returns:
        Floats of that shape.

    Example:
        >>> layer = TargetScaling()
        >>> float(layer(np.full((1, 1), 3.0, "float32"))[0, 0])
        3.0
    """

    def build(self, input_shape: tuple) -> None:
        """Creates the weights, which are not trained."""
        width = (input_shape[-1],)
        self.mean = self.add_weight(width, "zeros", name="mean", trainable=False)
        self.scale = self.add_weight(width, "ones", name="scale", trainable=False)

    def call(self, x: Any) -> Any:
        """Scales and shifts."""
        return x * self.scale + self.mean


def scaling_name(head: str) -> str:
    """The name of the scaling layer of a regression head.

    Args:
        head: The head's name.

    Returns:
        The layer's name.
    """
    return head + _SUFFIX


def standardize_targets(
    model: keras.Model, head: str, targets: Any, sample_weight: Any = None
) -> None:
    """Scales a regression head so that it learns targets of mean 0 and standard deviation 1.

    Args:
        model: A model of `create_multimodal_model`.
        head: Name of the regression head.
        targets: Training targets in their own unit, shape `(num_rows, num_targets)`; NaN for
            missing ones. Targets that are all equal are only shifted.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1.

    Raises:
        ValueError: if the model has no regression head of this name, or if the targets differ so
            little, compared with their mean, that float32 cannot represent the differences.

    Example:
        >>> from keras_mm import Head, create_multimodal_model, create_vision_encoder
        >>> vision = create_vision_encoder("tiny_cnn", weights="random", image_size=(32, 32))
        >>> model = create_multimodal_model(vision, None, {"price": Head("regression")})
        >>> standardize_targets(model, "price", [[10.0], [30.0]])
        >>> target_scales(model)["price"].tolist()
        [10.0]
    """
    layer = _scaling_layers(model).get(head)
    if layer is None:
        raise InvalidValueError(f"The model has no regression head {head!r}.")
    targets = np.asarray(targets, "float64")
    present = ~np.isnan(targets)
    each = present if sample_weight is None else present * np.asarray(sample_weight)[:, None]
    count = np.where(each.any(axis=0), each.sum(axis=0), 1)
    mean = (each * np.where(present, targets, 0)).sum(axis=0) / count
    squares = np.where(present, targets - mean, 0) ** 2
    deviation = np.sqrt((each * squares).sum(axis=0) / count)
    # The distance of float32 numbers near the mean must be small compared with the deviation.
    coarse = np.spacing(np.abs(mean).astype("float32")) > 0.01 * deviation
    if (coarse & (deviation > 0)).any():
        place = int((coarse & (deviation > 0)).argmax())
        raise InvalidValueError(
            f"The targets of the head {head!r} are too far from 0 for float32: their mean is "
            f"{mean[place]:.6g}, their standard deviation {deviation[place]:.3g}. Subtract a "
            "constant from them."
        )
    layer.mean.assign(mean.astype("float32"))
    layer.scale.assign(np.where(deviation > 0, deviation, 1).astype("float32"))


def target_scales(model: keras.Model) -> dict[str, np.ndarray]:
    """The standard deviations of the targets of regression heads.

    Args:
        model: A model of `create_multimodal_model`.

    Returns:
        float32 `(num_targets,)` by regression head; ones before `standardize_targets`.
    """
    return {
        head: np.asarray(keras.ops.convert_to_numpy(layer.scale))
        for head, layer in _scaling_layers(model).items()
    }


def standardized(model: keras.Model, head: str, answers: np.ndarray) -> np.ndarray:
    """Reverts the scaling of a regression head's predictions.

    Args:
        model: A model of `create_multimodal_model`.
        head: The head's name.
        answers: Outputs of the head, shape `(batch, num_logits)`.

    Returns:
        For a regression head, the outputs before the scaling, in standard deviations and of the
        same shape; for other heads, `answers`.
    """
    layer = _scaling_layers(model).get(head)
    if layer is None:
        return answers
    mean, scale = (np.asarray(keras.ops.convert_to_numpy(v)) for v in (layer.mean, layer.scale))
    return (answers - mean) / scale


def _scaling_layers(model: keras.Model) -> dict[str, TargetScaling]:
    """The scaling layers by head, also of nested models."""
    by_head = {}
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.Model):
            by_head.update(_scaling_layers(layer))
        elif isinstance(layer, TargetScaling):
            by_head[layer.name.removesuffix(_SUFFIX)] = layer
    return by_head
