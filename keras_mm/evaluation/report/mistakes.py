"""The most confident mistakes, or the largest errors, of a head with what stands in their rows."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from keras_mm.data.images.cells import open_image
from keras_mm.data.tables.rows import Rows
from keras_mm.errors import ImageError
from keras_mm.evaluation.report.findings import plain
from keras_mm.evaluation.results import HeadEvaluation

_MOST = 20
_LETTERS = 160  # shown of a text
_SIDE = 72  # longest side of an image, in pixels


class Content(NamedTuple):
    """What stands in a row, as it is shown.

    Attributes:
        images: Small images as `data:` addresses.
        texts: Texts, shortened.
    """

    images: Sequence[str]
    texts: Sequence[str]


class Mistakes(NamedTuple):
    """A table of mistakes.

    Attributes:
        header: Names of the columns after row and content.
        rows: A line each: name of the row, content (`None` where it is not known), other cells.
        total: The number of all mistakes.
    """

    header: Sequence[str]
    rows: Sequence[tuple[str, Content | None, Sequence[str]]]
    total: int


def find_mistakes(
    one: HeadEvaluation, frame: pd.DataFrame, rows: Rows | None, id_column: str | None
) -> Mistakes:
    """The most confident mistakes of a head; of a regression head the largest errors.

    Args:
        one: The results of the head, with metrics.
        frame: Its predictions, columns named as if it were the only head.
        rows: The rows that were predicted, in the order of `frame`; `None` if they are not at hand.
        id_column: The column of `frame` with the rows' ids; `None` without one.

    Returns:
        At most 20 rows of a table.
    """
    find = _errors if one.head.kind == "regression" else _wrong_labels
    header, found, total = find(one, frame)
    shown: dict[int, Content | None] = {}
    lines = []
    for place, cells in found:
        name = str(frame["row"].iloc[place])
        if id_column is not None:
            name = f"{name} ({frame[id_column].iloc[place]})"
        if place not in shown:
            shown[place] = None if rows is None else _content(rows, place)
        lines.append((name, shown[place], cells))
    return Mistakes(header, lines, total)


# Header, position and cells of each mistake, and how many there are.
Found = tuple[Sequence[str], Sequence[tuple[Any, Sequence[str]]], int]


def _wrong_labels(one: HeadEvaluation, frame: pd.DataFrame) -> Found:
    """The most confident mistakes of a head with classes or labels."""
    found = frame[[f"probability_{name}" for name in one.classes]].to_numpy("float64")
    if one.head.kind == "multilabel":
        gives, has = (_marks(frame[name], one.classes) for name in ("prediction", "label"))
        wrong = (gives != has) & frame["label"].notna().to_numpy()[:, None]
        # Confidence of a wrong prediction: that the label applies, or that it does not.
        sure = np.where(gives, found, 1 - found)
        rows, sure = wrong.any(axis=1), np.where(wrong, sure, 0).max(axis=1)
    else:
        known = frame["label"].notna().to_numpy()
        rows = known & (frame["label"] != frame["prediction"]).to_numpy(dtype=bool)
        sure = found.max(axis=1)
    places = np.flatnonzero(rows)
    places = places[np.argsort(-sure[places], kind="stable")]
    label, answer = frame["label"], frame["prediction"]
    cells = [
        (place, (plain(label.iloc[place]), plain(answer.iloc[place]), f"{sure[place]:.3f}"))
        for place in places[:_MOST].tolist()
    ]
    return ("Label", "Answer", "Probability"), cells, len(places)


def _marks(cells: pd.Series, names: list) -> np.ndarray:
    """Whether each name is in each cell, a list or `None`: bool `(num_rows, num_names)`."""
    places = {name: place for place, name in enumerate(names)}
    found = np.zeros((len(cells), len(names)), dtype=bool)
    for row, cell in enumerate(cells):
        found[row, [places[name] for name in cell or ()]] = True
    return found


def _errors(one: HeadEvaluation, frame: pd.DataFrame) -> Found:
    """The rows with the largest errors, measured in standard deviations of the targets."""
    rows = []
    for name, end in zip(one.classes, column_ends(one), strict=True):
        label, answer = frame[f"label{end}"], frame[f"prediction{end}"]
        errors = (answer - label).abs()
        unit = label.std() or 1.0
        for place in np.argsort(-errors.fillna(-1).to_numpy(), kind="stable")[:_MOST].tolist():
            if np.isfinite(errors.iloc[place]):
                numbers = [label.iloc[place], answer.iloc[place], errors.iloc[place]]
                cells = [str(name), *(f"{value:.4g}" for value in numbers)]
                rows.append((errors.iloc[place] / unit, place, cells))
    worst = sorted(rows, key=lambda row: -row[0])[:_MOST]
    header = ["Target", "Label", "Answer", "Error"]
    first = 0 if len(one.classes) > 1 else 1  # one target needs no name
    shown = [(place, words[first:]) for _, place, words in worst]
    return header[first:], shown, one.metrics["num_rows"]


def column_ends(one: HeadEvaluation) -> list[str]:
    """The ends of a regression head's column names.

    Args:
        one: The results of a regression head.

    Returns:
        One for each target.
    """
    return [""] if len(one.classes) == 1 else [f"_{name}" for name in one.classes]


def _content(rows: Rows, place: int) -> Content:
    images = (_address(cells[place]) for cells in rows.images if cells[place] is not None)
    texts = (cells[place] for cells in rows.texts if cells[place] is not None)
    return Content(
        [address for address in images if address],
        [textwrap.shorten(text, _LETTERS, placeholder=" …") or text[:_LETTERS] for text in texts],
    )


def _address(cell: Any) -> str:
    """A small JPEG of an image as a `data:` address; "" if it cannot be read any more."""
    try:
        image = open_image(cell)
    except ImageError:
        return ""
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
