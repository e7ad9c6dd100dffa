"""Batches for `model.fit`: rows are permuted by seed and epoch, images are decoded in threads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from threading import Lock
from typing import Any

import keras
import numpy as np

from keras_mm.data.images.cells import image_key, load_image
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.columns import column_names, missing_columns, nested_columns
from keras_mm.data.tables.labels import find_classes
from keras_mm.data.tables.load import load_table
from keras_mm.data.tables.rows import Rows, read_rows
from keras_mm.data.tables.targets import with_classes
from keras_mm.data.tables.weights import with_weights
from keras_mm.errors import InvalidValueError
from keras_mm.row_weights import check_weights
from keras_mm.settings.by_head import one_or_all
from keras_mm.settings.heads import Head, as_heads
from keras_mm.settings.image_columns import as_images, image_slots
from keras_mm.settings.sliding_window import SlidingWindow

_DECODED_LIMIT = 512 * 2**20  # bytes of decoded images that are kept for the next epochs


class RowBatches(keras.utils.PyDataset):
    """Batches of rows from arrays and image cells; images are decoded when a batch is made.

    The order of the rows in an epoch depends on `seed` and `epoch` only, so that a run can be
    repeated, or resumed at a later epoch by setting `epoch`. Call `fit(shuffle=False)`: Keras' own
    shuffling only reorders whole batches. `fit` calls `on_epoch_end` once before its first epoch,
    so that `n` epochs from `epoch = e` have the numbers `e + 1` to `e + n`.

    Args:
        arrays: Model inputs by name; the first axis is the rows. Arrays, or tables such as
            `FeatureTable`.
        images: Image cells by input name, decoded to `image_size` when a batch is made.
        labels: Encoded labels; the first axis is the rows. One array, a dict of arrays by head, or
            `None`.
        sample_weight: Weights of the rows, floats >= 0, not all 0, shape `(num_rows,)`; `None` if
            all count 1. With weights, batches are `(inputs, labels, weights)`, the weights
            float32; with several heads a dict that has the same weights for each head.
        window_rows: If the rows are windows of longer rows: index of the row that each window is
            part of, ascending integers, shape `(num_rows,)`.
        window: How the windows were cut; its `weigh_by` decides what each window counts.
        image_size: `(height, width)` in pixels of the decoded images; required with `images`.
        batch_size: Rows of a batch, >= 1; the last batch may be smaller.
        shuffle: Whether to permute the rows in each epoch.
        fill: Whether the last batch is filled up with rows of the first, if there are several
            batches: with one size of all batches, JAX compiles a training step only once, and no
            step depends on very few rows.
        seed: Seed of the permutation.
        workers: Threads that decode the next batches while the model trains, as long as batches are
            read in order; 0 decodes in the caller's thread.

    Attributes:
        label_weights: Further factors of the weights, floats >= 0 by row; an array, or a dict of
            arrays by head, as `labels` are. `None` if there are none. Set during a training.

    Raises:
        ValueError: if `batch_size` or `sample_weight` is out of range.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        *,
        images: dict[str, Sequence] | None = None,
        labels: np.ndarray | dict[str, np.ndarray] | None = None,
        sample_weight: np.ndarray | None = None,
        window_rows: np.ndarray | None = None,
        window: SlidingWindow | None = None,
        image_size: tuple[int, int] | None = None,
        batch_size: int = 32,
        shuffle: bool = False,
        fill: bool = False,
        seed: int = 0,
        workers: int = 0,
    ):
        # Not Keras' own workers: a batch that they prepared but did not return in one epoch is
        # returned in the next one, so that rows occur twice or not at all.
        super().__init__(workers=1, use_multiprocessing=False)
        self.arrays, self.images, self.labels = arrays, images or {}, labels
        self.window_rows, self.window = window_rows, window or SlidingWindow()
        self.image_size, self.batch_size = image_size, batch_size
        self.shuffle, self.fill, self.seed, self.epoch = shuffle, fill, seed, 0
        if batch_size < 1:
            raise InvalidValueError(f"`batch_size` must be >= 1. Received: batch_size={batch_size}")
        columns = [*arrays.values(), *self.images.values()]
        self.num_rows = len(columns[0])
        self.sample_weight = check_weights(sample_weight, self.num_rows)
        self._weights = self.sample_weight
        self.label_weights: Any = None
        if window_rows is not None and self.window.weigh_by == "row":
            of_windows = (1 / np.bincount(window_rows))[window_rows]
            self._weights = of_windows * (1 if self._weights is None else self._weights)
        self._decoded: dict = {}
        distinct = {image_key(c) for cells in self.images.values() for c in cells if c is not None}
        size = len(distinct) * math.prod(image_size or ()) * 3
        self._keep_decoded = size <= _DECODED_LIMIT
        self._threads = workers if self.images else 0
        self._pool = ThreadPoolExecutor(self._threads) if self._threads else None
        self._ahead: dict[tuple[int, int], Future] = {}
        self._last, self._lock = -1, Lock()
        self._order: tuple[tuple[int, int], np.ndarray] | None = None  # of the last epoch asked for

    def __len__(self) -> int:
        return math.ceil(self.num_rows / self.batch_size)

    def order(self, epoch: int | None = None) -> np.ndarray:
        """The order of the rows in an epoch.

        Args:
            epoch: Number of the epoch, >= 0; `None` for the current one.

        Returns:
            Row positions, integers, shape `(num_rows,)`; read-only if the rows are shuffled.
        """
        if not self.shuffle:
            return np.arange(self.num_rows)
        key = (self.seed, self.epoch if epoch is None else epoch)
        cached = self._order
        if cached is None or cached[0] != key:
            order = np.random.default_rng(key).permutation(self.num_rows)
            order.setflags(write=False)
            self._order = cached = key, order
        return cached[1]

    def __getitem__(self, index: int) -> Any:
        """Batch `index`: `inputs`, `(inputs, labels)` or `(inputs, labels, weights)`."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: index={index}")
        if self._pool is None:
            return self._batch(self.epoch, index)
        return self._started(index, self._pool).result()

    def _started(self, index: int, pool: ThreadPoolExecutor) -> Future:
        """Starts a batch and those that follow it; returns the future of the first."""
        with self._lock:
            in_order = index in (0, self._last + 1)  # if not, the next batch is unknown
            stop = min(index + 1 + (self._threads if in_order else 0), len(self))
            keys = [(self.epoch, i) for i in range(index, stop)]
            self._ahead = {
                key: self._ahead.get(key) or pool.submit(self._batch, *key) for key in keys
            }
            self._last = index
            return self._ahead[keys[0]]

    def _batch(self, epoch: int, index: int) -> Any:
        places = np.arange(index * self.batch_size, (index + 1) * self.batch_size)
        if self.fill and self.num_rows > self.batch_size:
            places %= self.num_rows
        rows = self.order(epoch)[places[places < self.num_rows]].tolist()
        inputs = {name: array[rows] for name, array in self.arrays.items()}
        for name, cells in self.images.items():
            inputs[name] = np.stack([self._image(cells[row]) for row in rows]).astype("float32")
        if self.labels is None:
            return inputs
        labels = _at(self.labels, rows)
        if self._weights is None and self.label_weights is None:
            return inputs, labels
        weights = np.ones(len(rows)) if self._weights is None else self._weights[rows]
        if self.label_weights is None:
            factors = keras.tree.map_structure(lambda _: 1.0, labels)
        else:
            factors = _at(self.label_weights, rows)
        weighted = keras.tree.map_structure(lambda x: (weights * x).astype("float32"), factors)
        return inputs, labels, weighted

    @property
    def row_labels(self) -> Any:
        """The labels of the rows; all windows of a row share one label."""
        if self.window_rows is None:
            return self.labels
        return _at(self.labels, np.unique(self.window_rows, return_index=True)[1])

    @property
    def row_weights(self) -> np.ndarray | None:
        """The weights of the rows, float64 `(num_rows,)`; all windows of a row share one weight."""
        if self.window_rows is None or self.sample_weight is None:
            return self.sample_weight
        return self.sample_weight[np.unique(self.window_rows, return_index=True)[1]]

    def on_epoch_end(self) -> None:
        """Moves to the next epoch's permutation."""
        self.epoch += 1

    def _image(self, cell: Any) -> np.ndarray:
        if self.image_size is None:
            raise InvalidValueError(
                "`image_size` is required with `images`: pass (height, width) in pixels."
            )
        if cell is None:
            return np.zeros((*self.image_size, 3), "uint8")
        key = image_key(cell)
        image = self._decoded.get(key)
        if image is None:
            image = load_image(cell, self.image_size)
            if self._keep_decoded:
                self._decoded[key] = image
        return image


