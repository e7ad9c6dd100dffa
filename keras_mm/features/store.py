"""The feature store: what encoders gave, on disk, found again by the content of their inputs."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np

KEY_BYTES = 16
_ABOUT = "about.json"
_SPARE = 2**30  # bytes of a disk that are never taken
_SPAN = 2**26  # bytes that are summed at once
_ABANDONED = 24 * 3600.0  # seconds after which an unfinished file belongs to no process
_DAMAGE = (OSError, ValueError, KeyError, EOFError, BadZipFile)

_log = logging.getLogger("keras_mm")

# Files whose checksum this process has seen to be right: they never change.
_sound: set[Path] = set()


def cache_folder() -> Path:
    """Where features are kept: `KERAS_MM_CACHE`, else `keras_mm` in the user's cache folder."""
    named = os.environ.get("KERAS_MM_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "keras_mm"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "keras_mm"


def cache_limit() -> int:
    """Most bytes of the feature store: `KERAS_MM_CACHE_GB` (10^9 bytes), by default 20 GB.

    Raises:
        ValueError: if the variable is no number >= 0.
    """
    text = os.environ.get("KERAS_MM_CACHE_GB", "20")
    try:
        size = float(text)
        if not 0 <= size < float("inf"):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"KERAS_MM_CACHE_GB must be a number of gigabytes, as 20. Received: {text!r}"
        ) from None
    return int(size * 1e9)


@dataclass(frozen=True, eq=False)
class Block:
    """Values of one shape, with their keys: a file, mapped into memory, or an array."""

    keys: list[bytes]
    values: np.ndarray
    path: Path | None = None


class Shelf:
    """Values of one encoder output by key: of a folder of the store, and of this process's memory.

    Blocks are written whole and never changed, so that several processes may write to one shelf:
    what two of them computed at the same time is there twice, and equal.

    Args:
        store: The store that the shelf stands in; `None` keeps everything in memory.
        name: Folder name: a digest of everything, besides its input, that decides an output.
        about: What to tell people of it; JSON-serialisable.
    """

    def __init__(
        self, store: FeatureStore | None = None, name: str = "", about: Mapping | None = None
    ):
        self.store: FeatureStore | None = store
        self.folder: Path | None = None if store is None else store.folder / name
        self._about = dict(about or {})
        self._places: dict[bytes, tuple[Block, int]] = {}
        self._touched: set[Path] = set()
        for block in _blocks(self.folder):
            self._take(block)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    @property
    def is_kept(self) -> bool:
        """Whether what is put here is there for other processes too."""
        return self.folder is not None

    def find(self, keys: Sequence[bytes]) -> list[tuple[Block, int]]:
        """Block and position of each key, all of which must be there."""
        places = [self._places[key] for key in keys]
        for path in {block.path for block, _ in places} - self._touched - {None}:
            self._touched.add(path)
            with contextlib.suppress(OSError):
                os.utime(path)  # used now: the last to be thrown out
        return places

    def put(self, keys: Sequence[bytes], values: np.ndarray) -> None:
        """Keeps values, one for each key; on disk, or in memory where the disk takes no more."""
        block = None
        if self.folder is not None:
            try:
                block = self._written(list(keys), values)
            except OSError as error:
                _give_up([self], f"cannot be written ({error.strerror or error})")
        self._take(block or Block(list(keys), values))

    def _take(self, block: Block) -> None:
        for position, key in enumerate(block.keys):
            self._places.setdefault(key, (block, position))

    def _written(self, keys: list[bytes], values: np.ndarray) -> Block:
        self.folder.mkdir(parents=True, exist_ok=True)
        about = self.folder / _ABOUT
        if not about.exists():
            with _whole(about) as part:
                part.write_text(json.dumps(self._about, indent=2) + "\n", encoding="utf-8")
        path = self.folder / f"{uuid4().hex}.npy"
        values = np.ascontiguousarray(values)
        with _whole(path) as part, part.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        # The keys come last: a block without them does not count.
        with _whole(path.with_suffix(".npz")) as part, part.open("wb") as file:
            index = np.frombuffer(b"".join(keys), "uint8").reshape(-1, KEY_BYTES)
            np.savez(file, keys=index, checksum=np.uint32(_checksum(values)))
        self._touched.add(path)
        return Block(keys, np.load(path, mmap_mode="r", allow_pickle=False), path)


