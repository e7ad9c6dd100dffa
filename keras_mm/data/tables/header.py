"""Reads the column names of a table file before its rows; mostly without importing pandas."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_mm.data.tables.columns import missing_names
from keras_mm.errors import MissingFileError, Problem, TableError

if TYPE_CHECKING:
    import pandas as pd

_PART = 65_536  # rows that are read in one step
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


def has_header(path: str) -> bool:
    """Whether the format of a table file has the column names before the rows.

    Args:
        path: Path of a table file, as in `load_table`.

    Returns:
        True for CSV and Parquet.
    """
    return Path(path).suffix.lower() in (*_DELIMITERS, *_PARQUET)


def read_names(path: str) -> list[str]:
    """Reads the column names of a table file.

    Args:
        path: Path of a table file, as in `load_table`.

    Returns:
        The names in the order of the file.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file cannot be read.
    """
    if not Path(path).exists():
        raise MissingFileError(f"No such table: {str(path)!r}. Check the path.")
    suffix = Path(path).suffix.lower()
    names: list[str] | None = None
    if Path(path).is_file() and suffix in _DELIMITERS:
        names = _names_of_csv(path, _DELIMITERS[suffix])
    elif Path(path).is_file() and suffix in _PARQUET:
        names = _names_of_parquet(path)
    if names is None:
        from keras_mm.data.tables.load import table_parts

        # If the file cannot be read, this raises an error with the reason.
        names = [str(name) for name in next(table_parts(path, 1, allow_empty=True)).columns]
    return names


def _names_of_csv(path: str, delimiter: str) -> list[str] | None:
    """The names in the first line; `None` if they cannot be read, are empty or not unique."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file, delimiter=delimiter), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return names if names and all(names) and len(set(names)) == len(names) else None


def _names_of_parquet(path: str) -> list[str] | None:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        names = read_schema(path).names
    except (ArrowException, OSError):
        return None
    return [name for name in names if not name.startswith("__index_")]


def check_names(path: str, columns: Iterable[str]) -> None:
    """Checks that a table file has the given columns, before its rows are read.

    Args:
        path: Path of a table file, as in `load_table`.
        columns: Names of the columns.

    Raises:
        TableError: listing each missing column, with the most similar name.
    """
    sentences = missing_names(read_names(path), columns)
    if sentences:
        raise TableError([Problem(None, None, str(path), sentence) for sentence in sentences])


def read_column(path: str, column: str) -> pd.Series:
    """Reads one column of a table file; other columns of a Parquet file are not read.

    Args:
        path: Path of a table file, as in `load_table`.
        column: Name of a column of the file.

    Returns:
        The cells, with the index of the table that `load_table` returns.
    """
    import pandas as pd

    from keras_mm.data.tables.load import table_parts

    if Path(path).suffix.lower() in _PARQUET:
        return pd.read_parquet(path, columns=[column])[column]
    return pd.concat([part[column] for part in table_parts(path, _PART, allow_empty=True)])
