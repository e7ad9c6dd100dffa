"""What an evaluation gives: results, outputs, and the rows that were answered wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_mm.data.tables.labels import label_value
from keras_mm.data.tables.rows import Rows
from keras_mm.inference.answers import names_array
from keras_mm.settings.heads import Head


@dataclass(frozen=True)
class InputExample:
    """A row as `eval_model` gives back those that were answered wrongly.

    Attributes:
        guid: The row's index in its table.
        text_a: The text, or the first of a pair.
        text_b: The second of a pair.
        label: The label that the row has.
        image: The image's path, bytes or array.
    """

    guid: Any
    text_a: str | None
    text_b: str | None = None
    label: Any = None
    image: Any = None


class Assessment(NamedTuple):
    """Labelled rows and what they were answered."""

    results: dict[str, float]
    rows: Rows
    labels: np.ndarray
    places: np.ndarray
    probabilities: np.ndarray
    logits: np.ndarray


def wrong_rows(head: Head, found: Assessment) -> list[InputExample]:
    """The rows that were answered wrongly; numbers are never just wrong."""
    if head.kind == "regression":
        return []
    differs = found.places != found.labels
    wrong = np.flatnonzero(differs.any(axis=1) if differs.ndim == 2 else differs)
    names = None if head.kind == "multilabel" else names_array(head.names)
    texts = found.rows.texts
    return [
        InputExample(
            guid=label_value(found.rows.numbers[place]),
            text_a=texts[0][place],
            text_b=texts[1][place] if len(texts) > 1 else None,
            label=found.labels[place].tolist()
            if names is None
            else label_value(names[found.labels[place]]),
            image=found.rows.images[0][place] if found.rows.images else None,
        )
        for place in wrong.tolist()
    ]
