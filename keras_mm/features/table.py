"""Features of rows, read from blocks when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from keras_mm.features.store.blocks import Block


class FeatureTable:
    """One encoder output for rows, read a few rows at a time.

    `table[rows]` is an array. Values on disk are not held in memory.

    Args:
        places: Block and position of each item's value.
        where: Item of each slot of each row, int `(num_rows, num_slots)`; -1 for an empty slot,
            whose values are zeros.
        item_shape: `(num_tokens, ...)` of the longest item; shorter ones are padded with zeros.
        row_shape: Shape of a row: the items of its slots, joined along the tokens.
        dtype: NumPy's name of the values' type.

    Attributes:
        shape: `(num_rows, *row_shape)`.
        dtype: The values' type.
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

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Reads the values of rows.

        Args:
            rows: Positions, a mask or a slice.

        Returns:
            An array of shape `(num_rows, *row_shape)`.
        """
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

    def take(self, rows: Any) -> FeatureTable:
        """Selects rows without reading them.

        Args:
            rows: Positions, a mask or a slice.

        Returns:
            The table of these rows.
        """
        found = copy(self)
        found._where = self._where[rows]
        found.shape = (len(found._where), *self.shape[1:])
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    @classmethod
    def join(cls, tables: Sequence[FeatureTable]) -> FeatureTable:
        """Appends tables of one encoder output, all padded to the longest item.

        Args:
            tables: At least one table.

        Returns:
            The rows of all tables, in order.
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
