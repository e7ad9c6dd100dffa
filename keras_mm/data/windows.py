"""Cuts the long texts of rows into windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.data.text.packing import num_special
from keras_mm.data.text.text_format import TextFormat
from keras_mm.settings.sliding_window import SlidingWindow


class TextWindow(str):
    """A text of which only a range of tokens is used.

    Attributes:
        start: Index of the first token.
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
        slot: Index of the text column that is cut, 0 or 1.
        text_format: How texts become sequences. A window has as many tokens as fit into a sequence
            beside the special tokens and, if two texts are packed, the other text, which is
            truncated to half of the available tokens.

    Returns:
        The windows as rows, in order: a text of the column that was too long is replaced by
        `TextWindow`s. And for each window the index in `rows` of the row that it is part of,
        ascending integers, shape `(num_windows,)`.
    """
    tokenizer, sequence_length = text_format.tokenizer, text_format.sequence_length
    columns = [["" if text is None else text for text in column] for column in rows.texts]
    lengths = [tokenizer.count(column) for column in columns]
    specials = num_special(tokenizer.family, 1)
    capacity, other_texts = np.full(len(rows), sequence_length - specials), None
    if len(columns) > 1 and text_format.text_pairing == "packed":
        capacity[:] = sequence_length - num_special(tokenizer.family, 2)
        half = capacity // 2
        other_texts = _cut_off(rows.texts[1 - slot], lengths[1 - slot], half)
        capacity -= np.minimum(lengths[1 - slot], half)
    window_rows: list[int] = []
    cells: list[Any] = []
    for row, (text, count, size) in enumerate(
        zip(rows.texts[slot], lengths[slot].tolist(), capacity.tolist(), strict=True)
    ):
        bounds = window.bounds(count, capacity=size, length=size + specials)
        cells += [text] if len(bounds) == 1 else [_part(text, *bound) for bound in bounds]
        window_rows += [row] * len(bounds)
    if other_texts is not None:
        rows = replace(
            rows, texts=(other_texts, rows.texts[1]) if slot else (rows.texts[0], other_texts)
        )
    windows = rows.take(window_rows)
    texts = tuple(cells if i == slot else column for i, column in enumerate(windows.texts))
    return replace(windows, texts=texts), np.asarray(window_rows)


def _cut_off(texts: list, lengths: np.ndarray, limits: np.ndarray) -> list:
    """Truncates each text to at most as many tokens as `limits` says."""
    counts = zip(texts, lengths.tolist(), limits.tolist(), strict=True)
    return [_part(text, 0, limit) if count > limit else text for text, count, limit in counts]


def _part(text: str, start: int, size: int) -> TextWindow:
    part = TextWindow(text)
    part.start, part.size = start, size
    return part


def parts_of(texts: list[str]) -> dict[str, np.ndarray]:
    """Makes the argument `parts` of `Tokenizer.pack` for one text column.

    Args:
        texts: Texts; some may be `TextWindow`s.

    Returns:
        `starts` and `counts`, int64 `(len(texts),)`: for each text the index of the first token,
        and the largest number of tokens. Texts that are not windows are used whole.
    """
    windows = [text if isinstance(text, TextWindow) else None for text in texts]
    return {
        "starts": np.asarray([0 if w is None else w.start for w in windows], "int64"),
        "counts": np.asarray([2**31 if w is None else w.size for w in windows], "int64"),
    }
