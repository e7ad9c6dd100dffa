"""Work on many cells in threads: Pillow and hashing let others run meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any


def in_threads(function: Callable, cells: Collection) -> Iterator[Any]:
    """`map(function, cells)`, several at a time; `function` must not come here itself.

    Raises:
        Exception: what `function` raises, when the cell's turn comes.
    """
    if len(cells) < 2:
        return map(function, cells)
    return _threads(os.getpid()).map(function, cells)


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """The threads of a process, kept: one takes as long to start as a small image to decode."""
    return ThreadPoolExecutor(thread_name_prefix="keras_mm")
