"""Reads and checks the rows of a training, and creates the head for their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from keras_mm.data.tables.load import table_name
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.targets import with_classes
from keras_mm.errors import InvalidValueError, Problem
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.labels import label_form, label_problems, without_rows
from keras_mm.simple_transformers.plain import is_scalar
from keras_mm.simple_transformers.rows import checked_rows
from keras_mm.simple_transformers.tables import LABELS
from keras_mm.simple_transformers.translation import DROPOUT


class TrainingRows(NamedTuple):
    """The rows of a training, and their head.

    Attributes:
        table: The training rows as a table.
        head: The head, with its classes.
        train: The training rows, checked.
        validation: The rows to evaluate during training, checked, if there are any.
    """

    table: pd.DataFrame
    head: Head
    train: Rows
    validation: Rows | None


def read_training_rows(
    tables: Mapping[str, pd.DataFrame],
    texts: Sequence[str],
    *,
    kind: str,
    create_head: Callable[[pd.DataFrame], Head],
    trained: Head | None,
    images: bool,
    progress: bool,
) -> TrainingRows:
    """Reads and checks the rows of a training.

    Args:
        tables: The training table, then the evaluation table, if there is one, each by the name of
            its argument.
        texts: Text columns.
        kind: The kind of the head.
        create_head: Creates the head for a table of training rows.
        trained: The head of the model that training continues with, if there is one.
        images: Whether each row has an image.
        progress: Whether to show progress bars for steps that take longer than two seconds.

    Returns:
        The checked rows and their head.

    Raises:
        keras_mm.TableError: listing every problem of all tables, also of the set of labels.
    """
    table, problems = next(iter(tables.values())), []
    try:
        head = _head_of(table, kind, create_head, trained)
    except ValueError as error:
        problems.append(Problem(None, LABELS, table_name(table), str(error)))
        head = Head(kind, column=LABELS)
    if head.kind == "multiclass":
        problems += [p for each in tables.values() for p in label_problems(each)]
    train, *others = checked_rows(
        tables, texts, images=images, head=head, problems=problems, progress=progress
    ).values()
    return TrainingRows(table, head, train, others[0] if others else None)


def _head_of(
    table: pd.DataFrame,
    kind: str,
    create_head: Callable[[pd.DataFrame], Head],
    trained: Head | None,
) -> Head:
    """The head for training rows, with its classes.

    Raises:
        ValueError: if the labels of the rows contradict the settings, or cannot be saved.
    """
    if kind == "multiclass":
        table = without_rows(table, label_problems(table))
    head = replace(create_head(table), column=LABELS, dropout_rate=DROPOUT)
    form = label_form(table, head) if trained is None else trained.multi_hot
    head = with_classes({"label": replace(head, multi_hot=form)}, table)["label"]
    if not all(map(is_scalar, head.names)):
        raise InvalidValueError(f"Labels must be texts, numbers or bools. Received: {head.names}")
    return head
