"""The encoding engine: rows to features, each distinct image and text once, with little padding."""

from __future__ import annotations

import logging
import math
import time
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
from keras_mm.data.threads import in_threads
from keras_mm.features.fingerprint import fingerprint
from keras_mm.features.networks import (
    EngineError,
    Network,
    choose_engine,
    create_network,
    deviation,
    note_unfit,
    precision_of,
    predict_batch,
)
from keras_mm.features.store import KEY_BYTES, FeatureStore, Shelf, reserve
from keras_mm.features.table import FeatureTable
from keras_mm.models.multimodal import input_names, parts

_BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_TOKENS = ("token_ids", "segment_ids", "padding_mask")
# Images or texts that go through an encoder together: the same for every training, so that what
# one has encoded serves the others to the bit. Where it is no multiple of the widest registers,
# TensorFlow rounds the last of a batch in another way than the first.
_TOGETHER, _REGISTER = 32, 16
# What is kept is written after so many bytes, or so many seconds, or such a share of all the time
# that has passed: a killed process loses no more, and the files stay few.
_WRITE_BYTES, _WRITE_SECONDS, _WRITE_SHARE = 2**27, 20.0, 0.1
# Predictions hold no more features in memory, and no more tokens are made at once.
_AT_ONCE, _TEXTS_AT_ONCE = 2**28, 4096

_log = logging.getLogger("keras_mm")


