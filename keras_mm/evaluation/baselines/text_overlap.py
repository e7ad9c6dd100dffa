"""Counts of texts, and what the texts of a row have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

Texts = Sequence[Sequence[str | None]]

_PARTS = (
    re.compile(r"\w+"),
    re.compile(r"\d[\d.,:]*"),  # numbers, dates and times
    re.compile(r"https?://\S+"),
    re.compile(r"[@#]\w+"),
)


def text_counts(texts: Texts) -> np.ndarray:
    """Counts words, numbers, links and mentions; of two texts also those in common.

    Args:
        texts: Texts by column, each a list over the rows; `None` for a missing text, which counts
            as an empty one.

    Returns:
        float64, shape `(num_rows, num_counts)`: for each text its length and four counts of
        different words, numbers, links and mentions. For two texts also the difference of their
        lengths, and for each of the four the number in common and its share of all (Jaccard).

    Example:
        >>> text_counts([["Oil at 90", None]])[:, :3].tolist()
        [[9.0, 3.0, 1.0], [0.0, 0.0, 0.0]]
    """
    columns = [[(text or "").lower() for text in column] for column in texts]
    lengths = [np.asarray([len(text) for text in column], "float64") for column in columns]
    parts = [[_parts(text) for text in column] for column in columns]
    counts = [
        np.asarray([[len(part) for part in row] for row in column], "float64").reshape(
            len(column), len(_PARTS)
        )
        for column in parts
    ]
    values = [*lengths, *(count.T for count in counts)]
    if len(texts) == 2:
        common = _common(*parts)
        either = counts[0] + counts[1] - common
        difference = lengths[0] - lengths[1]
        values += [difference, np.abs(difference), common.T, (common / np.maximum(either, 1)).T]
    return np.vstack(values).T


def _parts(text: str) -> list[set[str]]:
    return [set(part.findall(text)) for part in _PARTS]


def _common(first: Sequence[list[set]], second: Sequence[list[set]]) -> np.ndarray:
    """The number of parts that both texts of each row have, by kind."""
    common = [
        [len(one & other) for one, other in zip(*pair, strict=True)]
        for pair in zip(first, second, strict=True)
    ]
    return np.asarray(common, "float64").reshape(len(first), len(_PARTS))
