"""Chooses the columns of a table that a run reads, and checks the settings against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import pandas as pd

from keras_mm.data.tables.columns import missing_columns, nested_columns
from keras_mm.data.tables.labels import label_value
from keras_mm.data.tables.load import guess_columns, table_name
from keras_mm.data.tables.targets import as_targets, with_classes
from keras_mm.errors import ConfigError
from keras_mm.settings.heads import Head, as_heads, as_labels
from keras_mm.settings.image_columns import as_images, image_slots
from keras_mm.settings.rules import as_names
from keras_mm.settings.settings import Settings
from keras_mm.settings.sliding_window import as_sliding_window

Kind = TypeVar("Kind", bound=Settings)


def with_columns(settings: Kind, table: pd.DataFrame, also: Iterable[str] = ()) -> Kind:
    """Checks the columns of the settings; without any, columns with usual names are chosen.

    Args:
        settings: The settings of the user.
        table: The training rows.
        also: Other columns that the table must have.

    Returns:
        A copy of the settings with image and text columns.

    Raises:
        ConfigError: listing every problem.
    """
    resolved = settings.resolved()
    images, texts = as_images(settings.images), as_names(settings.texts)
    sides = {"images": resolved.vision_backbone, "texts": resolved.text_backbone}
    problems: list[str] = []
    try:
        labels = label_columns(label_heads(settings))
    except ValueError as error:
        labels, problems = [], str(error).splitlines()
    if not images and not texts:
        images, texts = (
            tuple(name for name in names if name not in labels) for names in guess_columns(table)
        )
        images = () if resolved.vision_backbone is None else images
        texts = () if resolved.text_backbone is None else texts
    problems += [
        f"the column {name!r} cannot be both an input and the label"
        for name in (*images, *texts)
        if name in labels
    ]
    for (name, backbone), columns in zip(sides.items(), (images, texts), strict=True):
        if columns and backbone is None:
            problems.append(
                f"preset {settings.preset!r} has no encoder for `{name}`={list(columns)}: remove "
                "these columns, or choose a backbone or another preset"
            )
    if not images and not texts:
        problems.append(
            "no image and no text columns: pass them as `images` and `texts`. The columns are "
            f"{', '.join(map(str, table.columns))}"
        )
    if len(texts) > 2:
        problems.append(f"`texts` takes one or two columns. Received: {list(texts)}")
    if settings.augmentation and resolved.augmentation.is_on and not images:
        problems.append("`augmentation` changes images, but there is no image column")
    absent = missing_columns(table, [*images, *texts, *labels, *also])
    absent += nested_columns(table, images, [*texts, *labels])
    problems += [f"{table_name(table)}: {sentence}" for sentence in absent]
    problems += _window_problems(settings, texts)
    if settings.compare and not has_pair(replace(resolved, images=images, texts=texts)):
        problems.append("compare=True needs two images, or two texts with text_pairing='separate'")
    if problems:
        raise ConfigError(problems)
    return replace(settings, images=images, texts=texts)


def _window_problems(settings: Settings, texts: Sequence[str]) -> list[str]:
    window = as_sliding_window(settings.sliding_window)
    if window is None:
        return []
    if not texts:
        return ["`sliding_window` cuts texts, but there is no text column"]
    if window.text is None and len(texts) > 1:
        return [
            f"`sliding_window` must name the text column that it cuts, one of {list(texts)}: "
            f"sliding_window={{'text': {texts[-1]!r}}}"
        ]
    if window.text is not None and window.text not in texts:
        return [f"`sliding_window.text` must be one of {list(texts)}. Received: {window.text!r}"]
    return []


def has_pair(settings: Settings) -> bool:
    """Whether a row has two images, or two texts, that can be compared.

    Args:
        settings: Settings with image and text columns.

    Returns:
        True for two image slots, or for two text columns that are encoded separately.
    """
    separate = len(settings.texts) == 2 and settings.text_pairing == "separate"
    return len(image_slots(settings.images)) == 2 or separate


def label_heads(settings: Settings) -> dict[str, Head]:
    """The heads that the settings describe; without classes if the settings have none.

    For several columns of classes there is a head for each, with the name of the column. In all
    other cases there is one head, `"label"`.

    Args:
        settings: The settings of the user.

    Returns:
        Heads by name.

    Raises:
        ValueError: if the name of a column cannot be the name of a head.
    """
    labels = as_labels(settings.labels)
    if isinstance(labels, dict):
        return labels
    if isinstance(labels, tuple) and settings.head in ("multiclass", "binary"):
        if len(labels) > 1:
            return as_heads({name: Head(settings.head) for name in labels})
        labels = labels[0]
    classes = settings.classes
    if classes is not None:
        classes = tuple(label_value(name) for name in classes)
    return {"label": Head(settings.head, classes, labels)}


def label_columns(heads: Mapping[str, Head]) -> list[str]:
    """Lists the label columns of heads.

    Args:
        heads: Heads by name.

    Returns:
        Column names, in the order of the heads.
    """
    return [column for target in as_targets(heads).values() for column in target.columns]


def find_heads(settings: Settings, table: pd.DataFrame) -> dict[str, Head]:
    """The heads with classes: those of the settings, otherwise the labels of the table, sorted.

    Args:
        settings: The settings of the user.
        table: The training rows.

    Returns:
        Heads by name.

    Raises:
        ValueError: if a column has only one class, or a value that cannot be a label.
    """
    return with_classes(label_heads(settings), table)
