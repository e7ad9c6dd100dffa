"""What scripts read from a model beside its calls: network, tokenizer, device and config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ModelArgs
from keras_mm.simple_transformers.config import (
    ModelConfig,
    described,
    device_name,
    untrained_head,
)
from keras_mm.simple_transformers.reading import only_head
from keras_mm.simple_transformers.tokenizer import ModelTokenizer, tokenizer_of


class ScriptAttributes:
    """The attributes of Simple Transformers' models that are objects of other libraries there.

    Attributes:
        args: The settings.
        classifier: The classifier; `None` before the first training.
        num_labels: Number of labels, once it is known.
        config: Labels by their index, and attributes that a script sets; see `ModelConfig`.
    """

    args: ModelArgs
    classifier: MultimodalClassifier | None
    num_labels: int | None
    config: ModelConfig
    _tokenizer: ModelTokenizer | None = None

    @property
    def model(self) -> keras.Model | None:
        """The Keras model; `None` before the first training."""
        return None if self._trained is None else self._trained.model_

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The vocabulary that texts are read with."""
        if self._tokenizer is None:
            self._tokenizer = tokenizer_of(self._trained, self.args)
        return self._tokenizer

    @property
    def device(self) -> str:
        """The device that the backend computes on: `"cpu"`, or `"cuda:0"` for a GPU."""
        return device_name()

    @property
    def _trained(self) -> MultimodalClassifier | None:
        """The classifier, if it is trained."""
        classifier = self.classifier
        return classifier if classifier is not None and hasattr(classifier, "model_") else None

    @property
    def _trained_head(self) -> Head | None:
        """The head of the trained classifier."""
        return None if self._trained is None else only_head(self._trained)

    def _labels(self) -> Sequence:
        """The labels that the user gave, in order; empty if none are given."""
        raise NotImplementedError

    def _description(self) -> dict[str, Any]:
        """What `config` says unless a script sets it."""
        head = self._trained_head or untrained_head(self._labels(), self.num_labels)
        return described(head, self.args.model_type)
