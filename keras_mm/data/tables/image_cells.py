"""The image cells of a table: paths made absolute, and every image opened once."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from keras_mm.data.images.cells import check_image, image_key
from keras_mm.data.threads import in_threads
from keras_mm.errors import ImageError
from keras_mm.progress import progress_bar

# Image files that this process has checked, so that they are decoded once for all trainings on
# them; at most `_MOST_FILES`.
_sound_files: set[int] = set()
_MOST_FILES = 2**16
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def resolve_image(cell: Any, folder: str | None, confined: bool = False) -> Any:
    """Makes the path of an image cell absolute.

    Args:
        cell: An image cell; one without a path stays as it is.
        folder: What paths are relative to; `None` for the working directory.
        confined: Whether only files inside `folder` may be read.

    Returns:
        The cell; a path, or a dict with a path and no bytes, as the absolute path.

    Raises:
        ImageError: for a URL, or a path outside `folder` if `confined`.
    """
    path = cell.get("path") if isinstance(cell, dict) and cell.get("bytes") is None else cell
    if not isinstance(path, str | PathLike):
        return cell
    if _ADDRESS.match(str(path)):
        raise ImageError(f"{str(path)!r} is a URL; download the image and give its path.")
    full = Path(folder or ".", path)
    if confined:
        _check_inside(path, full, Path(folder or "."))
    return str(full)


def _check_inside(path: str | PathLike, full: Path, folder: Path) -> None:
    where = f"image_dir={str(folder)!r}"
    if Path(path).is_absolute():
        raise ImageError(f"{str(path)!r} is absolute; with {where} paths are relative to it.")
    try:
        inside = full.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # as for NUL, or a loop of links
        raise ImageError(f"{str(path)!r} cannot be read: {error}; correct the path.") from error
    if not inside:
        raise ImageError(f"{str(path)!r} is outside {where}; nothing there is read.")


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
