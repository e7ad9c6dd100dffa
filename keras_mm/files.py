"""Outputs appear whole or not at all: new files and folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from uuid import uuid4

from keras_mm.errors import ExistingFileError


@contextmanager
def new_file(path: str | PathLike) -> Iterator[Path]:
    """A temporary file that becomes `path` when all went well, and vanishes otherwise.

    Args:
        path: The file to write; one that is there is replaced. Its folder is made.

    Yields:
        The path to write to, in the same folder.

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
    """Writes a UTF-8 text file, whole or not at all."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(folder: str | PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when all went well, and vanishes otherwise.

    A folder that cannot be replaced (a mount point, the working folder) is filled instead, file by
    file.

    Raises:
        FileExistsError: if `folder` is there and not empty, without `overwrite`.
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
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _stays(folder: Path) -> bool:
    """Whether a folder cannot be replaced: a mount point, or where this process works."""
    return folder.is_mount() or folder in (Path.cwd(), *Path.cwd().parents)


def check_vacant(folder: str | PathLike, *, overwrite: bool = False) -> None:
    """Raises FileExistsError if `folder` is a file, or holds something and may not be replaced."""
    folder = Path(folder)
    if folder.is_file():
        raise ExistingFileError(f"{str(folder)!r} is a file; give a folder.")
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise ExistingFileError(
            f"The folder {str(folder)!r} is not empty. Give another one, or remove it first."
        )
