"""Converts arrays and images of any colour mode to 8-bit RGB pixels of one size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from keras_mm.data.images.files import check_pixels
from keras_mm.errors import ImageError

_ARRAY_RULE = (
    "arrays must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool, "
    "or floats from 0 to 1"
)


def from_array(array: np.ndarray) -> Image.Image:
    """Makes a Pillow image from an array by scikit-image's convention.

    Args:
        array: Shape `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)`; uint8 from 0 to 255, uint16
            from 0 to 65535, floats from 0 to 1, or bool.

    Returns:
        An image in mode L, RGB or RGBA.

    Raises:
        ImageError: for another shape, type or range, or more than `MAX_PIXELS` pixels.
    """
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        raise ImageError(f"{_ARRAY_RULE}. Received: shape {array.shape}")
    check_pixels(array.shape[1], array.shape[0], "the array")
    pixels = _as_bytes(array)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)


def _as_bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype not in (np.uint16, np.bool_) and not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"{_ARRAY_RULE}. Received: {array.dtype}")
    # Written as a negation so that NaN raises too.
    if not (array.min() >= 0 and (array.dtype == np.uint16 or array.max() <= 1)):
        raise ImageError(
            f"{_ARRAY_RULE}. Received: {array.dtype} from {array.min()} to {array.max()}; "
            "divide it by its largest possible value"
        )
    from skimage.util import img_as_ubyte

    return img_as_ubyte(array)


def on_white(image: Image.Image) -> Image.Image:
    """Converts an image to mode L or RGB, with a white background where it is transparent.

    Of 16-bit levels the high byte is used; images of mode F are treated as float arrays.

    Args:
        image: An image of any mode.

    Returns:
        An image in mode L or RGB.

    Raises:
        ImageError: for levels out of range, or a mode that Pillow cannot convert.
    """
    try:
        if image.mode.startswith("I"):
            return _from_16_bits(image)
        if image.mode == "F":
            return from_array(np.asarray(image))
        if image.mode == "CMYK":
            return _from_inks(image)
        if image.has_transparency_data:
            opaque = Image.new("RGB", image.size, "white")
            rgba = image.convert("RGBA")
            opaque.paste(rgba, mask=rgba)
            return opaque
        return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # the Pillow image is inconsistent
        raise ImageError(
            f"the image cannot be converted from mode {image.mode} to RGB ({error}); "
            "convert it with Pillow and pass the result."
        ) from error


def _from_16_bits(image: Image.Image) -> Image.Image:
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise ImageError(
            "the levels of an image of integers must be from 0 to 65535. "
            f"Received: {levels.min()} to {levels.max()}; scale the levels first."
        )
    pixels = (levels >> 8).astype(np.uint8)
    if "transparency" in image.info:
        pixels[levels == image.info["transparency"]] = 255
    return Image.fromarray(pixels)


def _from_inks(image: Image.Image) -> Image.Image:
    """CMYK to RGB with TensorFlow's rounding; Pillow's result may differ by one level."""
    inverted = 255 - np.asarray(image, np.uint16)
    return Image.fromarray((inverted[..., :3] * inverted[..., 3:] // 255).astype(np.uint8))


def resize(image: Image.Image, image_size: tuple[int, int]) -> np.ndarray:
    """Resizes an image bilinearly with antialiasing; the aspect ratio is not kept.

    Args:
        image: An image of mode L (its band is repeated) or RGB.
        image_size: `(height, width)` in pixels.

    Returns:
        uint8 array, shape `(height, width, 3)`.
    """
    height, width = image_size
    if image.size == (width, height):
        pixels = np.atleast_3d(np.asarray(image))
    else:
        # As floats: Pillow's 8-bit resize rounds between its two passes, and TensorFlow does not.
        bands = [
            band.convert("F").resize((width, height), Image.Resampling.BILINEAR)
            for band in image.split()
        ]
        levels = np.stack([np.asarray(band) for band in bands], axis=-1)
        pixels = np.floor(levels + np.float32(0.5)).astype(np.uint8)
    return np.repeat(pixels, 3 // pixels.shape[2], axis=2)
