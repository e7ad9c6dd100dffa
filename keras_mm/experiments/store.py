"""Finished cells of a comparison on disk, so that a comparison that was stopped can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.data.images.cells import content_key
from keras_mm.data.tables.rows import Rows
from keras_mm.errors import ConfigError
from keras_mm.files import new_file, write_text


class CellStore:
    """Keeps the predictions of each finished cell in a folder.

    Args:
        folder: The folder; `None` keeps nothing.
        facts: What must be the same when the comparison goes on, by name, JSON-serialisable.

    Raises:
        ConfigError: if the folder holds another comparison; it says what differs.
    """

    def __init__(self, folder: str | PathLike | None, facts: Mapping[str, Any]):
        self._folder = None
        if folder is not None:
            self._folder = open_folder(folder, facts, "comparison.json", "comparison")

    def read(self, key: str) -> pd.DataFrame | None:
        """Reads the predictions of a cell.

        Args:
            key: The name of the cell.

        Returns:
            What was written; `None` if the cell is not finished.
        """
        file = self._file(key)
        return pd.read_parquet(file) if file is not None and file.is_file() else None

    def write(self, key: str, frame: pd.DataFrame) -> None:
        """Writes the predictions of a cell, whole or not at all.

        Args:
            key: The name of the cell.
            frame: The predictions.
        """
        file = self._file(key)
        if file is not None:
            with new_file(file) as temporary:
                frame.reset_index(drop=True).to_parquet(temporary)

    def _file(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / "cells" / f"{key}.parquet"


def open_folder(
    folder: str | PathLike, facts: Mapping[str, Any], file_name: str, what: str
) -> Path:
    """Opens the folder of an experiment: a new one, or one with the same facts.

    Args:
        folder: The folder.
        facts: What must be the same when the experiment goes on, by name, JSON-serialisable.
        file_name: Name of the file that holds the facts.
        what: What the folder holds, such as `"comparison"`.

    Returns:
        The folder.

    Raises:
        ConfigError: if the folder holds something else; it says what differs.
    """
    found = Path(folder)
    file = found / file_name
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        changed = [
            f"{name}: {before.get(name)!r}, now {value!r}"
            for name, value in facts.items()
            if before.get(name) != value
        ]
        if changed:
            raise ConfigError(
                [
                    f"`output`: {str(folder)!r} holds a {what} of other rows or settings "
                    f"({'; '.join(changed)}). Choose another folder, or undo the change"
                ]
            )
    elif found.exists() and any(found.iterdir()):
        raise ConfigError([f"`output`: {str(folder)!r} is not empty, and no {what}"])
    else:
        write_text(file, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return found


def table_digest(rows: Rows) -> str:
    """A digest of everything of rows that a comparison depends on.

    Args:
        rows: Checked rows.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for cells in rows.images:
        for cell in cells:
            digest.update(b"none" if cell is None else content_key(cell))
    for texts in rows.texts:
        digest.update(repr(texts).encode())
    arrays = [*rows.labels.values(), rows.sample_weight, rows.groups]
    for array in arrays:
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
