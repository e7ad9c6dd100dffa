"""Cells that hold several images: lists, or paths separated by `|`."""

from __future__ import annotations

import ast
import contextlib
import json
from typing import Any

import numpy as np

from keras_mm.data.tables.labels import is_missing
from keras_mm.errors import ImageError

_SEPARATOR = "|"


def list_images(cell: Any) -> list:
    """Splits a cell that may hold several images.

    Args:
        cell: A list, tuple or array of image cells, an array of pixels `(images, H, W, C)`, a text
            such as `a.jpg|b.jpg` or `["a.jpg", "b.jpg"]`, or one image cell.

    Returns:
        Image cells in order; `None` where an image is missing, except at the end of the list.

    Example:
        >>> list_images("a.jpg|b.jpg"), list_images(["a.jpg", None, b"x", None]), list_images([])
        (['a.jpg', 'b.jpg'], ['a.jpg', None, b'x'], [])
    """
    if isinstance(cell, str):
        cell = _split(cell)
    elif isinstance(cell, np.ndarray) and cell.ndim in (1, 4):
        cell = list(cell)
    cells = cell if isinstance(cell, list | tuple) else [cell]
    images = [None if is_missing(image) else image for image in cells]
    while images and images[-1] is None:
        images.pop()
    return images


def _split(text: str) -> list:
    stripped = text.strip()
    if stripped[:1] == "[" and stripped[-1:] == "]":
        for read in (json.loads, ast.literal_eval):  # the second reads lists as pandas writes them
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                value = read(stripped)
                if isinstance(value, list):
                    return value
    if _SEPARATOR in text:
        return [part.strip() for part in text.split(_SEPARATOR)]
    return [text]


def in_slots(cell: Any, column: str, count: int | None) -> list:
    """Splits a cell into the image slots of its column.

    Args:
        cell: A cell of the column.
        column: Name of the column, for messages.
        count: Largest number of images in a cell, >= 1; `None` for a column of single images.

    Returns:
        `count` image cells, or one cell if `count` is `None`; `None` where an image is missing.

    Raises:
        ImageError: for more than `count` images, or for a list in a column of single images.
    """
    if count is None:
        if isinstance(cell, list | tuple):
            number = max(len(list_images(cell)), 1)
            raise ImageError(
                "the cell must be one image. To read several, pass the largest number of images "
                f"in a cell: images={{{column!r}: {number}}}. Received: {type(cell).__name__}"
            )
        return [None if is_missing(cell) else cell]
    images = list_images(cell)
    if len(images) > count:
        raise ImageError(
            f"the cell holds {len(images)} images, and at most {count} are read. Shorten the list, "
            f"or train with images={{{column!r}: {len(images)}}}."
        )
    return [*images, *[None] * (count - len(images))]


def several_hint(cell: Any, column: str, count: int | None) -> str:
    """A hint for the problem of a cell that may be several paths.

    Args:
        cell: The cell with a problem.
        column: Name of the column.
        count: As in `in_slots`.

    Returns:
        A sentence that begins with a space; an empty text if the cell is not several paths, or
        `count` is not `None`.
    """
    if count is not None or not isinstance(cell, str) or _SEPARATOR not in cell:
        return ""
    number = len(list_images(cell))
    return f" To read several images from a cell, pass images={{{column!r}: {number}}}."
