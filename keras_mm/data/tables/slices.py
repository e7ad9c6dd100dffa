"""Divides rows by the cells of a column, such as a language or an age."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import quote
from keras_mm.data.tables.columns import missing_columns
from keras_mm.data.tables.labels import is_missing
from keras_mm.errors import ConfigError

MISSING = "(missing)"  # name of the slice of rows with an empty cell
OTHERS = "(other values)"
_MOST_NUMBERS = 10  # distinct numbers that each get a slice; more are divided into quartiles
_MOST_VALUES = 30
_LONGEST = 60  # characters of a slice's name


def slice_cells(table: pd.DataFrame, column: str) -> pd.Series:
    """Reads the column that rows are divided by.

    Args:
        table: The rows.
        column: Name of the column.

    Returns:
        Its cells, with the index of the table.

    Raises:
        ConfigError: if the table does not have exactly one such column.
    """
    problems = missing_columns(table, [column])
    if problems:
        raise ConfigError([f"`by`: {problem}" for problem in problems])
    return table[column]


def slice_rows(cells: pd.Series) -> dict[str, np.ndarray]:
    """Divides rows into slices of equal or similar cells.

    Args:
        cells: A cell per row.

    Returns:
        Positions of the rows of each slice by its name. More than 10 distinct numbers, also
        written as text, are divided into quartiles, named by their smallest and largest number.
        Other cells are sliced by value, the most frequent first; after 30 values follows a slice
        of all others. The last slice has the rows with an empty cell.

    Example:
        >>> slices = slice_rows(pd.Series(["en", "de", None, "en"]))
        >>> {name: rows.tolist() for name, rows in slices.items()}
        {'en': [0, 3], 'de': [1], '(missing)': [2]}
    """
    missing = np.fromiter(map(is_missing, cells), bool, len(cells))
    known = np.flatnonzero(~missing)
    values = cells.iloc[known].tolist()
    numbers = _numbers(values)
    if numbers is not None and len(np.unique(numbers)) > _MOST_NUMBERS:
        names = _quartiles(numbers)
    else:
        names = _values(values)
    slices = {name: known[names == name] for name in dict.fromkeys(_ordered(names, numbers))}
    return slices | ({MISSING: np.flatnonzero(missing)} if missing.any() else {})


def _numbers(values: list[Any]) -> np.ndarray | None:
    """The cells as numbers; `None` if one of them is none."""
    if any(isinstance(value, bool | np.bool_) for value in values):
        return None
    try:
        numbers = np.asarray([float(value) for value in values])
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def _quartiles(numbers: np.ndarray) -> np.ndarray:
    edges = np.unique(np.quantile(numbers, [0.25, 0.5, 0.75]))
    parts = np.searchsorted(edges, numbers, side="left")  # an edge belongs to the lower part
    names = np.empty(len(numbers), dtype=object)
    for part in np.unique(parts):
        inside = numbers[parts == part]
        names[parts == part] = f"{inside.min():.6g} to {inside.max():.6g}"
    return names


def _values(values: list[Any]) -> np.ndarray:
    texts = pd.Series([_name(value) for value in values], dtype=object)
    frequent = texts.value_counts(sort=True).index[:_MOST_VALUES]
    return texts.where(texts.isin(frequent), OTHERS).to_numpy()


def _name(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else quote(text, _LONGEST)


def _ordered(names: np.ndarray, numbers: np.ndarray | None) -> list[str]:
    """Names of slices: of numbers the lowest first, else the most frequent first, then others."""
    if numbers is not None:
        return names[np.argsort(numbers, kind="stable")].tolist()
    found = pd.Series(names, dtype=object).value_counts(sort=True).index.tolist()
    return sorted(found, key=OTHERS.__eq__)
