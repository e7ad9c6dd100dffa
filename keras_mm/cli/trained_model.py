"""Loads the saved model of a command, after checks that need no backend."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keras_mm.cli.output import note
from keras_mm.cli.threads import use_threads
from keras_mm.data.tables.header import check_names, read_column, read_names
from keras_mm.data.tables.ids import find_id_column
from keras_mm.estimator.head_names import choose_heads
from keras_mm.inference.model_json import read_spec
from keras_mm.settings.heads import Head, columns_of
from keras_mm.settings.toml import read_toml

if TYPE_CHECKING:
    import pandas as pd

    import keras_mm


def check_rows(
    options: argparse.Namespace, *, labels: bool = False, heads: Sequence[str] | None = None
) -> pd.Series | None:
    """Checks that the table of a command has the columns of its model.

    Args:
        options: The command's arguments; `model`, `data` and `id_column` are read.
        labels: Whether the command needs the labels.
        heads: Names of the heads whose labels the command needs; `None` for all heads.

    Returns:
        The ids of the rows; `None` if the table has no id column.

    Raises:
        FileNotFoundError: if the model or the table does not exist.
        TableError: listing every missing column.
        ConfigError: if the table lacks the column in `id_column`.
        ValueError: if the model lacks one of `heads`.
    """
    spec = read_spec(_folder(options))
    known = _heads(spec)
    if spec["format_version"] == 1:  # the oldest format has one head and its column in the settings
        known = {"label": replace(known["label"], column=spec["settings"]["labels"])}
    chosen = known if heads is None else choose_heads(heads, known, spec.get("added_heads", {}))
    columns = [*spec["settings"]["images"], *spec["settings"]["texts"]]
    columns += columns_of(chosen) if labels else []
    check_names(options.data, columns)
    name = find_id_column(read_names(options.data), options.id_column, columns)
    return None if name is None else read_column(options.data, name)


def check_decisions(options: argparse.Namespace) -> None:
    """Checks that the model can decide as the command asks.

    Args:
        options: The command's arguments; `model` and `decide` are read.

    Raises:
        FileNotFoundError: if the model does not exist.
        ValueError: for an unknown value of `--decide`, or if decisions were not fitted.
    """
    spec = read_spec(_folder(options))
    if options.decide is not None:
        from keras_mm.inference.decisions.answers import check_decide  # loads NumPy

        check_decide(options.decide, _heads(spec), spec.get("decisions", {}))


def find_weight_column(options: argparse.Namespace) -> str | None:
    """Finds the column with the weights of the rows.

    It is the column in `--weight-column`. Without this argument, it is the weight column of the run
    in `--model`, if the table has this column.

    Args:
        options: The command's arguments; `model`, `data` and `weight_column` are read.

    Returns:
        The name of the column; `None` if every row has the weight 1.

    Raises:
        TableError: if the table lacks the column in `--weight-column`.
    """
    if options.weight_column is not None:
        check_names(options.data, [options.weight_column] if options.weight_column else [])
        return options.weight_column or None
    config = os.path.join(options.model, "config.toml")
    column = read_toml(config).get("weight_column") if os.path.isfile(config) else None
    if column is None:
        return None
    if column in read_names(options.data):
        note(options, f"rows are weighted by the column {column!r}, as in the run")
        return column
    note(options, f"the table lacks the run's weight column {column!r}; each row has the weight 1")
    return None


def find_group_column(options: argparse.Namespace) -> str | None:
    """Finds the column with the groups of the rows: that of the run, if the table has it.

    Args:
        options: The command's arguments; `model` and `data` are read.

    Returns:
        The name of the column; `None` without groups.
    """
    config = os.path.join(options.model, "config.toml")
    column = read_toml(config).get("group_column") if os.path.isfile(config) else None
    return column if column in read_names(options.data) else None


def load(options: argparse.Namespace) -> keras_mm.MultimodalClassifier:
    """Loads the classifier in `--model`, the folder of a saved model or of a run.

    Args:
        options: The command's arguments; `model` and `quiet` are read.

    Returns:
        The classifier.

    Raises:
        FileNotFoundError: if the folder holds no saved model.
    """
    spec = read_spec(_folder(options))
    sides = (spec["vision_encoder"], spec["text_encoder"])
    use_threads(side["backbone"] for side in sides if side)
    import keras_mm

    classifier = keras_mm.MultimodalClassifier.load(_folder(options))
    return classifier.set_params(verbose=int(not options.quiet))


def _heads(spec: Mapping[str, Any]) -> dict[str, Head]:
    return {name: Head(**head) for name, head in spec["heads"].items()}


def _folder(options: argparse.Namespace) -> str:
    nested = os.path.join(options.model, "model")
    return nested if os.path.isdir(nested) else options.model
