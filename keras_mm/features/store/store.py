"""The feature store: what encoders gave, on disk, found again by the content of their inputs."""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import re
import shutil
import struct
import sys
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.files import new_file

KEY_BYTES = 16
_HEAD = "<u8"
_ABOUT = "about.json"
# All that is ever written and removed. Whatever else stands in the folder is somebody's own.
_SHELF = re.compile(r"[0-9a-f]{40}\.[a-z_]+")
_BLOCK = re.compile(r"[0-9a-f]{32}\.features")
_PART = re.compile(r"\.[0-9a-f]{32}\.part")
_SPARE = 2**30  # bytes of a disk that are never taken
_SPAN = 2**26  # bytes that are summed at once
_ABANDONED = 24 * 3600.0  # seconds after which an unfinished file belongs to no process
# A block's file: these words, the header as JSON, the keys, the values.
_WORDS = struct.Struct("<8sII")  # _MAGIC, length and checksum of the header
_MAGIC = b"kmm-f\x001\n"

_log = logging.getLogger("keras_mm")

# Files whose checksum this process has seen to be right: they never change.
_sound: set[Path] = set()


def cache_folder() -> Path:
    """Where features are kept: `KERAS_MM_CACHE`, else `keras_mm` in the user's cache folder."""
    named = os.environ.get("KERAS_MM_CACHE")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path("~/Library/Caches/keras_mm")
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "keras_mm"


def cache_limit() -> int:
    """Most bytes of the feature store: `KERAS_MM_CACHE_GB` (10^9 bytes), by default 20 GB.

    Raises:
        ValueError: if the variable is no number >= 0.
    """
    text = os.environ.get("KERAS_MM_CACHE_GB") or "20"
    try:
        size = float(text)
        if not 0 <= size < float("inf"):
            raise ValueError
    except ValueError:
        raise InvalidValueError(
            f"KERAS_MM_CACHE_GB must be a number of gigabytes, as 20. Received: {text!r}"
        ) from None
    return int(size * 1e9)


def open_store(cache: bool | str | os.PathLike) -> FeatureStore | None:
    """The store that the setting `cache` names: by default, in a folder, or none.

    Raises:
        ValueError: if `KERAS_MM_CACHE_GB` is wrong; 0 is none.
    """
    if cache is False or not cache_limit():
        return None
    return FeatureStore(None if cache is True else cache)


