"""Cells that hold several images: lists of them, or paths with `|` between."""

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
    """The images of a cell that may hold several, in order.

    Args:
        cell: A list, a tuple or an array of image cells, an array of pixels `(images, H, W, C)`, a
            text such as `a.jpg|b.jpg` or `["a.jpg", "b.jpg"]`, or one image cell.

    Returns:
        Image cells; `None` where one is missing that has another behind it.

    Example:
        >>> list_images("a.jpg|b.jpg"), list_images(["a.jpg", None, b"x", None]), list_images([])
        (['a.jpg', 'b.jpg'], ['a.jpg', None, b'x'], [])
    """
    if isinstance(cell, str):
        cell = _split(cell)
    elif isinstance(cell, np.ndarray) and cell.ndim in (1, 4):
        cell = list(cell)
    cells = cell if isinstance(cell, list | tuple) else [cell]
    found = [None if is_missing(image) else image for image in cells]
    while found and found[-1] is None:
        found.pop()
    return found


def _split(text: str) -> list:
    stripped = text.strip()
    if stripped[:1] == "[" and stripped[-1:] == "]":
        for read in (json.loads, ast.literal_eval):  # the second reads how pandas writes a list
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                found = read(stripped)
                if isinstance(found, list):
                    return found
    if _SEPARATOR in text:
        return [part.strip() for part in text.split(_SEPARATOR)]
    return [text]


def in_slots(cell: Any, column: str, count: int | None) -> list:
    """The images of a cell, one for each slot of its column.

    Args:
        cell: A cell of the column.
        column: Its name, for the message.
        count: The most images of a cell; `None` for a column whose cells are one image.

    Returns:
        `count` image cells, or one; `None` where one is missing.

    Raises:
        ImageError: for more images than slots, or a list where a cell is one image.
    """
    if count is None:
        if isinstance(cell, list | tuple):
            number = max(len(list_images(cell)), 1)
            raise ImageError(
                "the cell must be one image. To read several, name the column with the most images "
                f"of a cell: images={{{column!r}: {number}}}. Received: {type(cell).__name__}"
            )
        return [None if is_missing(cell) else cell]
    found = list_images(cell)
    if len(found) > count:
        raise ImageError(
            f"the cell holds {len(found)} images, and at most {count} are read. Shorten the list, "
            f"or train with images={{{column!r}: {len(found)}}}."
        )
    return [*found, *[None] * (count - len(found))]


def several_hint(cell: Any, column: str, count: int | None) -> str:
    """What to say behind the problem of a path that may be several.

    Args:
        cell: The cell with a problem.
        column: Its column.
        count: As in `in_slots`.

    Returns:
        A sentence that begins with a space; an empty text where there is nothing to say.
    """
    if count is not None or not isinstance(cell, str) or _SEPARATOR not in cell:
        return ""
    number = len(list_images(cell))
    return f" Several images in a cell are read with images={{{column!r}: {number}}}."
