"""Changes the sequence length and sliding window of a trained model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keras_mm.checks import is_whole
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.trained import Trained
from keras_mm.models.ensemble import member_backbones
from keras_mm.models.text_encoder import input_length
from keras_mm.settings.sliding_window import as_sliding_window


def with_text_length(trained: Trained, sequence_length: int, sliding_window: Any) -> Trained:
    """Changes the sequence length and sliding window of a trained model, not its weights.

    Args:
        trained: The trained model.
        sequence_length: Largest number of tokens of a sequence.
        sliding_window: As the parameter of the estimator; `None` to truncate long texts.

    Returns:
        The model with changed settings and preprocessor; `trained` itself if nothing changes.

    Raises:
        ValueError: if the text network cannot read this length, or the window is not valid.
    """
    sliding = as_sliding_window(sliding_window)
    window = None if sliding is None else sliding.by_slot(trained.settings.texts)
    before = trained.preprocessor
    if (before.sequence_length, before.sliding_window) == (sequence_length, window):
        return trained
    if not is_whole(sequence_length):
        raise InvalidValueError(
            f"`sequence_length` must be an integer. Received: {sequence_length!r}"
        )
    input_length(member_backbones(trained.model)["text"], sequence_length)
    return replace(
        trained,
        settings=replace(trained.settings, sequence_length=sequence_length, sliding_window=sliding),
        preprocessor=before.with_texts(sequence_length, window),
        held_out=None,  # their logits would be others
    )
