"""The feature store: caches outputs of encoders on disk, by the content of their inputs."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from keras_mm.features.store.blocks import KEY_BYTES, Block, read_block
from keras_mm.features.store.listing import (
    ABOUT,
    BLOCK,
    PART,
    SHELF,
    free_bytes,
    last_used,
    matching,
    size_of,
)
from keras_mm.features.store.location import cache_folder, cache_limit

_SPARE = 2**30  # bytes of the disk that stay free
_ABANDONED = 24 * 3600.0  # seconds after which an unfinished file is left from a killed process


def open_store(cache: bool | str | os.PathLike) -> FeatureStore | None:
    """Opens the store that the setting `cache` stands for.

    Args:
        cache: `True` for the default folder, a folder, or `False` for no store.

    Returns:
        The store; `None` for no store, or if `KERAS_MM_CACHE_GB` is 0.

    Raises:
        ValueError: if `KERAS_MM_CACHE_GB` is not a number >= 0.
    """
    if cache is False or not cache_limit():
        return None
    return FeatureStore(None if cache is True else cache)


class FeatureStore:
    """A folder of shelves with a size limit; the files unused for longest are removed first.

    Args:
        folder: The folder; by default `cache_folder()`. It is created by the first write. Files
            that this package has not written are left alone.
        max_bytes: Size limit in bytes; by default `cache_limit()`.

    Raises:
        ValueError: if the default limit is used and `KERAS_MM_CACHE_GB` is not a number >= 0.
    """

    def __init__(self, folder: str | os.PathLike | None = None, max_bytes: int | None = None):
        folder = cache_folder() if folder is None else Path(folder)
        self.folder = Path(os.path.abspath(os.path.expanduser(folder)))
        self.shelves = self.folder / "features"
        self.max_bytes = cache_limit() if max_bytes is None else max_bytes
        # Blocks by file, so that a file is read only once, even if its shelf is opened repeatedly.
        self.known: dict[Path, Block] = {}

    def info(self) -> dict[str, Any]:
        """Describes the content of the store.

        Returns:
            `folder`, `bytes`, `max_bytes`, `entries`, and `encoders`: for each shelf its
            description with `entries`, `bytes` and `last_used` (seconds since 1970), most recently
            used first.
        """
        encoders = []
        for shelf in self._shelves():
            try:
                about = json.loads((shelf / ABOUT).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                about = {}
            blocks = matching(shelf, BLOCK)
            encoders.append(
                {
                    **about,
                    "entries": sum(_count(block) for block in blocks),
                    "bytes": sum(map(size_of, blocks)),
                    "last_used": max(map(last_used, blocks), default=0.0),
                }
            )
        encoders.sort(key=lambda one: -one["last_used"])
        return {
            "folder": str(self.folder),
            "bytes": sum(one["bytes"] for one in encoders),
            "max_bytes": self.max_bytes,
            "entries": sum(one["entries"] for one in encoders),
            "encoders": encoders,
        }

    def clear(self) -> int:
        """Removes all files that this package has written to the store.

        Returns:
            Number of removed bytes.

        Raises:
            OSError: if a file cannot be removed.
        """
        num_bytes = 0
        for shelf in self._shelves():
            num_bytes += sum(map(size_of, matching(shelf, BLOCK)))
            for file in (*matching(shelf, BLOCK), *matching(shelf, PART), shelf / ABOUT):
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds other files, or was just written to
                shelf.rmdir()
        return num_bytes

    def make_room(self, num_bytes: int, *, keep: Collection[Path] = ()) -> str:
        """Removes the files unused for longest until new values fit.

        Args:
            num_bytes: Number of bytes that will be written.
            keep: Files that are in use and must not be removed.

        Returns:
            Empty if there is room; else the reason, as a phrase that completes "the feature cache".

        Raises:
            OSError: if the folder cannot be read.
        """
        self._remove_abandoned()
        blocks = sorted(
            (file for shelf in self._shelves() for file in matching(shelf, BLOCK)), key=last_used
        )
        used = sum(map(size_of, blocks))
        free = free_bytes(self.folder) - _SPARE
        removable = [block for block in blocks if block not in keep]
        room = sum(map(size_of, removable))
        need = f"{num_bytes / 1e6:,.1f} MB more"
        # Checked before any file is removed: removing files that do not suffice helps nobody.
        if num_bytes > self.max_bytes - used + room:
            limit = self.max_bytes / 1e9
            return f"may take {limit:g} GB (KERAS_MM_CACHE_GB), not enough for {need}"
        if num_bytes > free + room:
            return f"is on a disk with {max(free, 0) / 1e6:,.1f} MB to spare, but needs {need}"
        for block in removable:
            if used + num_bytes <= self.max_bytes and num_bytes <= free:
                break
            size = size_of(block)
            block.unlink(missing_ok=True)
            used, free = used - size, free + size
        return ""

    def _shelves(self) -> list[Path]:
        return [path for path in matching(self.shelves, SHELF) if path.is_dir()]

    def _remove_abandoned(self) -> None:
        """Removes unfinished files of killed processes."""
        for shelf in self._shelves():
            for part in matching(shelf, PART):
                if time.time() - last_used(part) > _ABANDONED:
                    part.unlink(missing_ok=True)


def _count(path: Path) -> int:
    """Number of entries in a block's file; 0 if it cannot be read."""
    try:
        return len(read_block(path).index) // KEY_BYTES
    except (OSError, ValueError):
        return 0
