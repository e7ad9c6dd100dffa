"""Reads the weights of rows, which say what each row counts in the loss and in metrics."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import quote
from keras_mm.data.tables.labels import is_missing
from keras_mm.errors import InvalidValueError

_GIVEN = "sample_weight"  # the new column, if weights are passed as an array
_LARGEST = float(np.finfo("float32").max)  # because the loss is computed in float32


def with_weights(table: pd.DataFrame, sample_weight: Any) -> tuple[pd.DataFrame, str | None]:
    """Makes sure that the weights of the rows are a column of the table.

    Args:
        table: The rows.
        sample_weight: The name of a column; or one weight per row, an array-like of shape
            `(num_rows,)` in the order of the rows; `None` for no weights.

    Returns:
        The table and the name of the column, `None` for no weights. If the weights are an array,
        the table is a copy with the weights in a new column, `"sample_weight"` if it has none of
        this name.

    Raises:
        ValueError: for weights of another shape.

    Example:
        >>> table, column = with_weights(pd.DataFrame({"text": ["a", "b"]}), [1, 2])
        >>> column, table[column].tolist()
        ('sample_weight', [1, 2])
    """
    if sample_weight is None or isinstance(sample_weight, str):
        return table, sample_weight
    try:
        weights = np.asarray(sample_weight)
        received = f"shape {weights.shape}"
    except ValueError:
        weights, received = np.empty(0), "lists of several lengths"
    if weights.shape != (len(table),):
        raise InvalidValueError(
            "`sample_weight` must be the name of a column, or one weight per row, "
            f"{len(table)} in all. Received: {received}"
        )
    name = _GIVEN
    while name in table.columns:  # which may be a column of texts or labels
        name += "_"
    return table.assign(**{name: weights}), name


def weight_columns(column: str | None, tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Chooses the weight column of each table of a training.

    Args:
        column: Name of the weight column; `None` for no weights.
        tables: Tables by part; `"train"` must have the column.

    Returns:
        The name of the column, by part, for `"train"` and for all tables that have it. The rows of
        other tables count 1.
    """
    if column is None:
        return {}
    return {n: column for n, table in tables.items() if n == "train" or column in table.columns}


def read_weights(cells: pd.Series) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Reads a column of weights.

    Args:
        cells: The column: numbers, or texts as in a CSV file. `True` and `False` are 1 and 0.

    Returns:
        The weights, float64 `(num_rows,)`, 1 for a bad cell; and the position and message of each
        bad cell, which is empty or not a finite number >= 0.

    Example:
        >>> read_weights(pd.Series(["1", "0.5"], dtype=object))[0].tolist()
        [1.0, 0.5]
    """
    values = cells.to_numpy()
    if values.dtype.kind in "biuf":
        weights = values.astype("float64")
    else:
        weights = np.asarray([_number(cell) for cell in values], "float64")
    good = (weights >= 0) & (weights <= _LARGEST)
    problems = [
        (position, _problem(values[position])) for position in np.flatnonzero(~good).tolist()
    ]
    return np.where(good, weights, 1.0), problems


def _number(cell: Any) -> float:
    """The number in a cell; NaN if there is none."""
    if not isinstance(cell, str | Real | np.number | np.bool_):
        return np.nan
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _problem(cell: Any) -> str:
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if is_missing(cell):
        return "the weight is missing. Write 1 to count the row once, 0 to ignore it."
    return (
        f"a weight must be a finite number >= 0. Received: {quote(cell, 40)}. "
        "Write 1 to count the row once, 0 to ignore it."
    )
