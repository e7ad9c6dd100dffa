"""Reads and checks the rows of a table; all problems are reported at once."""

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
from keras_mm.data.tables.problem_report import ProblemReport
from keras_mm.data.tables.targets import Target, as_targets, encode_target, missing_label
from keras_mm.data.tables.weights import read_weights
from keras_mm.data.text.control_characters import control_characters
from keras_mm.errors import InvalidValueError, Problem, TableError
from keras_mm.settings.heads import Head
from keras_mm.settings.image_columns import image_counts
from keras_mm.warn import warn


@dataclass(frozen=True)
class Rows:
    """Checked rows, by column; `None` stands for a missing image or text.

    Attributes:
        images: A list of image cells for each slot. A column of several images has several slots.
        texts: A list of strings for each text column.
        labels: Encoded labels by head, see `keras_mm.data.tables.targets.Encoded`; a label column
            without heads is the head `"label"`. An empty dict if no labels were read.
        numbers: Index of the rows in the source table.
        skipped: Problems of the rows that `on_error="skip"` left out.
        num_skipped: Number of these rows; a row may have several problems.
        sample_weight: Weights of the rows, >= 0, float64 `(num_rows,)`; `None` if all count 1.
        groups: Number of each row's group, int64 `(num_rows,)`; `None` if there are no groups.
    """

    images: tuple[list, ...]
    texts: tuple[list, ...]
    labels: dict[str, np.ndarray]
    numbers: pd.Index
    skipped: list[Problem] = field(default_factory=list)
    num_skipped: int = 0
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, positions: Sequence[int]) -> Rows:
        """Selects rows.

        Args:
            positions: Positions from 0, in any order, also repeated.

        Returns:
            The rows at these positions, in this order; without `skipped`.
        """
        of_rows: dict[str, Any] = {
            name: None if values is None else values[list(positions)]
            for name, values in (("sample_weight", self.sample_weight), ("groups", self.groups))
        }
        return Rows(
            tuple([cells[i] for i in positions] for cells in self.images),
            tuple([cells[i] for i in positions] for cells in self.texts),
            {name: array[list(positions)] for name, array in self.labels.items()},
            self.numbers.take(np.asarray(positions, dtype=np.intp)),
            **of_rows,
        )

    def one_side(self, side: str) -> Rows:
        """These rows for a model of the images alone, or of the texts alone.

        Args:
            side: `"vision"` or `"text"`.

        Returns:
            The rows without the columns of the other side.
        """
        return replace(self, images=()) if side == "text" else replace(self, texts=())


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
    """Checks a table and returns its rows.

    Args:
        table: Anything that `load_table` takes.
        images: Image columns, in the order of the slots of the model; or, for columns of several
            images, a dict from column to the largest number of images in a cell. Such cells are
            lists, or texts such as `a.jpg|b.jpg`.
        texts: Text columns, in order.
        labels: Column of classes, or heads by name; `None` reads no labels.
        classes: Label names in order; required if `labels` is a column. Heads have their own.
        sample_weight: Column of row weights, numbers >= 0; `None` if all rows count 1.
        image_dir: As in `load_table`.
        on_error: `"raise"` raises an error that lists all problems; `"skip"` leaves out the rows
            with problems, issues a warning, and lists the problems in `skipped`.
        progress: Whether to show a progress bar while many images are checked.

    Returns:
        The rows in the order of the table.

    Raises:
        TableError: listing every problem; with `"skip"` only if a column is missing, or no row is
            left.
        ValueError: for another value of `on_error`, or for labels without classes.

    Example:
        >>> table = [{"text": "a", "label": "no"}, {"text": "b", "label": "yes"}]
        >>> rows = read_rows(table, texts=["text"], labels="label", classes=["no", "yes"])
        >>> rows.texts, rows.labels["label"].tolist()
        ((['a', 'b'],), [0, 1])
    """
    check_on_error(on_error)
    table = load_table(table, image_dir=image_dir)
    examined = examine(table, images, texts, labels, classes, sample_weight, progress=progress)
    lacks_classes = any(target.needs_classes for target in as_targets(labels, classes).values())
    if lacks_classes and examined.rows is not None:
        raise InvalidValueError(
            "`classes` are required with a label column: pass the label names in order."
        )
    if examined.problems and (on_error == "raise" or examined.rows is None):
        raise TableError(examined.problems)
    return examined.good_rows()