class FeatureStore:
    """A folder of shelves, kept below a size: what was not used for longest goes first.

    Args:
        folder: Where; by default `cache_folder()`. It is made when there is something to write.
        max_bytes: Most bytes; by default `cache_limit()`.

    Example:
        >>> import tempfile
        >>> store = FeatureStore(tempfile.mkdtemp())
        >>> shelf = Shelf(store, "encoder", {"backbone": "tiny_cnn"})
        >>> shelf.put([b"k" * 16], np.zeros((1, 4), "float32"))
        >>> b"k" * 16 in Shelf(store, "encoder"), store.info()["entries"]
        (True, 1)
    """

    def __init__(self, folder: str | os.PathLike | None = None, max_bytes: int | None = None):
        self.folder = cache_folder() if folder is None else Path(folder).expanduser()
        # A folder of its own below the user's: nothing else is ever removed.
        self.folder = self.folder / "features"
        self.max_bytes = cache_limit() if max_bytes is None else max_bytes

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
            files = [file for file in _files(shelf) if file.suffix == ".npy"]
            counts = [_count(file.with_suffix(".npz")) for file in files]
            encoders.append(
                {
                    **about,
                    "entries": sum(counts),
                    "bytes": sum(_size(file) for file in _files(shelf)),
                    "last_used": max((_used(file) for file in files), default=0.0),
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
        """Removes everything; returns how many bytes that were.

        Raises:
            OSError: if something cannot be removed.
        """
        found = sum(_size(file) for shelf in self._shelves() for file in _files(shelf))
        if self.folder.exists():
            shutil.rmtree(self.folder)
        return found

    def make_room(self, num_bytes: int, *, keep: Collection[Path] = ()) -> str:
        """Throws out what was not used for longest until `num_bytes` more fit.

        Args:
            num_bytes: How many are to be written.
            keep: Shelves that are in use, of which nothing goes.

        Returns:
            Why there is no room, in words that follow "the cache ..."; empty where there is.
        """
        self._sweep()
        blocks = sorted(
            (file for shelf in self._shelves() for file in _files(shelf) if file.suffix == ".npy"),
            key=_used,
        )
        taken = sum(map(_size_of, blocks))
        free = _free(self.folder) - _SPARE
        movable = [block for block in blocks if block.parent not in keep]
        need = f"{num_bytes / 1e6:,.0f} MB more"
        room = sum(map(_size_of, movable))
        if num_bytes > self.max_bytes - taken + room:
            limit = self.max_bytes / 1e9
            return f"may take {limit:g} GB (KERAS_MM_CACHE_GB), not enough for {need}"
        if num_bytes > free + room:
            return f"is on a disk with {max(free, 0) / 1e6:,.0f} MB to spare, not the {need}"
        for block in movable:
            if taken + num_bytes <= self.max_bytes and num_bytes <= free:
                break
            size = _size_of(block)
            _remove(block)
            taken, free = taken - size, free + size
        return ""

    def _shelves(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.is_dir())
        except OSError:
            return []

    def _sweep(self) -> None:
        """Removes what killed processes left unfinished."""
        for shelf in self._shelves():
            files = _files(shelf)
            for file in files:
                unfinished = file.suffix == ".part"
                keyless = file.suffix == ".npy" and file.with_suffix(".npz") not in files
                if (unfinished or keyless) and time.time() - _used(file) > _ABANDONED:
                    _remove(file)


def reserve(shelves: Iterable[Shelf], num_bytes: int) -> None:
    """Makes room for so many bytes more; where there is none, what comes stays in memory.

    Args:
        shelves: Of one store; nothing of them goes.
        num_bytes: How many are to be written to them.
    """
    kept = [shelf for shelf in shelves if shelf.is_kept]
    if kept:
        problem = kept[0].store.make_room(num_bytes, keep=[shelf.folder for shelf in kept])
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


def open_store(cache: bool | str | os.PathLike) -> FeatureStore | None:
    """The store that the setting `cache` names: by default, in a folder, or none."""
    if cache is False:
        return None
    return FeatureStore(None if cache is True else cache)


def _blocks(folder: Path | None) -> Iterator[Block]:
    """The sound blocks of a shelf; what is damaged is removed, to be computed again."""
    for file in _files(folder) if folder is not None else ():
        if file.suffix != ".npz":
            continue
        path = file.with_suffix(".npy")
        try:
            with np.load(file, allow_pickle=False) as index:
                keys, checksum = index["keys"], int(index["checksum"])
            values = np.load(path, mmap_mode="r", allow_pickle=False)
            if keys.shape != (len(values), KEY_BYTES):
                raise ValueError("not as many values as keys")
            if path not in _sound and _checksum(values) != checksum:
                raise ValueError("the checksum differs")
            _sound.add(path)
        except FileNotFoundError:
            continue  # thrown out by another process just now
        except _DAMAGE as error:
            _log.warning("a damaged file of the feature cache is dropped: %s (%s)", path, error)
            _remove(path)
            continue
        yield Block([key.tobytes() for key in keys], values, path)


def _checksum(values: np.ndarray) -> int:
    flat, found = values.reshape(-1).view("uint8"), 0
    for start in range(0, len(flat), _SPAN):
        found = zlib.crc32(flat[start : start + _SPAN].data, found)
    return found


class _whole:
    """A temporary path that becomes `path` at the end, and vanishes after an error."""

    def __init__(self, path: Path):
        self._path = path
        self._part = path.with_name(f".{path.name}-{uuid4().hex}.part")

    def __enter__(self) -> Path:
        return self._part

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            os.replace(self._part, self._path)
        else:
            self._part.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _remove(block: Path) -> None:
    for path in (block.with_suffix(".npz"), block):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _count(index: Path) -> int:
    try:
        with np.load(index, allow_pickle=False) as found:
            return len(found["keys"])
    except _DAMAGE:
        return 0


def _size_of(block: Path) -> int:
    return _size(block) + _size(block.with_suffix(".npz"))


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
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
