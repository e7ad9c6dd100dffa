"""The networks of `keras.applications` by name, with their preprocessing."""

from __future__ import annotations

import inspect
import re
from os import PathLike
from typing import Any

import keras
from keras import layers

from keras_mm.downloads import failed_download
from keras_mm.errors import InvalidValueError
from keras_mm.progress import loading_output


@keras.saving.register_keras_serializable("keras_mm")
class ApplicationsPreprocessing(layers.Layer):
    """The `preprocess_input` function of a `keras.applications` module, as a layer.

    Args:
        module: Name of the module, such as `"resnet_v2"`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        images: `(batch, height, width, 3)`, 0-255.

    Call returns:
        The same shape, in the range that the backbone was trained with.
    """

    def __init__(self, module: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.module = module

    def call(self, images: Any) -> Any:
        """Scales and shifts the pixels."""
        module = getattr(keras.applications, self.module)
        return module.preprocess_input(images, data_format="channels_last")

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "module": self.module}


def application_names() -> dict[str, str]:
    """The names of the networks of `keras.applications`.

    Returns:
        Class names by their lower-case form.
    """
    return {
        name.lower(): name
        for name, value in vars(keras.applications).items()
        if name[0].isupper() and callable(value)
    }


def application_options(name: str) -> dict[str, Any] | None:
    """Finds the network of `keras.applications` that a name stands for.

    Args:
        name: A class name in upper or lower case, with or without underscores, such as
            `mobilenet_v2`; `_0.35` at the end is a width.

    Returns:
        Arguments of `application`: `class_name`, and `alpha` for a name with a width; `None` for
        any other name.

    Raises:
        ValueError: for a width that the network does not have.
    """
    match = re.fullmatch(r"(.+?)(?:_(\d\.\d+))?", name)
    known = application_names().get(match[1].replace("_", "").lower()) if match else None
    if match is None or known is None:
        return None
    if match[2] is None:
        return {"class_name": known}
    if "alpha" not in inspect.signature(getattr(keras.applications, known)).parameters:
        raise InvalidValueError(
            f"{known} has only one width; MobileNet, MobileNetV2 and MobileNetV3 have several. "
            f"Received: {name!r}. Use {match[1]!r}."
        )
    return {"class_name": known, "alpha": float(match[2])}


def application(
    name: str,
    weights: str | PathLike,
    image_size: tuple[int, int],
    *,
    class_name: str,
    **options: Any,
) -> tuple[keras.Model, list[layers.Layer]]:
    """Builds a network without its classification head, and its preprocessing.

    Args:
        name: The user's name of the network, for messages.
        weights: `"pretrained"` (ImageNet); any other value builds random weights.
        image_size: `(height, width)` in pixels.
        class_name: Name of a class of `keras.applications`.
        **options: Other arguments of the class, such as `alpha`.

    Returns:
        The network, and the preprocessing layers in order.

    Raises:
        ValueError: for an image size or a width that the network cannot take.
        PretrainedError: if the weights cannot be downloaded.
    """
    create = getattr(keras.applications, class_name)
    options = {**options, "include_top": False, "input_shape": (*image_size, 3)}
    if weights == "pretrained":
        try:
            with loading_output(f"the ImageNet weights of {name!r}"):
                model = create(weights="imagenet", **options)
        except Exception as error:  # Keras raises bare Exception for a failed download
            # If the image size was the cause, building the network without weights raises, too.
            _random(create, name, image_size, options)
            what = f"ImageNet weights of {name!r}"
            raise failed_download(what, class_name, "vision_weights", error) from error
    else:
        model = _random(create, name, image_size, options)
    module = create.__module__.rsplit(".", 1)[-1]
    return model, [ApplicationsPreprocessing(module, name=f"{module}_preprocessing")]


def _random(
    create: Any, name: str, image_size: tuple[int, int], options: dict[str, Any]
) -> keras.Model:
    try:
        return create(weights=None, **options)
    except ValueError as error:
        raise InvalidValueError(f"{name!r} cannot take images of {image_size}: {error}") from error
