"""Files whose names differ from a path only in how they are written."""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache
from pathlib import Path

from keras_mm.checks import quote


def similar_file(path: str | os.PathLike) -> str | None:
    """A sentence about a file that a path which does not exist may mean.

    Names may differ in upper and lower case, in their Unicode form (macOS writes an accent as a
    character of its own), and paths from Windows in the separator.

    Args:
        path: A path that does not exist.

    Returns:
        What differs, and the file's path; `None` if there is no such file.

    Example:
        >>> similar_file("nowhere/a.png") is None
        True
    """
    text, changes = os.fspath(path), []
    if os.sep == "/" and "\\" in text:
        text = text.replace("\\", "/")
        changes.append("with / in place of \\")
    parts = Path(text).parts
    if ".." in parts:  # a backslash was part of a name, and shall not lead out of the folder
        return None
    found = Path(parts[0] if parts and os.path.isabs(text) else ".")
    try:
        for part in parts[1:] if os.path.isabs(text) else parts:
            name = part if os.path.lexists(found / part) else _listing(found).get(_key(part))
            if name is None:
                return None
            changes += _differences(part, name)
            found /= name
    except (OSError, ValueError):  # a part is no folder, or the path is none at all
        return None
    if not changes:
        return None
    return (
        f"a file of that name {' and '.join(dict.fromkeys(changes))} is there: {quote(str(found))}"
    )


def _differences(part: str, name: str) -> list[str]:
    """How two names differ that have the same key."""
    case = ["in other upper and lower case"] if _composed(part) != _composed(name) else []
    is_composed = [text == _composed(text) for text in (part, name)]
    form = is_composed[0] != is_composed[1] or (part != name and not case)
    return case + (["in another Unicode form (NFC or NFD)"] if form else [])


def _listing(folder: Path) -> dict[str, str]:
    return _names(str(folder), os.stat(folder).st_mtime_ns)


@lru_cache(maxsize=32)
def _names(folder: str, changed: int) -> dict[str, str]:
    """The names in a folder by what they have in common with similar names."""
    return {_key(name): name for name in os.listdir(folder)}


def _key(name: str) -> str:
    return _composed(_composed(name).casefold())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
