"""Features of rows, gathered from where they are kept when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np

from keras_mm.features.store.store import Block


class FeatureTable:
    """What an encoder gave for rows, as an array that is read a few rows at a time.

    `table[rows]` is an array; nothing else is held in memory where the values are on disk.

    Args:
        places: Block and position of each item's value.
        where: Item of each slot of each row, int `(num_rows, num_slots)`; -1 where there is none,
            which gives zeros.
        item_shape: `(tokens, ...)` of an item, as of the longest; shorter ones are filled up with
            zeros.
        row_shape: Shape of a row, which is its slots' items one after the other.
        dtype: Of the values.
    """

    def __init__(
        self,
        places: Sequence[tuple[Block, int]],
        where: np.ndarray,
        item_shape: tuple[int, ...],
        row_shape: tuple[int, ...],
        dtype: str,
    ):
        blocks = list({id(block): block for block, _ in places}.values())
        numbers = {id(block): number for number, block in enumerate(blocks)}
        self._values = [block.values for block in blocks]
        self._block = np.asarray([numbers[id(block)] for block, _ in places], "int32")
        self._position = np.asarray([position for _, position in places], "int32")
        self._where, self._item = where.astype("int32"), tuple(item_shape)
        self.shape, self.dtype = (len(where), *row_shape), np.dtype(dtype)

    def __len__(self) -> int:
        return len(self._where)

    def __getitem__(self, rows) -> np.ndarray:
        """The values of some rows: positions, a mask or a slice."""
        where = self._where[rows]
        items = where.reshape(-1)
        found = np.zeros((len(items), *self._item), self.dtype)
        there = np.flatnonzero(items >= 0)
        blocks = self._block[items[there]]
        for number in np.unique(blocks):
            to = there[blocks == number]
            values = self._values[number][self._position[items[to]]]
            if values.shape[1:] == self._item:
                found[to] = values
            else:
                found[to, : values.shape[1]] = values
        return found.reshape(*where.shape[:-1], *self.shape[1:])

    def take(self, rows) -> FeatureTable:
        """The table of some rows: nothing is read."""
        found = copy(self)
        found._where = self._where[rows]
        found.shape = (len(found._where), *self.shape[1:])
        return found

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


def join_tables(tables: Sequence[FeatureTable]) -> FeatureTable:
    """The rows of several tables of one encoder's output, one table after the other.

    Where their items have not the same number of tokens, all are as long as the longest.
    """
    if len(tables) == 1:
        return tables[0]
    found = copy(tables[0])
    numbers: dict[int, int] = {}
    found._values, blocks, where, items = [], [], [], 0
    for table in tables:
        for values in table._values:
            if id(values) not in numbers:
                numbers[id(values)] = len(numbers)
                found._values.append(values)
        renumbered = np.asarray([numbers[id(values)] for values in table._values], "int32")
        blocks.append(renumbered[table._block])
        where.append(np.where(table._where >= 0, table._where + items, -1).astype("int32"))
        items += len(table._block)
    found._block = np.concatenate(blocks)
    found._position = np.concatenate([table._position for table in tables])
    found._where = np.concatenate(where)
    found._item = tuple(max(sizes) for sizes in zip(*(t._item for t in tables), strict=True))
    rows = (max(sizes) for sizes in zip(*(t.shape[1:] for t in tables), strict=True))
    found.shape = (len(found._where), *rows)
    return found
