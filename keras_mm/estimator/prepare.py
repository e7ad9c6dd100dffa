"""Prepares a training: columns, heads and checked rows by part. Loads no backend."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.columns import missing_columns, nested_columns
from keras_mm.data.tables.load import load_beside, load_table, table_name
from keras_mm.data.tables.partition import read_parts
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.run_columns import find_heads, label_columns, label_heads, with_columns
from keras_mm.data.tables.sources import as_frame, cells_of
from keras_mm.data.tables.targets import with_classes
from keras_mm.data.tables.weights import weight_columns, with_weights
from keras_mm.errors import ConfigError, InvalidValueError
from keras_mm.estimator.classes import with_old_classes
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings


@dataclass(frozen=True)
class Given:
    """Arguments of a training; see `MultimodalClassifier.fit`."""

    data: Any
    y: Any = None
    validation_data: Any = None
    validation_split: float = 0.1
    groups: Any = None
    image_dir: str | os.PathLike | None = None
    on_error: str = "raise"
    sample_weight: Any = None


@dataclass(frozen=True)
class Prepared:
    """Settings, heads and rows of a training.

    Attributes:
        settings: Settings with their columns.
        heads: Heads by name, with their classes.
        parts: Checked rows: `"train"`, and `"val"` and `"test"` where there are any.
        sources: Name of the table that each part is from.
        ids: Ids of the rows of the test rows' table, where it has such a column.
    """

    settings: Settings
    heads: dict[str, Head]
    parts: dict[str, Rows]
    sources: dict[str, str]
    ids: pd.Series | None = None

    @property
    def rows(self) -> Rows:
        """The training rows."""
        return self.parts["train"]

    @property
    def validation(self) -> Rows | None:
        """The rows for early stopping, where there are any."""
        return self.parts.get("val")


def prepare(
    settings: Settings,
    tables: Mapping[str, pd.DataFrame],
    heads: Mapping[str, Head],
    *,
    val_size: float = 0.0,
    test_size: float = 0.0,
    groups: Any = None,
    weights: Mapping[str, str] | None = None,
    on_error: str = "raise",
    progress: bool = True,
) -> Prepared:
    """Checks and splits all rows, for the estimator and the command line.

    Args:
        settings: Settings with their columns.
        tables: `"train"` and, where there are such tables, `"val"` and `"test"`.
        heads: Heads by name, with their classes.
        val_size: As in `read_parts`.
        test_size: As in `read_parts`.
        groups: As in `read_parts`.
        weights: As in `read_parts`.
        on_error: As in `read_parts`.
        progress: As in `read_parts`.

    Returns:
        The settings and heads, and the rows by part.

    Raises:
        TableError: with every problem of every table.
    """
    parts = read_parts(
        tables,
        images=settings.images,
        texts=settings.texts,
        labels=heads,
        val_size=val_size,
        test_size=test_size,
        groups=groups,
        weights=weights,
        seed=settings.seed,
        on_error=on_error,
        progress=progress,
    )
    sources = {name: table_name(tables.get(name, tables["train"])) for name in parts}
    return Prepared(settings, dict(heads), parts, sources)


def prepare_fit(settings: Settings, given: Given, old: Mapping[str, Head]) -> Prepared:
    """Columns, heads and rows of a training of all heads.

    Args:
        settings: The estimator's settings.
        given: The rows.
        old: The heads of the model that the training continues with; their classes come first.

    Returns:
        Resolved settings, heads with their classes, and checked rows.

    Raises:
        ConfigError: listing every wrong setting.
        TableError: listing every problem of the rows.
    """
    table, weights = _read_given(given, label_columns(label_heads(settings.resolved())))
    settings = with_columns(settings, table, also=weights).resolved()
    heads = find_heads(settings, table)
    heads = {name: with_old_classes(head, old.get(name)) for name, head in heads.items()}
    return _prepare_given(settings, table, heads, given, weights)


def prepare_heads(
    settings: Settings, used: Settings, heads: Mapping[str, Head], given: Given
) -> Prepared:
    """Rows of a training of single heads of a trained model.

    Args:
        settings: The estimator's settings.
        used: The settings that the model was trained with; its columns are read.
        heads: The heads to train, by name.
        given: The rows.

    Returns:
        Resolved settings, the heads with their classes, and checked rows.

    Raises:
        ConfigError: if a column is missing.
        TableError: listing every problem of the rows.
    """
    columns = label_columns(heads)
    table, weights = _read_given(given, columns)
    settings = replace(settings, images=used.images, texts=used.texts).resolved()
    absent = missing_columns(table, [*used.images, *used.texts, *columns, *weights])
    absent += nested_columns(table, used.images, [*used.texts, *columns, *weights])
    if absent:
        raise ConfigError([f"{table_name(table)}: {sentence}" for sentence in absent])
    return _prepare_given(settings, table, with_classes(heads, table), given, weights)


def _read_given(given: Given, columns: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The training table with labels in these columns, and its weight column, if there is one."""
    table = load_table(given.data, image_dir=given.image_dir)
    table, column = with_weights(with_labels(table, given.y, columns), given.sample_weight)
    return table, [] if column is None else [column]


def _prepare_given(
    settings: Settings,
    table: pd.DataFrame,
    heads: Mapping[str, Head],
    given: Given,
    weights: Sequence[str],
) -> Prepared:
    tables = {"train": table}
    if given.validation_data is not None:
        tables["val"] = load_beside(given.validation_data, given.image_dir, settings.images)
    # Weights of an array are those of the training rows alone.
    weighted = tables if isinstance(given.sample_weight, str) else {"train": table}
    return prepare(
        settings,
        tables,
        heads,
        val_size=0.0 if "val" in tables else given.validation_split,
        groups=given.groups,
        weights=weight_columns(next(iter(weights), None), weighted),
        on_error=given.on_error,
        progress=bool(settings.verbose),
    )


def with_labels(table: pd.DataFrame, y: Any, columns: Sequence[str]) -> pd.DataFrame:
    """The table with the labels `y` in its label columns.

    Args:
        table: The rows.
        y: Labels of the rows: a sequence of cells, or with several columns an array of shape
            `(num_rows, num_columns)` or a DataFrame, also of polars; `None` for the labels of the
            table.
        columns: The label columns.

    Returns:
        A new table; `table` itself without `y`.

    Raises:
        ValueError: if `y` has another number of rows or other columns.
    """
    if y is None:
        return table
    y = as_frame(y)
    if len(y) != len(table):
        raise InvalidValueError(f"`y` has {len(y)} labels for {len(table)} rows.")
    if isinstance(y, pd.DataFrame):
        if set(columns) <= set(y.columns):
            y = y[list(columns)]
        elif len(columns) > 1:
            raise InvalidValueError(
                f"`y` must have the columns {list(columns)}. Received: {list(y.columns)}"
            )
        y = y.to_numpy(object)
    if len(columns) == 1:
        if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        return table.assign(**{columns[0]: pd.Series(cells_of(y), dtype=object).to_numpy()})
    given = np.asarray(y, dtype=object)
    if given.ndim != 2 or given.shape[1] != len(columns):
        raise InvalidValueError(
            f"`y` must have a column for each of {list(columns)}. Received: shape {given.shape}"
        )
    return table.assign(**{column: given[:, i] for i, column in enumerate(columns)})
