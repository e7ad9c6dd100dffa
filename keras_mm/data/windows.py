"""Rows whose long texts are cut into windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.data.text.packing import num_special
from keras_mm.data.text.text_format import TextFormat
from keras_mm.settings.sliding_window import SlidingWindow


class TextWindow(str):
    """A text of which only some tokens are read.

    Attributes:
        start: Position of the first token that is read.
        size: Number of tokens, >= 1.
    """

    start: int
    size: int


def cut_windows(
    rows: Rows, window: SlidingWindow, slot: int, text_format: TextFormat
) -> tuple[Rows, np.ndarray]:
    """Cuts the long texts of one column into windows, one row for each window.

    Args:
        rows: Checked rows.
        window: How texts are cut.
        slot: Number of the text column that is cut, 0 or 1.
        text_format: How texts become sequences; a window fills what a sequence leaves for it.

    Returns:
        The rows, in order; cells of that column are `TextWindow`s where the text was too long. And
        the position in `rows` of the row that each window is part of, int `(num_windows,)`.
    """
    tokenizer, sequence_length = text_format.tokenizer, text_format.sequence_length
    columns = [["" if text is None else text for text in column] for column in rows.texts]
    lengths = [tokenizer.count(column) for column in columns]
    specials = num_special(tokenizer.family, 1)
    capacity, others = np.full(len(rows), sequence_length - specials), None
    if len(columns) > 1 and text_format.text_pairing == "packed":
        capacity[:] = sequence_length - num_special(tokenizer.family, 2)
        half = capacity // 2
        others = _cut_off(rows.texts[1 - slot], lengths[1 - slot], half)
        capacity -= np.minimum(lengths[1 - slot], half)
    window_rows: list[int] = []
    cells: list[Any] = []
    for row, (text, count, fits) in enumerate(
        zip(rows.texts[slot], lengths[slot].tolist(), capacity.tolist(), strict=True)
    ):
        bounds = window.bounds(count, capacity=fits, length=fits + specials)
        cells += [text] if len(bounds) == 1 else [_part(text, *bound) for bound in bounds]
        window_rows += [row] * len(bounds)
    if others is not None:
        rows = replace(rows, texts=(others, rows.texts[1]) if slot else (rows.texts[0], others))
    found = rows.take(window_rows)
    texts = tuple(cells if i == slot else column for i, column in enumerate(found.texts))
    return replace(found, texts=texts), np.asarray(window_rows)


def _cut_off(texts: list, lengths: np.ndarray, most: np.ndarray) -> list:
    """The texts; those of more than `most` tokens as their beginning only."""
    counts = zip(texts, lengths.tolist(), most.tolist(), strict=True)
    return [_part(text, 0, size) if count > size else text for text, count, size in counts]


def _part(text: str, start: int, size: int) -> TextWindow:
    part = TextWindow(text)
    part.start, part.size = start, size
    return part


def parts_of(texts: list[str]) -> dict[str, np.ndarray]:
    """What `Tokenizer.pack` takes as `parts`, for one column.

    Args:
        texts: Texts, some of them `TextWindow`s.

    Returns:
        `starts` and `counts`, int64 `(len(texts),)`: the first token and the number of tokens of
        each text. A text that is not a window is read whole.
    """
    windows = [text if isinstance(text, TextWindow) else None for text in texts]
    return {
        "starts": np.asarray([0 if w is None else w.start for w in windows], "int64"),
        "counts": np.asarray([2**31 if w is None else w.size for w in windows], "int64"),
    }
