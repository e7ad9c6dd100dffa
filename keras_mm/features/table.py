"""Features of rows, read from their blocks when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from keras_mm.features.store.blocks import Block


class FeatureTable:
    """One encoder output for many rows, which is read a few rows at a time.

    `table[rows]` returns an array. Values on disk are not held in memory.

    Args:
        places: For each item, the block that holds its value, and the position in the block.
        where: Index of the item in each slot of each row, int `(num_rows, num_slots)`; -1 for an
            empty slot, whose values are zeros.
        item_shape: `(num_tokens, ...)` of the longest item; shorter ones are padded with zeros.
        row_shape: Shape of a row: the items of its slots, joined along the tokens.
        dtype: NumPy name of the values' type.

    Attributes:
        shape: `(num_rows, *row_shape)`.
        dtype: NumPy type of the values.
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
        result = np.zeros((len(items), *self._item), self.dtype)
        filled = np.flatnonzero(items >= 0)
        blocks = self._block[items[filled]]
        for number in np.unique(blocks):
            to = filled[blocks == number]
            values = self._values[number][self._position[items[to]]]
            if values.shape[1:] == self._item:
                result[to] = values
            else:  # a shorter text: the rest stays 0
                result[to, : values.shape[1]] = values
        return result.reshape(*where.shape[:-1], *self.shape[1:])

    def take(self, rows: Any) -> FeatureTable:
        """Selects rows without reading them.

        Args:
            rows: Positions, a mask or a slice.

        Returns:
            The table of these rows.
        """
        selected = copy(self)
        selected._where = self._where[rows]
        selected.shape = (len(selected._where), *self.shape[1:])
        return selected

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
        joined = copy(tables[0])
        # Tables share blocks; each block is kept once.
        numbers: dict[int, int] = {}
        joined._values, blocks, where, items = [], [], [], 0
        for table in tables:
            for values in table._values:
                if id(values) not in numbers:
                    numbers[id(values)] = len(numbers)
                    joined._values.append(values)
            renumbered = np.asarray([numbers[id(values)] for values in table._values], "int32")
            blocks.append(renumbered[table._block])
            where.append(np.where(table._where >= 0, table._where + items, -1).astype("int32"))
            items += len(table._block)
        joined._block = np.concatenate(blocks)
        joined._position = np.concatenate([table._position for table in tables])
        joined._where = np.concatenate(where)
        joined._item = tuple(max(sizes) for sizes in zip(*(t._item for t in tables), strict=True))
        rows = (max(sizes) for sizes in zip(*(t.shape[1:] for t in tables), strict=True))
        joined.shape = (len(joined._where), *rows)
        return joined
