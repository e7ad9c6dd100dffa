"""How a trained model reads texts: settings that may be changed after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_mm.checks import is_whole
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.models.multimodal import backbones
from keras_mm.models.text_encoder import input_length
from keras_mm.settings.sliding_window import as_sliding_window


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
        _read_as(classifier, sequence_length, window)
    except ValueError as error:
        words = str(error).replace("sequence_length", "max_seq_length")
        raise InvalidValueError(words) from None


def _read_as(classifier, sequence_length, window) -> None:
    before = classifier.preprocessor_
    sliding = as_sliding_window(window)
    cut = None if sliding is None else sliding.by_slot(classifier.texts)
    if (before.sequence_length, before.sliding_window) == (sequence_length, cut):
        return
    if not is_whole(sequence_length):
        raise InvalidValueError(
            f"`sequence_length` must be an integer. Received: {sequence_length!r}"
        )
    input_length(backbones(classifier.model_)["text"], sequence_length)
    classifier.preprocessor_ = Preprocessor(
        image_size=before.image_size,
        num_images=before.num_images,
        tokenizer=before.tokenizer,
        sequence_length=sequence_length,
        num_texts=before.num_texts,
        text_pairing=before.text_pairing,
        sliding_window=cut,
    )
    changed = {"sequence_length": sequence_length, "sliding_window": sliding}
    classifier.set_params(**changed)
    classifier._settings_ = replace(classifier._settings_, **changed)
