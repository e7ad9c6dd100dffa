"""Finds the file that was probably meant by a path that does not exist."""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache
from pathlib import Path

from keras_mm.checks import quote


def similar_file(path: str | os.PathLike) -> str | None:
    """Describes an existing file with nearly the same path, for an error message.

    Names may differ in upper and lower case, and in their Unicode form (macOS stores an accent as a
    separate character). Paths from Windows may have another separator.

    Args:
        path: A path that does not exist.

    Returns:
        The second half of a sentence that begins with "path does not exist, but": the path of the
        file, and what differs. `None` if there is no such file.

    Example:
        >>> similar_file("nowhere/a.png") is None
        True
    """
    text, differences = os.fspath(path), []
    if os.sep == "/" and "\\" in text:
        text = text.replace("\\", "/")
        differences.append("the separator (/ instead of \\)")
    parts = Path(text).parts
    if ".." in parts:  # it may come from a replaced backslash, and must not lead out of the folder
        return None
    similar = Path(parts[0] if parts and os.path.isabs(text) else ".")
    try:
        for part in parts[1:] if os.path.isabs(text) else parts:
            name = part if os.path.lexists(similar / part) else _listing(similar).get(_key(part))
            if name is None:
                return None
            differences += _differences(part, name)
            similar /= name
    except (OSError, ValueError):  # a part is not a folder, or the text is not a valid path
        return None
    if not differences:
        return None
    return (
        f"{quote(str(similar))} does, which differs in {' and '.join(dict.fromkeys(differences))}"
    )


def _differences(part: str, name: str) -> list[str]:
    """What differs between two names that have the same key."""
    case = ["upper and lower case"] if _composed(part) != _composed(name) else []
    is_composed = [text == _composed(text) for text in (part, name)]
    other_form = is_composed[0] != is_composed[1] or (part != name and not case)
    return case + (["the Unicode form (NFC or NFD)"] if other_form else [])


def _listing(folder: Path) -> dict[str, str]:
    return _names(str(folder), os.stat(folder).st_mtime_ns)


@lru_cache(maxsize=32)
def _names(folder: str, changed: int) -> dict[str, str]:
    """The names in a folder by key: similar names have the same key. `changed` renews the cache."""
    return {_key(name): name for name in os.listdir(folder)}


def _key(name: str) -> str:
    return _composed(_composed(name).casefold())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
