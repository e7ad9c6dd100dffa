"""Collects the problems of a table's rows."""

from __future__ import annotations

import pandas as pd

from keras_mm.data.tables.load import table_name
from keras_mm.errors import Problem


class ProblemReport:
    """Collects problems by row position.

    Args:
        table: The table of the rows.
    """

    def __init__(self, table: pd.DataFrame):
        self.file, self.index = table_name(table), table.index
        self._found: dict[int, list[Problem]] = {}

    def add(self, position: int | None, column: str | None, message: str) -> None:
        """Adds a problem.

        Args:
            position: Position of the row from 0; `None` for a problem of the whole table.
            column: The column; `None` if it is not a problem of a single column.
            message: What is wrong, and how to correct it.
        """
        row = None if position is None else self.index[position]
        problem = Problem(row, column, self.file, message)
        self._found.setdefault(-1 if position is None else position, []).append(problem)

    def has(self, position: int) -> bool:
        """Whether a row has a problem.

        Args:
            position: Position of the row from 0.

        Returns:
            True if a problem was added.
        """
        return position in self._found

    def problems(self) -> list[Problem]:
        """All problems.

        Returns:
            The problems in the order of the table, those of the whole table first.
        """
        return [problem for position in sorted(self._found) for problem in self._found[position]]

    def by_row(self) -> dict[int, list[Problem]]:
        """The problems by row.

        Returns:
            The problems of each bad row by its position, in the order of the table.
        """
        return {position: self._found[position] for position in sorted(self._found)}
