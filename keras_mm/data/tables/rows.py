"""Rows checked and typed once: every problem of a table is found and reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import quote
from keras_mm.data.tables.columns import column_names, missing_columns, nested_columns
from keras_mm.data.tables.image_cells import read_images
from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import load_table, table_name
from keras_mm.data.tables.targets import Target, as_targets, encode_target, missing_label
from keras_mm.data.tables.weights import read_weights
from keras_mm.data.text.control_characters import control_characters
from keras_mm.errors import InvalidValueError, Problem, TableError
from keras_mm.settings.heads import Head
from keras_mm.settings.image_columns import image_counts
from keras_mm.warn import warn


@dataclass(frozen=True)
class Rows:
    """Checked rows: a list per image slot and per text, `None` where one is missing.

    Attributes:
        images: One list of cells per image slot: a column of several images has several slots.
        texts: One list of strings per text column.
        labels: Encoded labels by head, as `keras_mm.data.tables.targets.Encoded` has them, int32
            `(num_rows,)` for classes, -1 where missing; those of a single column are called
            `"label"`. An empty dict without labels.
        numbers: The rows' part of the source table's index, of its kind and with its names.
        skipped: Problems of the rows that `on_error="skip"` left out.
        num_skipped: Number of these rows; a row may have several problems.
        sample_weight: What each row counts, float64 `(num_rows,)`, >= 0; `None` if all count 1.
    """

    images: tuple[list, ...]
    texts: tuple[list, ...]
    labels: dict[str, np.ndarray]
    numbers: pd.Index
    skipped: list[Problem] = field(default_factory=list)
    num_skipped: int = 0
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
    images: Sequence[str] | Mapping[str, int] = (),
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
        images: Image columns, in the order of the model's slots; or a dict of column to the most
            images of its cells, which then are lists or texts such as `a.jpg|b.jpg`.
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
    images: Sequence[str] | Mapping[str, int] = (),
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
        by_row: The problems of each bad row, by its position.
    """

    rows: Rows | None
    good: list[int]
    problems: list[Problem]
    by_row: dict[int, list[Problem]] = field(default_factory=dict)

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
            raise TableError(self.problems, none_left=self.rows is not None)
        warn_left_out(len(self.by_row), len(self.rows), self.problems)
        found = self.rows.take(self.good)
        return replace(found, skipped=self.problems, num_skipped=len(self.by_row))


def warn_left_out(
    count: int, total: int, problems: Sequence[Problem], what: str = "left out"
) -> None:
    """Issues a warning that rows of a table are left out.

    Args:
        count: Number of these rows.
        total: Number of rows of the table.
        problems: Their problems; the first three are named.
        what: What happens to these rows.

    Warns:
        UserWarning: always.
    """
    reasons = [str(problem) for problem in problems[:3]] + ["..."] * (len(problems) > 3)
    warn(f"{count} of {total} rows {what}: {'; '.join(reasons)}")


def examine(
    table: pd.DataFrame,
    images: Sequence[str] | Mapping[str, int],
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
        images: As `read_rows`.
        texts: Text columns, in order.
        labels: As `read_rows`.
        classes: As `read_rows`; without them labels are checked, but not encoded.
        sample_weight: As `read_rows`.
        progress: Whether to show a bar while many images are checked.

    Returns:
        The rows and their problems.
    """
    report = _Report(table)
    names, texts = column_names(images), column_names(texts)
    targets = as_targets(labels, classes)
    columns = [column for target in targets.values() for column in target.columns]
    columns += [] if sample_weight is None else [sample_weight]
    absent = missing_columns(table, [*names, *texts, *columns])
    for sentence in absent + nested_columns(table, names, [*texts, *columns]):
        report.add(None, None, sentence)
    if report.problems():
        return Examined(None, [], report.problems())
    image_lists = tuple(
        slot
        for column, count in image_counts(images)
        for slot in _image_column(table, column, count, report, progress)
    )
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
    return Examined(rows, good, report.problems(), report.by_row())


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

    def by_row(self) -> dict[int, list[Problem]]:
        """The problems of each bad row by its position, in the table's order."""
        return {position: self._found[position] for position in sorted(self._found)}


def _text_column(table: pd.DataFrame, column: str, report: _Report) -> list[str | None]:
    texts: list[str | None] = []
    for position, cell in enumerate(table[column]):
        if is_missing(cell):
            cell = None
        elif not isinstance(cell, str):
            report.add(
                position,
                column,
                f"a text must be a string. Received: {quote(cell, 40)} ({type(cell).__name__}). "
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
            report.add(position, columns[0], missing_label(*targets.values()))
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


def _image_column(
    table: pd.DataFrame, column: str, count: int | None, report: _Report, progress: bool
) -> list[list]:
    origin = table.attrs.get("keras_mm", {})
    slots, problems = read_images(list(table[column]), column, count, origin, progress=progress)
    for position, message in problems:
        report.add(position, column, message)
    return slots
