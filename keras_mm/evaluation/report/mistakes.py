"""Lists the most confident mistakes, or the largest errors, of a head with their rows' content."""

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
from keras_mm.evaluation.report.formats import plain
from keras_mm.evaluation.results import HeadEvaluation

_MOST = 20
_LETTERS = 160  # of a text that are shown
_SIDE = 72  # longest side of an image, in pixels


class Content(NamedTuple):
    """The content of a row, as the report shows it.

    Attributes:
        images: Small images as `data:` URLs.
        texts: Shortened texts.
    """

    images: Sequence[str]
    texts: Sequence[str]


class Mistakes(NamedTuple):
    """A table of mistakes.

    Attributes:
        header: Names of the columns after the row's name and its content.
        rows: For each mistake the name of the row, its content (`None` if unknown) and the other
            cells.
        total: Number of all mistakes, also those that are not listed.
    """

    header: Sequence[str]
    rows: Sequence[tuple[str, Content | None, Sequence[str]]]
    total: int


def find_mistakes(
    result: HeadEvaluation, frame: pd.DataFrame, rows: Rows | None, id_column: str | None
) -> Mistakes:
    """Finds the most confident mistakes of a head, or the largest errors of a regression head.

    Args:
        result: The results of the head, with metrics.
        frame: The predictions of the head, with the column names of a model with a single head.
        rows: The predicted rows, in the order of `frame`; `None` if their content is unknown.
        id_column: The column of `frame` with the rows' ids; `None` if there is none.

    Returns:
        A table of at most 20 mistakes.
    """
    find = _errors if result.head.kind == "regression" else _wrong_labels
    header, mistakes, total = find(result, frame)
    contents: dict[int, Content | None] = {}
    lines = []
    for place, cells in mistakes:
        name = str(frame["row"].iloc[place])
        if id_column is not None:
            name = f"{name} ({frame[id_column].iloc[place]})"
        if place not in contents:
            contents[place] = None if rows is None else _content(rows, place)
        lines.append((name, contents[place], cells))
    return Mistakes(header, lines, total)


# Header of the table, position and cells of each listed mistake, and number of all mistakes.
Found = tuple[Sequence[str], Sequence[tuple[Any, Sequence[str]]], int]


def _wrong_labels(result: HeadEvaluation, frame: pd.DataFrame) -> Found:
    """The most confident mistakes of a multiclass, binary or multilabel head."""
    probabilities = frame[[f"probability_{name}" for name in result.classes]].to_numpy("float64")
    if result.head.kind == "multilabel":
        predicted, labelled = (
            _marks(frame[name], result.classes) for name in ("prediction", "label")
        )
        wrong = (predicted != labelled) & frame["label"].notna().to_numpy()[:, None]
        # The probability of what was predicted: that the label applies, or that it does not.
        confidence = np.where(predicted, probabilities, 1 - probabilities)
        rows, confidence = wrong.any(axis=1), np.where(wrong, confidence, 0).max(axis=1)
    else:
        known = frame["label"].notna().to_numpy()
        rows = known & (frame["label"] != frame["prediction"]).to_numpy(dtype=bool)
        confidence = probabilities.max(axis=1)
    places = np.flatnonzero(rows)
    places = places[np.argsort(-confidence[places], kind="stable")]
    label, prediction = frame["label"], frame["prediction"]
    cells = [
        (
            place,
            (plain(label.iloc[place]), plain(prediction.iloc[place]), f"{confidence[place]:.3f}"),
        )
        for place in places[:_MOST].tolist()
    ]
    return ("Label", "Prediction", "Probability"), cells, len(places)


def _marks(cells: pd.Series, names: list) -> np.ndarray:
    """Which names each cell, a list or `None`, contains: bool, shape `(num_rows, num_names)`."""
    places = {name: place for place, name in enumerate(names)}
    marks = np.zeros((len(cells), len(names)), dtype=bool)
    for row, cell in enumerate(cells):
        marks[row, [places[name] for name in cell or ()]] = True
    return marks


def _errors(result: HeadEvaluation, frame: pd.DataFrame) -> Found:
    """The rows with the largest errors, in standard deviations of the target's labels."""
    rows = []
    for name, end in zip(result.classes, column_ends(result), strict=True):
        label, prediction = frame[f"label{end}"], frame[f"prediction{end}"]
        errors = (prediction - label).abs()
        unit = label.std() or 1.0
        for place in np.argsort(-errors.fillna(-1).to_numpy(), kind="stable")[:_MOST].tolist():
            if np.isfinite(errors.iloc[place]):
                numbers = [label.iloc[place], prediction.iloc[place], errors.iloc[place]]
                cells = [str(name), *(f"{value:.4g}" for value in numbers)]
                rows.append((errors.iloc[place] / unit, place, cells))
    worst = sorted(rows, key=lambda row: -row[0])[:_MOST]
    header = ["Target", "Label", "Prediction", "Error"]
    first = 0 if len(result.classes) > 1 else 1  # a single target has no column for its name
    shown = [(place, cells[first:]) for _, place, cells in worst]
    return header[first:], shown, result.metrics["num_rows"]


def column_ends(result: HeadEvaluation) -> list[str]:
    """Returns the suffixes of a regression head's columns, such as `prediction_height`.

    Args:
        result: The results of a regression head.

    Returns:
        A suffix for each target: its name after an underscore; empty for a single target.
    """
    return [""] if len(result.classes) == 1 else [f"_{name}" for name in result.classes]


def _content(rows: Rows, place: int) -> Content:
    images = (_address(cells[place]) for cells in rows.images if cells[place] is not None)
    texts = (cells[place] for cells in rows.texts if cells[place] is not None)
    return Content(
        [address for address in images if address],
        [textwrap.shorten(text, _LETTERS, placeholder=" …") or text[:_LETTERS] for text in texts],
    )


def _address(cell: Any) -> str:
    """A small JPEG of an image as a `data:` URL; "" if the image can no longer be read."""
    try:
        image = open_image(cell)
    except ImageError:
        return ""
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
