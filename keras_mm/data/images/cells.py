"""Images as NumPy arrays: from a table's cell to `(height, width, 3)` RGB pixels."""

from __future__ import annotations

import os
from collections.abc import Hashable
from hashlib import blake2b
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from keras_mm.checks import quote
from keras_mm.data.images.files import (
    MAX_PIXELS,
    check_pixels,
    decode_file,
    exif_orientation,
    read_file,
    upright,
)
from keras_mm.data.images.pixels import from_array, on_white, resize
from keras_mm.errors import ImageError

__all__ = [
    "MAX_PIXELS",
    "ImageCell",
    "ImageError",
    "check_image",
    "content_key",
    "image_key",
    "load_image",
    "open_image",
]

ImageCell: TypeAlias = str | os.PathLike | bytes | dict | Image.Image | np.ndarray

# Pillow loads an image when its pixels are first needed, and this is not thread safe.
_LOADING = Lock()


def load_image(cell: ImageCell, image_size: tuple[int, int]) -> np.ndarray:
    """Loads an image as the model takes it: upright, RGB, resized to `image_size`.

    Of an animation the first frame is used. It is rotated according to its EXIF orientation, put on
    a white background where it is transparent, and resized bilinearly with antialiasing; the aspect
    ratio is not kept. Exported models do the same with
    `keras_mm.data.images.tf_graph.decoding.decode_images`. Thread safe.

    Args:
        cell: A path, the bytes of an image file, a dict `{"bytes": ..., "path": ...}` as in Hugging
            Face datasets (`path` is used only if `bytes` is missing), a Pillow image, or an array
            `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)` by scikit-image's convention: uint8
            from 0 to 255, uint16 from 0 to 65535, floats from 0 to 1, or bool.
        image_size: `(height, width)` in pixels.

    Returns:
        uint8 array, shape `(height, width, 3)`.

    Raises:
        ImageError: if the image cannot be used; the message has the reason and a remedy.

    Example:
        >>> load_image(np.zeros((7, 5)), image_size=(2, 3)).shape
        (2, 3, 3)
    """
    return resize(on_white(_decode(cell, image_size)), image_size)


def open_image(cell: ImageCell) -> Image.Image:
    """Loads an image at its full size, to display it: upright, RGB, on a white background.

    Args:
        cell: As in `load_image`.

    Returns:
        A Pillow image in mode RGB.

    Raises:
        ImageError: if the image cannot be used.
    """
    return on_white(_decode(cell)).convert("RGB")


def check_image(cell: ImageCell) -> None:
    """Raises an error for an image that `load_image` cannot load; decodes it, without resizing.

    Args:
        cell: As in `load_image`.

    Raises:
        ImageError: for a missing file, a folder, an empty, unknown, damaged or truncated file, an
            image of more than `MAX_PIXELS` pixels (which is not decoded), or an array of a shape,
            type or range that is not supported.
    """
    on_white(_decode(cell, (1, 1)))


def image_key(cell: ImageCell) -> Hashable:
    """A key by which equal images are recognised: the path, or a hash of bytes or pixels.

    Never raises an error, so that it can be used before the images are checked. The key of a path
    does not change with the content of the file, so do not store keys beyond the process.

    Args:
        cell: As in `load_image`.

    Returns:
        A hashable key. A cell that is not an image has a unique key.
    """
    content = _unwrap(cell)
    if isinstance(content, str | os.PathLike):
        return "path", os.fspath(content)
    if isinstance(content, bytes):
        return "bytes", _digest(content)
    if isinstance(content, np.ndarray):
        return "array", content.dtype.str, content.shape, _digest(content.tobytes())
    if isinstance(content, Image.Image):
        return _pillow_key(content)
    return "object", id(cell)


def content_key(cell: ImageCell) -> bytes:
    """A digest of the content of an image, which may be stored; the file at a path is read.

    Files with the same content have the same digest, wherever they are, and so have their bytes.

    Args:
        cell: As in `load_image`.

    Returns:
        A digest of 16 bytes.

    Raises:
        ImageError: if the file cannot be read, or the cell is not an image.
    """
    content = _unwrap(cell)
    if isinstance(content, str | os.PathLike):
        content = read_file(content)
    if isinstance(content, bytes):
        return _digest(b"file" + content)
    key = image_key(content)
    if key == ("object", id(content)):
        check_image(cell)  # raises the error with the reason
    return _digest(repr(key).encode())


def _decode(cell: ImageCell, image_size: tuple[int, int] | None = None) -> Image.Image:
    content = _unwrap(cell)
    if isinstance(content, str | os.PathLike):
        return decode_file(read_file(content), quote(os.fspath(content)), image_size)
    if isinstance(content, bytes):
        return decode_file(content, _name(cell), image_size)
    if isinstance(content, Image.Image):
        return _from_pillow(content)
    if isinstance(content, np.ndarray):
        return from_array(content)
    raise ImageError(
        "an image cell must be a path, bytes, a dict with `bytes` or `path`, a Pillow image or a "
        f"NumPy array. Received: {type(content).__name__}"
    )


def _name(cell: Any) -> str:
    """What messages call an image that was passed as bytes."""
    path = cell.get("path") if isinstance(cell, dict) else None
    return "the image given as bytes" + (f" ({quote(path)})" if path else "")


def _unwrap(cell: Any) -> Any:
    if isinstance(cell, dict):
        cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
    return bytes(cell) if isinstance(cell, bytearray | memoryview) else cell


def _from_pillow(image: Image.Image) -> Image.Image:
    check_pixels(*image.size, "the Pillow image")
    try:
        orientation = exif_orientation(image.info.get("exif") or b"")
        return upright(_copy(image), orientation)
    except MemoryError:
        raise
    except Exception as error:  # the file was opened earlier, and is only now decoded
        raise ImageError(
            f"the Pillow image cannot be loaded ({error}); open the file again, or give its path."
        ) from error


def _copy(image: Image.Image) -> Image.Image:
    with _LOADING:
        return image.copy()


def _pillow_key(image: Image.Image) -> Hashable:
    try:
        pixels = _copy(image)
        palette = pixels.getpalette("RGBA") if pixels.mode in ("P", "PA") else None
        attributes = (palette, image.info.get("transparency"), image.info.get("exif"))
        return (
            "pillow",
            pixels.mode,
            pixels.size,
            _digest(pixels.tobytes() + repr(attributes).encode()),
        )
    except Exception:  # damaged: a unique key; `check_image` raises the error
        return "object", id(image)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
