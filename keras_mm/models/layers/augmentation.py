"""Random changes of images in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import keras
from keras import layers, ops

from keras_mm.settings.augmentation import Augmentation, as_augmentation

_GREY = (0.299, 0.587, 0.114)  # the luma of ITU-R BT.601


@keras.saving.register_keras_serializable("keras_mm")
class ImageAugmentation(layers.Layer):
    """Changes images at random in training; in inference, it returns them unchanged.

    Flip, crop and rotation are combined to one mapping of coordinates and one bilinear sampling, so
    that pixels are blurred only once. Beyond its edges, an image is mirrored. Then the colours are
    changed. A black image stays black, so the zeros of a missing image stay zeros.

    Keras' layers (`RandomRotation` and others) are not used: XLA cannot compile them, each of them
    samples the image again, and their saturation can leave the range 0-255.

    Args:
        augmentation: An `Augmentation`, or a dict of its fields; `None` changes nothing.
        seed: Seed of the random numbers; `None` takes one from Keras' global seed.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        images: `(batch, num_images, height, width, 3)`, 0-255, with static height and width.
        training: Whether to change the images.

    Call returns:
        float32 of the same shape, 0-255. The layer computes in float32 under any dtype policy.

    Raises:
        ValueError: for an unknown field, or a value outside its range.

    Example:
        >>> layer = ImageAugmentation(Augmentation(flip=True), seed=3)
        >>> layer(keras.ops.zeros((2, 1, 4, 4, 3)), training=True).shape == (2, 1, 4, 4, 3)
        True
    """

    def __init__(
        self,
        augmentation: Augmentation | Mapping | None = None,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.augmentation, self.seed = as_augmentation(augmentation), seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Changes the images in training."""
        images = ops.cast(images, "float32")
        if not training:
            return images
        if self.augmentation.changes_geometry:
            shape = self._shape_of_draws(images, self.augmentation.same_geometry)
            images = sample(images, *self._coordinates(shape, *images.shape[2:4]))
        if self.augmentation.changes_colour:
            shape = self._shape_of_draws(images, self.augmentation.same_colour)
            images = self._recoloured(images, shape)
        return images

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the images."""
        return input_shape

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {
            **super().get_config(),
            "augmentation": asdict(self.augmentation),
            "seed": self.seed,
        }

    def _shape_of_draws(self, images: Any, same: bool) -> tuple:
        """One random number per row, or per image if `same` is false; broadcasts over pixels."""
        return ops.shape(images)[0], 1 if same else images.shape[1], 1, 1

    def _draw(self, shape: tuple, low: float, high: float) -> Any:
        return keras.random.uniform(shape, low, high, dtype="float32", seed=self.seed_generator)

    def _coordinates(self, shape: tuple, height: int, width: int) -> tuple:
        """The coordinates `y` and `x` at which each pixel of the result is sampled."""
        settings = self.augmentation
        middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
        # Relative to the image's centre, around which it is rotated, flipped and scaled.
        y = (ops.arange(height, dtype="float32") - middle_y)[None, None, :, None]
        x = (ops.arange(width, dtype="float32") - middle_x)[None, None, None, :]
        if settings.rotation:
            limit = math.radians(settings.rotation)
            angle = self._draw(shape, -limit, limit)
            sin, cos = ops.sin(angle), ops.cos(angle)
            y, x = cos * y + sin * x, cos * x - sin * y
        if settings.flip:
            x = ops.where(self._draw(shape, 0, 1) < 0.5, -x, x)
        if settings.crop:
            size = self._draw(shape, 1 - settings.crop, 1)
            y = size * y + (1 - size) * middle_y * self._draw(shape, -1, 1)
            x = size * x + (1 - size) * middle_x * self._draw(shape, -1, 1)
        return y + middle_y, x + middle_x

    def _recoloured(self, images: Any, shape: tuple) -> Any:
        settings, shape = self.augmentation, (*shape, 1)

        def factor(largest: float) -> Any:
            return self._draw(shape, 1 - largest, 1 + largest)

        if settings.brightness:
            images = images * factor(settings.brightness)
        if settings.contrast:
            mean = ops.mean(_grey(images), axis=(2, 3, 4), keepdims=True)
            images = mean + (images - mean) * factor(settings.contrast)
        if settings.saturation:
            grey = _grey(images)
            images = grey + (images - grey) * factor(settings.saturation)
        return ops.clip(images, 0, 255)


def sample(images: Any, y: Any, x: Any) -> Any:
    """Samples images bilinearly at real-valued coordinates; images are mirrored at their edges.

    Args:
        images: `(batch, num_images, height, width, channels)`.
        y: Rows, in pixels from 0, of a shape that broadcasts to
            `(batch, num_images, height, width)`.
        x: Columns, likewise.

    Returns:
        `(batch, num_images, height, width, channels)`.
    """
    num_images, height, width, channels = images.shape[1:]
    count = ops.shape(images)[0] * num_images
    # All pixels of the batch are one list; `first` is the index of each image's first pixel.
    first = ops.reshape(ops.arange(count, dtype="int32") * (height * width), (-1, num_images, 1, 1))
    pixels = ops.reshape(images, (-1, channels))
    top, bottom, down = _neighbours(y, height)
    left, right, across = _neighbours(x, width)

    def row(places: Any) -> Any:
        a, b = (ops.take(pixels, first + places + side, axis=0) for side in (left, right))
        return a + (b - a) * across

    upper, lower = row(top * width), row(bottom * width)
    return upper + (lower - upper) * down


def _neighbours(places: Any, size: int) -> tuple:
    """The two pixels around each coordinate of an axis, and the weight of the second."""
    last = size - 1
    places = ops.clip(last - ops.abs(last - ops.abs(places)), 0, last)  # mirrored into the image
    before = ops.floor(places)
    index = ops.cast(before, "int32")
    return index, ops.minimum(index + 1, last), (places - before)[..., None]


def _grey(images: Any) -> Any:
    return ops.sum(images * ops.convert_to_tensor(_GREY, "float32"), axis=-1, keepdims=True)
