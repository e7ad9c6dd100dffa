"""Every error that this package raises on purpose; its message says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

_SHOWN = 20  # problems of a table in its message


class KerasMMError(Exception):
    """Base of the package's errors. The message names the problem and the mend.

    Each of them is also the built-in error of its kind: `except ValueError` catches a wrong value.

    Example:
        >>> import keras_mm
        >>> try:
        ...     keras_mm.Head("binnary")
        ... except keras_mm.KerasMMError as error:
        ...     print(isinstance(error, ValueError), str(error)[:21])
        True `kind` must be one of
    """


class InvalidValueError(KerasMMError, ValueError):
    """An argument, a setting or a file has a value that cannot be used."""


class InvalidArgumentError(KerasMMError, TypeError):
    """A call has an argument that does not exist, is missing, or is of another type."""


class MissingFileError(KerasMMError, FileNotFoundError):
    """A file or folder is not there."""


class ExistingFileError(KerasMMError, FileExistsError):
    """A file or folder is there already and is not overwritten."""


class NotAFolderError(KerasMMError, NotADirectoryError):
    """A path that must be a folder is none."""


class ConfigError(KerasMMError, ValueError):
    """Settings that cannot be used; `problems` lists every one of them."""

    def __init__(self, problems: Sequence[str], where: str = "settings"):
        self.problems, self._where = list(problems), where
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"{count} in the {where}:\n{lines}")

    def __reduce__(self):
        return type(self), (self.problems, self._where)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a table.

    Attributes:
        row: The row's index in the table (from 0 for files); `None` for the table as a whole.
        column: The column; `None` for the row as a whole.
        file: The table file, or `"<table>"`.
        message: What is wrong and how to mend it.
        severity: `"error"`; or `"warning"` for a row that can be used as it is.
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


class TableError(KerasMMError, ValueError):
    """A table that cannot be used; `problems` lists every one found."""

    def __init__(self, problems: Sequence[Problem], *, skippable: bool = True):
        self.problems, self._skippable = list(problems), skippable
        lines = [f"  - {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"  ... and {len(self.problems) - _SHOWN} more (see `.problems`)")
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        mend = 'Mend them, or pass on_error="skip" to leave the rows out.'
        if not skippable or any(problem.row is None for problem in self.problems):
            mend = "Mend them and try again."
        super().__init__("\n".join([f"{count} in the table:", *lines, mend]))

    def __reduce__(self):
        return partial(type(self), skippable=self._skippable), (self.problems,)


class ImageError(KerasMMError, ValueError):
    """An image that cannot be used. The message names the file, the rule and the mend."""


class DownloadError(KerasMMError, ConnectionError):
    """Data that could not be downloaded: from where, and how to provide it by hand."""


class PretrainedError(KerasMMError, RuntimeError):
    """Pretrained files that could not be loaded: what, from where, and how to give them by hand."""


class EngineError(KerasMMError, RuntimeError):
    """An engine that cannot run an encoder. The message says what to do."""


class ExportError(KerasMMError, RuntimeError):
    """An artefact that could not be written, or whose answers are not the model's."""


class ForkError(KerasMMError, RuntimeError):
    """Work of a backend in a process that was forked from one where the backend had worked."""


class ChildError(KerasMMError, RuntimeError):
    """A child process that failed; the message says how it ended, then its last words."""
