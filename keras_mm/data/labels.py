"""Labels as given and as encoded: str or int in, the same values out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from numbers import Number, Real
from typing import Any

import numpy as np
import pandas as pd


def is_missing(cell: Any) -> bool:
    """Whether a cell holds nothing: `None`, NaN, the empty string, or a dict of such.

    Empty bytes are something: a file that went wrong.

    Example:
        >>> is_missing(""), is_missing("NA"), is_missing(float("nan"))
        (True, False, True)
    """
    if cell is None or (isinstance(cell, str) and cell == ""):
        return True
    if isinstance(cell, dict):
        return all(is_missing(value) for value in cell.values())
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


def label_value(cell: Any) -> Any:
    """A label as a plain Python value; a whole float (ints beside NaN in pandas) is an int."""
    value = cell.item() if isinstance(cell, np.generic) else cell
    return int(value) if isinstance(value, float) and value.is_integer() else value


def find_classes(cells: Iterable) -> list:
    """The distinct labels, sorted (numbers before strings), missing ones left out.

    Raises:
        ValueError: for a cell that cannot be a label, such as a list.

    Example:
        >>> find_classes(["b", "a", None, "b"])
        ['a', 'b']
    """
    values = set()
    for cell in cells:
        value = label_value(cell)
        if isinstance(value, Hashable) and is_missing(value):
            continue
        if not isinstance(value, str | Real):
            raise ValueError(
                f"a label must be a string, a number or a bool. Received: {value!r} "
                f"({type(value).__name__})"
            )
        values.add(value)
    return sorted(values, key=_sort_key)


def _sort_key(value: Any) -> tuple:
    kind = "" if isinstance(value, Number) else type(value).__name__
    return isinstance(value, str), kind, value


def encode_labels(cells: Iterable, classes: Sequence) -> np.ndarray:
    """Positions in `classes`, shape `(num_rows,)`, int32; -1 where missing or unknown.

    A string that spells a number matches that number, so that a CSV (all strings) can be read by
    a model that was trained on ints.
    """
    values = [label_value(value) for value in classes]
    positions = {value: i for i, value in enumerate(values)}
    for i, value in enumerate(values):
        positions.setdefault(str(value), i)
        if isinstance(value, int) and not isinstance(value, bool):
            positions.setdefault(f"{value}.0", i)  # as pandas writes it beside empty cells
    return np.asarray([_position(cell, positions) for cell in cells], "int32")


def _position(cell: Any, positions: dict) -> int:
    if is_missing(cell):
        return -1
    try:
        return positions.get(label_value(cell), -1)
    except TypeError:
        return -1
