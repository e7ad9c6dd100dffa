"""The files of the feature store: their names, sizes and times, and the removal of damaged ones.

Only files whose names match these patterns are written or removed. All other files in the folder
belong to the user.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from pathlib import Path

ABOUT = "about.json"
SHELF = re.compile(r"[0-9a-f]{40}\.[a-z_]+")
BLOCK = re.compile(r"[0-9a-f]{32}\.features")
PART = re.compile(r"\.[0-9a-f]{32}\.part")

_log = logging.getLogger("keras_mm")


def matching(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The entries of a folder whose names match a pattern completely.

    Args:
        folder: The folder.
        pattern: One of the patterns of this module.

    Returns:
        Sorted paths; none if the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
    except OSError:
        return []


def size_of(path: Path) -> int:
    """Size of a file.

    Args:
        path: The file.

    Returns:
        Bytes; 0 if it cannot be read.
    """
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_used(path: Path) -> float:
    """Time of a file's last use. Each use sets the file's modification time.

    Args:
        path: The file.

    Returns:
        Seconds since 1970; 0 if it cannot be read.
    """
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def free_bytes(folder: Path) -> int:
    """Free space of the disk that holds a folder, or will hold it.

    Args:
        folder: A path; it need not exist.

    Returns:
        Bytes.

    Raises:
        OSError: if the disk cannot be read.
    """
    while not os.path.exists(folder):
        folder = folder.parent
    return shutil.disk_usage(folder).free


def remove_damaged(path: Path, error: ValueError) -> None:
    """Removes a damaged file, if possible, and logs a warning.

    Args:
        path: The file.
        error: The error that describes the damage.
    """
    _log.warning("removing a damaged file of the feature cache: %s (%s)", path, error)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
