"""The encoding engine: rows to features, each distinct image and text once, with little padding."""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import keras
import numpy as np
from tqdm import tqdm

from keras_mm.data.images import ImageError, content_key, image_key
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.rows import Rows
from keras_mm.features.fingerprint import fingerprint
from keras_mm.features.store import KEY_BYTES, FeatureStore, Shelf, reserve
from keras_mm.features.table import FeatureTable

_BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_TOKENS = ("token_ids", "segment_ids", "padding_mask")
# Images or texts that go through an encoder together: the same for every training, so that what
# one has encoded serves the others to the bit. Where it is no multiple of the widest registers,
# TensorFlow rounds the last of a batch in another way than the first.
_TOGETHER, _REGISTER = 32, 16
# What is kept is written after so many bytes, or so many seconds, or such a share of all the time
# that has passed: a killed process loses no more, and the files stay few.
_WRITE_BYTES, _WRITE_SECONDS, _WRITE_SHARE = 2**27, 20.0, 0.1

_log = logging.getLogger("keras_mm")

# The part of an encoder that gives the wanted outputs, kept so that it is compiled once.
_reduced: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def encode_rows(
    encoders: Mapping[str, keras.Model],
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    names: Sequence[str] | None = None,
    store: FeatureStore | None = None,
    progress: bool = True,
) -> dict[str, FeatureTable]:
    """Features of rows, by the trunk's input names.

    Each distinct image, and each distinct text (or packed pair of texts), is encoded once. Every
    batch has the same size, and texts the length that their own tokens ask for, so that features
    do not depend on what they are encoded with. What is missing is not encoded; its features are
    zeros, which the model's masks hide.

    Args:
        encoders: Encoders by side, `"vision"` or `"text"`, that answer for each slot by itself.
        rows: Checked rows.
        preprocessor: What makes the encoders' inputs.
        names: Features that are wanted, by the trunk's input names; `None` is the pooled ones. An
            encoder of which none is wanted does not run.
        store: Where the features of frozen encoders are looked up and kept, if they are more than
            a batch; `None` for nowhere.
        progress: Whether to show a bar on what takes longer than two seconds.

    Returns:
        `vision_pooled_output`, `text_sequence_output`, ...: first axis the rows. Tokens are padded
        to the longest bucket that occurs. Tables are read by rows, `table[rows]`, or whole, with
        `np.asarray`.

    Raises:
        ImageError: if an image cannot be read, or its file changes meanwhile.
    """
    features = {}
    for side, encoder in encoders.items():
        wanted = ("pooled_output",) if names is None else _wanted(side, encoder, names)
        if not wanted:
            continue
        read = _images if side == "vision" else _texts
        items = read(encoder, rows, preprocessor)
        together = _together(items.slots)
        shelves = _shelves(encoder, side, wanted, items, together, store)
        keys = _encode(_with_outputs(encoder, wanted), items, shelves, together, progress)
        for name, shelf in shelves.items():
            features[f"{side}_{name}"] = _table(encoder.output[name], items, shelf.find(keys))
    return features


