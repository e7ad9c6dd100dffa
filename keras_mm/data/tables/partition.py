"""Reads training, validation and test rows; parts without a table are drawn from training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.load import load_table, table_name
from keras_mm.data.tables.rows import Examined, Rows, check_on_error, examine
from keras_mm.data.tables.splits import column_values, encode_values, stratified_split
from keras_mm.data.tables.strata import labelled_rows, strata
from keras_mm.data.tables.targets import Target, as_targets
from keras_mm.errors import InvalidValueError, Problem, TableError
from keras_mm.settings.heads import Head


def read_parts(
    tables: Mapping[str, Any],
    *,
    images: Sequence[str] | Mapping[str, int] = (),
    texts: Sequence[str] = (),
    labels: str | Mapping[str, Head],
    classes: Sequence | None = None,
    val_size: float = 0.0,
    test_size: float = 0.0,
    groups: Any = None,
    weights: Mapping[str, str] | None = None,
    seed: int = 42,
    image_dir: str | PathLike | None = None,
    on_error: str = "raise",
    progress: bool = True,
) -> dict[str, Rows]:
    """Reads and checks the rows of each part; the problems of all tables are reported at once.

    Args:
        tables: Tables by part, each as in `load_table`: `"train"`, optionally `"val"` and `"test"`.
        images: Image columns, as in `keras_mm.data.tables.rows.read_rows`.
        texts: Text columns, in order.
        labels: Column of classes, or heads by name, with their classes.
        classes: Label names in order; required with a column.
        val_size: Share of the training rows to draw for `"val"`, in `[0, 1)`, as in
            `stratified_split`: of the rows that are left after the test rows were drawn.
        test_size: Share of the training rows to draw for `"test"`, in `[0, 1)`.
        groups: Column of the training table, or a value for each of its rows. Rows of a group are
            drawn for the same part; the rows returned have the number of their group.
        weights: Weight columns by part; by default all rows count 1. Rows of weight 0 are checked,
            but are no training or validation rows, and are not drawn for `"test"`.
        seed: Seed of the draw.
        image_dir: As in `load_table`.
        on_error: `"raise"`, or `"skip"` to leave out rows with problems.
        progress: Whether to show a progress bar while many images are checked.

    Returns:
        Rows by part; only the parts that have a table or were drawn.

    Raises:
        TableError: listing every problem of every table, and why a split is impossible.

    Example:
        >>> table = [{"text": word, "label": i % 2} for i, word in enumerate("abcdefgh")]
        >>> columns = {"texts": ["text"], "labels": "label", "classes": [0, 1]}
        >>> parts = read_parts({"train": table}, test_size=0.25, **columns)
        >>> {name: len(rows) for name, rows in parts.items()}
        {'train': 6, 'test': 2}
    """
    check_on_error(on_error)
    frames = {name: load_table(table, image_dir=image_dir) for name, table in tables.items()}
    tables_read = {
        name: examine(
            frame, images, texts, labels, classes, (weights or {}).get(name), progress=progress
        )
        for name, frame in frames.items()
    }
    problems = [problem for examined in tables_read.values() for problem in examined.problems]
    drawn: dict[str, list[int]] = {}
    if tables_read["train"].rows is not None and (val_size or test_size or groups is not None):
        targets, frame = as_targets(labels, classes), frames["train"]
        used = _used(tables_read["train"], every_row=on_error == "raise")
        try:
            rows = _with_groups(tables_read["train"].rows, frame, used, groups)
            tables_read["train"] = replace(tables_read["train"], rows=rows)
            drawn = _draw(rows, used, targets, val_size=val_size, test_size=test_size, seed=seed)
        except ValueError as error:
            problems.append(_split_problem(frame, targets, error))
    if problems and (on_error == "raise" or any(problem.row is None for problem in problems)):
        raise TableError(problems)
    return _parts(tables_read, drawn)


def _parts(tables_read: Mapping[str, Examined], drawn: Mapping[str, list[int]]) -> dict[str, Rows]:
    """The rows without problems of each table, and those that are drawn from the training rows."""
    parts = {name: examined.good_rows() for name, examined in tables_read.items()}
    parts |= {name: _counted(parts[name]) for name in ("train", "val") if name in parts}
    skipped = parts["train"].skipped  # `take` drops it
    parts |= {name: parts["train"].take(positions) for name, positions in drawn.items()}
    return {**parts, "train": replace(parts["train"], skipped=skipped)}


def split_rows(
    rows: Rows, heads: Mapping[str, Head], *, val_size: float, seed: int
) -> dict[str, list[int]]:
    """Draws rows for early stopping from checked rows.

    Args:
        rows: Checked rows with labels of `heads`; with groups, if there are any.
        heads: Heads by name, with their classes.
        val_size: Share of the rows to draw, in [0, 1).
        seed: Seed of the draw.

    Returns:
        Positions of the rows by part, `"train"` and `"val"`; an empty dict if `val_size` is 0.

    Raises:
        ValueError: if the split is impossible.
    """
    used = list(range(len(rows)))
    return _draw(rows, used, as_targets(heads), val_size=val_size, test_size=0.0, seed=seed)


def _used(train: Examined, *, every_row: bool) -> list[int]:
    """Positions of the rows that are divided: all that have a label, or those without problems."""
    if train.rows is None:
        return []
    # If bad rows are an error, the user has to correct them, so the split is checked with them.
    used = labelled_rows(train.rows.labels).tolist() if every_row else train.good
    return _counting(train.rows, used)


def _counting(rows: Rows, positions: list[int]) -> list[int]:
    """Selects the positions of rows with a weight above 0."""
    weights = rows.sample_weight
    return positions if weights is None else [p for p in positions if weights[p] > 0]


def _counted(rows: Rows) -> Rows:
    """Selects the rows with a weight above 0."""
    positions = _counting(rows, list(range(len(rows))))
    if len(positions) == len(rows):
        return rows
    # `take` drops what was skipped.
    return replace(rows.take(positions), skipped=rows.skipped, num_skipped=rows.num_skipped)


def _split_problem(frame: pd.DataFrame, targets: Mapping[str, Target], error: Exception) -> Problem:
    """The problem that a split is impossible, for the error message."""
    columns = [column for target in targets.values() for column in target.columns]
    column = columns[0] if len(columns) == 1 else None
    return Problem(None, column, table_name(frame), str(error))


def _smallest(val_size: float, test_size: float) -> float:
    """The share of the rows that the smallest part gets, in (0, 1]."""
    shares = (test_size, val_size * (1 - test_size), (1 - val_size) * (1 - test_size))
    return min(share for share in shares if share > 0)


def _with_groups(rows: Rows, frame: pd.DataFrame, used: list[int], groups: Any) -> Rows:
    """The rows with the number of each row's group; -1 for rows that are not used."""
    if groups is None:
        return rows
    mistakes: list[str] = []
    values = column_values(frame, "groups", groups, mistakes)
    codes = np.full(len(rows), -1)
    if not mistakes:
        codes[used], _ = encode_values("groups", values[used], mistakes)
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    return replace(rows, groups=codes)


def _draw(
    rows: Rows,
    used: list[int],
    targets: Mapping[str, Target],
    *,
    val_size: float,
    test_size: float,
    seed: int,
) -> dict[str, list[int]]:
    """Draws the parts: positions in `used` by part, without empty parts."""
    if not (val_size or test_size):
        return {}
    row_strata = strata(targets, rows.labels, used, smallest=_smallest(val_size, test_size))
    positions = pd.DataFrame({"position": range(len(used))})
    groups = None if rows.groups is None else rows.groups[used]
    split = stratified_split(
        positions, row_strata, val_size=val_size, test_size=test_size, groups=groups, seed=seed
    )
    return {
        name: part["position"].tolist()
        for name, part in zip(("train", "val", "test"), split, strict=True)
        if len(part)
    }
