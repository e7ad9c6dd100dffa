"""Labels as given and as encoded: str or int in, the same values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd


def is_missing(cell: Any) -> bool:
    """Whether a cell holds nothing: `None`, NaN, or the empty string.

    Example:
        >>> is_missing(""), is_missing("NA"), is_missing(float("nan"))
        (True, False, True)
    """
    if cell is None or (isinstance(cell, str) and cell == ""):
        return True
    if isinstance(cell, dict):
        return not cell.get("bytes") and not cell.get("path")
    if isinstance(cell, bytes):
        return False
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


def label_value(cell: Any) -> Any:
    """A label as a plain Python value; a whole float (ints beside NaN in pandas) is an int."""
    value = cell.item() if isinstance(cell, np.generic) else cell
    return int(value) if isinstance(value, float) and value.is_integer() else value


def find_classes(cells: Iterable) -> list:
    """The distinct labels, sorted (numbers before strings), missing ones left out.

    Example:
        >>> find_classes(["b", "a", None, "b"])
        ['a', 'b']
    """
    values = {label_value(cell) for cell in cells if not is_missing(cell)}
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def encode_labels(cells: Iterable, classes: Sequence) -> np.ndarray:
    """Positions in `classes`, shape `(num_rows,)`, int32; -1 where missing or unknown.

    A string that spells a number matches that number, so that a CSV (all strings) can be read by
    a model that was trained on ints.
    """
    positions = {value: i for i, value in enumerate(classes)}
    for i, value in enumerate(classes):
        positions.setdefault(str(value), i)
    return np.asarray([_position(cell, positions) for cell in cells], "int32")


def _position(cell: Any, positions: dict) -> int:
    if is_missing(cell):
        return -1
    try:
        return positions.get(label_value(cell), -1)
    except TypeError:
        return -1
