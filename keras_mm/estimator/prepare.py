"""Prepares a training: finds columns and heads, and checks and splits the rows; no backend."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.tables.columns import missing_columns, nested_columns
from keras_mm.data.tables.folds import Fold, draw_folds
from keras_mm.data.tables.load import load_beside, load_table, table_name
from keras_mm.data.tables.partition import read_parts, split_rows
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.run_columns import find_heads, label_columns, label_heads, with_columns
from keras_mm.data.tables.sources import as_frame, cells_of
from keras_mm.data.tables.targets import with_classes
from keras_mm.data.tables.weights import weight_columns, with_weights
from keras_mm.errors import ConfigError, InvalidValueError, Problem, TableError
from keras_mm.estimator.classes import with_old_classes
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings

_log = logging.getLogger("keras_mm")


@dataclass(frozen=True)
class FitArgs:
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
        settings: Settings, with names of columns.
        heads: Heads by name, with their classes.
        parts: Checked rows: `"train"`, and, if there are any, `"val"` and `"test"`.
        sources: Name of the table of each part.
        ids: The id column of the table of each part, for parts whose table has one.
        folds: Folds of the training rows; empty to train a single model.
    """

    settings: Settings
    heads: dict[str, Head]
    parts: dict[str, Rows]
    sources: dict[str, str]
    ids: Mapping[str, pd.Series] = field(default_factory=dict)
    folds: Sequence[Fold] = ()

    @property
    def rows(self) -> Rows:
        """The training rows."""
        return self.parts["train"]

    @property
    def validation(self) -> Rows | None:
        """The rows for early stopping, if there are any."""
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
    folds: int = 1,
    strict_folds: bool = True,
) -> Prepared:
    """Checks and splits all rows, for the estimator and the command line.

    Args:
        settings: Settings, with names of columns.
        tables: `"train"`, and, if there are such tables, `"val"` and `"test"`.
        heads: Heads by name, with their classes.
        val_size: As in `read_parts`.
        test_size: As in `read_parts`.
        groups: As in `read_parts`.
        weights: As in `read_parts`.
        on_error: As in `read_parts`.
        progress: As in `read_parts`.
        folds: Number of folds, >= 1. With several, `val_size` of the rows outside each fold are for
            early stopping, instead of a part `"val"`.
        strict_folds: Whether to raise an error if these folds are impossible, instead of training a
            single model.

    Returns:
        The settings and heads, and the rows by part.

    Raises:
        TableError: listing every problem of all tables.
    """
    parts = read_parts(
        tables,
        images=settings.images,
        texts=settings.texts,
        labels=heads,
        val_size=val_size if folds == 1 else 0.0,
        test_size=test_size,
        groups=groups,
        weights=weights,
        seed=settings.seed,
        on_error=on_error,
        progress=progress,
    )
    drawn: Sequence[Fold] = ()
    if folds > 1:
        parts, drawn = _with_folds(
            parts, heads, folds, val_size, settings.seed, strict=strict_folds
        )
    sources = {name: table_name(tables.get(name, tables["train"])) for name in parts}
    return Prepared(settings, dict(heads), parts, sources, folds=drawn)


def _with_folds(
    parts: dict[str, Rows],
    heads: Mapping[str, Head],
    num_folds: int,
    val_size: float,
    seed: int,
    *,
    strict: bool,
) -> tuple[dict[str, Rows], Sequence[Fold]]:
    """Draws folds of the training rows; if they are impossible, rows for early stopping."""
    rows = parts["train"]
    val_size = 0.0 if "val" in parts else val_size
    try:
        return parts, draw_folds(rows, heads, num_folds, val_size=val_size, seed=seed)
    except ValueError as error:
        if strict:
            raise TableError(_as_problems(error)) from error
        _log.info("a single model is trained instead of %d folds: %s", num_folds, error)
    try:
        drawn = split_rows(rows, heads, val_size=val_size, seed=seed)
    except ValueError as error:
        raise TableError(_as_problems(error)) from error
    return {**parts, **{name: rows.take(positions) for name, positions in drawn.items()}}, ()


def _as_problems(error: ValueError) -> list[Problem]:
    """The problem that a split of the training rows is impossible."""
    return [Problem(None, None, "the training rows", str(error))]


