"""Loads, splits and checks the rows of a run. Loads no backend."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from keras_mm.checks import unknown_name
from keras_mm.data.samples import load_sample_data
from keras_mm.data.tables.ids import find_id_column
from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import load_beside, load_table
from keras_mm.data.tables.rows import check_table
from keras_mm.data.tables.run_columns import find_heads, label_columns, label_heads, with_columns
from keras_mm.data.tables.weights import weight_columns
from keras_mm.errors import ConfigError, Problem
from keras_mm.estimator.prepare import Prepared, prepare
from keras_mm.progress import progress_line
from keras_mm.settings.settings import RunSettings

_PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "dev": "val",
          "validation": "val", "test": "test"}  # fmt: skip
_MOST_NAMED = 5  # unknown splits in a message


def prepare_run(
    settings: RunSettings, *, progress: bool = True, hints: bool = True
) -> tuple[RunSettings, Prepared]:
    """Loads and checks the rows for training and evaluation.

    Args:
        settings: Settings of the run.
        progress: Whether to show a progress bar while images are checked.
        hints: Whether to mention a column of splits that is not used.

    Returns:
        The settings, with the columns that were found in the table; and the rows, with the parts
        `"train"`, `"test"` and, if there are validation rows, `"val"`.

    Raises:
        ConfigError: listing every problem of the settings.
        TableError: listing every problem of the rows.
    """
    separate = {}  # validation and test tables, which are not split off the first table
    if settings.data is None:
        table, separate["test"] = load_sample_data()
    else:
        table = load_table(settings.data, image_dir=settings.image_dir)
    columns = (
        settings.split_column,
        settings.group_column,
        settings.id_column,
        settings.weight_column,
    )
    settings = with_columns(settings, table, also=[name for name in columns if name is not None])
    for name, path in (("val", settings.validation_data), ("test", settings.test_data)):
        if path:
            separate[name] = load_beside(path, settings.image_dir, settings.images)
    if settings.split_column:
        tables = _by_column(table, settings.split_column)
        val_size = test_size = 0.0
    else:
        column = _unused_split(table, settings)
        progress_line(
            f"the column {column!r} names splits: --split-column {column} uses them",
            show=progress and hints and column is not None,
        )
        tables = {"train": table, **separate}
        val_size = 0.0 if "val" in separate else settings.validation_size
        test_size = 0.0 if "test" in separate else settings.test_size
        if "test" not in separate and not test_size:
            raise ConfigError(["there are no test rows: set `test_data`, or a `test_size` above 0"])
    prepared = prepare(
        settings,
        tables,
        find_heads(settings, tables["train"]),
        val_size=val_size,
        test_size=test_size,
        groups=settings.group_column,
        weights=weight_columns(settings.weight_column, tables),
        on_error=settings.on_error,
        progress=progress,
        folds=settings.resolved().folds or 1,
        strict_folds=settings.folds is not None,
    )
    sources = {part: tables.get(part, tables["train"]) for part in prepared.parts}
    found = {part: _ids(settings, source) for part, source in sources.items()}
    ids = {part: column for part, column in found.items() if column is not None}
    return settings, replace(prepared, ids=ids)


def _ids(settings: RunSettings, table: pd.DataFrame) -> pd.Series | None:
    """The ids of a table's rows; `None` if it has no id column."""
    used = [*settings.images, *settings.texts, *label_columns(label_heads(settings))]
    name = find_id_column(list(table.columns), settings.id_column, used)
    return None if name is None else table[name]


def check_run(settings: RunSettings, *, quiet: bool = False) -> list[Problem]:
    """Finds every problem of the rows of `settings.data`.

    Args:
        settings: Settings of the run.
        quiet: Whether to hide the progress bar.

    Returns:
        Errors and warnings; an empty list if there are none.

    Raises:
        ConfigError: if `data` is not set, or its columns are wrong.
    """
    if settings.data is None:
        raise ConfigError(["`data` must name the table to check"])
    table = load_table(settings.data, image_dir=settings.image_dir)
    settings = with_columns(settings, table)
    return check_table(
        table,
        images=settings.images,
        texts=settings.texts,
        labels=label_heads(settings),
        sample_weight=settings.weight_column,
        image_dir=settings.image_dir,
        progress=not quiet and bool(settings.verbose),
    )


def _unused_split(table: pd.DataFrame, settings: RunSettings) -> str | None:
    """A column that names the split of each row, if the settings do not say how rows are split."""
    if settings.split_column or settings.test_data or settings.validation_data:
        return None
    for column, cells in table.items():
        if len(cells) and str(cells.iloc[0]).lower() in _PARTS:
            names = {_PARTS.get(str(cell).lower()) for cell in cells.tolist()}
            if names in ({"train", "test"}, {"train", "val", "test"}):
                return str(column)
    return None


def _by_column(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """The rows of each part, by a column with the name of the part."""
    cells = [None if is_missing(cell) else str(cell).lower() for cell in table[column]]
    unknown = sorted({str(cell) for cell in cells} - _PARTS.keys())
    if unknown:
        shown = unknown[:_MOST_NAMED]
        sentences = [unknown_name("split", value, ("train", "val", "test")) for value in shown]
        more = len(unknown) - len(shown)
        sentences += [f"and {more} more unknown splits"] if more else []
        raise ConfigError([f"`split_column` {column!r}: {text}" for text in sentences])
    names = pd.Series([_PARTS[str(cell)] for cell in cells], index=table.index)
    splits = {name: table[(names == name).to_numpy()] for name in ("train", "val", "test")}
    for name in ("train", "test"):
        if not len(splits[name]):
            raise ConfigError([f"`split_column` {column!r} has no {name!r} rows"])
    return {name: part for name, part in splits.items() if len(part)}