class Block:
    """Values of one shape, with their keys: a file, mapped into memory when used, or an array."""

    def __init__(self, index: bytes, values: np.ndarray | None, file: _File | None = None):
        self.index, self.file, self._values = index, file, values

    @property
    def heads(self) -> np.ndarray:
        """The first half of each key, as a number."""
        return np.frombuffer(self.index, _HEAD)[:: KEY_BYTES // 8]

    @property
    def keys(self) -> list[bytes]:
        """The keys; held one after the other, which takes a tenth of the memory."""
        index = self.index
        return [index[start : start + KEY_BYTES] for start in range(0, len(index), KEY_BYTES)]

    @property
    def values(self) -> np.ndarray:
        """The values, first axis as the keys."""
        if self._values is None:
            self._values = self.file.mapped()
        return self._values


@dataclass(frozen=True)
class _File:
    """A block on disk: where, and what its header says of the values."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]
    checksum: int

    def mapped(self) -> np.ndarray:
        """The values, whose checksum is tested once by each process.

        Raises:
            ValueError: if it differs.
            OSError: if the file cannot be read.
        """
        with self.path.open("rb") as file:
            # The map lasts when the file is removed.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        flat = np.frombuffer(content, "uint8")[self.offset :]
        if self.path not in _sound and _checksum(flat) != self.checksum:
            raise InvalidValueError("its checksum differs")
        _sound.add(self.path)
        return flat.view(self.dtype).reshape(self.shape)


class Shelf:
    """Values of one encoder output by key: of a folder of the store, and of this process's memory.

    Blocks are written whole and never changed, so that several processes may write to one shelf:
    what two of them computed at the same time is there twice, and equal.

    Args:
        store: The store that the shelf stands in; `None` keeps everything in memory.
        name: Folder name: a digest of everything, besides its input, that decides an output (40
            hexadecimal digits), a dot and the output's name.
        about: What to tell people of it; JSON-serialisable.
    """

    def __init__(
        self, store: FeatureStore | None = None, name: str = "", about: Mapping | None = None
    ):
        if store is not None and not _SHELF.fullmatch(name):
            raise InvalidValueError(f"no name of a shelf: {name!r}")
        self.store: FeatureStore | None = store
        self.folder: Path | None = None if store is None else store.shelves / name
        self.used: set[Path] = set()
        self._about = dict(about or {})
        self._blocks = [] if store is None else list(_blocks(self.folder, store.known))
        # Of the keys that were asked for, or put here.
        self._places: dict[bytes, list[tuple[Block, int]]] = {}

    @property
    def is_kept(self) -> bool:
        """Whether what is put here is there for other processes too."""
        return self.folder is not None

    def missing(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those of the keys that are not there, or only in damaged files, which are removed."""
        keys = set(keys)
        sought = keys - self._places.keys()
        heads = _heads(sought)
        for block in self._blocks if sought else ():
            self._take(block, sought, heads)
        for key in keys:
            while key in self._places and not self._is_sound(self._places[key][0][0]):
                self._drop(self._places[key][0][0])
        return {key for key in keys if key not in self._places}

    def unplaced(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those of the keys, of which `missing` was asked, that still are not there."""
        return {key for key in keys if key not in self._places}

    def find(self, keys: Sequence[bytes]) -> list[tuple[Block, int]]:
        """Block and position of each key; all of them are there, as `missing` has told."""
        return [self._places[key][0] for key in keys]

    def forget(self) -> None:
        """Lets go of the keys that were asked for; the values stay."""
        self._places = {}

    def put(self, keys: Sequence[bytes], values: np.ndarray) -> None:
        """Keeps values, one for each key; on disk, or in memory where the disk takes no more."""
        block = Block(b"".join(keys), values)
        if self.is_kept:
            try:
                block = self._written(block)
            except OSError as error:
                _give_up([self], f"cannot be written ({error.strerror or error})")
        self._blocks.append(block)
        sought = set(keys)
        if sought:
            self._take(block, sought, _heads(sought))

    def _take(self, block: Block, sought: Collection[bytes], heads: np.ndarray) -> None:
        places = np.minimum(np.searchsorted(heads, block.heads), len(heads) - 1)
        for position in np.flatnonzero(heads[places] == block.heads).tolist():
            key = block.index[position * KEY_BYTES : (position + 1) * KEY_BYTES]
            if key in sought:
                self._places.setdefault(key, []).append((block, position))

    def _drop(self, block: Block) -> None:
        self._blocks.remove(block)
        for key in self._places.keys() & set(block.keys):
            self._places[key] = [place for place in self._places[key] if place[0] is not block]
            if not self._places[key]:
                del self._places[key]

    def _is_sound(self, block: Block) -> bool:
        if block.file is None or block.file.path in self.used:
            return True
        path = block.file.path
        try:
            _ = block.values
        except ValueError as error:
            _remove_damaged(path, error)
            return False
        except OSError as error:  # gone, too many open files: it may be sound all the same
            _log.info("a file of the feature cache cannot be read: %s (%s)", path, error)
            return False
        self.used.add(path)
        with contextlib.suppress(OSError):
            os.utime(path)  # used now: the last to be thrown out
        return True

    def _written(self, block: Block) -> Block:
        values = np.ascontiguousarray(block.values)
        about = json.dumps(self._about, indent=2) + "\n"
        path = self.folder / f"{uuid4().hex}.features"
        for attempt in (1, 2):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                if not (self.folder / _ABOUT).exists():
                    with new_file(self.folder / _ABOUT) as part, part.open("wb") as file:
                        file.write(about.encode())
                with new_file(path) as part, part.open("wb") as file:
                    offset = _write(file, block.index, values)
                break
            except FileNotFoundError:  # another process clears the cache just now
                if attempt == 2:
                    raise
        self.used.add(path)
        _sound.add(path)
        kept = _File(path, offset, values.dtype.str, values.shape, 0)
        return Block(block.index, kept.mapped(), kept)


class FeatureStore:
    """A folder of shelves, kept below a size: what was not used for longest goes first.

    Args:
        folder: Where; by default `cache_folder()`. It is made when there is something to write, and
            nothing in it is touched but what this class has written.
        max_bytes: Most bytes; by default `cache_limit()`.

    Example:
        >>> import tempfile
        >>> store = FeatureStore(tempfile.mkdtemp())
        >>> shelf = Shelf(store, 40 * "0" + ".pooled_output", {"network": "tiny_cnn"})
        >>> shelf.put([b"k" * 16], np.zeros((1, 4), "float32"))
        >>> Shelf(store, 40 * "0" + ".pooled_output").missing([b"k" * 16]), store.info()["entries"]
        (set(), 1)
    """

    def __init__(self, folder: str | os.PathLike | None = None, max_bytes: int | None = None):
        folder = cache_folder() if folder is None else Path(folder)
        self.folder = Path(os.path.abspath(os.path.expanduser(folder)))
        self.shelves = self.folder / "features"
        self.max_bytes = cache_limit() if max_bytes is None else max_bytes
        # Blocks by file, so that who asks for a shelf again and again reads each only once.
        self.known: dict[Path, Block] = {}

    def info(self) -> dict[str, Any]:
        """What is there.

        Returns:
            `folder`, `bytes`, `max_bytes`, `entries`, and `encoders`: for each shelf what its
            encoder is, with `entries`, `bytes` and `last_used` (seconds since 1970), the one used
            last first.
        """
        encoders = []
        for shelf in self._shelves():
            try:
                about = json.loads((shelf / _ABOUT).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                about = {}
            blocks = _named(shelf, _BLOCK)
            encoders.append(
                {
                    **about,
                    "entries": sum(_count(block) for block in blocks),
                    "bytes": sum(map(_size, blocks)),
                    "last_used": max(map(_used, blocks), default=0.0),
                }
            )
        encoders.sort(key=lambda one: -one["last_used"])
        return {
            "folder": str(self.folder),
            "bytes": sum(one["bytes"] for one in encoders),
            "max_bytes": self.max_bytes,
            "entries": sum(one["entries"] for one in encoders),
            "encoders": encoders,
        }

    def clear(self) -> int:
        """Removes everything that was written here; returns how many bytes that were.

        Raises:
            OSError: if something cannot be removed.
        """
        found = 0
        for shelf in self._shelves():
            found += sum(map(_size, _named(shelf, _BLOCK)))
            for file in (*_named(shelf, _BLOCK), *_named(shelf, _PART), shelf / _ABOUT):
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something else stands there, or comes just now
                shelf.rmdir()
        return found

    def make_room(self, num_bytes: int, *, keep: Collection[Path] = ()) -> str:
        """Throws out what was not used for longest until `num_bytes` more fit.

        Args:
            num_bytes: How many are to be written.
            keep: Files that are in use, which stay.

        Returns:
            Why there is no room, in words that follow "the cache ..."; empty where there is.

        Raises:
            OSError: if the folder cannot be looked into.
        """
        self._sweep()
        blocks = sorted(
            (file for shelf in self._shelves() for file in _named(shelf, _BLOCK)), key=_used
        )
        taken = sum(map(_size, blocks))
        free = _free(self.folder) - _SPARE
        movable = [block for block in blocks if block not in keep]
        room = sum(map(_size, movable))
        need = f"{num_bytes / 1e6:,.1f} MB more"
        if num_bytes > self.max_bytes - taken + room:
            limit = self.max_bytes / 1e9
            return f"may take {limit:g} GB (KERAS_MM_CACHE_GB), not enough for {need}"
        if num_bytes > free + room:
            return f"is on a disk with {max(free, 0) / 1e6:,.1f} MB to spare, not the {need}"
        for block in movable:
            if taken + num_bytes <= self.max_bytes and num_bytes <= free:
                break
            size = _size(block)
            block.unlink(missing_ok=True)
            taken, free = taken - size, free + size
        return ""

    def _shelves(self) -> list[Path]:
        return [path for path in _named(self.shelves, _SHELF) if path.is_dir()]

    def _sweep(self) -> None:
        """Removes what killed processes left unfinished."""
        for shelf in self._shelves():
            for part in _named(shelf, _PART):
                if time.time() - _used(part) > _ABANDONED:
                    part.unlink(missing_ok=True)


def reserve(shelves: Iterable[Shelf], num_bytes: int) -> None:
    """Makes room for so many bytes more; where there is none, what comes stays in memory.

    Args:
        shelves: Of one store; what of them is in use stays.
        num_bytes: How many are to be written to them.
    """
    kept = [shelf for shelf in shelves if shelf.is_kept]
    if not kept:
        return
    try:
        problem = kept[0].store.make_room(num_bytes, keep=set().union(*(s.used for s in kept)))
    except OSError as error:
        problem = f"cannot be used ({error.strerror or error})"
    if problem:
        _give_up(kept, problem)


def _give_up(shelves: Sequence[Shelf], reason: str) -> None:
    """Lets nothing more be written, and says why."""
    _log.warning(
        "the feature cache %s %s; features stay in memory, and are computed again next time. Give "
        "another folder as `cache`, or cache=False.",
        shelves[0].store.folder,
        reason,
    )
    for shelf in shelves:
        shelf.folder = shelf.store = None


def _heads(keys: Iterable[bytes]) -> np.ndarray:
    """The first half of each key, as a number, sorted."""
    return np.sort(np.frombuffer(b"".join(keys), _HEAD)[:: KEY_BYTES // 8])


def _blocks(folder: Path, known: dict[Path, Block]) -> Iterator[Block]:
    """The blocks of a shelf; those that are plainly damaged are removed."""
    for path in _named(folder, _BLOCK):
        try:
            if path not in known:
                known[path] = _read(path)
            yield known[path]
        except ValueError as error:
            _remove_damaged(path, error)
        except OSError as error:  # gone, somebody else's, too many open files
            _log.info("a file of the feature cache cannot be read: %s (%s)", path, error)


def _write(file, index: bytes, values: np.ndarray) -> int:
    """Writes a block; returns where its values begin."""
    header = {
        "dtype": values.dtype.str,
        "shape": values.shape,
        "keys": zlib.crc32(index),
        "values": _checksum(values.reshape(-1).view("uint8")),
    }
    # Filled up with spaces, so that the values stand where the processor likes them.
    text = json.dumps(header).encode()
    text += b" " * (-(_WORDS.size + len(text) + len(index)) % 64)
    file.write(_WORDS.pack(_MAGIC, len(text), zlib.crc32(text)) + text + index)
    offset = file.tell()
    file.write(values.data)
    return offset


def _read(path: Path) -> Block:
    """A block without its values.

    Raises:
        ValueError: if the file is damaged.
    """
    with path.open("rb") as file:
        words = file.read(_WORDS.size)
        if len(words) < _WORDS.size:
            raise InvalidValueError("it is cut off")
        magic, length, checksum = _WORDS.unpack(words)
        text = file.read(length) if length < _SPAN else b""
        if magic != _MAGIC or zlib.crc32(text) != checksum:
            raise InvalidValueError("its header is broken")
        header = json.loads(text)
        if np.dtype(header["dtype"]).kind not in "bfiu":
            raise InvalidValueError("its values are no numbers")
        count, *rest = header["shape"]
        index = file.read(count * KEY_BYTES)
        offset = file.tell()
        size = offset + count * int(np.prod(rest)) * np.dtype(header["dtype"]).itemsize
        if zlib.crc32(index) != header["keys"] or os.fstat(file.fileno()).st_size != size:
            raise InvalidValueError("it is cut off")
    shape = (count, *rest)
    return Block(index, None, _File(path, offset, header["dtype"], shape, header["values"]))


def _checksum(flat: np.ndarray) -> int:
    found = 0
    for start in range(0, len(flat), _SPAN):
        found = zlib.crc32(flat[start : start + _SPAN].data, found)
    return found


def _remove_damaged(path: Path, error: ValueError) -> None:
    _log.warning("a damaged file of the feature cache is dropped: %s (%s)", path, error)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _named(folder: Path, pattern: re.Pattern) -> list[Path]:
    """What of a folder has a name of that kind."""
    try:
        return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
    except OSError:
        return []


def _count(block: Path) -> int:
    try:
        return len(_read(block).index) // KEY_BYTES
    except (OSError, ValueError):
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _free(folder: Path) -> int:
    """Bytes that the disk of `folder`, which need not be there yet, has free."""
    while not os.path.exists(folder):
        folder = folder.parent
    return shutil.disk_usage(folder).free