def predict_logits(
    encoders: Mapping[str, keras.Model],
    trunk: keras.Model,
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    features: Mapping[str, FeatureTable | np.ndarray] | None = None,
    batch_size: int = 32,
    store: FeatureStore | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Logits of rows: the encoders, then the trunk. The one way to predict.

    Args:
        encoders: Encoders by side, as in `encode_rows`.
        trunk: What answers from their features.
        rows: Checked rows.
        preprocessor: What makes the encoders' inputs.
        features: What `encode_rows` gave for these rows, where it has run already. What a row
            lacks is masked, so that for rows with cells taken out the features from before serve.
        batch_size: Rows of a batch.
        store: As in `encode_rows`.
        progress: As in `encode_rows`.

    Returns:
        float32 `(num_rows, num_logits)`.
    """
    names = [tensor.name for tensor in trunk.inputs]
    if features is None:
        features = encode_rows(
            encoders,
            rows,
            preprocessor,
            names=names,
            store=store,
            progress=progress,
        )
    tokens = any(name in _TOKENS for name in names)
    masks = preprocessor.masks_and_tokens(rows) if tokens else preprocessor.masks(rows)
    features = {**features, **masks}
    inputs = {name: features[name] for name in names}
    return _in_batches(trunk, inputs, len(rows), batch_size)


def _wanted(side: str, encoder: keras.Model, names: Sequence[str]) -> tuple[str, ...]:
    """Those of an encoder's outputs that are asked for."""
    return tuple(name for name in encoder.output if f"{side}_{name}" in names)


def _in_batches(model: keras.Model, inputs: dict, num_rows: int, batch_size: int) -> np.ndarray:
    """Outputs for arrays, every batch filled up to the same size."""
    parts = [
        np.asarray(model.predict_on_batch({name: x[take] for name, x in inputs.items()}))[:count]
        for take, count in _batches(np.arange(num_rows), batch_size)
    ]
    return np.concatenate(parts)


def _batches(positions: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Positions in full batches; the last one repeats a row, and its true size is given."""
    for start in range(0, len(positions), batch_size):
        take = positions[start : start + batch_size]
        filled = np.concatenate([take, np.repeat(take[-1:], batch_size - len(take))])
        yield filled, len(take)


def _with_outputs(encoder: keras.Model, outputs: tuple[str, ...]) -> keras.Model:
    known = _reduced.setdefault(encoder, {})
    if outputs not in known:
        known[outputs] = keras.Model(encoder.input, {n: encoder.output[n] for n in outputs})
    return known[outputs]


@dataclass(frozen=True)
class _Items:
    """The distinct images or texts of rows.

    Args:
        kind: `"image"` or `"text"`.
        where: Item of each slot of each row, `(num_rows, num_slots)`; -1 where nothing is.
        lengths: Tokens that each item is padded to; 0 for images.
        longest: The largest of them.
        contents: Gives keys by content for positions of items.
        load: Gives the encoder's inputs for positions of items, row after row.
    """

    kind: str
    where: np.ndarray
    lengths: np.ndarray
    longest: int
    contents: Callable[[Iterable[int]], list[bytes]]
    load: Callable[[np.ndarray], dict[str, np.ndarray]]

    @property
    def slots(self) -> int:
        return self.where.shape[1]


def _images(encoder: keras.Model, rows: Rows, preprocessor: Preprocessor) -> _Items:
    cells: dict = {}
    where = np.full((len(rows), len(rows.images)), -1)
    for slot, column in enumerate(rows.images):
        for row, cell in enumerate(column):
            if cell is not None:
                number, _ = cells.setdefault(image_key(cell), (len(cells), cell))
                where[row, slot] = number
    distinct = [cell for _, cell in cells.values()]

    def contents(take: Iterable[int]) -> list[bytes]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(content_key, [distinct[i] for i in take]))

    def load(take: np.ndarray) -> dict[str, np.ndarray]:
        pixels = preprocessor.load_images([distinct[i] for i in take]).astype("float32")
        pixels = pixels.reshape(-1, where.shape[1], *pixels.shape[1:])
        return {name: pixels[:, slot] for slot, name in enumerate(preprocessor.image_names)}

    return _Items("image", where, np.zeros(len(distinct), int), 0, contents, load)


def _texts(encoder: keras.Model, rows: Rows, preprocessor: Preprocessor) -> _Items:
    """One item for each distinct sequence: a text, or the packed pair of a row."""
    inputs = preprocessor.masks_and_tokens(rows)
    shape = inputs["token_ids"].shape  # (rows, length), or (rows, texts, length)
    tokens = {name: inputs[name].reshape(-1, shape[-1]) for name in _TOKENS}
    mask = inputs["text_mask"]
    present = np.asarray(mask.reshape(-1) if len(shape) == 3 else mask.any(axis=1))
    padded = _bucket_of(tokens["padding_mask"], encoder)
    first: dict[bytes, tuple[int, int]] = {}  # number of the item, and where it is first
    where = np.full(len(present), -1)
    for place in np.flatnonzero(present):
        key = b"".join(x[place, : padded[place]].tobytes() for x in tokens.values())
        where[place], _ = first.setdefault(key, (len(first), int(place)))
    places = np.asarray([place for _, place in first.values()], int)
    lengths = padded[places]

    digests = [blake2b(key, digest_size=KEY_BYTES).digest() for key in first]

    def contents(take: Iterable[int]) -> list[bytes]:
        return [digests[i] for i in take]

    def load(take: np.ndarray) -> dict[str, np.ndarray]:
        length = lengths[take[0]]  # as of all that are asked for together
        return {
            name: x[places[take], :length].reshape(-1, *shape[1:-1], length)
            for name, x in tokens.items()
        }

    longest = int(max(lengths, default=padded.min()))
    return _Items("text", where.reshape(len(rows), -1), lengths, longest, contents, load)


def _bucket_of(padding_mask: np.ndarray, encoder: keras.Model) -> np.ndarray:
    """The padded length of each text: its bucket, or the full length for a fixed-length model."""
    full = padding_mask.shape[-1]
    if encoder.input["token_ids"].shape[-1] is not None:
        return np.full(len(padding_mask), full)
    buckets = np.asarray([size for size in _BUCKETS if size < full] + [full])
    return buckets[np.searchsorted(buckets, padding_mask.sum(axis=-1))]


def _shelves(
    encoder: keras.Model,
    side: str,
    outputs: Sequence[str],
    items: _Items,
    together: int,
    store: FeatureStore | None,
) -> dict[str, Shelf]:
    """Where each output is found and put: in the store, or in memory only."""
    digest = None
    if store is not None and not encoder.trainable_variables and len(items.lengths) > together:
        digest = fingerprint(encoder, together=together)
    if digest is None:
        return {name: Shelf() for name in outputs}
    network = next((la.name for la in encoder.layers if isinstance(la, keras.Model)), encoder.name)
    about = {"side": side, "network": network, "backend": keras.backend.backend()}
    return {name: Shelf(store, f"{digest}.{name}", {**about, "output": name}) for name in outputs}


def _together(slots: int) -> int:
    """Items of a batch: whole rows, in a multiple of `_REGISTER`."""
    least = math.lcm(_REGISTER, slots)
    return least * max(1, _TOGETHER // least)


def _encode(
    model: keras.Model, items: _Items, shelves: dict[str, Shelf], together: int, progress: bool
) -> list[bytes]:
    """Puts the items that are not on all shelves there; returns the items' keys."""
    numbers = range(len(items.lengths))
    kept = any(shelf.is_kept for shelf in shelves.values())
    if kept:
        keys = items.contents(numbers)
    else:
        keys = [number.to_bytes(KEY_BYTES, "big") for number in numbers]
    first = dict(zip(reversed(keys), reversed(numbers), strict=True))
    absent = set().union(*(shelf.missing(first) for shelf in shelves.values()))
    todo = np.asarray(sorted(first[key] for key in absent), int)
    if kept:
        _announce(model, items, todo, len(first), shelves)
    work = [
        (take, count)
        for length in np.unique(items.lengths[todo])
        for take, count in _batches(todo[items.lengths[todo] == length], together)
    ]
    with (
        ThreadPoolExecutor(1) as ahead,
        _bar(progress, f"encoding {items.kind}s", len(todo), items.kind) as bar,
        _Writer(shelves) as writer,
    ):
        pending = ahead.submit(items.load, work[0][0]) if work else None
        for i, (take, count) in enumerate(work):
            batch = pending.result()
            if i + 1 < len(work):  # is loaded while this one is encoded
                pending = ahead.submit(items.load, work[i + 1][0])
            if kept and items.contents(take) != [keys[number] for number in take]:
                raise ImageError("an image file has changed while it was read; begin again.")
            found = model.predict_on_batch(batch)
            values = {
                name: np.asarray(value).reshape(
                    together, *_item_shape(model.output[name], items.slots, items.lengths[take[0]])
                )[:count]
                for name, value in found.items()
            }
            writer.add([keys[number] for number in take[:count]], values)
            bar.update(count)
    return keys


class _Writer:
    """Puts what was encoded on the shelves, now and then, and at the end or an interruption."""

    def __init__(self, shelves: Mapping[str, Shelf]):
        self._shelves = shelves
        self._keys: list[bytes] = []
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in shelves}
        self._bytes, self._begun = 0, time.monotonic()
        self._first = self._begun

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_) -> None:
        self._write()

    def add(self, keys: list[bytes], values: dict[str, np.ndarray]) -> None:
        """Takes the values of some items, one array by output."""
        before = next(iter(self._values.values()))
        if before and any(self._values[n][0].shape[1:] != v.shape[1:] for n, v in values.items()):
            self._write()
        for name, value in values.items():
            self._values[name].append(value)
            self._bytes += value.nbytes
        self._keys += keys
        now = time.monotonic()
        pause = max(_WRITE_SECONDS, _WRITE_SHARE * (now - self._first))
        if self._bytes > _WRITE_BYTES or now - self._begun > pause:
            self._write()

    def _write(self) -> None:
        for name, shelf in self._shelves.items():
            new = [number for number, key in enumerate(self._keys) if key not in shelf]
            if new:
                values = np.concatenate(self._values[name])
                shelf.put([self._keys[number] for number in new], values[new])
            self._values[name] = []
        self._keys, self._bytes, self._begun = [], 0, time.monotonic()


