"""Rows to features: each distinct image and text is encoded once, with little padding."""

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
    note_unfit,
)
from keras_mm.features.engines.keras_network import full_batches, precision_of
from keras_mm.features.fingerprint import fingerprint
from keras_mm.features.items import Items, images_of, texts_of
from keras_mm.features.store.blocks import KEY_BYTES
from keras_mm.features.store.shelf import Shelf, reserve
from keras_mm.features.store.store import FeatureStore
from keras_mm.features.table import FeatureTable
from keras_mm.progress import progress_bar, progress_line, seconds

# Images or texts of a batch: the same for every training, so that features are equal to the bit and
# can be shared. In batches whose size is not a multiple of the widest registers, TensorFlow rounds
# the last rows differently from the first.
TOGETHER, _REGISTER = 32, 16
# Rows of a part: its images and texts are listed, looked up and encoded before the next part.
_PART = 4096
# Features are written to the store after so many bytes, or so many seconds, or such a share of the
# time since the start: a killed process loses no more, and there are not many files.
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
    few: bool = True,
    progress: bool = True,
) -> dict[str, FeatureTable]:
    """Features of rows, by the trunk's input names.

    Each distinct image, and each distinct text (or packed pair of texts), is encoded once. Every
    batch has the same size, and each text is padded to the same length whatever the other texts
    are, so that features do not depend on the rest of the batch. Missing images and texts are not
    encoded; their features are zeros, which the model's masks hide.

    Args:
        encoders: Encoders by side, `"vision"` or `"text"`, that encode each slot by itself.
        rows: Checked rows.
        preprocessor: Makes the encoders' inputs.
        names: Features that are wanted, by the trunk's input names; `None` is the pooled ones. An
            encoder of which none is wanted does not run.
        store: Where the features of frozen encoders are looked up and kept; `None` for nowhere.
        engine: `"auto"`, `"keras"` or `"openvino"`; see
            `keras_mm.features.engines.choice.choose_engine`.
        few: Whether the store is used for one batch or less, too: a lookup takes as long as to
            encode it.
        progress: Whether to show a bar for work of more than two seconds.

    Returns:
        `vision_pooled_output`, `text_sequence_output`, ...: first axis the rows. Tokens are padded
        to the longest bucket that occurs. Tables are read by rows, `table[rows]`, or whole, with
        `np.asarray`.

    Raises:
        ImageError: if an image cannot be read, or its file changes meanwhile.
        EngineError: if `engine="openvino"` is not installed or cannot run an encoder.
    """
    features: dict[str, FeatureTable] = {}
    for side, encoder in encoders.items():
        outputs = ("pooled_output",) if names is None else wanted(side, encoder, names)
        if not outputs:
            continue
        chosen = choose_engine(encoder, engine, store)
        try:
            work = _Work(encoder, side, outputs, chosen, store)
            tables = work.on(rows, preprocessor, few, progress)
        except EngineError as error:
            if engine != "auto":
                advice = "use engine='auto' or engine='keras'"
                raise EngineError(f"{error} For the {side} encoder {advice}.") from error
            note_unfit(encoder)
            _log.info("the %s encoder is run by Keras: %s", side, error)
            work = _Work(encoder, side, outputs, "keras", store)
            tables = work.on(rows, preprocessor, few, progress)
        features |= {f"{side}_{name}": table for name, table in tables.items()}
    return features


def wanted(side: str, encoder: keras.Model, names: Sequence[str]) -> tuple[str, ...]:
    """The outputs of an encoder that are wanted.

    Args:
        side: `"vision"` or `"text"`.
        encoder: The encoder.
        names: Features that are wanted, by the trunk's input names.

    Returns:
        Names of outputs, in the encoder's order.
    """
    return tuple(name for name in encoder.output if f"{side}_{name}" in names)


