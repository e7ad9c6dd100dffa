"""Runs work on many cells in threads: Pillow and hashing release Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

# Submitted at once at most: what waits takes memory, too.
_AT_ONCE = 1024


def in_threads(function: Callable, cells: Collection) -> Iterator[Any]:
    """`map(function, cells)`, several at a time.

    Args:
        function: Takes a cell. It must not call `in_threads` itself.
        cells: What it is called with.

    Yields:
        The results, in the order of the cells.

    Raises:
        Exception: what `function` raises, when the cell's turn comes.
    """
    if len(cells) < 2:
        yield from map(function, cells)
        return
    cells, threads = list(cells), _threads(os.getpid())
    for start in range(0, len(cells), _AT_ONCE):
        yield from threads.map(function, cells[start : start + _AT_ONCE])


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """The threads of a process, kept: to start one takes as long as to decode a small image."""
    return ThreadPoolExecutor(thread_name_prefix="keras_mm")
