"""Converts tables in memory, including those of other libraries, to pandas DataFrames.

Arrow streams, the DataFrame interchange protocol and rows as dicts are supported. Other libraries
are never imported: a user who has such a table has imported its library.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_mm.data.images.files import image_format
from keras_mm.errors import InvalidValueError

if TYPE_CHECKING:
    import pyarrow as pa

_ARROW, _INTERCHANGE = "__arrow_c_stream__", "__dataframe__"
# Methods of unsupported tables that return a supported one; error messages suggest them.
_MENDS = ("to_frame", "toPandas", "to_pandas", "compute", "collect")


def memory_parts(source: Any, num_rows: int | None = None) -> Iterator[pd.DataFrame]:
    """Reads a table in memory, in parts.

    Args:
        source: As in `keras_mm.load_table`, but not a path.
        num_rows: Largest number of rows in a part, >= 1; `None` for one part with all rows.

    Yields:
        DataFrames in order, at least one. Parts of a pandas DataFrame keep its index and `attrs`;
        the index of other tables is the row number from 0.

    Raises:
        ValueError: if `source` is not a supported table; the message has its type.

    Example:
        >>> [part.index.tolist() for part in memory_parts([{"text": "a"}] * 3, num_rows=2)]
        [[0, 1], [2]]
    """
    if isinstance(source, pd.DataFrame):
        yield from _slices(source.copy(deep=False).iloc, len(source), num_rows, lambda part: part)
        return
    if isinstance(source, Mapping):
        _refuse_splits(source)
        source = [source]
    start, frame = 0, None
    for frame in _frames(source, num_rows):
        frame.index = pd.RangeIndex(start, start + len(frame))
        start += len(frame)
        yield frame
    if frame is None:
        yield rows_frame([])


def is_table(value: Any) -> bool:
    """Whether a value is a table of a library; lists and dicts of rows are not.

    Args:
        value: Any value.

    Returns:
        True for DataFrames, Arrow tables, Hugging Face datasets and `tf.data.Dataset`s.

    Example:
        >>> is_table(pd.DataFrame({"a": [1]})), is_table(pd.Series([1])), is_table([{"a": 1}])
        (True, False, False)
    """
    if isinstance(value, pd.DataFrame) or _is_hugging_face(value) or _is_tensorflow(value):
        return True
    named = any(hasattr(value, name) for name in ("column_names", "columns", "schema"))
    return hasattr(value, _INTERCHANGE) or (hasattr(value, _ARROW) and named)


def as_frame(value: Any) -> Any:
    """Converts a table of another library to a DataFrame.

    Args:
        value: Any value.

    Returns:
        A DataFrame; `value` itself if it is a DataFrame or not a table.
    """
    if isinstance(value, pd.DataFrame) or not is_table(value):
        return value
    return next(memory_parts(value))


def cells_of(values: Any) -> list:
    """Converts a column, also one of another library, to a list.

    Args:
        values: A sequence, a Series, an array or an Arrow array.

    Returns:
        The values; plain Python values for Arrow arrays.
    """
    return values.to_pylist() if hasattr(values, "to_pylist") else list(values)


def rows_frame(rows: Sequence[Mapping]) -> pd.DataFrame:
    """Makes a table from rows.

    Args:
        rows: A dict from column to cell for each row; a missing column is an empty cell.

    Returns:
        A DataFrame of object columns, in the order in which they first occur in the rows.
    """
    # dtype object: pandas would convert ints beside None to floats, and strings to its own type.
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pd.DataFrame(
        {c: pd.Series([row.get(c) for row in rows], dtype=object) for c in columns},
        index=range(len(rows)),
    )


def type_name(value: Any) -> str:
    """The name of a value's type with its module; without it for built-in types.

    Args:
        value: Any value.

    Returns:
        The name.

    Example:
        >>> type_name(3), type_name(pd.Series([1]))
        ('int', 'pandas.Series')
    """
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _slices(
    table: Any, size: int, num_rows: int | None, as_part: Callable[[Any], pd.DataFrame]
) -> Iterator[pd.DataFrame]:
    """Consecutive slices of a table; one without rows if the table has none."""
    step = max(size, 1) if num_rows is None else num_rows
    for start in range(0, max(size, 1), step):
        yield as_part(table[start : start + step])


def _frames(source: Any, num_rows: int | None) -> Iterator[pd.DataFrame]:
    """The parts of a table that is not a pandas DataFrame."""
    if _is_hugging_face(source):
        source = _hugging_face(source)
    table = _arrow_table(source)
    if table is not None:
        yield from _slices(table, table.num_rows, num_rows, _arrow_frame)
        return
    rows = iter(_tensorflow_rows(source) if _is_tensorflow(source) else _checked_rows(source))
    while part := list(itertools.islice(rows, num_rows)):
        yield rows_frame(part)


def _refuse_splits(source: Mapping) -> None:
    """Raises ValueError for a dict of tables, such as a `datasets.DatasetDict`."""
    splits = [name for name, value in source.items() if is_table(value)]
    if splits and len(splits) == len(source):
        raise InvalidValueError(
            f"A {type_name(source)} holds several tables: {', '.join(map(str, splits))}. Pass one "
            f"of them, e.g. data[{splits[0]!r}]."
        )


def _checked_rows(source: Any) -> Iterator[Mapping]:
    """Yields the rows of a list or generator of dicts; checks each of them."""
    if not _may_hold_rows(source):
        raise InvalidValueError(_no_table(source))
    for number, row in enumerate(source):
        if not isinstance(row, Mapping):
            raise InvalidValueError(
                f"A table that is a list or a generator must have a dict for each row. "
                f"Received: {type_name(source)} whose item {number} is of type {type_name(row)}"
            )
        yield row


def _may_hold_rows(source: Any) -> bool:
    array = hasattr(source, "__array__") or hasattr(source, _ARROW)
    not_rows = isinstance(source, str | bytes) or array or _mend(source) is not None
    return isinstance(source, Iterable) and not not_rows


def _no_table(source: Any) -> str:
    method = _mend(source)
    hint = "" if method is None else f". Call its `{method}()` and pass the result"
    if isinstance(source, np.ndarray):
        hint = ". Name its columns: pandas.DataFrame(array, columns=[...])"
    return (
        "A table must be a path, a DataFrame (pandas, polars), an Arrow table, a Hugging Face "
        "dataset, a tf.data.Dataset of dicts, a list of dicts, a generator of dicts, or one dict. "
        f"Received: {type_name(source)}{hint}"
    )


def _mend(source: Any) -> str | None:
    # Of an object that streams single values, such as a Series, only `to_frame` returns a table.
    names = _MENDS[:1] if hasattr(source, _ARROW) else _MENDS
    return next((name for name in names if callable(getattr(source, name, None))), None)


def _arrow_table(source: Any) -> pa.Table | None:
    """Converts an object with one of the protocols to an Arrow table; `None` for other objects."""
    if isinstance(source, Sequence) or not (
        hasattr(source, _ARROW) or hasattr(source, _INTERCHANGE)
    ):
        return None
    import pyarrow as pa
    from pyarrow.interchange import from_dataframe

    try:
        return pa.table(source) if hasattr(source, _ARROW) else from_dataframe(source)
    except pa.ArrowException as error:
        if not is_table(source):  # a stream of single values, such as a Series
            raise InvalidValueError(_no_table(source)) from None
        raise InvalidValueError(
            f"A column of this {type_name(source)} has a type that PyArrow cannot read ({error}). "
            "Convert the column to a common type, or remove it."
        ) from error


def _arrow_frame(table: pa.Table) -> pd.DataFrame:
    # By number, because the names of Arrow columns may not be unique.
    cells = {number: _arrow_cells(column) for number, column in enumerate(table.columns)}
    frame = pd.DataFrame(cells, index=range(table.num_rows))
    frame.columns = pd.Index(table.column_names, dtype=object)
    return frame


def _arrow_cells(column: pa.ChunkedArray) -> pd.Series:
    """A column's cells: ints stay ints beside nulls, nested cells become lists and dicts."""
    import pyarrow as pa

    while isinstance(column.type, pa.BaseExtensionType):
        storage = column.type.storage_type
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], storage)
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
        return pd.Series(column.to_pylist(), dtype=object)
    try:
        return column.to_pandas(integer_object_nulls=True).reset_index(drop=True)
    except pa.ArrowException:  # Python has no such type, e.g. for times of day in nanoseconds
        return pd.Series(column.cast(pa.string()).to_pylist(), dtype=object)


