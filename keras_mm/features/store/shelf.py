"""Shelves: the values of one encoder output, by key, on disk or in memory."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.features.store.blocks import (
    KEY_BYTES,
    Block,
    read_block,
    sorted_prefixes,
    write_block,
)
from keras_mm.features.store.listing import ABOUT, BLOCK, SHELF, matching, remove_damaged
from keras_mm.features.store.store import FeatureStore
from keras_mm.files import new_file, write_text

_log = logging.getLogger("keras_mm")


class Shelf:
    """The values of one encoder output, by key: a folder of the store, or memory of this process.

    Blocks are written completely and never changed, so several processes may write to one shelf. A
    value that two processes compute at the same time is stored twice, with equal content.

    Args:
        store: The store that holds the shelf; `None` keeps everything in memory.
        name: Name of the folder: the encoder's fingerprint (40 hexadecimal digits), a dot and the
            name of the output.
        about: Description for users, which `FeatureStore.info` returns; JSON-serialisable.

    Raises:
        ValueError: if `name` has another form.

    Example:
        >>> import tempfile
        >>> store = FeatureStore(tempfile.mkdtemp())
        >>> shelf = Shelf(store, 40 * "0" + ".pooled_output", {"network": "tiny_cnn"})
        >>> shelf.put([b"k" * 16], np.zeros((1, 4), "float32"))
        >>> Shelf(store, 40 * "0" + ".pooled_output").missing([b"k" * 16]), store.info()["entries"]
        (set(), 1)
    """

    def __init__(
        self,
        store: FeatureStore | None = None,
        name: str = "",
        about: Mapping[str, Any] | None = None,
    ):
        if store is not None and not SHELF.fullmatch(name):
            raise InvalidValueError(
                f"`name` must be 40 hexadecimal digits, a dot and an output. Received: {name!r}"
            )
        self.store, self._name = store, name
        self.used: set[Path] = set()  # files that must not be removed to make room
        self._about = dict(about or {})
        self._blocks = [] if store is None else list(_blocks(store, name))
        # Block and position of the values, for keys that were looked up or stored.
        self._places: dict[bytes, list[tuple[Block, int]]] = {}

    @property
    def is_kept(self) -> bool:
        """Whether values that are put here are written to disk."""
        return self.store is not None

    def missing(self, keys: Iterable[bytes]) -> set[bytes]:
        """Looks up keys. Damaged files are removed; their keys count as missing.

        Args:
            keys: Keys, `KEY_BYTES` each.

        Returns:
            The keys without a value.
        """
        keys = set(keys)
        sought = keys - self._places.keys()
        prefixes = sorted_prefixes(b"".join(sought))
        for block in self._blocks if sought else ():
            self._take(block, sought, prefixes)
        for key in keys:
            while key in self._places and not self._is_sound(self._places[key][0][0]):
                self._drop(self._places[key][0][0])
        return {key for key in keys if key not in self._places}

    def unplaced(self, keys: Iterable[bytes]) -> set[bytes]:
        """The keys that still have no value, without looking them up again.

        Args:
            keys: Keys that were passed to `missing` before.

        Returns:
            The keys without a value.
        """
        return {key for key in keys if key not in self._places}

    def find(self, keys: Sequence[bytes]) -> list[tuple[Block, int]]:
        """Finds the values of keys.

        Args:
            keys: Keys that have a value, according to `missing` or after `put`.

        Returns:
            For each key, the block that holds its value, and the position in the block.
        """
        return [self._places[key][0] for key in keys]

    def forget(self) -> None:
        """Frees the memory of the keys that were looked up; the values stay stored."""
        self._places = {}

    def put(self, keys: Sequence[bytes], values: np.ndarray) -> None:
        """Stores values: on disk, or in memory if they cannot be written to disk.

        Args:
            keys: One key for each value.
            values: An array, first axis the keys.
        """
        block = Block(b"".join(keys), values)
        if self.store is not None:
            try:
                block = self._written(self.store.shelves / self._name, block)
            except OSError as error:
                _keep_in_memory(
                    self.store, [self], f"cannot be written ({error.strerror or error})"
                )
        self._blocks.append(block)
        sought = set(keys)
        if sought:
            self._take(block, sought, sorted_prefixes(b"".join(sought)))

    def _take(self, block: Block, sought: Collection[bytes], prefixes: np.ndarray) -> None:
        """Notes the places of the sought keys in a block; `prefixes` are theirs, sorted."""
        # NumPy compares the first halves of all keys; only matches are compared as a whole.
        places = np.minimum(np.searchsorted(prefixes, block.prefixes), len(prefixes) - 1)
        for position in np.flatnonzero(prefixes[places] == block.prefixes).tolist():
            key = block.index[position * KEY_BYTES : (position + 1) * KEY_BYTES]
            if key in sought:
                self._places.setdefault(key, []).append((block, position))

    def _drop(self, block: Block) -> None:
        """Forgets a block that cannot be read."""
        self._blocks.remove(block)
        for key in self._places.keys() & set(block.keys):
            self._places[key] = [place for place in self._places[key] if place[0] is not block]
            if not self._places[key]:
                del self._places[key]

    def _is_sound(self, block: Block) -> bool:
        """Whether a block's values can be read; marks its file as used."""
        path = block.path
        if path is None or path in self.used:
            return True
        try:
            _ = block.values
        except ValueError as error:
            remove_damaged(path, error)
            return False
        except OSError as error:  # removed, or too many open files; the file may be intact
            _log.info("a file of the feature cache cannot be read: %s (%s)", path, error)
            return False
        self.used.add(path)
        with contextlib.suppress(OSError):
            os.utime(path)  # the files unused for longest are removed first
        return True

    def _written(self, folder: Path, block: Block) -> Block:
        """Writes a block to a new file of the folder."""
        path = folder / f"{uuid4().hex}.features"
        values = np.ascontiguousarray(block.values)
        for attempt in (1, 2):
            try:
                if not (folder / ABOUT).exists():
                    write_text(folder / ABOUT, json.dumps(self._about, indent=2) + "\n")
                with new_file(path) as part:
                    written = Block(block.index, write_block(part, path, block.index, values))
                _ = written.values  # mapped now, before another process may remove the file
                break
            except FileNotFoundError:  # another process is clearing the cache
                if attempt == 2:
                    raise
        self.used.add(path)
        return written


