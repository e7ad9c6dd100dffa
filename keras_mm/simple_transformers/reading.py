"""How a trained model reads texts, which may change after training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_mm.errors import InvalidValueError
from keras_mm.estimator.classifier import MultimodalClassifier


def read_as(
    classifier: MultimodalClassifier, sequence_length: int, window: Mapping[str, Any] | None
) -> None:
    """Changes how a trained classifier reads texts; its weights stay as they are.

    Args:
        classifier: A trained classifier; changed in place.
        sequence_length: Number of tokens of a sequence.
        window: Fields of `keras_mm.SlidingWindow`; `None` to truncate long texts.

    Raises:
        ValueError: if the text network cannot read this length, or the window is not valid.
    """
    try:
        classifier.read_texts(sequence_length=sequence_length, sliding_window=window)
    except ValueError as error:
        words = str(error).replace("sequence_length", "max_seq_length")
        raise InvalidValueError(words) from None
