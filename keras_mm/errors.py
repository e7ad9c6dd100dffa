"""The errors that this package raises; each message says what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

_SHOWN = 20  # largest number of lines in a message, and of rows in a line
_SHOWN_ALIKE = 3  # of many problems that are alike
_QUOTED_OR_NUMBER = r"""'[^']*'|"[^"]*"|\d+"""


class KerasMMError(Exception):
    """Base of the package's errors. The message names the problem and how to solve it.

    Each error is also a built-in error, so `except ValueError` catches an invalid value.

    Example:
        >>> import keras_mm
        >>> try:
        ...     keras_mm.Head("binnary")
        ... except keras_mm.KerasMMError as error:
        ...     print(isinstance(error, ValueError), str(error)[:21])
        True `kind` must be one of
    """


class InvalidValueError(KerasMMError, ValueError):
    """An argument, a setting or a file has an invalid value."""


class InvalidArgumentError(KerasMMError, TypeError):
    """An argument of a call is unknown, missing, or of the wrong type."""


class MissingFileError(KerasMMError, FileNotFoundError):
    """A file or folder does not exist."""


class ExistingFileError(KerasMMError, FileExistsError):
    """A file or folder exists already and is not overwritten."""


class NotAFolderError(KerasMMError, NotADirectoryError):
    """A path is not a folder."""


class ConfigError(KerasMMError, ValueError):
    """Settings are invalid.

    Args:
        problems: A sentence for each problem.
        where: Source of the settings, for the message.

    Attributes:
        problems: The argument as a list.
    """

    def __init__(self, problems: Sequence[str], where: str = "settings"):
        self.problems, self._where = list(problems), where
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"{count} in the {where}:\n{lines}")

    # Pickle would pass the message to the constructor. Worker processes pickle their errors.
    def __reduce__(self):
        return type(self), (self.problems, self._where)


@dataclass(frozen=True)
class Problem:
    """One problem of a table.

    Attributes:
        row: Index of the row in the table (from 0 for files); `None` for a problem of the table.
        column: Name of the column; `None` for a problem of the whole row.
        file: The table file; `"<table>"` for a table in memory.
        message: The problem and how to solve it.
        severity: `"error"`, or `"warning"` if the row can be used nevertheless.
    """

    row: Any
    column: str | None
    file: str
    message: str
    severity: str = "error"

    def __str__(self) -> str:
        place = [self.file]
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.column is not None:
            place.append(f"column {self.column!r}")
        warning = "warning: " if self.severity == "warning" else ""
        return f"{', '.join(place)}: {warning}{self.message}"


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Formats problems, one on a line; of more than four of a kind, three are shown.

    Problems of a kind are in one column of different rows, and their messages differ only in
    numbers and quoted text.

    Args:
        problems: The problems of one or more tables.

    Returns:
        Lines in the order of the problems. After the third of a kind, a line counts the others and
        lists their rows.

    Example:
        >>> problems = [Problem(number, "a", "t.csv", "it is bad.") for number in range(7)]
        >>> for line in problem_lines(problems)[2:]:
        ...     print(line)
        t.csv, row 2, column 'a': it is bad.
        t.csv, column 'a': 4 more like this, in the rows 3, 4, 5, 6
    """
    kinds: dict[tuple, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(_kind(problem), []).append(problem)
    lines, shown = [], dict.fromkeys(kinds, 0)
    for problem in problems:
        kind = _kind(problem)
        shown[kind] += 1
        few = problem.row is None or len(kinds[kind]) <= _SHOWN_ALIKE + 1
        if few or shown[kind] <= _SHOWN_ALIKE:
            lines.append(str(problem))
        elif shown[kind] == _SHOWN_ALIKE + 1:
            lines.append(_others(kind[0], kinds[kind][_SHOWN_ALIKE:]))
    return lines


def _others(place: str, problems: Sequence[Problem]) -> str:
    """The line that counts the problems of a kind that are not shown."""
    rows = [str(problem.row) for problem in problems[:_SHOWN]]
    rows += ["..."] if len(problems) > _SHOWN else []
    return f"{place}: {len(problems):,} more like this, in the rows {', '.join(rows)}"


def _kind(problem: Problem) -> tuple[str, str]:
    """The place of a problem without the row, and its message without numbers and quoted text."""
    place = str(replace(problem, row=None, message="")).removesuffix(": ")
    return place, re.sub(_QUOTED_OR_NUMBER, "#", problem.message)


class TableError(KerasMMError, ValueError):
    """A table has rows or columns that cannot be used.

    Args:
        problems: All problems that were found.
        skippable: Whether the caller has an option to skip rows with problems; the message then
            mentions it.
        none_left: Whether the caller skips these rows, and no row is left.

    Attributes:
        problems: The argument as a list.

    Example:
        >>> error = TableError([Problem(3, "label", "rows.csv", "the cell is empty.")])
        >>> [(problem.row, str(problem)) for problem in error.problems]
        [(3, "rows.csv, row 3, column 'label': the cell is empty.")]
    """

    def __init__(
        self, problems: Sequence[Problem], *, skippable: bool = True, none_left: bool = False
    ):
        self.problems = list(problems)
        self._options = {"skippable": skippable, "none_left": none_left}
        shown = problem_lines(self.problems)
        lines = [f"  - {line}" for line in shown[:_SHOWN]]
        if len(shown) > _SHOWN:
            lines.append("  ... and more (see `.problems`)")
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        solution = (
            'Fix them, or pass on_error="skip" (in the command line --on-error skip) to leave the '
            "rows out."
        )
        if none_left:
            solution = "Every row has a problem, so no row is left. Fix some rows and try again."
        elif not skippable or any(problem.row is None for problem in self.problems):
            solution = "Fix them and try again."
        super().__init__("\n".join([f"{count} in the table:", *lines, solution]))

    def __reduce__(self):
        return partial(type(self), **self._options), (self.problems,)


class ImageError(KerasMMError, ValueError):
    """An image cannot be used. The message names the file, the rule and the solution."""


class DownloadError(KerasMMError, ConnectionError):
    """Data could not be downloaded. The message says how to provide it by hand."""


class PretrainedError(KerasMMError, RuntimeError):
    """Pretrained files could not be loaded. The message says how to provide them by hand."""


class EngineError(KerasMMError, RuntimeError):
    """An engine cannot run an encoder. The message says what to do."""


class ExportError(KerasMMError, RuntimeError):
    """An export could not be written, or its predictions differ from the model's."""


class ForkError(KerasMMError, RuntimeError):
    """A backend is used in a process that was forked after the backend had been started."""


class ChildError(KerasMMError, RuntimeError):
    """A child process failed. The message holds its exit status and the end of its stderr."""
