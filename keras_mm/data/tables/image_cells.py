"""Reads the image cells of a table: makes paths absolute, and checks every image once."""

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

# Hashes of the image files that this process has checked, at most `_MOST_FILES`: each file is
# decoded once, even if several trainings use it.
_sound_files: set[int] = set()
_MOST_FILES = 2**16
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def resolve_image(cell: Any, folder: str | None, confined: bool = False) -> Any:
    """Makes the path in an image cell absolute, and decodes an image that is stored as text.

    Args:
        cell: An image cell.
        folder: The folder that paths are relative to; `None` for the working directory.
        confined: Whether to refuse files outside `folder`.

    Returns:
        An absolute path, for a path or a dict with a path and no bytes; bytes, for a `data:` URI or
        base64, see `keras_mm.data.images.inline`; any other cell unchanged.

    Raises:
        ImageError: for a URL, for a path outside `folder` if `confined`, or for base64 that cannot
            be decoded.

    Example:
        >>> resolve_image({"path": "a.png", "bytes": None}, "/images")
        '/images/a.png'
    """
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), str):
        return _bytes_of(cell["bytes"])  # base64, as in a JSON file
    path = cell.get("path") if isinstance(cell, dict) and cell.get("bytes") is None else cell
    if not isinstance(path, str | PathLike):
        return cell
    data = inline_image(path) if isinstance(path, str) else None
    if data is not None:
        return data
    if _ADDRESS.match(str(path)):
        raise ImageError(f"{quote(str(path))} is a URL; download the image and pass its path.")
    full = Path(folder or ".", path)
    if confined:
        _check_inside(path, full, Path(folder or "."))
    return str(full)


def _bytes_of(text: str) -> bytes:
    data = inline_image(text)
    if data is None:
        raise ImageError(
            "`bytes` of an image must be the content of its file, as bytes or as base64 text. "
            f"Received: {quote(text)}"
        )
    return data


def _check_inside(path: str | PathLike, full: Path, folder: Path) -> None:
    folder_argument = f"image_dir={str(folder)!r}"
    if Path(path).is_absolute():
        raise ImageError(
            f"{quote(str(path))} is absolute; with {folder_argument}, paths must be relative to it."
        )
    try:
        inside = full.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # such as a NUL, or a loop of links
        message = f"{quote(str(path))} cannot be read: {reason(error)}; correct the path."
        raise ImageError(message) from error
    if not inside:
        named_inside = Path(os.path.abspath(full)).is_relative_to(os.path.abspath(folder))
        place = "is, by a symbolic link," if named_inside else "is"
        raise ImageError(
            f"{quote(str(path))} {place} outside {folder_argument}; only files inside it are read. "
            "Move the file there, or choose a folder that holds it."
        )


def read_images(
    cells: Sequence[Any], column: str, count: int | None, origin: Mapping, *, progress: bool
) -> tuple[list[list], list[tuple[int, str]]]:
    """Reads and checks the images of a column.

    Args:
        cells: The cells of the column.
        column: Name of the column, for messages.
        count: Largest number of images in a cell, >= 1; `None` for a column of single images.
        origin: `attrs["keras_mm"]` of the table.
        progress: Whether to show a progress bar while many images are checked.

    Returns:
        A list of image cells for each slot, `None` where an image is missing or bad; and the
        position and message of each problem.
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
    all_images = [image for slot in slots for image in slot]
    messages = image_problems(all_images, description=f"checking {column}", progress=progress)
    for number, message in enumerate(messages):
        if message is not None:
            slot, position = divmod(number, len(cells))
            hint = several_hint(cells[position], column, count)
            problems.append((position, _place(slot, count) + message + hint))
    return slots, problems


def _place(slot: int, count: int | None) -> str:
    return "" if count is None else f"image {slot + 1} of the cell: "


def image_problems(cells: Sequence[Any], *, description: str, progress: bool) -> list[str | None]:
    """Checks images in threads, each distinct one once.

    Args:
        cells: Image cells; `None` where an image is missing.
        description: Label of the progress bar.
        progress: Whether to show a progress bar while many images are checked.

    Returns:
        For each cell the message of its problem; `None` for a good or missing image.
    """
    distinct = {image_key(cell): cell for cell in cells if cell is not None}
    results = in_threads(_image_problem, distinct.values())
    shown_results = progress_bar(
        results, description=description, unit="image", total=len(distinct), show=progress
    )
    problems = dict(zip(distinct, shown_results, strict=True))
    return [None if cell is None else problems[image_key(cell)] for cell in cells]


def _image_problem(cell: Any) -> str | None:
    file_hash = _file_now(cell)
    if file_hash in _sound_files:
        return None
    try:
        check_image(cell)
    except ImageError as error:
        return str(error)
    if file_hash is not None:
        if len(_sound_files) >= _MOST_FILES:
            _sound_files.clear()
        _sound_files.add(file_hash)
    return None


def _file_now(cell: Any) -> int | None:
    """A hash that changes when the file at a path is changed; `None` if there is no file."""
    if not isinstance(cell, str):
        return None
    try:
        status = os.stat(cell)
    except (OSError, ValueError):
        return None
    # Every change of content, name or permissions updates `st_ctime_ns`. Unlike `st_mtime_ns`, no
    # program can set it back.
    return hash((cell, status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns))
