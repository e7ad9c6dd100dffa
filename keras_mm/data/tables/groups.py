"""Numbers the groups of rows: rows of a group depend on each other, and are kept together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.splits import column_values
from keras_mm.errors import InvalidValueError


def with_groups(rows: Rows, table: pd.DataFrame, groups: Any) -> Rows:
    """Adds the numbers of their groups to rows.

    Args:
        rows: Checked rows of the table; some may have been left out.
        table: The table, from `keras_mm.load_table`.
        groups: Name of a column, or one value per row of the table; `None` for no groups. A row
            whose value is missing is a group of its own.

    Returns:
        New rows; without groups, the given ones.

    Raises:
        ValueError: if there is no such column, there are too few or many values, or rows were left
            out of a table whose index is not unique.
    """
    if groups is None:
        return rows
    mistakes: list[str] = []
    values = column_values(table, "groups", groups, mistakes)
    if len(rows) < len(table) and not table.index.is_unique:
        mistakes.append(
            "`groups` of a table with skipped rows needs a unique index; reset_index()."
        )
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    if len(rows) < len(table):
        values = values[table.index.get_indexer(rows.numbers)]
    codes, names = pd.factorize(values, use_na_sentinel=True)
    alone = np.flatnonzero(codes < 0)
    codes[alone] = len(names) + np.arange(len(alone))
    return replace(rows, groups=codes)
