"""Reads a large table in parts, optionally without the rows that have problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.load import table_parts
from keras_mm.data.tables.rows import Examined, Rows, check_on_error, examine, warn_left_out
from keras_mm.errors import Problem, TableError

_LONGEST = 200  # most characters of a problem in a cell of the column `error`


@dataclass
class SkippedRows:
    """The rows of a table that were left out. Complete only after the whole table was read.

    Attributes:
        problems: The problems of each row that was left out, by its position from 0.
        num_rows: Number of rows of the table that were read, including those left out.
    """

    problems: dict[int, list[Problem]] = field(default_factory=dict)
    num_rows: int = 0
    _indexes: list[pd.Index] = field(default_factory=list)

    @classmethod
    def create(cls, on_error: str) -> SkippedRows | None:
        """Creates the argument `skipped` of `read_row_parts`.

        Args:
            on_error: `"raise"` or `"skip"`.

        Returns:
            An empty `SkippedRows` for `"skip"`, `None` for `"raise"`.

        Raises:
            ValueError: for another value.
        """
        check_on_error(on_error)
        return cls() if on_error == "skip" else None

    @property
    def index(self) -> pd.Index:
        """The index of the table, including the rows that were left out."""
        first, *others = self._indexes
        return first.append(others) if others else first

    def add(self, examined: Examined) -> None:
        """Adds the next rows of the table.

        Args:
            examined: These rows and their problems.
        """
        for position, problems in examined.by_row.items():
            self.problems[self.num_rows + position] = problems
        if examined.rows is not None:
            self._indexes.append(examined.rows.numbers)
            self.num_rows += len(examined.rows)

    def used(self) -> np.ndarray:
        """Whether each row of the table is used.

        Returns:
            bool, shape `(num_rows,)`: False for a row that was left out.
        """
        is_used = np.ones(self.num_rows, dtype=bool)
        is_used[list(self.problems)] = False
        return is_used

    def errors(self) -> np.ndarray:
        """The problems of each row as text.

        Returns:
            Shape `(num_rows,)`, dtype object: texts of at most 200 characters; `None` for a row
            that is used.
        """
        texts = np.full(self.num_rows, None, dtype=object)
        for position, problems in self.problems.items():
            texts[position] = row_error(problems)
        return texts

    def warn(self) -> None:
        """Warns of the rows that have no prediction; names their number and the first problems.

        Warns:
            UserWarning: if rows were left out.
        """
        if self.problems:
            all_problems = [problem for problems in self.problems.values() for problem in problems]
            warn_left_out(len(self.problems), self.num_rows, all_problems, "have no prediction")


def row_error(problems: Sequence[Problem]) -> str:
    """Describes the problems of a row in one line.

    Args:
        problems: The problems of one row, at least one.

    Returns:
        The first problem and the number of the others; at most 200 characters.

    Example:
        >>> row_error([Problem(7, "text", "a.csv", "the text is bad."), Problem(7, None, "", "b")])
        "column 'text': the text is bad. (and 1 more)"
    """
    first = problems[0]
    prefix = "" if first.column is None else f"column {first.column!r}: "
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    line, limit = " ".join(f"{prefix}{first.message}".split()), _LONGEST - len(more)
    return (line if len(line) <= limit else line[: limit - 3] + "...") + more


def read_row_parts(
    table: Any,
    num_rows: int,
    *,
    images: Sequence[str] | Mapping[str, int] = (),
    texts: Sequence[str] = (),
    image_dir: str | PathLike | None = None,
    skipped: SkippedRows | None = None,
    progress: bool = True,
) -> Iterator[Rows]:
    """Reads the rows of a table in parts, so that a large table fits into memory.

    A table with columns but without rows yields one part without rows. So does, with `skipped`, a
    table in which every row has a problem.

    Args:
        table: As in `read_rows`.
        num_rows: Largest number of rows in a part, >= 1.
        images: As in `read_rows`.
        texts: As in `read_rows`.
        image_dir: As in `read_rows`.
        skipped: Collects the rows with problems, which are left out. If `None`, they raise an
            error.
        progress: As in `read_rows`.

    Yields:
        Rows without labels. Without `skipped`, nothing more is yielded after the first problem.
        With it, all parts but the last have exactly `num_rows` rows.

    Raises:
        TableError: listing every problem, after the whole table was read; with `skipped` only if a
            column is missing.

    Example:
        >>> [len(rows) for rows in read_row_parts([{"text": "a"}] * 5, 2, texts=["text"])]
        [2, 2, 1]
    """
    parts = (
        examine(part, images, texts, None, None, progress=progress)
        for part in table_parts(table, num_rows, image_dir=image_dir, allow_empty=True)
    )
    yield from _all(parts) if skipped is None else _usable(parts, num_rows, skipped)


def _all(parts: Iterator[Examined]) -> Iterator[Rows]:
    problems: list[Problem] = []
    for examined in parts:
        problems += examined.problems
        if examined.rows is None:
            break
        if not problems:
            yield examined.rows
    if problems:
        raise TableError(problems)


def _usable(parts: Iterator[Examined], num_rows: int, skipped: SkippedRows) -> Iterator[Rows]:
    """Yields the rows without problems, in full parts.

    A part is as long as if the table had no other rows. So the bits of a prediction do not depend
    on rows that are left out.
    """
    waiting, is_first = None, True
    for examined in parts:
        if examined.rows is None:
            raise TableError(examined.problems)
        skipped.add(examined)
        rows = examined.rows.take(examined.good) if examined.by_row else examined.rows
        waiting = rows if waiting is None else _joined(waiting, rows)
        if len(waiting) >= num_rows:
            yield waiting.take(range(num_rows))
            waiting, is_first = waiting.take(range(num_rows, len(waiting))), False
    if waiting is not None and (is_first or len(waiting)):
        yield waiting


def _joined(first: Rows, second: Rows) -> Rows:
    """Concatenates rows that have no labels."""
    return replace(
        first,
        images=tuple(a + b for a, b in zip(first.images, second.images, strict=True)),
        texts=tuple(a + b for a, b in zip(first.texts, second.texts, strict=True)),
        numbers=first.numbers.append(second.numbers),
    )
