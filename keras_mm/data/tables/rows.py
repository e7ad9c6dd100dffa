"""Rows checked and typed once: every problem of a table is found and reported at once."""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.columns import column_names, missing_columns
from keras_mm.data.tables.image_cells import image_problems, resolve_image
from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import load_table, table_name, table_parts
from keras_mm.data.tables.targets import Target, as_targets, encode_target
from keras_mm.data.tables.weights import read_weights
from keras_mm.data.text.control_characters import control_characters
from keras_mm.errors import ImageError, InvalidValueError, Problem, TableError
from keras_mm.settings.heads import Head


@dataclass(frozen=True)
class Rows:
    """Checked rows: a list per image slot and per text, `None` where one is missing.

    Attributes:
        images: One list of cells per image column.
        texts: One list of strings per text column.
        labels: Encoded labels by head, as `keras_mm.data.tables.targets.Encoded` has them, int32
            `(num_rows,)` for classes, -1 where missing; those of a single column are called
            `"label"`. An empty dict without labels.
        numbers: The rows' part of the source table's index, of its kind and with its names.
        skipped: Problems of the rows that `on_error="skip"` left out.
        sample_weight: What each row counts, float64 `(num_rows,)`, >= 0; `None` if all count 1.
    """

    images: tuple[list, ...]
    texts: tuple[list, ...]
    labels: dict[str, np.ndarray]
    numbers: pd.Index
    skipped: list[Problem] = field(default_factory=list)
    sample_weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, positions: Sequence[int]) -> Rows:
        """Selects rows.

        Args:
            positions: Positions from 0, in any order.

        Returns:
            These rows, in this order.
        """
        return Rows(
            tuple([cells[i] for i in positions] for cells in self.images),
            tuple([cells[i] for i in positions] for cells in self.texts),
            {name: array[list(positions)] for name, array in self.labels.items()},
            self.numbers.take(np.asarray(positions, dtype=np.intp)),
            sample_weight=None
            if self.sample_weight is None
            else self.sample_weight[list(positions)],
        )


def read_rows(
    table: Any,
    *,
    images: Sequence[str] = (),
    texts: Sequence[str] = (),
    labels: str | Mapping[str, Head] | None = None,
    classes: Sequence | None = None,
    sample_weight: str | None = None,
    image_dir: str | PathLike | None = None,
    on_error: str = "raise",
    progress: bool = True,
) -> Rows:
    """Checks a table and returns its rows, typed.

    Args:
        table: Anything that `load_table` takes.
        images: Image columns, in the order of the model's slots.
        texts: Text columns, in order.
        labels: Column of classes, or heads by name; `None` reads no labels.
        classes: Label names in order; required with a column. Heads have their own.
        sample_weight: Column of the rows' weights, numbers >= 0; `None` if all rows count 1.
        image_dir: See `load_table`; with it, nothing outside it is read.
        on_error: `"raise"` reports all problems at once; `"skip"` leaves the rows out, with a
            warning, and lists them in `skipped`.
        progress: Whether to show a bar while many images are checked.

    Returns:
        The rows, in the table's order; without those that were skipped.

    Raises:
        TableError: with every problem found.
        ValueError: for another `on_error`, or labels without classes.
    """
    check_on_error(on_error)
    table = load_table(table, image_dir=image_dir)
    found = examine(table, images, texts, labels, classes, sample_weight, progress=progress)
    unknown = any(target.needs_classes for target in as_targets(labels, classes).values())
    if unknown and found.rows is not None:
        raise InvalidValueError("`classes` are needed with `labels`: the label names in order.")
    if found.problems and (on_error == "raise" or found.rows is None):
        raise TableError(found.problems)
    return found.good_rows()


def read_row_parts(
    table: Any,
    num_rows: int,
    *,
    images: Sequence[str] = (),
    texts: Sequence[str] = (),
    image_dir: str | PathLike | None = None,
    progress: bool = True,
) -> Iterator[Rows]:
    """The rows that `read_rows` returns, some at a time, so that a large table fits the memory.

    A table that has columns but no rows is one part without rows.

    Args:
        table: As `read_rows`.
        num_rows: Most rows of a part, >= 1.
        images: As `read_rows`.
        texts: As `read_rows`.
        image_dir: As `read_rows`.
        progress: As `read_rows`.

    Yields:
        Rows without labels. After the first problem nothing is yielded.

    Raises:
        TableError: with every problem of the table, after all of it was read.
    """
    problems: list[Problem] = []
    for part in table_parts(table, num_rows, image_dir=image_dir, allow_empty=True):
        found = examine(part, images, texts, None, None, progress=progress)
        problems += found.problems
        if found.rows is None:
            break
        if not problems:
            yield found.rows
    if problems:
        raise TableError(problems, skippable=False)


