"""A trained model with its settings, heads and preprocessor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_mm.checks import require
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.errors import Problem
from keras_mm.features.store.store import open_store
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.inference.held_out import HeldOut
from keras_mm.inference.predictor import Predictor
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings


@dataclass(frozen=True)
class Trained:
    """A trained model with its settings, heads and preprocessor.

    Attributes:
        settings: The resolved settings of the training.
        heads: The heads by name, with their classes.
        model: The Keras model, from preprocessed inputs to logits.
        preprocessor: Makes the inputs of the model from rows.
        priors: The best constant prediction by head: frequencies of the classes or labels, or means
            of the targets.
        history: Metrics by name, a list over the epochs.
        num_rows: Number of training rows.
        skipped: Problems of the training rows that were left out.
        decisions: Decisions by head, for the heads whose decisions were fitted.
        held_out: Logits of rows that the weights were not trained on, by head; `None` if they are
            not known, as in a loaded model.
    """

    settings: Settings
    heads: Mapping[str, Head]
    model: keras.Model
    preprocessor: Preprocessor
    priors: Mapping[str, list]
    history: Mapping[str, list]
    num_rows: int
    skipped: Sequence[Problem] = ()
    decisions: Mapping[str, HeadDecisions] = field(default_factory=dict)
    held_out: HeldOut | None = None

    def predictor(self, *, cache: Any, engine: str, progress: bool) -> Predictor:
        """Creates the predictor of this model.

        Args:
            cache: As in the estimator.
            engine: As in the estimator.
            progress: Whether to show a progress bar for steps that take longer than two seconds.

        Returns:
            The predictor.
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
            decisions=self.decisions,
        )
