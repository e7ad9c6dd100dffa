"""The image cells of a table: paths made absolute, and every image opened once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from keras_mm.checks import quote
from keras_mm.data.images.cells import check_image, image_key
from keras_mm.data.images.files import reason
from keras_mm.data.images.inline import inline_image
from keras_mm.data.tables.image_lists import in_slots, several_hint
from keras_mm.data.threads import in_threads
from keras_mm.errors import ImageError
from keras_mm.progress import progress_bar

# Image files that this process has checked, so that they are decoded once for all trainings on
# them; at most `_MOST_FILES`.
_sound_files: set[int] = set()
_MOST_FILES = 2**16
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def resolve_image(cell: Any, folder: str | None, confined: bool = False) -> Any:
    """Makes the path of an image cell absolute, and decodes an image that is written into it.

    Args:
        cell: An image cell; one without a path stays as it is.
        folder: What paths are relative to; `None` for the working directory.
        confined: Whether only files inside `folder` may be read.

    Returns:
        The cell; a path, or a dict with a path and no bytes, as the absolute path; a `data:` URI
        or base64 as bytes, see `keras_mm.data.images.inline`.

    Raises:
        ImageError: for a URL, for a path outside `folder` if `confined`, or for base64 that cannot
            be decoded.
    """
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), str):
        return _bytes_of(cell["bytes"])  # as JSON writes them
    path = cell.get("path") if isinstance(cell, dict) and cell.get("bytes") is None else cell
    if not isinstance(path, str | PathLike):
        return cell
    data = inline_image(path) if isinstance(path, str) else None
    if data is not None:
        return data
    if _ADDRESS.match(str(path)):
        raise ImageError(f"{quote(str(path))} is a URL; download the image and give its path.")
    full = Path(folder or ".", path)
    if confined:
        _check_inside(path, full, Path(folder or "."))
    return str(full)


def _bytes_of(text: str) -> bytes:
    data = inline_image(text)
    if data is None:
        raise ImageError(
            "`bytes` of an image must be the bytes of its file, or base64 of them. "
            f"Received: {quote(text)}"
        )
    return data


def _check_inside(path: str | PathLike, full: Path, folder: Path) -> None:
    where = f"image_dir={str(folder)!r}"
    if Path(path).is_absolute():
        raise ImageError(f"{quote(str(path))} is absolute; with {where} paths are relative to it.")
    try:
        inside = full.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # as for NUL, or a loop of links
        words = f"{quote(str(path))} cannot be read: {reason(error)}; correct the path."
        raise ImageError(words) from error
    if not inside:
        raise ImageError(f"{quote(str(path))} is outside {where}; nothing there is read.")


def read_images(
    cells: Sequence[Any], column: str, count: int | None, origin: Mapping, *, progress: bool
) -> tuple[list[list], list[tuple[int, str]]]:
    """The images of a column by slot, checked.

    Args:
        cells: The column.
        column: Its name, for messages.
        count: The most images of a cell; `None` for a column whose cells are one image.
        origin: The table's `attrs["keras_mm"]`.
        progress: Whether to show a bar while many images are checked.

    Returns:
        A list of image cells for each slot, `None` where one is missing or bad; and position and
        message of each problem.
    """
    folder, confined = origin.get("image_dir"), origin.get("confined", False)
    slots: list[list] = [[None] * len(cells) for _ in range(count or 1)]
    problems: list[tuple[int, str]] = []
    for position, cell in enumerate(cells):
        try:
            images = in_slots(cell, column, count)
        except ImageError as error:
            problems.append((position, str(error)))
            continue
        for slot, image in enumerate(images):
            try:
                if image is not None:
                    slots[slot][position] = resolve_image(image, folder, confined)
            except ImageError as error:
                problems.append((position, _place(slot, count) + str(error)))
    everything = [image for slot in slots for image in slot]
    found = image_problems(everything, description=f"checking {column}", progress=progress)
    for number, message in enumerate(found):
        if message is not None:
            slot, position = divmod(number, len(cells))
            hint = several_hint(cells[position], column, count)
            problems.append((position, _place(slot, count) + message + hint))
    return slots, problems


def _place(slot: int, count: int | None) -> str:
    return "" if count is None else f"image {slot + 1} of the cell: "


def image_problems(cells: Sequence[Any], *, description: str, progress: bool) -> list[str | None]:
    """Opens every distinct image once, in threads.

    Args:
        cells: Image cells, `None` where one is missing.
        description: Label of the bar.
        progress: Whether to show a bar while many images are checked.

    Returns:
        For each cell the message of its problem; `None` for a good image and a missing one.
    """
    distinct = {image_key(cell): cell for cell in cells if cell is not None}
    found = in_threads(_image_problem, distinct.values())
    checked = progress_bar(
        found, description=description, unit="image", total=len(distinct), show=progress
    )
    problems = dict(zip(distinct, checked, strict=True))
    return [None if cell is None else problems[image_key(cell)] for cell in cells]


def _image_problem(cell: Any) -> str | None:
    file = _file_now(cell)
    if file in _sound_files:
        return None
    try:
        check_image(cell)
    except ImageError as error:
        return str(error)
    if file is not None:
        if len(_sound_files) >= _MOST_FILES:
            _sound_files.clear()
        _sound_files.add(file)
    return None


def _file_now(cell: Any) -> int | None:
    """A hash that changes whenever the file at a path does; `None` if there is no file."""
    if not isinstance(cell, str):
        return None
    try:
        found = os.stat(cell)
    except (OSError, ValueError):
        return None
    # Every change of content, name or rights sets `st_ctime_ns`, which no program can set back.
    return hash((cell, found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns))