class _Work:
    """Encodes rows with one encoder, one part of them after the other.

    Args:
        encoder: The encoder.
        side: `"vision"` or `"text"`.
        outputs: Names of the wanted outputs.
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

    def on(
        self, rows: Rows, preprocessor: Preprocessor, few: bool, progress: bool
    ) -> dict[str, FeatureTable]:
        """The features of rows.

        Args:
            rows: Checked rows.
            preprocessor: As in `encode_rows`.
            few: As in `encode_rows`.
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
        found: dict[str, list[FeatureTable]] = {name: [] for name in self._outputs}
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
                    alone = exact and len(rows) == 1
                    items = texts_of(part, preprocessor, self._encoder, alone)
                if number == 0:
                    self._begin(items, few, exact)
                for name, table in self._part(number, items, bar, stop).items():
                    found[name].append(table)
        if self._is_kept:
            took = seconds(time.monotonic() - begun)
            words = f"{items.kind}s: {len(rows):,} rows in {took}, {self._num_cached:,} of them"
            progress_line(f"{words} from the cache", show=progress)
        return {name: FeatureTable.join(tables) for name, tables in found.items()}

    def _begin(self, items: Items, few: bool, exact: bool) -> None:
        many = self._num_parts > 1
        count = len(items.lengths) if exact and not many else None
        self._together = _together(items.slots, count)
        self._shelves = _shelves(
            self._encoder,
            self._side,
            self._outputs,
            self._together,
            self._engine,
            self._store if few or many or len(items.lengths) > self._together else None,
        )
        self._is_kept = any(shelf.is_kept for shelf in self._shelves.values())

    def _part(self, part: int, items: Items, bar: Any, stop: int) -> dict[str, FeatureTable]:
        """Features of a part's items, looked up or computed; then the bar stands at `stop`."""
        numbers = range(len(items.lengths))
        if self._is_kept or self._num_parts > 1:
            keys = items.contents(numbers)
        else:
            keys = [number.to_bytes(KEY_BYTES, "big") for number in numbers]
        first = dict(zip(reversed(keys), reversed(numbers), strict=True))
        absent = set().union(*(shelf.missing(first) for shelf in self._shelves.values()))
        todo = np.asarray(sorted(first[key] for key in absent), int)
        if self._is_kept:
            self._announce(part, items, todo, len(first))
            is_known = np.asarray([key not in absent for key in keys] + [True])  # last: empty slots
            known = is_known[items.where].all(axis=1) & (items.where >= 0).any(axis=1)
            self._num_cached += int(known.sum())
        if len(todo):
            self._run(items, todo, keys, bar, stop)
        bar.update(stop - bar.n)
        found = {
            name: self._table(name, items, shelf.find(keys))
            for name, shelf in self._shelves.items()
        }
        for shelf in self._shelves.values():
            shelf.forget()
        return found

    def _run(self, items: Items, todo: np.ndarray, keys: list[bytes], bar: Any, stop: int) -> None:
        """Computes the items `todo` and puts them on the shelves."""
        network, together, compared = self._network, self._together, False
        if network is None:
            network = create_network(self._encoder, self._outputs, self._engine, self._store)
            self._network = network
            if self._is_kept or len(todo) > together:
                _file_log.info("%ss are encoded by %s", items.kind, network.engine)
                compared = network.precision == "bfloat16" and _log.isEnabledFor(logging.INFO)
        work = [
            (take, count)
            for length in np.unique(items.lengths[todo])
            for take, count in full_batches(todo[items.lengths[todo] == length], together)
        ]
        begun, done = bar.n, 0
        with _Writer(self._shelves) as writer:
            batches = _ahead(items.load, [take for take, _ in work])
            for (take, count), batch in zip(work, batches, strict=True):
                if self._is_kept and items.contents(take) != [keys[number] for number in take]:
                    raise ImageError("an image file changed while it was read; start again.")
                values = {
                    name: value.reshape(
                        together, *self._item_shape(name, items, items.lengths[take[0]])
                    )[:count]
                    for name, value in network(batch).items()
                }
                if compared and count > 1 and not done:
                    _log.info("%ss in bfloat16: %s", items.kind, deviation(network, batch, count))
                writer.add([keys[number] for number in take[:count]], values)
                done += count
                bar.update(begun + (stop - begun) * done // len(todo) - bar.n)

    def _announce(self, part: int, items: Items, todo: np.ndarray, total: int) -> None:
        """Logs how much is in the store and how much will be written, and makes room for it."""
        lengths, counts = np.unique(items.lengths[todo], return_counts=True)
        num_bytes = sum(
            count
            * np.dtype(self._encoder.output[name].dtype).itemsize
            * math.prod(self._item_shape(name, items, length))
            for name in self._outputs
            for length, count in zip(lengths.tolist(), counts.tolist(), strict=True)
        )
        num_bytes += len(todo) * KEY_BYTES * len(self._outputs)
        words = f"part {part + 1} of {self._num_parts}: " if self._num_parts > 1 else ""
        words += f"{total - len(todo):,} of {total:,} distinct {items.kind}s are in the cache"
        if len(todo):
            words += f"; {len(todo):,} to encode, {num_bytes / 1e6:,.1f} MB"
            reserve(self._shelves.values(), num_bytes)
        _file_log.info(words)

    def _item_shape(self, name: str, items: Items, length: int) -> tuple[int, ...]:
        """Shape of one slot's part of an output, first axis its tokens (1 for a vector)."""
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
    together: int,
    engine: str,
    store: FeatureStore | None,
) -> dict[str, Shelf]:
    """The shelf of each output: in the store, or in memory only."""
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
    return least * max(1, TOGETHER // least)


def _ahead(load: Callable, work: Sequence) -> Iterator:
    """`map(load, work)`; the next item is loaded while the present one is used."""
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
    """Puts features on the shelves from time to time, and at the end or an interruption."""

    def __init__(self, shelves: Mapping[str, Shelf]):
        self._shelves = shelves
        self._keys: list[bytes] = []
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in shelves}
        self._bytes, self._begun = 0, time.monotonic()
        self._first = self._begun

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, keys: list[bytes], values: dict[str, np.ndarray]) -> None:
        """Adds the values of some items, one array by output."""
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
            absent = shelf.unplaced(self._keys)
            new = [number for number, key in enumerate(self._keys) if key in absent]
            if new:
                values = np.concatenate(self._values[name])
                shelf.put([self._keys[number] for number in new], values[new])
            self._values[name] = []
        self._keys, self._bytes, self._begun = [], 0, time.monotonic()
