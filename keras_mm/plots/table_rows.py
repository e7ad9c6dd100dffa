"""Plots rows of a table."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_mm.data.images.cells import open_image
from keras_mm.data.tables.columns import missing_columns
from keras_mm.data.tables.image_cells import resolve_image
from keras_mm.data.tables.image_lists import in_slots
from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import load_table
from keras_mm.errors import InvalidValueError
from keras_mm.settings.image_columns import image_counts, image_slots

_IMAGE_INCHES = 1.9  # width of an image, and smallest height of a row with images
_TEXT_INCHES = 4.2
_LINE_INCHES = 0.17
_LINE_LETTERS = 52  # as many as fit into `_TEXT_INCHES`
_MAX_LINES = 12  # of a text; the rest is replaced by an ellipsis


def plot_rows(
    table: Any,
    *,
    images: Sequence[str] | Mapping[str, int] = ("image_1", "image_2"),
    texts: Sequence[str] = ("text_1", "text_2"),
    labels: str | None = "label",
    num_rows: int = 4,
    seed: int | None = None,
    image_dir: str | PathLike | None = None,
) -> Figure:
    """Draws rows of a table: images side by side, then the texts, with the label as title.

    Images keep their proportions; a missing one is an empty panel that says so. The figure is not
    part of pyplot's global state: save it with `figure.savefig(path)`, or show it in a notebook.

    Args:
        table: A DataFrame, or anything else that `load_table` takes.
        images: Image columns, in the order drawn, as in `keras_mm.check_table`; may be empty.
        texts: Text columns, in the order drawn; may be empty.
        labels: The column drawn as title; `None` draws no title.
        num_rows: Number of rows to draw, at least 1; at most all rows of the table.
        seed: `None` draws the first rows; a number draws rows at random, the same ones each time.
        image_dir: Folder that image paths are relative to, and the only one that is read; by
            default the table file's folder, or the working directory for a DataFrame.

    Returns:
        The figure, with a row of axes for each table row: those of the images, then one for the
        texts.

    Raises:
        ValueError: if a column is missing, there is no column, or `num_rows` is below 1.
        ImageError: if an image cannot be used.

    Example:
        >>> figure = plot_rows([{"text": "NA", "label": "yes"}], images=(), texts=["text"])
        >>> figure.axes[0].get_title(loc="left")
        'yes'
    """
    table = load_table(table, image_dir=image_dir)
    _check(table, images, texts, labels, num_rows)
    rows = _chosen(table, num_rows, seed)
    wrapped = [[_wrapped(column, row[column]) for column in texts] for row in rows]
    heights = [_height(lines, bool(images)) for lines in wrapped]
    widths = [_IMAGE_INCHES] * len(image_slots(images)) + [_TEXT_INCHES]
    figure = Figure(figsize=(sum(widths), sum(heights)), layout="constrained")
    axes = figure.subplots(
        len(rows), len(widths), squeeze=False, width_ratios=widths, height_ratios=heights
    )
    for row, lines, panels in zip(rows, wrapped, axes, strict=True):
        cells = [
            (column, cell)
            for column, count in image_counts(images)
            for cell in in_slots(row[column], column, count)
        ]
        for (column, cell), panel in zip(cells, panels, strict=False):
            _draw_image(panel, cell, table.attrs["keras_mm"], column)
        _draw_texts(panels[-1], lines, None if labels is None else row[labels])
    return figure


def _check(
    table: pd.DataFrame,
    images: Sequence[str] | Mapping[str, int],
    texts: Sequence[str],
    labels: str | None,
    num_rows: int,
) -> None:
    for name, columns in (("images", images), ("texts", texts)):
        if isinstance(columns, str):
            raise InvalidValueError(
                f"`{name}` must be a list of columns. Received: {name}={columns!r}"
            )
    if not images and not texts:
        raise InvalidValueError(
            "`images` or `texts` must name at least one column. Received: neither"
        )
    if not isinstance(num_rows, int | np.integer) or num_rows < 1:
        raise InvalidValueError(
            f"`num_rows` must be an integer >= 1. Received: num_rows={num_rows!r}"
        )
    problems = missing_columns(table, [*images, *texts, *([] if labels is None else [labels])])
    if problems:
        raise InvalidValueError(" ".join(problems))


def _chosen(table: pd.DataFrame, num_rows: int, seed: int | None) -> list[pd.Series]:
    """The first rows, or with a seed, random ones."""
    positions = np.arange(len(table))
    if seed is not None:
        positions = np.random.default_rng(seed).permutation(positions)
    return [table.iloc[position] for position in positions[:num_rows]]


def _wrapped(column: str, cell: Any) -> str:
    """The name of the column and its text, wrapped to lines."""
    text = "(missing)" if is_missing(cell) else str(cell)
    return textwrap.fill(f"{column}: {text}", _LINE_LETTERS, max_lines=_MAX_LINES, placeholder=" …")


def _height(texts: Sequence[str], has_images: bool) -> float:
    """Height of a row in inches; the title has two lines, and an empty line follows each text."""
    lines = 2 + sum(text.count("\n") + 2 for text in texts)
    return max(_LINE_INCHES * lines, _IMAGE_INCHES if has_images else 0)


def _draw_image(panel: Axes, cell: Any, origin: dict, column: str) -> None:
    panel.set(xticks=[], yticks=[])
    panel.set_xlabel(column, fontsize=8, color="0.4")
    if is_missing(cell):
        panel.set_box_aspect(1)
        panel.text(0.5, 0.5, "missing", ha="center", va="center", color="0.5")
        panel.set_facecolor("0.95")
        return
    cell = resolve_image(cell, origin.get("image_dir"), origin.get("confined", False))
    panel.imshow(np.asarray(open_image(cell)), interpolation="nearest")


def _draw_texts(panel: Axes, texts: Sequence[str], label: Any) -> None:
    panel.set_axis_off()
    if label is not None:
        title = "(no label)" if is_missing(label) else str(label)
        panel.set_title(title, loc="left", fontsize=10, fontweight="bold", parse_math=False)
    # A "$" in a text is a dollar, not the start of a formula.
    panel.text(0, 1, "\n\n".join(texts), va="top", fontsize=9, parse_math=False)
