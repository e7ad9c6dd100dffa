"""Image columns, and how many images a cell of each may hold. Loads no backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keras_mm.checks import is_whole
from keras_mm.settings.rules import Rule, as_names, is_names


def _is_images(value: Any) -> bool:
    if not is_names(value):
        return False
    return not isinstance(value, Mapping) or all(is_whole(count, 1) for count in value.values())


IMAGES = Rule(
    "column names, or a dict of column name to the most images of its cells, an integer >= 1",
    _is_images,
)


def as_images(images: str | Iterable[str] | Mapping[str, int]) -> Any:
    """Image columns in one form for equal meanings.

    Args:
        images: A name, names, or a dict of name to the most images of a cell.

    Returns:
        A tuple of names, or a dict.
    """
    if isinstance(images, Mapping):
        return {name: int(count) for name, count in images.items()}
    return as_names(images)  # type: ignore[arg-type]


def image_counts(images: str | Iterable[str] | Mapping[str, int]) -> list[tuple[str, int | None]]:
    """Each image column with the most images of its cells.

    Args:
        images: A name, names, or a dict of name to the most images of a cell.

    Returns:
        Pairs in order; `None` for a column whose cells are one image, not a list.

    Example:
        >>> image_counts({"photos": 4}), image_counts("cover")
        ([('photos', 4)], [('cover', None)])
    """
    if isinstance(images, Mapping):
        return list(as_images(images).items())
    return [(name, None) for name in as_names(images)]  # type: ignore[arg-type]


def image_slots(images: str | Iterable[str] | Mapping[str, int]) -> list[str]:
    """The column of each image slot of a row.

    Args:
        images: A name, names, or a dict of name to the most images of a cell.

    Returns:
        Column names, each as often as its cells may hold images.

    Example:
        >>> image_slots({"photos": 2, "cover": 1})
        ['photos', 'photos', 'cover']
    """
    return [name for name, count in image_counts(images) for _ in range(count or 1)]