def encode_rows(
    encoders: Mapping[str, keras.Model],
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    names: Sequence[str] | None = None,
    store: FeatureStore | None = None,
    engine: str = "auto",
    few: bool = True,
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
        store: Where the features of frozen encoders are looked up and kept; `None` for nowhere.
        engine: `"auto"`, `"keras"` or `"openvino"`, as `keras_mm.features.networks.choose_engine`
            says.
        few: Whether to look up also what is no more than one batch, which takes as long.
        progress: Whether to show a bar on what takes longer than two seconds.

    Returns:
        `vision_pooled_output`, `text_sequence_output`, ...: first axis the rows. Tokens are padded
        to the longest bucket that occurs. Tables are read by rows, `table[rows]`, or whole, with
        `np.asarray`.

    Raises:
        ImageError: if an image cannot be read, or its file changes meanwhile.
        EngineError: if `engine="openvino"` is not installed or cannot run an encoder.
    """
    features = {}
    for side, encoder in encoders.items():
        wanted = ("pooled_output",) if names is None else _wanted(side, encoder, names)
        if not wanted:
            continue
        read = _images if side == "vision" else _texts
        items = read(encoder, rows, preprocessor)
        chosen = choose_engine(encoder, engine, store)
        try:
            shelves, keys = _encode(encoder, side, wanted, items, chosen, store, few, progress)
        except EngineError as error:
            if engine != "auto":
                mend = "use engine='auto' or engine='keras'"
                raise EngineError(f"{error} For the {side} encoder {mend}.") from error
            note_unfit(encoder)
            _log.info("the %s encoder is run by Keras: %s", side, error)
            shelves, keys = _encode(encoder, side, wanted, items, "keras", store, few, progress)
        for name, shelf in shelves.items():
            features[f"{side}_{name}"] = _table(encoder.output[name], items, shelf.find(keys))
    return features


def predict_logits(
    model: keras.Model,
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    features: Mapping[str, FeatureTable | np.ndarray] | None = None,
    batch_size: int = 32,
    store: FeatureStore | None = None,
    engine: str = "auto",
    few: bool = False,
    progress: bool = True,
) -> np.ndarray:
    """Logits of rows: the encoders, then the trunk. The one way to predict.

    A row by itself goes through the whole model at once, where Keras runs it in float32, with no
    more tokens than its bucket has; many rows are read, encoded and answered a part at a time, so
    that their features need not fit the memory.

    Args:
        model: A model of `create_multimodal_model`.
        rows: Checked rows.
        preprocessor: What makes the encoders' inputs.
        features: What `encode_rows` gave for these rows, where it has run already. What a row
            lacks is masked, so that for rows with cells taken out the features from before serve.
        batch_size: Rows of a batch.
        store: As in `encode_rows`.
        engine: As in `encode_rows`.
        few: As in `encode_rows`.
        progress: As in `encode_rows`.

    Returns:
        float32 `(num_rows, num_logits)`.
    """
    encoders, trunk = parts(model)
    if len(rows) == 1 and features is None and _is_plain(encoders, engine, store):
        return np.asarray(predict_batch(model, _shortened(preprocessor(rows), model)))
    names = input_names(trunk)
    size = len(rows) if features is not None else _rows_at_once(encoders, names, len(rows))
    found = []
    for start in range(0, len(rows), size):
        part = rows if size >= len(rows) else rows.take(range(start, min(start + size, len(rows))))
        known = features
        if known is None:
            known = encode_rows(
                encoders,
                part,
                preprocessor,
                names=names,
                store=store,
                engine=engine,
                few=few or size < len(rows),
                progress=progress,
            )
        inputs = {**known, **preprocessor.without_images(part, names)}
        inputs = {name: inputs[name] for name in names}
        found.append(_in_batches(trunk, inputs, len(part), batch_size))
    return np.concatenate(found)


def _is_plain(encoders: Mapping, engine: str, store: FeatureStore | None) -> bool:
    """Whether Keras runs all encoders, in float32."""
    return all(
        choose_engine(encoder, engine, store) == "keras" and precision_of(encoder) == "float32"
        for encoder in encoders.values()
    )


def _shortened(inputs: dict[str, np.ndarray], model: keras.Model) -> dict[str, np.ndarray]:
    """A row's inputs, their tokens cut down to the bucket of its longest text."""
    if "padding_mask" not in inputs:
        return inputs
    length = int(_bucket_of(inputs["padding_mask"], model).max())
    return {**inputs, **{name: inputs[name][..., :length] for name in _TOKENS}}


def _rows_at_once(encoders: Mapping[str, keras.Model], names: Sequence[str], num_rows: int) -> int:
    """Rows whose features fit `_AT_ONCE` bytes: all of them, or an even part of them."""
    row = sum(
        4 * math.prod(size or _BUCKETS[-1] for size in encoder.output[name].shape[1:])
        for side, encoder in encoders.items()
        for name in _wanted(side, encoder, names)
    )
    shares = math.ceil(num_rows * row / _AT_ONCE)
    return max(_TOGETHER, math.ceil(num_rows / max(shares, 1)))


def _wanted(side: str, encoder: keras.Model, names: Sequence[str]) -> tuple[str, ...]:
    """Those of an encoder's outputs that are asked for."""
    return tuple(name for name in encoder.output if f"{side}_{name}" in names)


def _in_batches(model: keras.Model, inputs: dict, num_rows: int, batch_size: int) -> np.ndarray:
    """Outputs for arrays, every batch filled up to the same size."""
    batch_size = 1 if num_rows == 1 else batch_size
    found = [
        np.asarray(predict_batch(model, {name: x[take] for name, x in inputs.items()}))[:count]
        for take, count in _batches(np.arange(num_rows), batch_size)
    ]
    return np.concatenate(found)


def _batches(positions: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Positions in full batches; the last one repeats a row, and its true size is given."""
    for start in range(0, len(positions), batch_size):
        take = positions[start : start + batch_size]
        filled = np.concatenate([take, np.repeat(take[-1:], batch_size - len(take))])
        yield filled, len(take)


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
        return list(in_threads(content_key, [distinct[i] for i in take]))

    def load(take: np.ndarray) -> dict[str, np.ndarray]:
        pixels = preprocessor.load_images([distinct[i] for i in take]).astype("float32")
        pixels = pixels.reshape(-1, where.shape[1], *pixels.shape[1:])
        return {name: pixels[:, slot] for slot, name in enumerate(preprocessor.image_names)}

    return _Items("image", where, np.zeros(len(distinct), int), 0, contents, load)


def _texts(encoder: keras.Model, rows: Rows, preprocessor: Preprocessor) -> _Items:
    """One item for each distinct sequence: a text, or the packed pair of a row."""
    shape = encoder.input["token_ids"].shape[1:-1]  # () or (slots,)
    slots = math.prod(shape)
    alone = len(rows) == 1 and precision_of(encoder) == "float32"
    first: dict[bytes, int] = {}  # what an item is, and its number
    lengths: list[int] = []
    where = np.full((len(rows), slots), -1)
    for start in range(0, len(rows), _TEXTS_AT_ONCE):
        stop = min(start + _TEXTS_AT_ONCE, len(rows))
        inputs = preprocessor.masks_and_tokens(rows.take(range(start, stop)))
        tokens = [inputs[name].reshape(-1, inputs[name].shape[-1]) for name in _TOKENS]
        mask = inputs["text_mask"]
        present = mask.reshape(-1) if shape else mask.any(axis=1)
        padded = _bucket_of(tokens[-1], encoder)
        if alone:  # goes through the encoder at once
            padded[:] = padded.max()
        for place in np.flatnonzero(present):
            key = b"".join(x[place, : padded[place]].tobytes() for x in tokens)
            number = first.setdefault(key, len(first))
            if number == len(lengths):
                lengths.append(int(padded[place]))
            where[start + place // slots, place % slots] = number
    sequences = list(first)
    dtypes = [encoder.input[name].dtype for name in _TOKENS]

    def contents(take: Iterable[int]) -> list[bytes]:
        return [blake2b(sequences[i], digest_size=KEY_BYTES).digest() for i in take]

    def load(take: np.ndarray) -> dict[str, np.ndarray]:
        length = lengths[take[0]]  # as of all that are asked for together
        batch, offset = {}, 0
        for name, dtype in zip(_TOKENS, dtypes, strict=True):
            size = length * np.dtype(dtype).itemsize
            data = b"".join(sequences[i][offset : offset + size] for i in take)
            batch[name] = np.frombuffer(data, dtype).reshape(-1, *shape, length)
            offset += size
        return batch

    shortest = _bucket_of(np.zeros((1, preprocessor.sequence_length)), encoder)
    longest = max(lengths, default=int(shortest[0]))
    return _Items("text", where, np.asarray(lengths, int), longest, contents, load)


def _bucket_of(padding_mask: np.ndarray, model: keras.Model) -> np.ndarray:
    """The padded length of each text: its bucket, or the full length for a fixed-length model."""
    full = padding_mask.shape[-1]
    if model.input["token_ids"].shape[-1] is not None:
        return np.full(len(padding_mask), full)
    buckets = np.asarray([size for size in _BUCKETS if size < full] + [full])
    return buckets[np.searchsorted(buckets, padding_mask.sum(axis=-1))]


def _shelves(
    encoder: keras.Model,
    side: str,
    outputs: Sequence[str],
    together: int,
    engine: str,
    store: FeatureStore | None,
) -> dict[str, Shelf]:
    """Where each output is found and put: in the store, or in memory only."""
    digest = None
    if store is not None and not encoder.trainable_variables:
        digest = fingerprint(encoder, together=together, engine=engine)
    if digest is None:
        return {name: Shelf() for name in outputs}
    network = next((la.name for la in encoder.layers if isinstance(la, keras.Model)), encoder.name)
    about = {"side": side, "network": network, "backend": keras.backend.backend()}
    return {name: Shelf(store, f"{digest}.{name}", {**about, "output": name}) for name in outputs}


def _together(slots: int, count: int | None) -> int:
    """Items of a batch: one row by itself; else whole rows, in a multiple of `_REGISTER`."""
    if count is not None and count <= slots:
        return slots
    least = math.lcm(_REGISTER, slots)
    return least * max(1, _TOGETHER // least)


def _encode(
    encoder: keras.Model,
    side: str,
    outputs: tuple[str, ...],
    items: _Items,
    engine: str,
    store: FeatureStore | None,
    few: bool,
    progress: bool,
) -> tuple[dict[str, Shelf], list[bytes]]:
    """The shelves that have all items' outputs, and the items' keys there."""
    # Less than a batch is rounded differently: by 1e-7, but in bfloat16 by as much as a thousandth.
    exact = precision_of(encoder) == "float32"
    together = _together(items.slots, len(items.lengths) if exact else None)
    looked_up = store if few or len(items.lengths) > together else None
    shelves = _shelves(encoder, side, outputs, together, engine, looked_up)
    kept = any(shelf.is_kept for shelf in shelves.values())
    numbers = range(len(items.lengths))
    if kept:
        keys = items.contents(numbers)
    else:
        keys = [number.to_bytes(KEY_BYTES, "big") for number in numbers]
    first = dict(zip(reversed(keys), reversed(numbers), strict=True))
    absent = set().union(*(shelf.missing(first) for shelf in shelves.values()))
    todo = np.asarray(sorted(first[key] for key in absent), int)
    if kept:
        _announce(encoder, items, todo, len(first), shelves)
    if len(todo):
        network = create_network(encoder, outputs, engine, store)
        _run(network, encoder, items, todo, keys, shelves, together, progress)
    return shelves, keys


def _run(
    network: Network,
    encoder: keras.Model,
    items: _Items,
    todo: np.ndarray,
    keys: list[bytes],
    shelves: dict[str, Shelf],
    together: int,
    progress: bool,
) -> None:
    """Computes the items `todo` and puts them on the shelves."""
    kept = any(shelf.is_kept for shelf in shelves.values())
    told = kept or len(todo) > together
    if told:
        _log.info("%ss are encoded by %s", items.kind, network.engine)
    compared = told and network.precision == "bfloat16" and _log.isEnabledFor(logging.INFO)
    work = [
        (take, count)
        for length in np.unique(items.lengths[todo])
        for take, count in _batches(todo[items.lengths[todo] == length], together)
    ]
    with (
        _bar(progress, f"encoding {items.kind}s", len(todo), items.kind) as bar,
        _Writer(shelves) as writer,
    ):
        batches = _ahead(items.load, [take for take, _ in work])
        for i, ((take, count), batch) in enumerate(zip(work, batches, strict=True)):
            if kept and items.contents(take) != [keys[number] for number in take]:
                raise ImageError("an image file has changed while it was read; begin again.")
            values = {
                name: value.reshape(
                    together,
                    *_item_shape(encoder.output[name], items.slots, items.lengths[take[0]]),
                )[:count]
                for name, value in network(batch).items()
            }
            if i == 0 and count > 1 and compared:
                _log.info("%ss in bfloat16: %s", items.kind, deviation(network, batch, count))
            writer.add([keys[number] for number in take[:count]], values)
            bar.update(count)


def _ahead(load: Callable, work: Sequence) -> Iterator:
    """`map(load, work)`; the next is loaded while one is used."""
    if len(work) == 1:
        yield load(work[0])
        return
    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(load, work[0])
        for following in work[1:]:
            found, pending = pending.result(), thread.submit(load, following)
            yield found
        yield pending.result()


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
            absent = shelf.missing(self._keys)
            new = [number for number, key in enumerate(self._keys) if key in absent]
            if new:
                values = np.concatenate(self._values[name])
                shelf.put([self._keys[number] for number in new], values[new])
            self._values[name] = []
        self._keys, self._bytes, self._begun = [], 0, time.monotonic()


def _announce(
    encoder, items: _Items, todo: np.ndarray, total: int, shelves: Mapping[str, Shelf]
) -> None:
    """Says what is there and what will be written, and makes room for it."""
    lengths, counts = np.unique(items.lengths[todo], return_counts=True)
    num_bytes = sum(
        count
        * np.dtype(output.dtype).itemsize
        * math.prod(_item_shape(output, items.slots, length))
        for output in (encoder.output[name] for name in shelves)
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
