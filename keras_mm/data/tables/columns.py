"""Checks that a table has the columns that are asked for, and suggests similar names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from keras_mm.checks import nearest_name

if TYPE_CHECKING:
    import pandas as pd

_IMAGE_FIELDS = {"bytes", "path"}


def missing_columns(table: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Describes each column that a table lacks, or has more than once.

    Args:
        table: The table.
        columns: Names that the table must have exactly once.

    Returns:
        A sentence for each problem, in the order of `columns`; for a missing column with the most
        similar name, if there is one.

    Example:
        >>> import pandas as pd
        >>> missing_columns(pd.DataFrame({"text_1": ["a"]}), ["text1"])
        ["no column 'text1'. Did you mean 'text_1'?"]
    """
    return missing_names(list(table.columns), columns)


def missing_names(names: Sequence[object], columns: Iterable[str]) -> list[str]:
    """Like `missing_columns`, but takes the column names of the table.

    Args:
        names: Names of the columns of the table.
        columns: Names that the table must have exactly once.

    Returns:
        A sentence for each problem, in the order of `columns`.
    """
    known = [str(column) for column in names]
    sentences = []
    for column in dict.fromkeys(columns):
        count = names.count(column)
        if count > 1:
            sentences.append(f"{count} columns are named {column!r}. Rename all but one.")
        if count:
            continue
        similar = nearest_name(column, known, cutoff=0.5)
        hint = (
            f"Did you mean {similar!r}?"
            if similar is not None
            else f"The columns are: {', '.join(known)}."
        )
        sentences.append(f"no column {column!r}. {hint}")
    return sentences


def nested_columns(
    table: pd.DataFrame, images: Iterable[str] = (), others: Iterable[str] = ()
) -> list[str]:
    """Describes each column whose cells are records (dicts), or lists of records.

    A column with only one cell that is not empty is not reported: its row is.

    Args:
        table: The table; columns that it lacks are skipped.
        images: Image columns; records with a field `bytes` or `path` are valid there.
        others: Columns of texts, labels or weights.

    Returns:
        A sentence for each problem, image columns first.

    Example:
        >>> import pandas as pd
        >>> nested_columns(pd.DataFrame({"meta": [{"name": "a"}] * 2}), others=["meta"])[0][:56]
        "the column 'meta' holds records with the fields 'name'. "
    """
    images, sentences = list(images), []
    for column in dict.fromkeys([*images, *others]):
        if (table.columns == column).sum() != 1:
            continue
        fields = _record_fields(table[column])
        if not fields or (column in images and _IMAGE_FIELDS & set(fields)):
            continue
        solution = (
            "Extract the field that you need into a column of its own (in polars: df.unnest())."
        )
        if column in images:
            solution = "A record of an image must have the field 'bytes' or 'path'."
        names = ", ".join(map(repr, fields))
        sentences.append(f"the column {column!r} holds records with the fields {names}. {solution}")
    return sentences


def _record_fields(cells: Iterable) -> list[str]:
    """Fields of the first record; empty if some cell is neither empty nor made of records.

    Also empty for a single cell of records, which is reported as a problem of its row.
    """
    from keras_mm.data.tables.labels import is_missing  # not at the top: it imports pandas

    fields, count = list[str](), 0
    for cell in cells:
        parts = cell if isinstance(cell, list | tuple) else [cell]
        parts = [part for part in parts if not is_missing(part)]
        if not all(isinstance(part, Mapping) for part in parts):
            return []
        if parts and not fields:
            fields = [str(name) for name in parts[0]]
        count += bool(parts)
    return fields if count > 1 else []


def column_names(columns: str | Iterable[str]) -> list[str]:
    """Makes a list of column names; a single name becomes a list of one.

    Args:
        columns: A name or several names.

    Returns:
        The names, in order.

    Example:
        >>> column_names("text_1")
        ['text_1']
    """
    return [columns] if isinstance(columns, str) else list(columns)