def prepare_fit(settings: Settings, arguments: FitArgs, old: Mapping[str, Head]) -> Prepared:
    """Prepares a training of all heads.

    Args:
        settings: Settings of the estimator.
        arguments: Arguments of the training.
        old: Heads of the model that the training continues with, whose classes come first; empty
            for a new model.

    Returns:
        Resolved settings, heads with their classes, and checked rows.

    Raises:
        ConfigError: listing every setting that is wrong.
        TableError: listing every problem of the rows.
    """
    table, weights = _read_table(arguments, label_columns(label_heads(settings.resolved())))
    strict = settings.folds is not None
    settings = with_columns(settings, table, also=weights).resolved()
    heads = find_heads(settings, table)
    heads = {name: with_old_classes(head, old.get(name)) for name, head in heads.items()}
    return _prepare_rows(
        settings,
        table,
        heads,
        arguments,
        weights,
        folds=settings.folds or 1,
        strict_folds=strict,
    )


def prepare_heads(
    settings: Settings,
    used: Settings,
    heads: Mapping[str, Head],
    arguments: FitArgs,
    *,
    folds: int = 1,
) -> Prepared:
    """Prepares a training of some heads of a trained model.

    Args:
        settings: Settings of the estimator.
        used: Settings that the model was trained with; their image and text columns are read.
        heads: The heads to train, by name.
        arguments: Arguments of the training.
        folds: Number of folds, >= 1; a single model is trained if folds are impossible.

    Returns:
        Resolved settings, the heads with their classes, and checked rows.

    Raises:
        ConfigError: if a column is missing.
        TableError: listing every problem of the rows.
    """
    columns = label_columns(heads)
    table, weights = _read_table(arguments, columns)
    settings = replace(settings, images=used.images, texts=used.texts).resolved()
    absent = missing_columns(table, [*used.images, *used.texts, *columns, *weights])
    absent += nested_columns(table, used.images, [*used.texts, *columns, *weights])
    if absent:
        raise ConfigError([f"{table_name(table)}: {sentence}" for sentence in absent])
    heads = with_classes(heads, table)
    return _prepare_rows(
        settings, table, heads, arguments, weights, folds=folds, strict_folds=False
    )


def _read_table(arguments: FitArgs, columns: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The training table, with the labels `y` in these columns, and its weight column, if any."""
    table = load_table(arguments.data, image_dir=arguments.image_dir)
    table, column = with_weights(with_labels(table, arguments.y, columns), arguments.sample_weight)
    return table, [] if column is None else [column]


def _prepare_rows(
    settings: Settings,
    table: pd.DataFrame,
    heads: Mapping[str, Head],
    arguments: FitArgs,
    weights: Sequence[str],
    **folds: Any,
) -> Prepared:
    tables = {"train": table}
    if arguments.validation_data is not None:
        tables["val"] = load_beside(arguments.validation_data, arguments.image_dir, settings.images)
    # An array holds the weights of the training rows only.
    weighted = tables if isinstance(arguments.sample_weight, str) else {"train": table}
    return prepare(
        settings,
        tables,
        heads,
        val_size=0.0 if "val" in tables else arguments.validation_split,
        groups=arguments.groups,
        weights=weight_columns(next(iter(weights), None), weighted),
        on_error=arguments.on_error,
        progress=bool(settings.verbose),
        **folds,
    )


def with_labels(table: pd.DataFrame, y: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Puts the labels `y` into the label columns of a table.

    Args:
        table: The rows.
        y: Labels of the rows: a sequence of cells; for several columns an array of shape
            `(num_rows, num_columns)` or a DataFrame, also of polars. `None` for the labels that the
            table has.
        columns: The label columns.

    Returns:
        A new table; without `y` the given one.

    Raises:
        ValueError: if `y` has another number of rows or other columns.
    """
    if y is None:
        return table
    y = as_frame(y)
    if len(y) != len(table):
        raise InvalidValueError(
            f"`y` must have a label for each of the {len(table)} rows. Received: {len(y)} labels"
        )
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
    cells = np.asarray(y, dtype=object)
    if cells.ndim != 2 or cells.shape[1] != len(columns):
        raise InvalidValueError(
            f"`y` must have a column for each of {list(columns)}. Received: shape {cells.shape}"
        )
    return table.assign(**{column: cells[:, i] for i, column in enumerate(columns)})
