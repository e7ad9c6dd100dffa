"""Access to a trained classifier: its head, its logits, and its text length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.settings.heads import Head


def read_as(
    classifier: MultimodalClassifier, sequence_length: int, window: Mapping[str, Any] | None
) -> None:
    """Changes the text length and sliding window of a trained classifier, not its weights.

    Args:
        classifier: A trained classifier; changed in place.
        sequence_length: Largest number of tokens of a sequence.
        window: Fields of `keras_mm.SlidingWindow`; `None` to truncate long texts.

    Raises:
        ValueError: if the text network cannot read this length, or the window is not valid.
    """
    try:
        classifier.read_texts(sequence_length=sequence_length, sliding_window=window)
    except ValueError as error:
        message = str(error).replace("sequence_length", "max_seq_length")
        raise InvalidValueError(message) from None


def only_head(classifier: MultimodalClassifier) -> Head:
    """The head of a classifier with a single head.

    Args:
        classifier: A trained classifier.

    Returns:
        The head.
    """
    (head,) = classifier.heads_.values()
    return head


def logits_of(classifier: MultimodalClassifier, rows: Rows, silent: bool = False) -> np.ndarray:
    """Predicts the logits of rows.

    Args:
        classifier: A trained classifier whose only head is called `"label"`.
        rows: Checked rows.
        silent: Whether to hide progress bars.

    Returns:
        Floats, shape `(num_rows, num_logits)`.
    """
    return classifier.predictor_.logits(rows, progress=not silent)["label"]
