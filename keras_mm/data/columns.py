"""Finding a table's columns, with the nearest name for one that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import pandas as pd


def missing_columns(table: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """A sentence for each of `columns` that `table` lacks.

    Example:
        >>> missing_columns(pd.DataFrame({"text_1": ["a"]}), ["text1"])
        ["no column 'text1'. Did you mean 'text_1'?"]
    """
    known = [str(column) for column in table.columns]
    sentences = []
    for column in dict.fromkeys(columns):
        if column in table.columns:
            continue
        nearest = get_close_matches(column, known, n=1, cutoff=0.5)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(known)}."
        sentences.append(f"no column {column!r}. {hint}")
    return sentences
