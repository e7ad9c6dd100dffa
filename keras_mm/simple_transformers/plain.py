"""Converts settings to plain Python values, which JSON can hold."""

from __future__ import annotations

from collections import deque
from collections.abc import KeysView, Mapping, Sequence, ValuesView
from os import PathLike, fspath
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Converts arrays, tensors, Series and NumPy scalars to built-in types of Python.

    Args:
        value: Any value. Lists, tuples and mappings are copied; their keys and items are converted.

    Returns:
        The converted value. Values of other types, such as a set or a layer, are not changed.

    Example:
        >>> plain({np.int64(3): np.array(["a", "b"])})
        {3: ['a', 'b']}
    """
    if isinstance(value, np.generic):
        return plain(value.item()) if value.dtype != object else value
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(cell) for key, cell in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(cell) for cell in value)
    if callable(getattr(value, "tolist", None)):  # arrays, Series, tensors of PyTorch and JAX
        return plain(value.tolist())
    for method in ("numpy", "to_numpy"):  # TensorFlow's tensors, Keras' variables; data frames
        if callable(getattr(value, method, None)):
            return plain(np.asarray(getattr(value, method)()))
    if isinstance(value, Sequence | KeysView | ValuesView | deque):
        return [plain(cell) for cell in value]
    return value


def is_plain(value: Any) -> bool:
    """Whether JSON can hold a value.

    Args:
        value: The value.

    Returns:
        `True` for numbers, texts, bools, `None`, and for lists and dicts of these.
    """
    if isinstance(value, Mapping):
        return all(is_scalar(key) and is_plain(cell) for key, cell in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(cell) for cell in value)
    return value is None or is_scalar(value)


def is_scalar(value: Any) -> bool:
    """Whether a value can be a label.

    Args:
        value: The value.

    Returns:
        `True` for texts, numbers and bools.
    """
    return isinstance(value, bool | int | float | str)
