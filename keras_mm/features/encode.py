"""Encodes rows: each distinct image and text is encoded once, with little padding."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import Rows
from keras_mm.errors import EngineError, ImageError
from keras_mm.features.engines.choice import (
    Network,
    choose_engine,
    create_network,
    deviation,
    mark_unsupported,
)
from keras_mm.features.engines.keras_network import full_batches, precision_of
from keras_mm.features.fingerprint import fingerprint
from keras_mm.features.items import Items, images_of, texts_of
from keras_mm.features.store.blocks import KEY_BYTES
from keras_mm.features.store.shelf import Shelf, reserve
from keras_mm.features.store.store import FeatureStore
from keras_mm.features.table import FeatureTable
from keras_mm.progress import progress_bar, progress_line, seconds

# Images or texts per batch: the same for every training, so that features are equal bit for bit and
# can be shared. If the size is not a multiple of the widest registers, TensorFlow rounds the last
# rows of a batch differently from the first.
BATCH_ITEMS, _REGISTER = 32, 16
# Rows per part: the images and texts of a part are listed, looked up and encoded before the next
# part begins.
_PART = 4096
# Features are written to the store after this many bytes, or after this many seconds or this share
# of the time since the start, whichever is longer. A killed process loses no more than that, and
# the number of files stays small.
_WRITE_BYTES, _WRITE_SECONDS, _WRITE_SHARE = 2**27, 20.0, 0.1

_log = logging.getLogger("keras_mm")
_file_log = logging.getLogger("keras_mm.file")  # does not reach stderr


def encode_rows(
    encoders: Mapping[str, keras.Model],
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    names: Sequence[str] | None = None,
    store: FeatureStore | None = None,
    engine: str = "auto",
    always_cache: bool = True,
    progress: bool = True,
) -> dict[str, FeatureTable]:
    """Computes features of rows, by the trunk's input names.

    Each distinct image, and each distinct text (or packed pair of texts), is encoded once. All
    batches have the same size, and the length that a text is padded to depends on this text only,
    so features do not depend on the other rows. Missing images and texts are not encoded; their
    features are zeros, which the model's masks hide.

    Args:
        encoders: Encoders by side, `"vision"` or `"text"`, that encode each slot separately.
        rows: Checked rows.
        preprocessor: Makes the encoders' inputs.
        names: The features to compute, by the trunk's input names; `None` computes the pooled ones.
            An encoder without any of them does not run.
        store: Store in which features of frozen encoders are looked up and cached; `None` caches
            nothing.
        engine: `"auto"`, `"keras"` or `"openvino"`; see
            `keras_mm.features.engines.choice.choose_engine`.
        always_cache: Whether to use the store even if there is only one batch, for which a lookup
            takes as long as encoding it.
        progress: Whether to show a bar for work that takes more than two seconds.

    Returns:
        Tables by name (`vision_pooled_output`, `text_sequence_output`, ...), first axis the rows.
        Tokens are padded to the longest bucket that occurs. Read some rows with `table[rows]`, or
        all with `np.asarray(table)`.

    Raises:
        ImageError: if an image cannot be read, or its file changes meanwhile.
        EngineError: if `engine="openvino"` is not installed or cannot run an encoder.
    """
    features: dict[str, FeatureTable] = {}
    for side, encoder in encoders.items():
        outputs = ("pooled_output",) if names is None else wanted_outputs(side, encoder, names)
        if not outputs:
            continue
        chosen = choose_engine(encoder, engine, store)
        try:
            row_encoder = _RowEncoder(encoder, side, outputs, chosen, store)
            tables = row_encoder.encode(rows, preprocessor, always_cache, progress)
        except EngineError as error:
            if engine != "auto":
                advice = "use engine='auto' or engine='keras'"
                raise EngineError(f"{error} For the {side} encoder, {advice}.") from error
            mark_unsupported(encoder)
            _log.info("the %s encoder runs on Keras: %s", side, error)
            row_encoder = _RowEncoder(encoder, side, outputs, "keras", store)
            tables = row_encoder.encode(rows, preprocessor, always_cache, progress)
        features |= {f"{side}_{name}": table for name, table in tables.items()}
    return features


def wanted_outputs(side: str, encoder: keras.Model, names: Sequence[str]) -> tuple[str, ...]:
    """The outputs of an encoder that provide some of the trunk's inputs.

    Args:
        side: `"vision"` or `"text"`.
        encoder: The encoder.
        names: Names of the trunk's inputs, such as `vision_pooled_output`.

    Returns:
        Names of the encoder's outputs, such as `pooled_output`, in the encoder's order.
    """
    return tuple(name for name in encoder.output if f"{side}_{name}" in names)


class _RowEncoder:
    """Encodes rows with one encoder, part by part.

    Args:
        encoder: The encoder.
        side: `"vision"` or `"text"`.
        outputs: Names of the outputs to compute.
        engine: The engine, as `choose_engine` returned it.
        store: As in `encode_rows`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        side: str,
        outputs: tuple[str, ...],
        engine: str,
        store: FeatureStore | None,
    ):
        self._encoder, self._side, self._outputs = encoder, side, outputs
        self._engine, self._store = engine, store
        self._network: Network | None = None

    def encode(
        self, rows: Rows, preprocessor: Preprocessor, always_cache: bool, progress: bool
    ) -> dict[str, FeatureTable]:
        """Computes the features of rows, or reads them from the store.

        Args:
            rows: Checked rows.
            preprocessor: As in `encode_rows`.
            always_cache: As in `encode_rows`.
            progress: As in `encode_rows`.

        Returns:
            Features by output.

        Raises:
            EngineError: if the engine cannot run the encoder.
        """
        starts, begun = range(0, max(len(rows), 1), _PART), time.monotonic()
        self._num_parts, self._num_cached = len(starts), 0
        # Batches of another size are rounded differently: by 1e-7 in float32, which is accepted for
        # a single row, but by up to 1e-3 in bfloat16.
        exact = precision_of(self._encoder) == "float32"
        tables: dict[str, list[FeatureTable]] = {name: [] for name in self._outputs}
        bar = progress_bar(
            description="encoding images" if self._side == "vision" else "encoding texts",
            unit="row",
            total=len(rows),
            show=progress,
        )
        with bar:
            for number, start in enumerate(starts):
                stop = min(start + _PART, len(rows))
                part = rows.take(range(start, stop)) if self._num_parts > 1 else rows
                if self._side == "vision":
                    items = images_of(part, preprocessor)
                else:
                    one_length = exact and len(rows) == 1
                    items = texts_of(part, preprocessor, self._encoder, one_length)
                if number == 0:
                    self._open_shelves(items, always_cache, exact)
                for name, table in self._encode_part(number, items, bar, stop).items():
                    tables[name].append(table)
        if self._is_cached:
            took = seconds(time.monotonic() - begun)
            words = f"{items.kind}s: {len(rows):,} rows in {took}, {self._num_cached:,} of them"
            progress_line(f"{words} from the cache", show=progress)
        return {name: FeatureTable.join(parts) for name, parts in tables.items()}

    def _open_shelves(self, items: Items, always_cache: bool, exact: bool) -> None:
        """Chooses the batch size and opens a shelf for each output, from the first part's items."""
        many = self._num_parts > 1
        count = len(items.lengths) if exact and not many else None
        self._batch_size = _batch_size(items.slots, count)
        self._shelves = _shelves(
            self._encoder,
            self._side,
            self._outputs,
            self._batch_size,
            self._engine,
            self._store if always_cache or many or len(items.lengths) > self._batch_size else None,
        )
        self._is_cached = any(shelf.is_kept for shelf in self._shelves.values())

    def _encode_part(self, part: int, items: Items, bar: Any, stop: int) -> dict[str, FeatureTable]:
        """Looks up or computes the features of a part's items, and moves the bar to `stop`."""
        numbers = range(len(items.lengths))
        if self._is_cached or self._num_parts > 1:
            keys = items.contents(numbers)
        else:  # nothing is looked up by content, so any distinct keys will do
            keys = [number.to_bytes(KEY_BYTES, "big") for number in numbers]
        # Different files may have the same content; the first item of each content is encoded.
        first = dict(zip(reversed(keys), reversed(numbers), strict=True))
        absent = set().union(*(shelf.missing(first) for shelf in self._shelves.values()))
        todo = np.asarray(sorted(first[key] for key in absent), int)
        if self._is_cached:
            self._announce(part, items, todo, len(first))
            is_known = np.asarray([key not in absent for key in keys] + [True])  # last: empty slots
            known = is_known[items.where].all(axis=1) & (items.where >= 0).any(axis=1)
            self._num_cached += int(known.sum())
        if len(todo):
            self._compute(items, todo, keys, bar, stop)
        bar.update(stop - bar.n)
        tables = {
            name: self._table(name, items, shelf.find(keys))
            for name, shelf in self._shelves.items()
        }
        for shelf in self._shelves.values():
            shelf.forget()
        return tables

    def _compute(
        self, items: Items, todo: np.ndarray, keys: list[bytes], bar: Any, stop: int
    ) -> None:
        """Encodes the items `todo` and puts their features on the shelves."""
        network, batch_size, compared = self._network, self._batch_size, False
        if network is None:
            network = create_network(self._encoder, self._outputs, self._engine, self._store)
            self._network = network
            if self._is_cached or len(todo) > batch_size:
                _file_log.info("%ss are encoded by %s", items.kind, network.engine)
                compared = network.precision == "bfloat16" and _log.isEnabledFor(logging.INFO)
        work = [
            (positions, count)
            for length in np.unique(items.lengths[todo])
            for positions, count in full_batches(todo[items.lengths[todo] == length], batch_size)
        ]
        bar_start, done = bar.n, 0
        with _Writer(self._shelves) as writer:
            batches = _prefetched(items.load, [positions for positions, _ in work])
            for (positions, count), batch in zip(work, batches, strict=True):
                # Else the cache would hold features of other pixels under the old content's key.
                if self._is_cached and items.contents(positions) != [keys[i] for i in positions]:
                    raise ImageError("an image file changed while it was read; start again.")
                values = {
                    name: value.reshape(
                        batch_size, *self._item_shape(name, items, items.lengths[positions[0]])
                    )[:count]
                    for name, value in network(batch).items()
                }
                if compared and count > 1 and not done:
                    _log.info("%ss in bfloat16: %s", items.kind, deviation(network, batch, count))
                writer.add([keys[number] for number in positions[:count]], values)
                done += count
                bar.update(bar_start + (stop - bar_start) * done // len(todo) - bar.n)

    def _announce(self, part: int, items: Items, todo: np.ndarray, total: int) -> None:
        """Logs cache hits and the size of new features, and makes room for them in the store."""
        lengths, counts = np.unique(items.lengths[todo], return_counts=True)
        num_bytes = sum(
            count
            * np.dtype(self._encoder.output[name].dtype).itemsize
            * math.prod(self._item_shape(name, items, length))
            for name in self._outputs
            for length, count in zip(lengths.tolist(), counts.tolist(), strict=True)
        )
        num_bytes += len(todo) * KEY_BYTES * len(self._outputs)
        message = f"part {part + 1} of {self._num_parts}: " if self._num_parts > 1 else ""
        message += f"{total - len(todo):,} of {total:,} distinct {items.kind}s are in the cache"
        if len(todo):
            message += f"; {len(todo):,} to encode, {num_bytes / 1e6:,.1f} MB"
            reserve(self._shelves.values(), num_bytes)
        _file_log.info(message)

    def _item_shape(self, name: str, items: Items, length: int) -> tuple[int, ...]:
        """Shape of one item's part of an output, first axis its tokens (1 for a vector)."""
        _, first, *rest = self._encoder.output[name].shape
        return (length if first is None else first // items.slots, *rest)

    def _table(self, name: str, items: Items, places: list) -> FeatureTable:
        output = self._encoder.output[name]
        item = self._item_shape(name, items, items.longest)
        row = (output.shape[1] or items.slots * items.longest, *output.shape[2:])
        return FeatureTable(places, items.where, item, row, output.dtype)


def _shelves(
    encoder: keras.Model,
    side: str,
    outputs: Sequence[str],
    batch_size: int,
    engine: str,
    store: FeatureStore | None,
) -> dict[str, Shelf]:
    """The shelf of each output: in the store, or in memory only."""
    digest = None
    if store is not None and not encoder.trainable_variables:
        digest = fingerprint(encoder, together=batch_size, engine=engine)
    if digest is None:
        return {name: Shelf() for name in outputs}
    network = next((la.name for la in encoder.layers if isinstance(la, keras.Model)), encoder.name)
    about = {"side": side, "network": network, "backend": keras.backend.backend()}
    return {name: Shelf(store, f"{digest}.{name}", {**about, "output": name}) for name in outputs}


def _batch_size(slots: int, count: int | None) -> int:
    """Items per batch: those of a single row, else whole rows in a multiple of `_REGISTER`."""
    if count is not None and count <= slots:
        return slots
    smallest = math.lcm(_REGISTER, slots)
    return smallest * max(1, BATCH_ITEMS // smallest)


def _prefetched(load: Callable, work: Sequence) -> Iterator:
    """`map(load, work)`, where a thread loads the next batch while the caller uses this one."""
    if len(work) == 1:
        yield load(work[0])
        return
    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(load, work[0])
        for following in work[1:]:
            loaded, pending = pending.result(), thread.submit(load, following)
            yield loaded
        yield pending.result()


class _Writer:
    """Puts features on the shelves at intervals, at the end, and when an error interrupts."""

    def __init__(self, shelves: Mapping[str, Shelf]):
        self._shelves = shelves
        self._keys: list[bytes] = []
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in shelves}
        self._bytes, self._last_write = 0, time.monotonic()
        self._start = self._last_write

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, keys: list[bytes], values: dict[str, np.ndarray]) -> None:
        """Adds the values of some items, one array by output."""
        before = next(iter(self._values.values()))
        # A block holds values of one shape, and texts are encoded by length.
        if before and any(self._values[n][0].shape[1:] != v.shape[1:] for n, v in values.items()):
            self._write()
        for name, value in values.items():
            self._values[name].append(value)
            self._bytes += value.nbytes
        self._keys += keys
        now = time.monotonic()
        pause = max(_WRITE_SECONDS, _WRITE_SHARE * (now - self._start))
        if self._bytes > _WRITE_BYTES or now - self._last_write > pause:
            self._write()

    def _write(self) -> None:
        for name, shelf in self._shelves.items():
            absent = shelf.unplaced(self._keys)
            new = [number for number, key in enumerate(self._keys) if key in absent]
            if new:
                values = np.concatenate(self._values[name])
                shelf.put([self._keys[number] for number in new], values[new])
            self._values[name] = []
        self._keys, self._bytes, self._last_write = [], 0, time.monotonic()
