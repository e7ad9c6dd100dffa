"""Weights of rows: what each row counts in the loss, in validation and in metrics."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.labels import is_missing
from keras_mm.errors import InvalidValueError

_GIVEN = "sample_weight"  # the column that holds weights which are given as an array
_LARGEST = float(np.finfo("float32").max)  # the loss is computed in float32


def with_weights(table: pd.DataFrame, sample_weight: Any) -> tuple[pd.DataFrame, str | None]:
    """The table with its weights in a column.

    Args:
        table: The rows.
        sample_weight: A column's name; or one weight per row, an array-like of shape
            `(num_rows,)` in the order of the rows; `None` for no weights.

    Returns:
        The table, and the name of the column; the table is a new one if weights are given as an
        array, which then stand in the column `"sample_weight"`.

    Raises:
        ValueError: for an array of another shape.

    Example:
        >>> table, column = with_weights(pd.DataFrame({"text": ["a", "b"]}), [1, 2])
        >>> column, table[column].tolist()
        ('sample_weight', [1, 2])
    """
    if sample_weight is None or isinstance(sample_weight, str):
        return table, sample_weight
    try:
        given = np.asarray(sample_weight)
        received = f"shape {given.shape}"
    except ValueError:
        given, received = np.empty(0), "lists of several lengths"
    if given.shape != (len(table),):
        raise InvalidValueError(
            "`sample_weight` must be a column's name, or hold one weight per row, "
            f"{len(table)} in all. Received: {received}"
        )
    return table.assign(**{_GIVEN: given}), _GIVEN


def weight_columns(column: str | None, tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """The weight column of each table of a training.

    Args:
        column: The column of the weights; `None` for no weights.
        tables: `"train"`, and other tables by part.

    Returns:
        The column by part: for `"train"`, which must have it, and for the tables that have it. The
        rows of the others count 1 each.
    """
    if column is None:
        return {}
    return {n: column for n, table in tables.items() if n == "train" or column in table.columns}


def read_weights(cells: pd.Series) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """The weights in a column.

    Args:
        cells: The column: numbers, or text as in a CSV file. `True` and `False` are 1 and 0.

    Returns:
        float64 `(num_rows,)`, 1 for a bad cell; and position and message of each bad cell: one
        that is empty, or no finite number >= 0.

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
    problems = [(place, _problem(values[place])) for place in np.flatnonzero(~good).tolist()]
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
        f"a weight must be a finite number >= 0. Received: {reprlib.repr(cell)}. "
        "Write 1 to count the row once, 0 to ignore it."
    )
