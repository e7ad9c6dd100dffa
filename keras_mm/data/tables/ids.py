"""Ids of rows, which predictions carry beside the row numbers."""

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
    """The column with the rows' ids.

    Args:
        names: Names of the table's columns.
        wanted: The column that the user names.
        used: Columns that the model reads.

    Returns:
        `wanted`, or else a column that is called `id`, in upper or lower case, and is not `used`;
        `None` if there is none.

    Raises:
        ConfigError: if there is no column `wanted`.

    Example:
        >>> find_id_column(["ID", "text"])
        'ID'
    """
    if wanted is not None:
        problems = missing_names(names, [wanted])
        if problems:
            raise ConfigError([f"`id_column`: {problem}" for problem in problems])
        return wanted
    found = (name for name in names if str(name).lower() == "id" and name not in used)
    return next(found, None)


def with_ids(frame: pd.DataFrame, ids: pd.Series, *, place: int = 1) -> tuple[pd.DataFrame, str]:
    """A table of predictions with the ids of its rows.

    Args:
        frame: Predictions, with the index of their rows.
        ids: Ids, with the index of all rows of the table. An index with repeated values must be
            that of `frame`.
        place: Position of the new column.

    Returns:
        The table with a new column, and the column's name: that of `ids`, or `id` or `row_id` where
        the table has such a column already.
    """
    cells = (ids.reindex(frame.index) if ids.index.is_unique else ids).to_numpy()
    name = _free_name((str(ids.name), "id", "row_id"), frame.columns)
    found = frame.copy(deep=False)
    found.insert(place, name, cells)
    return found, name


def _free_name(names: Iterable[str], taken: Collection) -> str:
    return next(name for name in names if name not in taken)
