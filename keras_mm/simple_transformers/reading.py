"""How a trained model reads texts: settings that may be changed after training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_mm.errors import InvalidValueError
from keras_mm.estimator.classifier import MultimodalClassifier


def read_as(
    classifier: MultimodalClassifier, sequence_length: int, window: Mapping[str, Any] | None
) -> None:
    """Makes a trained classifier read its texts in other pieces; its weights stay as they are.

    Args:
        classifier: A trained classifier; changed in place.
        sequence_length: Tokens of a sequence.
        window: Fields of `keras_mm.SlidingWindow`; `None` cuts off what does not fit.

    Raises:
        ValueError: for a length that the text network cannot read, or a window that cannot be.
    """
    try:
        classifier.read_texts(sequence_length=sequence_length, sliding_window=window)
    except ValueError as error:
        words = str(error).replace("sequence_length", "max_seq_length")
        raise InvalidValueError(words) from None
