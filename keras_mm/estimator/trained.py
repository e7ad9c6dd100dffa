"""A trained model with everything that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_mm.checks import require
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.errors import Problem
from keras_mm.features.store.store import open_store
from keras_mm.inference.predictor import Predictor
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings


@dataclass(frozen=True)
class Trained:
    """A trained model with everything that belongs to it.

    Attributes:
        settings: The settings that it was trained with, none of them `None` for the preset's.
        heads: Its heads by name, with their classes.
        model: The Keras model, from raw inputs to logits.
        preprocessor: What makes the model's inputs.
        priors: By head, the answer that sees no input: shares of the classes or labels, or means.
        history: Metrics by name, a list over the epochs.
        num_rows: Training rows.
        skipped: Problems of the training rows that were left out.
    """

    settings: Settings
    heads: Mapping[str, Head]
    model: keras.Model
    preprocessor: Preprocessor
    priors: Mapping[str, list]
    history: Mapping[str, list]
    num_rows: int
    skipped: Sequence[Problem] = ()

    def predictor(self, *, cache: Any, engine: str, progress: bool) -> Predictor:
        """What answers rows by this model.

        Args:
            cache: As the estimator's.
            engine: As the estimator's.
            progress: Whether to show a bar on what takes longer than two seconds.
        """
        return Predictor(
            self.model,
            self.preprocessor,
            self.heads,
            images=self.settings.images,
            texts=self.settings.texts,
            batch_size=require(self.settings.batch_size, "batch_size"),
            store=open_store(cache),
            engine=engine,
            progress=progress,
        )