def reserve(shelves: Iterable[Shelf], num_bytes: int) -> None:
    """Makes room on disk; if that fails, the shelves keep new values in memory.

    Args:
        shelves: Shelves of one store. Their files that are in use are not removed.
        num_bytes: Number of bytes that will be written to them.
    """
    kept = [shelf for shelf in shelves if shelf.is_kept]
    store = kept[0].store if kept else None
    if store is None:
        return
    try:
        problem = store.make_room(num_bytes, keep=set().union(*(shelf.used for shelf in kept)))
    except OSError as error:
        problem = f"cannot be used ({error.strerror or error})"
    if problem:
        _keep_in_memory(store, kept, problem)


def _keep_in_memory(store: FeatureStore, shelves: Sequence[Shelf], reason: str) -> None:
    """Switches the shelves to memory, and logs why."""
    _log.warning(
        "the feature cache %s %s; features stay in memory, and are computed again next time. Pass "
        "another folder as `cache`, or cache=False.",
        store.folder,
        reason,
    )
    for shelf in shelves:
        shelf.store = None


def _blocks(store: FeatureStore, name: str) -> Iterator[Block]:
    """The blocks of a shelf; files that are visibly damaged are removed."""
    for path in matching(store.shelves / name, BLOCK):
        try:
            if path not in store.known:
                store.known[path] = read_block(path)
            yield store.known[path]
        except ValueError as error:
            remove_damaged(path, error)
        except OSError as error:  # removed, no permission, or too many open files
            _log.info("a file of the feature cache cannot be read: %s (%s)", path, error)