def _announce(
    model, items: _Items, todo: np.ndarray, total: int, shelves: Mapping[str, Shelf]
) -> None:
    """Says what is there and what will be written, and makes room for it."""
    lengths, counts = np.unique(items.lengths[todo], return_counts=True)
    num_bytes = sum(
        count
        * np.dtype(output.dtype).itemsize
        * math.prod(_item_shape(output, items.slots, length))
        for output in (model.output[name] for name in shelves)
        for length, count in zip(lengths.tolist(), counts.tolist(), strict=True)
    )
    num_bytes += len(todo) * KEY_BYTES * len(shelves)
    words = f"{total - len(todo):,} of {total:,} distinct {items.kind}s are in the cache"
    if len(todo):
        words += f"; {len(todo):,} to encode, {num_bytes / 1e6:,.1f} MB"
        reserve(shelves.values(), num_bytes)
    _log.info(words)


def _item_shape(output, slots: int, length: int) -> tuple[int, ...]:
    """Shape of one slot's part of a row's output, first axis its tokens: one, for a vector."""
    _, first, *rest = output.shape
    return (length if first is None else first // slots, *rest)


def _table(output, items: _Items, places: list) -> FeatureTable:
    item = _item_shape(output, items.slots, items.longest)
    row = (output.shape[1] or items.slots * items.longest, *output.shape[2:])
    return FeatureTable(places, items.where, item, row, output.dtype)


def _bar(progress: bool, description: str, total: int, unit: str) -> tqdm:
    return tqdm(desc=description, total=total, unit=unit, delay=2, disable=not progress)