def _at(labels: Any, rows: Any) -> Any:
    """Selects rows of labels: of one array, or of each array of a dict."""
    if labels is None:
        return None
    return keras.tree.map_structure(lambda array: array[rows], labels)


class MultimodalDataset(RowBatches):
    """Batches of a table for `model.fit`, on every backend.

    The constructor checks all rows and tokenizes all texts; images are decoded in threads while the
    model trains. Batches are `(inputs, labels)` with exactly the inputs of the model; with
    `sample_weight` they are `(inputs, labels, weights)`.

    Args:
        table: Anything that `load_table` takes.
        preprocessor: A `Preprocessor` that makes the inputs of the model.
        images: Image columns, one for each image slot; or, for columns whose cells hold several
            images, a dict from column to the largest number of images in a cell. Each of these
            images has a slot.
        texts: Text columns.
        labels: A column of classes; or heads by name, where a head without classes gets those of
            the table; `None` for batches of inputs only. With several heads the labels are dicts by
            head. Pass the `heads` of the training set to a validation set.
        classes: Label names in the order of the logits, if `labels` is a column; by default those
            of the table, sorted. Pass the `classes` of the training set to a validation set.
        sample_weight: Weights of the rows, numbers >= 0: a column, or one weight per row. A row of
            weight 0 is in the batches, but does not change the loss. Requires `labels`.
        batch_size: Rows of a batch, >= 1; the last batch may be smaller.
        shuffle: Whether to permute the rows in each epoch (by `seed` and epoch).
        seed: Seed of the permutation.
        image_dir: Folder that image paths are relative to; by default as in `load_table`.
        on_error: What to do with rows that have problems: `"raise"` an error, or `"skip"` them.
        workers: Threads that decode the images of the next batches.
        progress: Whether to show a progress bar while many images are checked.

    Attributes:
        classes: Label names in the order of the logits; with several heads a dict by head.
        heads: Heads by name, with their classes, as `create_multimodal_model` and `Trainer` take
            them; `None` if `labels` is a column.

    Raises:
        TableError: listing every problem of the table.
        ValueError: if the columns do not match the preprocessor, or another argument is invalid.

    Example:
        >>> preprocessor = Preprocessor(tokenizer="tiny_bert", sequence_length=8, num_texts=1)
        >>> table = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
        >>> dataset = MultimodalDataset(table, preprocessor, texts=["text"], labels="label")
        >>> inputs, labels = dataset[0]
        >>> inputs["token_ids"].shape, sorted(labels.tolist())
        ((2, 8), [0, 1])
    """

    def __init__(
        self,
        table: Any,
        preprocessor: Preprocessor,
        *,
        images: Sequence[str] | Mapping[str, int] = (),
        texts: Sequence[str] = (),
        labels: str | Mapping[str, Head] | None = None,
        classes: Sequence | None = None,
        sample_weight: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        image_dir: str | PathLike | None = None,
        on_error: str = "raise",
        workers: int = 4,
        progress: bool = True,
    ):
        images, texts = as_images(images), column_names(texts)
        for side, columns, slots, expected in (
            ("image", images, image_slots(images), preprocessor.num_images),
            ("text", texts, texts, preprocessor.num_texts),
        ):
            if len(slots) != expected:
                shown = list(columns) if isinstance(columns, tuple) else columns
                raise InvalidValueError(
                    f"The preprocessor takes {expected} {side} columns. Received: {side}s={shown}"
                )
        if sample_weight is not None and labels is None:
            raise InvalidValueError(
                "`sample_weight` requires `labels`, as it weights the loss. Pass `labels` too."
            )
        table, weights = with_weights(load_table(table, image_dir=image_dir), sample_weight)
        if isinstance(labels, str) and classes is None:
            # A missing or nested column is reported by `read_rows`, with all other problems.
            problems = missing_columns(table, [labels]) + nested_columns(table, others=[labels])
            classes = [] if problems else find_classes(table[labels])
        elif isinstance(labels, Mapping):
            labels = with_classes(as_heads(labels, argument="labels"), table)
        rows = read_rows(
            table, images=images, texts=texts, labels=labels, classes=classes,
            sample_weight=weights, image_dir=image_dir, on_error=on_error, progress=progress,
        )  # fmt: skip
        self.rows, self.preprocessor = rows, preprocessor
        self.heads = labels if isinstance(labels, Mapping) else None
        names = {name: list(head.names) for name, head in (self.heads or {}).items()}
        self.classes = next(iter(names.values())) if len(names) == 1 else names or classes
        super().__init__(
            **_row_inputs(rows, preprocessor, preprocessor.input_names, {}),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            workers=workers,
        )


def rows_in_batches(
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    names: Sequence[str],
    features: Mapping[str, Any] | None = None,
    **options: Any,
) -> RowBatches:
    """Makes batches of checked rows.

    Args:
        rows: Checked rows.
        preprocessor: Makes the inputs that are not in `features`.
        names: Names of the inputs that the batches have.
        features: Inputs that were computed before, by name; the first axis is the rows.
        **options: Other arguments of `RowBatches`.

    Returns:
        Batches of these inputs, and of the labels and weights of the rows.
    """
    return RowBatches(**_row_inputs(rows, preprocessor, names, features or {}), **options)


def _row_inputs(
    rows: Rows, preprocessor: Preprocessor, names: Sequence[str], features: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of `RowBatches` for batches with exactly the inputs `names`."""
    images = dict(zip(preprocessor.image_names, rows.images, strict=True))
    arrays = {**preprocessor.without_images(rows, names), **features}
    return {
        "arrays": {name: arrays[name] for name in names if name in arrays},
        "images": {name: images[name] for name in names if name in images},
        "labels": one_or_all(rows.labels) if rows.labels else None,
        "sample_weight": rows.sample_weight,
        "image_size": preprocessor.image_size,
        "window": preprocessor.sliding_window,
    }
