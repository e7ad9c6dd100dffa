"""Finding a table's columns, with the nearest name for one that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from keras_mm.checks import nearest_name

if TYPE_CHECKING:
    import pandas as pd

_IMAGE_FIELDS = {"bytes", "path"}


def missing_columns(table: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """A sentence for each column that a table lacks, or has more than once.

    Args:
        table: The table.
        columns: Names that must be there, once.

    Returns:
        Sentences, in the order of `columns`; with the nearest name for one that is not there.

    Example:
        >>> import pandas as pd
        >>> missing_columns(pd.DataFrame({"text_1": ["a"]}), ["text1"])
        ["no column 'text1'. Did you mean 'text_1'?"]
    """
    return missing_names(list(table.columns), columns)


def missing_names(names: Sequence[object], columns: Iterable[str]) -> list[str]:
    """As `missing_columns`, for the names of a table's columns.

    Args:
        names: Names of the table's columns.
        columns: Names that must be there, once.

    Returns:
        Sentences, in the order of `columns`.
    """
    known = [str(column) for column in names]
    sentences = []
    for column in dict.fromkeys(columns):
        count = names.count(column)
        if count > 1:
            sentences.append(f"{count} columns are named {column!r}. Rename all but one.")
        if count:
            continue
        nearest = nearest_name(column, known, cutoff=0.5)
        hint = (
            f"Did you mean {nearest!r}?"
            if nearest is not None
            else f"There are: {', '.join(known)}."
        )
        sentences.append(f"no column {column!r}. {hint}")
    return sentences


def nested_columns(
    table: pd.DataFrame, images: Iterable[str] = (), others: Iterable[str] = ()
) -> list[str]:
    """A sentence for each column whose cells, two or more, are records or lists of records.

    Args:
        table: The table; columns that it lacks are skipped.
        images: Image columns; their records may have the fields `bytes` and `path`.
        others: Columns of texts and labels.

    Returns:
        Sentences, images first.

    Example:
        >>> import pandas as pd
        >>> nested_columns(pd.DataFrame({"meta": [{"name": "a"}] * 2}), others=["meta"])[0][:56]
        "the column 'meta' holds records with the fields 'name'. "
    """
    images, found = list(images), []
    for column in dict.fromkeys([*images, *others]):
        if (table.columns == column).sum() != 1:
            continue
        fields = _record_fields(table[column])
        if not fields or (column in images and _IMAGE_FIELDS & set(fields)):
            continue
        mend = "Give the field that you mean as a column of its own, as df.unnest() does in polars."
        if column in images:
            mend = "A record of an image has the fields 'bytes' or 'path'."
        names = ", ".join(map(repr, fields))
        found.append(f"the column {column!r} holds records with the fields {names}. {mend}")
    return found


def _record_fields(cells: Iterable) -> list[str]:
    """Fields of the first record; none if some cell is neither empty nor of records.

    A record alone counts as the mistake of its row.
    """
    from keras_mm.data.tables.labels import is_missing  # imports pandas

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
    """Column names as a list; one name is a list of one.

    Args:
        columns: A name, or names.

    Returns:
        The names, in order.

    Example:
        >>> column_names("text_1")
        ['text_1']
    """
    return [columns] if isinstance(columns, str) else list(columns)