def check_on_error(on_error: str) -> None:
    """Checks the argument `on_error`.

    Args:
        on_error: The value of the argument.

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
    """Finds all problems of a table: bad images, texts, labels and weights, and empty rows.

    Control characters in texts are reported as warnings, because such rows can be used.

    Args:
        table: Anything that `load_table` takes.
        images: Image columns; or, for columns of several images, a dict from column to the largest
            number of images in a cell.
        texts: Text columns.
        labels: Column of classes, or heads by name; `None` checks no labels.
        classes: Label names, if `labels` is a column; `None` accepts any label.
        sample_weight: Column of row weights, numbers >= 0; `None` if there is none.
        image_dir: Folder that image paths are relative to; by default as in `load_table`.
        progress: Whether to show a progress bar while many images are checked.

    Returns:
        A list of `Problem`: first the errors, then the warnings (see `Problem.severity`), each in
        the order of the table. Empty if the table has no problems.

    Raises:
        ValueError: if the table cannot be read, as in `load_table`.

    Example:
        >>> [p.row for p in check_table([{"text": "good"}, {"text": 7}], texts=["text"])]
        [1]
    """
    table = load_table(table, image_dir=image_dir)
    examined = examine(table, images, texts, labels, classes, sample_weight, progress=progress)
    return examined.problems + _text_warnings(table, column_names(texts), examined.rows)


@dataclass(frozen=True)
class Examined:
    """The rows of a table and their problems.

    Attributes:
        rows: All rows, with `None` for bad cells. `None` if the table cannot be used: a column is
            missing, or all weights are 0.
        good: Positions of the rows without problems.
        problems: All problems in the order of the table.
        by_row: Problems of each bad row by its position.
    """

    rows: Rows | None
    good: list[int]
    problems: list[Problem]
    by_row: dict[int, list[Problem]] = field(default_factory=dict)

    def good_rows(self) -> Rows:
        """Selects the rows without problems; warns of the others.

        Returns:
            These rows; `skipped` has the problems of the others.

        Raises:
            TableError: if the table cannot be used, or every row has a problem.

        Warns:
            UserWarning: if rows are left out.
        """
        if self.rows is not None and not self.problems:
            return self.rows
        if self.rows is None or not self.good:
            raise TableError(self.problems, none_left=self.rows is not None)
        warn_left_out(len(self.by_row), len(self.rows), self.problems)
        good = self.rows.take(self.good)
        return replace(good, skipped=self.problems, num_skipped=len(self.by_row))


def warn_left_out(
    count: int, total: int, problems: Sequence[Problem], what: str = "left out"
) -> None:
    """Warns that rows of a table are left out.

    Args:
        count: Number of these rows.
        total: Number of rows of the table.
        problems: Their problems; the warning names the first three.
        what: What happens to these rows, the end of a sentence such as "2 of 9 rows left out".

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
    """Reads all rows of a table and finds their problems.

    Args:
        table: A table from `load_table`.
        images: As in `read_rows`.
        texts: Text columns, in order.
        labels: As in `read_rows`.
        classes: As in `read_rows`; without them labels are checked, but not encoded.
        sample_weight: As in `read_rows`.
        progress: Whether to show a progress bar while many images are checked.

    Returns:
        The rows and their problems.
    """
    report = ProblemReport(table)
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
            report.add(position, None, "the row is empty: it needs at least one image or text.")
    rows = Rows(image_lists, text_lists, encoded, table.index.copy(), sample_weight=weights)
    good = [position for position in range(len(rows)) if not report.has(position)]
    if weights is not None and good and not weights[good].any():
        report.add(None, sample_weight, "all weights are 0: at least one must be above 0.")
        return Examined(None, [], report.problems())
    return Examined(rows, good, report.problems(), report.by_row())


def _text_column(table: pd.DataFrame, column: str, report: ProblemReport) -> list[str | None]:
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
                position,
                column,
                "the text has a lone surrogate, which is not valid Unicode. Remove it.",
            )
            cell = None
        texts.append(cell)
    return texts


def _text_warnings(table: pd.DataFrame, columns: Sequence[str], rows: Rows | None) -> list[Problem]:
    """Warnings of characters that tokenizers replace or drop, in the order of the table."""
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
    table: pd.DataFrame, targets: Mapping[str, Target], report: ProblemReport
) -> dict[str, np.ndarray]:
    """Labels by head, if its classes are known. With several heads, a row may lack some labels."""
    encoded_by_head = {name: encode_target(table, target) for name, target in targets.items()}
    for encoded in encoded_by_head.values():
        for position, column, message in encoded.problems:
            report.add(position, column, message)
    missing = [set(encoded.missing) for encoded in encoded_by_head.values()]
    columns = [column for target in targets.values() for column in target.columns]
    for position in sorted(set.intersection(*missing)) if missing else ():
        if len(targets) == 1:
            report.add(position, columns[0], missing_label(*targets.values()))
        else:
            names = ", ".join(map(repr, columns))
            message = f"all labels are missing ({names}). Fill in at least one, or remove the row."
            report.add(position, None, message)
    return {
        name: encoded.labels
        for name, encoded in encoded_by_head.items()
        if encoded.labels is not None
    }


def _weights(table: pd.DataFrame, column: str, report: ProblemReport) -> np.ndarray:
    weights, problems = read_weights(table[column])
    for position, message in problems:
        report.add(position, column, message)
    return weights


def _image_column(
    table: pd.DataFrame, column: str, count: int | None, report: ProblemReport, progress: bool
) -> list[list]:
    origin = table.attrs.get("keras_mm", {})
    slots, problems = read_images(list(table[column]), column, count, origin, progress=progress)
    for position, message in problems:
        report.add(position, column, message)
    return slots
