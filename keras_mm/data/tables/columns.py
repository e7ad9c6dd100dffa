"""Finding a table's columns, with the nearest name for one that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from keras_mm.checks import nearest_name

if TYPE_CHECKING:
    import pandas as pd


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
