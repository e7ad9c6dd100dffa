"""The manifest of a saved model: the SHA-256 of each of its files. Loads no backend."""

from __future__ import annotations

import hashlib
import json
from os import PathLike
from pathlib import Path

from keras_mm.errors import InvalidValueError, MissingFileError

MANIFEST = "manifest.json"


def write_manifest(folder: str | PathLike) -> None:
    """Writes the manifest of a folder whose other files are complete.

    Args:
        folder: The folder; all its files are listed.
    """
    folder = Path(folder)
    digests = {
        file.relative_to(folder).as_posix(): _digest(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    text = json.dumps({"algorithm": "sha256", "files": digests}, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def check_manifest(folder: str | PathLike) -> None:
    """Checks that the files of a saved model are complete and unchanged.

    Args:
        folder: A folder with a manifest. Files that it does not list are ignored.

    Raises:
        FileNotFoundError: if the manifest or a file that it lists is missing.
        ValueError: if the manifest is damaged, or the content of a file differs.
    """
    folder, mend = Path(folder), "Copy the whole folder again from where `save` wrote it."
    file = folder / MANIFEST
    if not file.is_file():
        raise MissingFileError(f"{str(file)!r} is missing. {mend}")
    try:
        digests = dict(json.loads(file.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidValueError(f"{str(file)!r} is damaged: {error}. {mend}") from None
    missing = [name for name in digests if not (folder / name).is_file()]
    if missing:
        raise MissingFileError(f"{str(folder)!r} lacks {', '.join(missing)}. {mend}")
    changed = [name for name, digest in digests.items() if _digest(folder / name) != digest]
    if changed:
        raise InvalidValueError(
            f"{str(folder)!r}: {', '.join(changed)} changed after the model was saved, or was not "
            f"copied completely. {mend}"
        )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
