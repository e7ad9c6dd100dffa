"""Writes files and folders so that each appears complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import uuid4

from keras_mm.errors import ExistingFileError


@contextmanager
def new_file(path: str | PathLike) -> Iterator[Path]:
    """Writes a file through a temporary one, which is removed if the writing fails.

    Args:
        path: The file. An existing one is replaced; its folder is created if needed.

    Yields:
        The temporary path to write to, in the same folder.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "scores.txt"
        >>> with new_file(path) as temporary:
        ...     _ = temporary.write_text("0.5")
        >>> path.read_text()
        '0.5'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | PathLike, text: str) -> None:
    """Writes a UTF-8 text file as `new_file` does.

    Args:
        path: The file.
        text: Its content.
    """
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(folder: str | PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Writes a folder through a temporary one, which is removed if the writing fails.

    A folder that cannot be replaced (a mount point, the working directory) is emptied and filled
    file by file instead.

    Args:
        folder: The folder. Its parents are created if needed.
        overwrite: Whether to replace a folder that is not empty.

    Yields:
        The temporary folder to write to, beside `folder`.

    Raises:
        FileExistsError: if `folder` is a file, or is not empty and `overwrite` is false.
    """
    folder = Path(folder).resolve()
    check_vacant(folder, overwrite=overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        if folder.exists() and _stays(folder):
            for old in folder.iterdir():
                if old.is_dir() and not old.is_symlink():
                    shutil.rmtree(old)
                else:
                    old.unlink()
            for new in temporary.iterdir():
                shutil.move(new, folder / new.name)
            return
        if folder.exists():
            shutil.rmtree(folder)
        temporary.chmod(0o755)  # `mkdtemp` makes folders that only their owner can read
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _stays(folder: Path) -> bool:
    """Whether a folder cannot be replaced: a mount point, or the working directory or above it."""
    return folder.is_mount() or folder in (Path.cwd(), *Path.cwd().parents)


@contextmanager
def new_files(folder: str | PathLike, *, last: str) -> Iterator[Path]:
    """Writes files into a folder and keeps the other files that the folder holds.

    They are written to a temporary folder, which is removed if the writing fails. The file `last`
    marks the set of files as complete: the old one is removed before any other file is replaced,
    and the new one is moved last.

    Args:
        folder: The folder, created if needed. Files of the same names are replaced.
        last: Name of the file without which a reader ignores the others.

    Yields:
        The temporary folder to write the files to.

    Raises:
        FileExistsError: if `folder` is a file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        with new_folder(folder) as made:
            yield made
        return
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as temporary:
        # One level deeper, because the writer may replace the folder that is passed to it.
        made = Path(temporary) / "files"
        made.mkdir()
        yield made
        (folder / last).unlink(missing_ok=True)
        for file in sorted(made.iterdir(), key=lambda file: file.name == last):
            os.replace(file, folder / file.name)


def check_vacant(folder: str | PathLike, *, overwrite: bool = False) -> None:
    """Checks that `new_folder` may write a folder.

    Args:
        folder: The folder.
        overwrite: Whether it may hold something.

    Raises:
        FileExistsError: if `folder` is a file, or is not empty and `overwrite` is false.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ExistingFileError(f"{str(folder)!r} is a file. Choose a folder.")
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise ExistingFileError(
            f"The folder {str(folder)!r} is not empty. Choose another one, or remove it first."
        )


def check_writable(folder: str | PathLike) -> None:
    """Checks that files can be written into a folder, without leaving anything behind.

    Args:
        folder: The folder. If it does not exist, it is created and removed again.

    Raises:
        OSError: if the folder cannot be created, or nothing can be written into it.
    """
    folder = Path(folder)
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".try-", dir=folder):
            pass
    finally:
        for path in absent:
            with suppress(OSError):  # not created, or another process has written into it
                path.rmdir()


def stamp(source: Any) -> Any:
    """Describes the state of a file or folder, to recognise changes.

    Args:
        source: A path; other values are returned unchanged.

    Returns:
        The path, and sizes and times of the file, or of the files in the folder: JSON-serialisable.
    """
    if not isinstance(source, str | PathLike) or not Path(source).exists():
        return source
    path = Path(source)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    times = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return [str(path.resolve()), times]
