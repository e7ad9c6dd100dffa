"""Runs a function on many cells in threads, as Pillow and hashing release Python's global lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

# Most cells that are submitted at once: results that wait for their turn take memory.
_AT_ONCE = 1024


def in_threads(function: Callable, cells: Collection) -> Iterator[Any]:
    """Like `map(function, cells)`, but several cells at a time.

    Args:
        function: Takes one cell. It must not call `in_threads`, which could wait forever for a free
            thread.
        cells: The cells.

    Yields:
        The results, in the order of the cells.

    Raises:
        Exception: what `function` raises, when the result of that cell is next.

    Example:
        >>> list(in_threads(len, ["a", "bc"]))
        [1, 2]
    """
    if len(cells) < 2:
        yield from map(function, cells)
        return
    cells, threads = list(cells), _threads(os.getpid())
    for start in range(0, len(cells), _AT_ONCE):
        yield from threads.map(function, cells[start : start + _AT_ONCE])


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """The thread pool of a process. It is kept: a start takes as long as decoding a small image."""
    return ThreadPoolExecutor(thread_name_prefix="keras_mm")
