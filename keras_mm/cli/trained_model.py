"""The saved model of a command, and what is checked before it is loaded. Loads no backend."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

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
        options: The command's arguments: `model`, `data` and `id_column`.
        labels: Whether the labels are read.
        heads: Heads whose labels are read, by name; `None` for all.

    Returns:
        The rows' ids; `None` if the table has none.

    Raises:
        FileNotFoundError: if there is no such model or table.
        TableError: naming each column that is missing.
        ConfigError: if there is no such id column.
        ValueError: if the model has no such head.
    """
    spec = read_spec(_folder(options))
    known = {name: Head(**head) for name, head in spec["heads"].items()}
    if spec["format_version"] == 1:  # one head, whose column was saved among the settings
        known = {"label": replace(known["label"], column=spec["settings"]["labels"])}
    chosen = known if heads is None else choose_heads(heads, known, spec.get("added_heads", {}))
    columns = [*spec["settings"]["images"], *spec["settings"]["texts"]]
    columns += columns_of(chosen) if labels else []
    check_names(options.data, columns)
    name = find_id_column(read_names(options.data), options.id_column, columns)
    return None if name is None else read_column(options.data, name)


def find_weight_column(options: argparse.Namespace) -> str | None:
    """The column with the weights of the rows: the user's, else that of the run in `--model`.

    Args:
        options: The command's arguments: `model`, `data` and `weight_column`.

    Returns:
        A column that the table has; `None` if all rows count 1.

    Raises:
        TableError: if the table lacks the column that the user names.
    """
    if options.weight_column is not None:
        check_names(options.data, [options.weight_column] if options.weight_column else [])
        return options.weight_column or None
    config = os.path.join(options.model, "config.toml")
    column = read_toml(config).get("weight_column") if os.path.isfile(config) else None
    if column is None:
        return None
    if column in read_names(options.data):
        note(options, f"rows are weighted by {column!r}, as in the run")
        return column
    note(options, f"the run had the weight column {column!r}; without it each row counts 1")
    return None


def load(options: argparse.Namespace) -> keras_mm.MultimodalClassifier:
    """The classifier in `--model`: the folder of a saved model, or a run folder that holds one.

    Args:
        options: The command's arguments.

    Returns:
        The classifier.

    Raises:
        FileNotFoundError: if there is no saved model.
    """
    spec = read_spec(_folder(options))
    sides = (spec["vision_encoder"], spec["text_encoder"])
    use_threads(side["backbone"] for side in sides if side)
    import keras_mm

    classifier = keras_mm.MultimodalClassifier.load(_folder(options))
    return classifier.set_params(verbose=int(not options.quiet))


def _folder(options: argparse.Namespace) -> str:
    nested = os.path.join(options.model, "model")
    return nested if os.path.isdir(nested) else options.model
