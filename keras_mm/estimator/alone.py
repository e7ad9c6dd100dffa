"""Trains a model of the images alone, or of the texts alone: a baseline for the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import Rows
from keras_mm.estimator.fit import fit
from keras_mm.estimator.fit_folds import fit_folds
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.reuse import Workbench, model_on
from keras_mm.estimator.trained import Trained
from keras_mm.metrics.probabilities import probabilities
from keras_mm.models.multimodal import parts
from keras_mm.random_state import seeded
from keras_mm.settings.members import of_one_side


def predict_alone(
    trained: Trained, prepared: Prepared, rows: Rows, side: str, *, cache: Any, engine: str
) -> dict[str, np.ndarray]:
    """Trains new trunks on the features of one side, and predicts rows with them.

    Settings, rows, folds and seed are those of the whole model. The encoder is the same, so its
    cached features are used.

    Args:
        trained: The whole model, whose encoder of this side is frozen.
        prepared: Settings, heads and rows of the training.
        rows: The rows to predict.
        side: `"vision"` or `"text"`.
        cache: As in the estimator.
        engine: As in the estimator.

    Returns:
        Probabilities `(num_rows, num_classes)`, or numbers `(num_rows, num_targets)`, by head.
    """
    settings = replace(prepared.settings, cache=cache, engine=engine, verbose=0, warm_start=False)
    settings = replace(settings, members=of_one_side(settings.members or "trunk"))
    own = replace(
        prepared,
        settings=settings.one_side(side),
        parts={name: part.one_side(side) for name, part in prepared.parts.items()},
    )
    bench = _Bench({side: parts(trained.model).encoders[side]})
    preprocessor = _preprocessor(trained.preprocessor, side)
    with seeded(settings.seed):
        train: Any = fit_folds if own.folds else fit
        # Only callbacks ask for a classifier.
        outcome = train(own, bench, preprocessor=preprocessor, classifier_of=lambda _: None)
    if outcome.error is not None:
        raise outcome.error
    predictor = outcome.trained.predictor(cache=cache, engine=engine, progress=False)
    logits = predictor.logits(rows.one_side(side), always_cache=True)
    return {
        name: logits[name] if head.kind == "regression" else probabilities(logits[name], head.kind)
        for name, head in own.heads.items()
    }


def _preprocessor(whole: Preprocessor, side: str) -> Preprocessor:
    """The preprocessor of one side."""
    if side == "vision":
        return Preprocessor(image_size=whole.image_size, num_images=whole.num_images)
    return Preprocessor(
        tokenizer=whole.tokenizer,
        sequence_length=whole.sequence_length,
        num_texts=whole.num_texts,
        text_pairing=whole.text_pairing,
        sliding_window=whole.sliding_window,
    )


class _Bench(Workbench):
    """Builds models on given encoders."""

    def __init__(self, encoders: Mapping[str, keras.Model]):
        super().__init__()
        self._encoders = encoders

    def model(
        self,
        spec: Mapping[str, Any],
        *,
        seed: int,
        member: int = 0,
        kind: str = "trunk",
        **weights: Any,
    ) -> tuple[keras.Model, keras.Model]:
        """Builds a model and its twin; see `Workbench.model`. The weights are not read."""
        return model_on(self._encoders, spec, seed=seed, member=member, kind=kind)
