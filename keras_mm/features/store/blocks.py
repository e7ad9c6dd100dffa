"""Blocks: the files of the feature store, each with values of one shape and their keys.

A file holds, one after the other: magic number, length and CRC-32 of the header; the header (JSON);
the keys; the values. Files are written once and never changed.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_mm.errors import InvalidValueError

KEY_BYTES = 16
_PREFIX = "<u8"  # the first half of a key, as a number
_SPAN = 2**26  # bytes that a checksum reads at once, and the largest header
_WORDS = struct.Struct("<8sII")  # _MAGIC, length and checksum of the header
_MAGIC = b"kmm-f\x001\n"

# Files whose checksum this process has verified; files never change, so once is enough.
_verified: set[Path] = set()


@dataclass(frozen=True)
class BlockFile:
    """The location of a block's values on disk, and the content of its header.

    Args:
        path: The file.
        offset: Position of the first value, in bytes.
        dtype: NumPy name of the values' type.
        shape: Shape of the values, first axis the keys.
        checksum: CRC-32 of the values.
    """

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]
    checksum: int

    def mapped(self) -> np.ndarray:
        """Maps the values into memory, read-only; each process verifies the checksum once.

        The map stays valid after the file was removed.

        Returns:
            An array of `shape` and `dtype`.

        Raises:
            ValueError: if the checksum differs.
            OSError: if the file cannot be read.
        """
        with self.path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        flat = np.frombuffer(content, "uint8")[self.offset :]
        if self.path not in _verified and _checksum(flat) != self.checksum:
            raise InvalidValueError("its checksum differs")
        _verified.add(self.path)
        return flat.view(self.dtype).reshape(self.shape)


class Block:
    """Values of one shape with their keys, in memory or in a file that is mapped on first use.

    Args:
        index: The keys, `KEY_BYTES` each, joined; a list would take ten times the memory.
        source: The values, or the file that holds them.
    """

    def __init__(self, index: bytes, source: np.ndarray | BlockFile):
        self.index, self._source = index, source

    @property
    def path(self) -> Path | None:
        """The file; `None` for a block in memory."""
        return self._source.path if isinstance(self._source, BlockFile) else None

    @property
    def prefixes(self) -> np.ndarray:
        """The first half of each key as a number, uint64 `(num_keys,)`."""
        return np.frombuffer(self.index, _PREFIX)[:: KEY_BYTES // 8]

    @property
    def keys(self) -> list[bytes]:
        """The keys as a list."""
        index = self.index
        return [index[start : start + KEY_BYTES] for start in range(0, len(index), KEY_BYTES)]

    @cached_property
    def values(self) -> np.ndarray:
        """The values, first axis the keys."""
        source = self._source
        return source.mapped() if isinstance(source, BlockFile) else source


def sorted_prefixes(joined_keys: bytes) -> np.ndarray:
    """The first half of each key as a number, sorted.

    Args:
        joined_keys: Keys of `KEY_BYTES` each, one after the other.

    Returns:
        uint64 `(num_keys,)`.
    """
    return np.sort(np.frombuffer(joined_keys, _PREFIX)[:: KEY_BYTES // 8])


def write_block(path: Path, target: Path, index: bytes, values: np.ndarray) -> BlockFile:
    """Writes a block.

    Args:
        path: The file to write to.
        target: The path that the caller moves the complete file to.
        index: The keys, joined.
        values: A contiguous array, first axis the keys.

    Returns:
        The block's file at `target`, whose checksum counts as verified.

    Raises:
        OSError: if the file cannot be written.
    """
    checksum = _checksum(values.reshape(-1).view("uint8"))
    header = {
        "dtype": values.dtype.str,
        "shape": values.shape,
        "keys": zlib.crc32(index),
        "values": checksum,
    }
    # The header is padded with spaces, so that the values are aligned to 64 bytes in memory.
    text = json.dumps(header).encode()
    text += b" " * (-(_WORDS.size + len(text) + len(index)) % 64)
    with path.open("wb") as file:
        file.write(_WORDS.pack(_MAGIC, len(text), zlib.crc32(text)) + text + index)
        offset = file.tell()
        file.write(values.data)
    _verified.add(target)
    return BlockFile(target, offset, values.dtype.str, values.shape, checksum)


def read_block(path: Path) -> Block:
    """Reads a block's header and keys; its values are mapped when they are used.

    Args:
        path: The file.

    Returns:
        The block.

    Raises:
        ValueError: if the file is damaged.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        header = _header(file)
        count, *rest = header["shape"]
        index = file.read(count * KEY_BYTES)
        offset = file.tell()
        size = offset + count * int(np.prod(rest)) * np.dtype(header["dtype"]).itemsize
        if zlib.crc32(index) != header["keys"] or os.fstat(file.fileno()).st_size != size:
            raise InvalidValueError("it is cut off")
    return Block(index, BlockFile(path, offset, header["dtype"], (count, *rest), header["values"]))


def _header(file: BinaryIO) -> dict:
    words = file.read(_WORDS.size)
    if len(words) < _WORDS.size:
        raise InvalidValueError("it is cut off")
    magic, length, checksum = _WORDS.unpack(words)
    text = file.read(length) if length < _SPAN else b""
    if magic != _MAGIC or zlib.crc32(text) != checksum:
        raise InvalidValueError("its header is broken")
    header = json.loads(text)
    if np.dtype(header["dtype"]).kind not in "bfiu":
        raise InvalidValueError("its values are not numbers")
    return header


def _checksum(flat: np.ndarray) -> int:
    checksum = 0
    for start in range(0, len(flat), _SPAN):
        checksum = zlib.crc32(flat[start : start + _SPAN].data, checksum)
    return checksum