def check_on_error(on_error: str) -> None:
    """Checks the argument `on_error`.

    Args:
        on_error: The value.

    Raises:
        ValueError: for anything but `"raise"` and `"skip"`.
    """
    if on_error not in ("raise", "skip"):
        raise InvalidValueError(
            f"`on_error` must be 'raise' or 'skip'. Received: on_error={on_error!r}"
        )


def check_table(
    table: Any,
    *,
    images: Sequence[str] = (),
    texts: Sequence[str] = (),
    labels: str | Mapping[str, Head] | None = None,
    classes: Sequence | None = None,
    sample_weight: str | None = None,
    image_dir: str | PathLike | None = None,
    progress: bool = True,
) -> list[Problem]:
    """All problems of a table: bad files, bad texts, bad labels, bad weights, empty rows.

    Texts with control characters are warnings: training and prediction take such rows.

    Args:
        table: As `read_rows`.
        images: As `read_rows`.
        texts: As `read_rows`.
        labels: As `read_rows`.
        classes: As `read_rows`; without them any label is valid.
        sample_weight: As `read_rows`.
        image_dir: As `read_rows`.
        progress: As `read_rows`.

    Returns:
        The errors, then the warnings, each in the table's order (see `Problem.severity`); an empty
        list for a good table.

    Example:
        >>> [p.row for p in check_table([{"text": "good"}, {"text": 7}], texts=["text"])]
        [1]
    """
    table = load_table(table, image_dir=image_dir)
    found = examine(table, images, texts, labels, classes, sample_weight, progress=progress)
    return found.problems + _text_warnings(table, column_names(texts), found.rows)


@dataclass(frozen=True)
class Examined:
    """The content of a table, and its problems.

    Attributes:
        rows: All rows, bad cells `None`; `None` if a column is missing, or all weights are 0.
        good: Positions of the rows without a problem.
        problems: All problems, in the table's order.
    """

    rows: Rows | None
    good: list[int]
    problems: list[Problem]

    def good_rows(self) -> Rows:
        """The rows without a problem, with a warning that names the others.

        Returns:
            Rows, with the problems of the others as `skipped`.

        Raises:
            TableError: if there are no rows, or none is left.
        """
        if self.rows is not None and not self.problems:
            return self.rows
        if self.rows is None or not self.good:
            raise TableError(self.problems)
        warnings.warn(
            f"{len(self.rows) - len(self.good)} of {len(self.rows)} rows left out: "
            + "; ".join(str(problem) for problem in self.problems[:3])
            + ("; ..." if len(self.problems) > 3 else ""),
            stacklevel=3,
        )
        return replace(self.rows.take(self.good), skipped=self.problems)


def examine(
    table: pd.DataFrame,
    images: Sequence[str],
    texts: Sequence[str],
    labels: str | Mapping[str, Head] | None,
    classes: Sequence | None,
    sample_weight: str | None = None,
    *,
    progress: bool = True,
) -> Examined:
    """Reads all rows of a table; every image is opened once.

    Args:
        table: A table of `load_table`.
        images: Image columns, in order.
        texts: Text columns, in order.
        labels: As `read_rows`.
        classes: As `read_rows`; without them labels are checked, but not encoded.
        sample_weight: As `read_rows`.
        progress: Whether to show a bar while many images are checked.

    Returns:
        The rows and their problems.
    """
    report = _Report(table)
    images, texts = column_names(images), column_names(texts)
    targets = as_targets(labels, classes)
    columns = [column for target in targets.values() for column in target.columns]
    columns += [] if sample_weight is None else [sample_weight]
    for sentence in missing_columns(table, [*images, *texts, *columns]):
        report.add(None, None, sentence)
    if report.problems():
        return Examined(None, [], report.problems())
    image_lists = tuple(_image_column(table, column, report, progress) for column in images)
    text_lists = tuple(_text_column(table, column, report) for column in texts)
    encoded = _labels(table, targets, report)
    weights = None if sample_weight is None else _weights(table, sample_weight, report)
    for position, parts in enumerate(zip(*image_lists, *text_lists, strict=True)):
        if all(part is None for part in parts) and not report.has(position):
            report.add(position, None, "the row is empty: give at least one image or text.")
    rows = Rows(image_lists, text_lists, encoded, table.index.copy(), sample_weight=weights)
    good = [position for position in range(len(rows)) if not report.has(position)]
    if weights is not None and good and not weights[good].any():
        report.add(None, sample_weight, "all weights are 0: give one above 0 to rows that count.")
        return Examined(None, [], report.problems())
    return Examined(rows, good, report.problems())


