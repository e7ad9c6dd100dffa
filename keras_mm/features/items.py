"""The distinct images or texts of rows; an encoder encodes each of them once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import keras
import numpy as np

from keras_mm.data.images.cells import content_key, image_key
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import Rows
from keras_mm.data.threads import in_threads
from keras_mm.features.store.blocks import KEY_BYTES

# Texts are padded to one of these lengths: few shapes to compile, and little padding.
_BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
LONGEST = _BUCKETS[-1]
TOKENS = ("token_ids", "segment_ids", "padding_mask")


@dataclass(frozen=True)
class Items:
    """The distinct images or texts of rows.

    Args:
        kind: `"image"` or `"text"`.
        where: Index of the item in each slot of each row, int `(num_rows, num_slots)`; -1 for an
            empty slot.
        lengths: Number of tokens that each item is padded to, int `(num_items,)`; 0 for images.
        longest: The largest length; without items, the length of an empty text.
        contents: Returns, for item indices, a key of each item's content, `KEY_BYTES` long.
        load: Returns, for item indices, the encoder's inputs by name, first axis the rows that the
            items fill.
    """

    kind: str
    where: np.ndarray
    lengths: np.ndarray
    longest: int
    contents: Callable[[Iterable[int]], list[bytes]]
    load: Callable[[np.ndarray], dict[str, np.ndarray]]

    @property
    def slots(self) -> int:
        """Number of slots per row."""
        return self.where.shape[1]


def images_of(rows: Rows, preprocessor: Preprocessor) -> Items:
    """Creates one item for each distinct image.

    Args:
        rows: Checked rows.
        preprocessor: Makes the encoder's inputs.

    Returns:
        The items.
    """
    cells: dict = {}
    where = np.full((len(rows), len(rows.images)), -1)
    for slot, column in enumerate(rows.images):
        for row, cell in enumerate(column):
            if cell is not None:
                number, _ = cells.setdefault(image_key(cell), (len(cells), cell))
                where[row, slot] = number
    distinct = [cell for _, cell in cells.values()]

    def contents(items: Iterable[int]) -> list[bytes]:
        return list(in_threads(content_key, [distinct[i] for i in items]))

    def load(items: np.ndarray) -> dict[str, np.ndarray]:
        pixels = preprocessor.load_images([distinct[i] for i in items]).astype("float32")
        pixels = pixels.reshape(-1, where.shape[1], *pixels.shape[1:])
        return {name: pixels[:, slot] for slot, name in enumerate(preprocessor.image_names)}

    return Items("image", where, np.zeros(len(distinct), int), 0, contents, load)


def texts_of(
    rows: Rows, preprocessor: Preprocessor, encoder: keras.Model, one_length: bool
) -> Items:
    """Creates one item for each distinct sequence: a text, or the packed pair of a row.

    Args:
        rows: Checked rows.
        preprocessor: Makes the encoder's inputs.
        encoder: The text encoder.
        one_length: Whether all items are padded to the longest one, so that they fit into one
            batch.

    Returns:
        The items.
    """
    shape = encoder.input["token_ids"].shape[1:-1]  # () or (slots,)
    slots = math.prod(shape)
    numbers: dict[bytes, int] = {}  # of items, by content
    lengths: list[int] = []
    where = np.full((len(rows), slots), -1)
    inputs = preprocessor.masks_and_tokens(rows)
    tokens = [inputs[name].reshape(-1, inputs[name].shape[-1]) for name in TOKENS]
    mask = inputs["text_mask"]
    present = mask.reshape(-1) if shape else mask.any(axis=1)
    padded = bucket_of(tokens[-1], encoder)
    if one_length:
        padded[:] = padded.max()
    for place in np.flatnonzero(present):
        key = b"".join(x[place, : padded[place]].tobytes() for x in tokens)
        number = numbers.setdefault(key, len(numbers))
        if number == len(lengths):
            lengths.append(int(padded[place]))
        where[place // slots, place % slots] = number
    sequences = list(numbers)  # the bytes of all inputs of an item, one after the other
    dtypes = [encoder.input[name].dtype for name in TOKENS]

    def contents(items: Iterable[int]) -> list[bytes]:
        return [blake2b(sequences[i], digest_size=KEY_BYTES).digest() for i in items]

    def load(items: np.ndarray) -> dict[str, np.ndarray]:
        length = lengths[items[0]]  # the same for all items of a batch
        batch, offset = {}, 0
        for name, dtype in zip(TOKENS, dtypes, strict=True):
            size = length * np.dtype(dtype).itemsize
            data = b"".join(sequences[i][offset : offset + size] for i in items)
            batch[name] = np.frombuffer(data, dtype).reshape(-1, *shape, length)
            offset += size
        return batch

    shortest = bucket_of(np.zeros((1, tokens[-1].shape[-1])), encoder)
    longest = max(lengths, default=int(shortest[0]))
    return Items("text", where, np.asarray(lengths, int), longest, contents, load)


def bucket_of(padding_mask: np.ndarray, model: keras.Model) -> np.ndarray:
    """The length that each text is padded to.

    Args:
        padding_mask: bool `(num_texts, num_tokens)`, True for tokens.
        model: The model that reads the texts.

    Returns:
        int `(num_texts,)`: the smallest bucket that holds a text's tokens; the full length for a
        model with inputs of a fixed length.
    """
    full = padding_mask.shape[-1]
    if model.input["token_ids"].shape[-1] is not None:
        return np.full(len(padding_mask), full)
    buckets = np.asarray([size for size in _BUCKETS if size < full] + [full])
    return buckets[np.searchsorted(buckets, padding_mask.sum(axis=-1))]


def shortened(inputs: Mapping[str, np.ndarray], model: keras.Model) -> dict[str, Any]:
    """Cuts off padding: all texts get the bucket of the longest one.

    Args:
        inputs: The model's inputs by name, first axis the rows.
        model: The model that reads the inputs.

    Returns:
        The inputs by name; unchanged if there are no texts.
    """
    if "padding_mask" not in inputs:
        return dict(inputs)
    mask = inputs["padding_mask"]
    longest = np.any(mask.reshape(-1, mask.shape[-1]), axis=0, keepdims=True)
    length = int(bucket_of(longest, model).max())
    return {**inputs, **{name: inputs[name][..., :length] for name in TOKENS if name in inputs}}
