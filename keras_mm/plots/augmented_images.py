"""Plots augmented images, to check an augmentation before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.load import load_table
from keras_mm.data.tables.rows import read_rows
from keras_mm.errors import InvalidValueError
from keras_mm.models.layers.augmentation import ImageAugmentation
from keras_mm.settings.augmentation import Augmentation
from keras_mm.settings.image_columns import image_slots

_INCHES = 1.3  # width of an image


def plot_augmentation(
    table: Any,
    augmentation: Augmentation | Mapping,
    *,
    images: Sequence[str] | Mapping[str, int] = ("image_1", "image_2"),
    image_size: tuple[int, int] = (128, 128),
    num_rows: int = 3,
    num_draws: int = 6,
    seed: int = 0,
    image_dir: str | PathLike | None = None,
) -> Figure:
    """Draws the images of some rows unchanged, as the model sees them, and augmented.

    Use it to check that the label of a row still holds for its augmented images. The images of a
    row are below each other; the images of one column are from one random draw.

    Args:
        table: A DataFrame, or anything else that `load_table` takes; its first rows are drawn.
        augmentation: A `keras_mm.Augmentation`, or a dict of its fields.
        images: Image columns, at least one, as in `keras_mm.check_table`.
        image_size: `(height, width)` in pixels, as the model's.
        num_rows: Number of rows to draw, at least 1; at most all rows of the table.
        num_draws: Number of augmented images for each image, at least 1.
        seed: Seed of the augmentation.
        image_dir: Folder that image paths are relative to.

    Returns:
        The figure, with a row of axes for each image; the unchanged image is the first.

    Raises:
        TableError: listing every row that cannot be used.
        ValueError: if there is no image column, or a number is below 1.

    Example:
        >>> rows = [{"image": np.zeros((8, 8, 3), "uint8")}]
        >>> figure = plot_augmentation(rows, {"flip": True}, images=["image"], num_draws=2)
        >>> [panel.get_title() for panel in figure.axes]
        ['unchanged', '1', '2']
    """
    for name, value in (("num_rows", num_rows), ("num_draws", num_draws)):
        if value < 1:
            raise InvalidValueError(f"`{name}` must be >= 1. Received: {name}={value}")
    if isinstance(images, str) or not images:
        raise InvalidValueError(f"`images` must be a list of columns. Received: images={images!r}")
    rows = read_rows(
        load_table(table, image_dir=image_dir)[:num_rows], images=images, progress=False
    )
    slots = image_slots(images)
    preprocessor = Preprocessor(image_size=image_size, num_images=len(slots))
    pixels = np.stack([preprocessor.load_images(cells) for cells in rows.images], axis=1)
    # The layer that is used in training, so that the figure shows the same changes.
    layer = ImageAugmentation(augmentation, seed=seed)
    changed = [keras.ops.convert_to_numpy(layer(pixels, training=True)) for _ in range(num_draws)]
    columns = [pixels, *(draw.round().astype("uint8") for draw in changed)]

    height, width = len(rows) * len(slots), len(columns)
    image_height = _INCHES * image_size[0] / image_size[1]
    # Not `pyplot.figure`, whose global state would keep the figure.
    figure = Figure(figsize=(_INCHES * width, image_height * height), layout="constrained")
    axes = figure.subplots(height, width, squeeze=False)
    for place, panels in enumerate(axes):
        row, slot = divmod(place, len(slots))
        panels[0].set_ylabel(slots[slot], fontsize=8, color="0.4")
        for panel, column in zip(panels, columns, strict=True):
            missing = rows.images[slot][row] is None
            _draw(panel, None if missing else column[row, slot])
    for number, panel in enumerate(axes[0]):
        panel.set_title(str(number or "unchanged"), fontsize=8)
    return figure


def _draw(panel: Axes, image: np.ndarray | None) -> None:
    panel.set(xticks=[], yticks=[])
    if image is None:
        panel.set_facecolor("0.95")
        panel.text(0.5, 0.5, "missing", ha="center", va="center", color="0.5", fontsize=8)
    else:
        panel.imshow(image, interpolation="nearest")