def _is_hugging_face(value: Any) -> bool:
    library = sys.modules.get("datasets")  # may also be a module of the user
    kinds = (getattr(library, name, None) for name in ("Dataset", "IterableDataset"))
    known = isinstance(value, tuple(kind for kind in kinds if isinstance(kind, type)))
    return known and hasattr(value, "features")


def _hugging_face(source: Any) -> Any:
    """Converts a dataset to an Arrow table of encoded images; if that is impossible, to rows."""
    if not hasattr(source, "data"):  # a streamed dataset
        encoded = source.features is not None and hasattr(source, "decode")  # since datasets 3.5
        return iter(source.decode(False) if encoded else source)
    if source.format["type"] == "custom":  # the user's transform makes the rows
        return iter(source)
    return source.with_format("arrow")[:]


def _is_tensorflow(value: Any) -> bool:
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def _tensorflow_rows(source: Any) -> Iterator[Mapping]:
    """Yields the rows of a `tf.data.Dataset` of dicts."""
    spec, name = source.element_spec, type_name(source)
    if not isinstance(spec, Mapping):
        raise InvalidValueError(
            "The elements of a tf.data.Dataset must be dicts, one for each row, e.g. with "
            'dataset.map(lambda text, label: {"text": text, "label": label}). '
            f"Received: {name} whose elements are of type {type_name(spec)}"
        )
    if int(source.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise InvalidValueError(
            f"A table must be finite, but this {name} repeats forever. Pass dataset.take(num_rows)."
        )
    if _is_batched(spec.values()):
        raise InvalidValueError(
            f"The elements of a tf.data.Dataset must be single rows. Received: {name} of batches; "
            "pass dataset.unbatch()"
        )
    for row in source.as_numpy_iterator():
        yield {column: _tensorflow_cell(cell) for column, cell in row.items()}


def _is_batched(specs: Iterable[Any]) -> bool:
    """Whether all tensors have the same first axis. If all have three axes, they are images."""
    shapes: list[Any] = [getattr(spec, "shape", None) for spec in specs]
    if not shapes or any(shape is None or not shape.rank for shape in shapes):
        return False
    same_first_axis = len({shape[0] for shape in shapes}) == 1
    return same_first_axis and any(shape.rank != 3 for shape in shapes)


def _tensorflow_cell(cell: Any) -> Any:
    """Decodes strings, which are bytes in TensorFlow, to texts; encoded images stay bytes."""
    if isinstance(cell, Mapping):
        return {name: _tensorflow_cell(part) for name, part in cell.items()}
    if hasattr(cell, "to_list"):  # a ragged tensor
        cell = cell.to_list()
    elif isinstance(cell, np.ndarray) and cell.dtype == object:
        cell = cell.tolist()
    if isinstance(cell, list):
        return [_tensorflow_cell(part) for part in cell]
    if not isinstance(cell, bytes) or (image_format(cell) and b"\0" in cell):
        return cell
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell
