"""Work on many cells in threads: Pillow and hashing let others run meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# A thread takes as long to start as a small image to decode.
_FEW = 4


def in_threads(function: Callable, cells: Collection) -> Iterator[Any]:
    """`map(function, cells)`, several at a time; a few cells one after the other.

    Raises:
        Exception: what `function` raises, when the cell's turn comes.
    """
    if len(cells) <= _FEW:
        yield from map(function, cells)
        return
    with ThreadPoolExecutor() as pool:
        yield from pool.map(function, cells)
