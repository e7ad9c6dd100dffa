"""Reads and checks the tables of one call; all their problems are reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import table_name
from keras_mm.data.tables.rows import Rows, examine
from keras_mm.errors import NotAFolderError, Problem, TableError
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.tables import COLUMNS, IMAGES, LABELS

_UNNAMED = "<table>"
_ARGUMENT = "simple_transformers.image_path"  # key in `attrs`: the argument for the image folder
# Replaces empty texts while rows are checked, because the check treats them as missing.
_BLANK = " "


def checked_rows(
    tables: Mapping[str, pd.DataFrame],
    texts: Sequence[str],
    *,
    images: bool = False,
    head: Head | None = None,
    problems: Sequence[Problem] = (),
    progress: bool = True,
) -> dict[str, Rows]:
    """Reads and checks all tables of a call.

    Args:
        tables: Tables by the name of their argument.
        texts: Text columns. Empty texts are not missing.
        images: Whether each row has an image in the column `images`.
        head: The head for the column `labels`; `None` to read no labels.
        problems: Problems that are already known. No other problem of the same cell is reported.
        progress: Whether to show progress bars for steps that take longer than two seconds.

    Returns:
        Checked rows by the name of the argument.

    Raises:
        keras_mm.TableError: listing every problem, with the user's names of columns and arguments.
    """
    known = list(problems)
    rows: dict[str, Rows] = {}
    labels = None if head is None else {"label": replace(head, column=LABELS)}
    for name, table in tables.items():
        known += missing_images(table) if images else missing_texts(table, texts)
        examined = examine(
            _with_blanks(table, texts),
            (IMAGES,) if images else (),
            texts,
            labels,
            None,
            progress=progress,
        )
        known += _not_known(examined.problems, known)
        if examined.rows is not None:
            rows[name] = _with_empty_texts(examined.rows, table, texts)
    if known:
        known = [_with_users_names(p, tables) for p in _in_order(known, tables)]
        raise TableError(known, skippable=False)
    return rows


def named(table: pd.DataFrame, argument: str) -> pd.DataFrame:
    """Sets the name of a table in error messages to that of its argument; not if it is a file.

    Args:
        table: The table.
        argument: The name of the argument.

    Returns:
        The table, or a shallow copy of it.
    """
    if table_name(table) != _UNNAMED:
        return table
    return _with_origin(table, source=f"<{argument}>")


def with_images(table: pd.DataFrame, image_path: str, argument: str = "image_path") -> pd.DataFrame:
    """Sets the only folder that the images of a table are read from.

    Args:
        table: The table.
        image_path: The folder.
        argument: Name of the argument for the folder, for error messages.

    Returns:
        A shallow copy of the table.

    Raises:
        NotADirectoryError: if the folder does not exist.
    """
    if not Path(image_path).is_dir():
        raise NotAFolderError(
            f"`{argument}` must be a folder that exists. Received: {argument}={image_path!r}"
        )
    copied = _with_origin(table, image_dir=image_path, confined=True)
    copied.attrs[_ARGUMENT] = argument
    return copied


def missing_images(table: pd.DataFrame) -> list[Problem]:
    """Finds rows without an image, which models of Simple Transformers need.

    Args:
        table: The rows.

    Returns:
        A problem for each row.
    """
    message = (
        "there is no image; add its name, or in a folder of JSON files an image file with the name "
        "of the JSON file"
    )
    return [
        Problem(row, IMAGES, table_name(table), message)
        for row, cell in zip(table.index, table[IMAGES], strict=True)
        if is_missing(cell)
    ]


def missing_texts(table: pd.DataFrame, texts: Sequence[str]) -> list[Problem]:
    """Finds rows whose texts are all missing; empty texts are not missing.

    Args:
        table: The rows.
        texts: Text columns.

    Returns:
        A problem for each row.
    """
    message = "there is no text; write an empty text as ''"
    absent = pd.DataFrame({name: [_is_absent(cell) for cell in table[name]] for name in texts})
    rows = table.index[absent.all(axis=1).to_numpy()]
    return [Problem(row, texts[0], table_name(table), message) for row in rows]


def _not_known(problems: Sequence[Problem], known: Sequence[Problem]) -> list[Problem]:
    """Leaves out problems of cells with a known problem, and of whole rows with a known problem."""
    cells = {(p.file, p.row, p.column) for p in known}
    rows = {(p.file, p.row) for p in known}
    return [
        p
        for p in problems
        if (p.file, p.row, p.column) not in cells
        and not (p.column is None and (p.file, p.row) in rows)
    ]


def _in_order(problems: Sequence[Problem], tables: Mapping[str, pd.DataFrame]) -> list[Problem]:
    """Sorts problems by table and row; those of a whole table come before its rows."""
    places: dict[tuple, int] = {}
    for table in tables.values():
        for row in (None, *table.index):
            places.setdefault((table_name(table), row), len(places))
    return sorted(problems, key=lambda p: places.get((p.file, p.row), -1))


def _is_absent(cell: Any) -> bool:
    return is_missing(cell) and not _is_empty(cell)


def _with_origin(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """A shallow copy of the table, with values that `load_table` keeps in `attrs`."""
    copied = table.copy(deep=False)
    origin = {**table.attrs.get("keras_mm", {}), **values}
    copied.attrs = {**table.attrs, "keras_mm": origin}
    return copied


def _with_blanks(table: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """The table with `_BLANK` instead of each empty text."""
    columns = {
        name: pd.Series(
            [_BLANK if _is_empty(cell) else cell for cell in table[name]],
            index=table.index,
            dtype=object,
        )
        for name in texts
    }
    copied = table.assign(**columns)
    copied.attrs = table.attrs
    return copied


def _with_empty_texts(rows: Rows, table: pd.DataFrame, texts: Sequence[str]) -> Rows:
    """The rows with the empty texts of the table, instead of `_BLANK`."""
    columns = tuple(
        ["" if _is_empty(cell) else text for cell, text in zip(table[name], column, strict=True)]
        for name, column in zip(texts, rows.texts, strict=True)
    )
    return replace(rows, texts=columns)


def _is_empty(cell: Any) -> bool:
    return isinstance(cell, str) and cell == ""


def _with_users_names(problem: Problem, tables: Mapping[str, pd.DataFrame]) -> Problem:
    """The problem with the user's names of columns and arguments."""
    attrs = {table_name(table): table.attrs for table in tables.values()}[problem.file]
    columns = attrs.get(COLUMNS, {})
    message = problem.message.replace("image_dir=", f"{attrs.get(_ARGUMENT, 'image_path')}=")
    return replace(problem, column=columns.get(problem.column, problem.column), message=message)