class _Report:
    """Collects problems by row position."""

    def __init__(self, table: pd.DataFrame):
        self.file, self.index = table_name(table), table.index
        self._found: dict[int, list[Problem]] = {}

    def add(self, position: int | None, column: str | None, message: str) -> None:
        """Adds a problem; a position of `None` stands for the whole table."""
        row = None if position is None else self.index[position]
        problem = Problem(row, column, self.file, message)
        self._found.setdefault(-1 if position is None else position, []).append(problem)

    def has(self, position: int) -> bool:
        """Whether a row has a problem."""
        return position in self._found

    def problems(self) -> list[Problem]:
        """All problems, in the table's order."""
        return [problem for position in sorted(self._found) for problem in self._found[position]]


def _text_column(table: pd.DataFrame, column: str, report: _Report) -> list[str | None]:
    texts: list[str | None] = []
    for position, cell in enumerate(table[column]):
        if is_missing(cell):
            cell = None
        elif not isinstance(cell, str):
            report.add(
                position,
                column,
                f"a text must be a string. Received: {reprlib.repr(cell)} ({type(cell).__name__}). "
                "Convert the column with astype(str).",
            )
            cell = None
        elif not _encodable(cell):
            report.add(
                position, column, "the text holds a lone surrogate; it is not valid Unicode."
            )
            cell = None
        texts.append(cell)
    return texts


def _text_warnings(table: pd.DataFrame, columns: Sequence[str], rows: Rows | None) -> list[Problem]:
    """Warnings about texts that a tokenizer does not read as written, in the table's order."""
    return [
        Problem(table.index[position], column, table_name(table), message, "warning")
        for position, texts in enumerate(zip(*rows.texts, strict=True) if rows else ())
        for column, text in zip(columns, texts, strict=True)
        if text is not None and (message := control_characters(text))
    ]


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _labels(
    table: pd.DataFrame, targets: Mapping[str, Target], report: _Report
) -> dict[str, np.ndarray]:
    """Labels by head, where its classes are known. A row may lack some, but not all."""
    found = {name: encode_target(table, target) for name, target in targets.items()}
    for encoded in found.values():
        for position, column, message in encoded.problems:
            report.add(position, column, message)
    without = [set(encoded.missing) for encoded in found.values()]
    columns = [column for target in targets.values() for column in target.columns]
    for position in sorted(set.intersection(*without)) if without else ():
        if len(targets) == 1:
            report.add(position, columns[0], "the label is missing. Fill it in or drop the row.")
        else:
            names = ", ".join(map(repr, columns))
            words = f"all labels are missing ({names}). Fill one in or drop the row."
            report.add(position, None, words)
    return {name: one.labels for name, one in found.items() if one.labels is not None}


def _weights(table: pd.DataFrame, column: str, report: _Report) -> np.ndarray:
    weights, problems = read_weights(table[column])
    for position, message in problems:
        report.add(position, column, message)
    return weights


def _image_column(table: pd.DataFrame, column: str, report: _Report, progress: bool) -> list:
    origin = table.attrs.get("keras_mm", {})
    folder, confined = origin.get("image_dir"), origin.get("confined", False)
    cells = []
    for position, cell in enumerate(table[column]):
        try:
            cells.append(None if is_missing(cell) else resolve_image(cell, folder, confined))
        except ImageError as error:
            report.add(position, column, str(error))
            cells.append(None)
    found = image_problems(cells, description=f"checking {column}", progress=progress)
    for position, message in enumerate(found):
        if message is not None:
            report.add(position, column, message)
    return cells
