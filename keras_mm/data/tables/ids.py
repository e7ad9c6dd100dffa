"""Ids of rows, which tables of predictions have beside the row numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from keras_mm.data.tables.columns import missing_names
from keras_mm.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


def find_id_column(
    names: Sequence[str], wanted: str | None = None, used: Collection[str] = ()
) -> str | None:
    """Finds the column with the ids of the rows.

    Args:
        names: Names of the columns of the table.
        wanted: The id column that the user chose; `None` if the user chose none.
        used: Columns that the model reads.

    Returns:
        `wanted`; without it a column named `id`, in upper or lower case, that is not in `used`;
        `None` if there is none.

    Raises:
        ConfigError: if the table has no column `wanted`.

    Example:
        >>> find_id_column(["ID", "text"])
        'ID'
    """
    if wanted is not None:
        problems = missing_names(names, [wanted])
        if problems:
            raise ConfigError([f"`id_column`: {problem}" for problem in problems])
        return wanted
    candidates = (name for name in names if str(name).lower() == "id" and name not in used)
    return next(candidates, None)


def with_ids(frame: pd.DataFrame, ids: pd.Series, *, place: int = 1) -> tuple[pd.DataFrame, str]:
    """Adds the ids of the rows to a table of predictions.

    Args:
        frame: Predictions, with the index of their rows.
        ids: Ids, with the index of all rows of the table. If the index has repeated values, it must
            equal that of `frame`.
        place: Position of the new column, from 0.

    Returns:
        The table with a new column, and the name of the column: the name of `ids`, or if the table
        already has such a column `id` or `row_id`.
    """
    cells = (ids.reindex(frame.index) if ids.index.is_unique else ids).to_numpy()
    name = _free_name((str(ids.name), "id", "row_id"), frame.columns)
    table = frame.copy(deep=False)
    table.insert(place, name, cells)
    return table, name


def _free_name(names: Iterable[str], taken: Collection) -> str:
    return next(name for name in names if name not in taken)
