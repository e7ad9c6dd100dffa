"""The rows of a large table, some at a time, perhaps without those that cannot be used."""

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

_LONGEST = 200  # characters of a row's problem in a cell


@dataclass
class SkippedRows:
    """The rows of a table that are left out; complete once the table is read.

    Attributes:
        problems: The problems of each row that is left out, by its position from 0.
        num_rows: Number of rows of the table, with those that are left out.
    """

    problems: dict[int, list[Problem]] = field(default_factory=dict)
    num_rows: int = 0
    _indexes: list[pd.Index] = field(default_factory=list)

    @classmethod
    def create(cls, on_error: str) -> SkippedRows | None:
        """What `read_row_parts` needs for a value of `on_error`.

        Args:
            on_error: `"raise"` or `"skip"`.

        Returns:
            `None` for `"raise"`.

        Raises:
            ValueError: for another value.
        """
        check_on_error(on_error)
        return cls() if on_error == "skip" else None

    @property
    def index(self) -> pd.Index:
        """The table's index, with the rows that are left out."""
        first, *others = self._indexes
        return first.append(others) if others else first

    def add(self, examined: Examined) -> None:
        """Adds the next rows of the table.

        Args:
            examined: The rows and their problems.
        """
        for position, problems in examined.by_row.items():
            self.problems[self.num_rows + position] = problems
        if examined.rows is not None:
            self._indexes.append(examined.rows.numbers)
            self.num_rows += len(examined.rows)

    def used(self) -> np.ndarray:
        """Whether each row of the table is used.

        Returns:
            Shape `(num_rows,)`, bool.
        """
        found = np.ones(self.num_rows, dtype=bool)
        found[list(self.problems)] = False
        return found

    def errors(self) -> np.ndarray:
        """The problem of each row as text.

        Returns:
            Shape `(num_rows,)`, dtype object: at most 200 characters each; `None` for a row that is
            used.
        """
        found = np.full(self.num_rows, None, dtype=object)
        for position, problems in self.problems.items():
            found[position] = row_error(problems)
        return found

    def warn(self) -> None:
        """Warns that these rows have no prediction: how many, and the first problems.

        Warns:
            UserWarning: if rows are left out.
        """
        if self.problems:
            named = [problem for problems in self.problems.values() for problem in problems]
            warn_left_out(len(self.problems), self.num_rows, named, "have no prediction")


def row_error(problems: Sequence[Problem]) -> str:
    """The problems of a row in one line.

    Args:
        problems: The problems of one row, at least one.

    Returns:
        The first problem, and how many more there are; at most 200 characters.

    Example:
        >>> row_error([Problem(7, "text", "a.csv", "the text is bad."), Problem(7, None, "", "b")])
        "column 'text': the text is bad. (and 1 more)"
    """
    first = problems[0]
    place = "" if first.column is None else f"column {first.column!r}: "
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    line, most = " ".join(f"{place}{first.message}".split()), _LONGEST - len(more)
    return (line if len(line) <= most else line[: most - 3] + "...") + more


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
    """The rows that `read_rows` returns, some at a time, so that a large table fits the memory.

    A table that has columns but no rows is one part without rows; so is, with `skipped`, a table
    whose rows are all left out.

    Args:
        table: As `read_rows`.
        num_rows: Most rows of a part, >= 1.
        images: As `read_rows`.
        texts: As `read_rows`.
        image_dir: As `read_rows`.
        skipped: Gets the rows that cannot be used, which are left out; `None` raises an error for
            them.
        progress: As `read_rows`.

    Yields:
        Rows without labels. Without `skipped`, nothing is yielded after the first problem. With it,
        each part but the last has `num_rows` rows.

    Raises:
        TableError: with every problem of the table, after all of it was read; with `skipped` only
            if a column is missing.
    """
    parts = (
        examine(part, images, texts, None, None, progress=progress)
        for part in table_parts(table, num_rows, image_dir=image_dir, allow_empty=True)
    )
    yield from _all(parts) if skipped is None else _usable(parts, num_rows, skipped)


def _all(parts: Iterator[Examined]) -> Iterator[Rows]:
    problems: list[Problem] = []
    for found in parts:
        problems += found.problems
        if found.rows is None:
            break
        if not problems:
            yield found.rows
    if problems:
        raise TableError(problems)


def _usable(parts: Iterator[Examined], num_rows: int, skipped: SkippedRows) -> Iterator[Rows]:
    """The usable rows in the parts of a table that has no others.

    So a row's prediction is the same to the bit with and without unusable rows in its table.
    """
    waiting, is_first = None, True
    for found in parts:
        if found.rows is None:
            raise TableError(found.problems)
        skipped.add(found)
        rows = found.rows.take(found.good) if found.by_row else found.rows
        waiting = rows if waiting is None else _joined(waiting, rows)
        if len(waiting) >= num_rows:
            yield waiting.take(range(num_rows))
            waiting, is_first = waiting.take(range(num_rows, len(waiting))), False
    if waiting is not None and (is_first or len(waiting)):
        yield waiting


def _joined(first: Rows, second: Rows) -> Rows:
    """Rows without labels, one after the other."""
    return replace(
        first,
        images=tuple(a + b for a, b in zip(first.images, second.images, strict=True)),
        texts=tuple(a + b for a, b in zip(first.texts, second.texts, strict=True)),
        numbers=first.numbers.append(second.numbers),
    )
