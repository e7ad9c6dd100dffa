"""Attributes of models that scripts read: network, tokenizer, device and config."""

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
    """Attributes that are objects of PyTorch or Transformers in Simple Transformers.

    Attributes:
        args: The settings.
        classifier: The classifier; `None` before the first training.
        num_labels: Number of labels; `None` if it is not known yet.
        config: Labels, and attributes that a script sets; see `ModelConfig`.
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
        """The tokenizer that texts are read with."""
        if self._tokenizer is None:
            self._tokenizer = tokenizer_of(self._trained, self.args)
        return self._tokenizer

    @property
    def device(self) -> str:
        """The device that the backend uses: `"cpu"`, or `"cuda:0"` for a GPU."""
        return device_name()

    @property
    def _trained(self) -> MultimodalClassifier | None:
        """The classifier, if it is trained."""
        classifier = self.classifier
        return classifier if classifier is not None and hasattr(classifier, "model_") else None

    @property
    def _trained_head(self) -> Head | None:
        """The head of the classifier, if it is trained."""
        return None if self._trained is None else only_head(self._trained)

    def _labels(self) -> Sequence:
        """The labels that the user gave, in order; empty if there are none."""
        raise NotImplementedError

    def _description(self) -> dict[str, Any]:
        """The attributes of `config` that a script has not set."""
        head = self._trained_head or untrained_head(self._labels(), self.num_labels)
        return described(head, self.args.model_type)
