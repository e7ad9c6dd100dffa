"""The saved model of a command, and what is checked before it is loaded. Loads no backend."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from keras_mm.cli.threads import use_threads
from keras_mm.data.tables.header import check_names, has_few_rows, read_column, read_names
from keras_mm.data.tables.ids import find_id_column
from keras_mm.estimator.head_names import choose_heads
from keras_mm.inference.model_json import read_spec
from keras_mm.load_order import load_tensorflow
from keras_mm.settings.heads import Head, columns_of

if TYPE_CHECKING:
    import pandas as pd

    import keras_mm


_BATCH = 32  # rows


class Checked(NamedTuple):
    """What is known of a table before the model is loaded.

    Attributes:
        ids: The rows' ids; `None` if the table has none.
        is_small: Whether all rows fit one batch.
    """

    ids: pd.Series | None
    is_small: bool


def check_rows(
    options: argparse.Namespace, *, labels: bool = False, heads: Sequence[str] | None = None
) -> Checked:
    """Checks that the table of a command has the columns of its model.

    Args:
        options: The command's arguments: `model`, `data` and `id_column`.
        labels: Whether the labels are read.
        heads: Heads whose labels are read, by name; `None` for all.

    Returns:
        Ids and size of the table.

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
    ids = None if name is None else read_column(options.data, name)
    return Checked(ids, has_few_rows(options.data, _BATCH))


@contextmanager
def without_compiling(few: bool) -> Iterator[None]:
    """Runs TensorFlow's functions as they are while few rows are predicted.

    To compile them takes seconds, and pays only for many batches. The predictions may differ in the
    last digits of float32.

    Args:
        few: Whether the rows are few; else everything is compiled.

    Yields:
        Nothing.
    """
    import keras

    if not few or keras.backend.backend() != "tensorflow":
        yield
        return
    tf = load_tensorflow()
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


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
