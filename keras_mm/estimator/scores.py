"""Score and evaluation of a trained model on labelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.estimator.trained import Trained, members_text
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.head_metrics import head_metrics, is_labelled
from keras_mm.settings.heads import Head

if TYPE_CHECKING:
    from keras_mm.estimator.baselines import BaselineRows
    from keras_mm.evaluation.evaluate import Evaluation

# The metric that `score` returns, by kind of head.
_SCORES = {
    "multiclass": "accuracy",
    "binary": "accuracy",
    "multilabel": "subset_accuracy",
    "regression": "r2",
}


def mean_score(predictor: Predictor, rows: Rows) -> float:
    """Computes the score of a model on labelled rows; see `MultimodalClassifier.score`.

    Args:
        predictor: Predicts the rows.
        rows: Rows with labels of all heads; they may have weights.

    Returns:
        The score of a single head; of several heads, the mean over those that have labels.
    """
    heads = predictor.heads
    labels, logits, weights = rows.labels, predictor.logits(rows), rows.sample_weight
    scores = [
        head_metrics(head, labels[n], logits[n], sample_weight=weights)[_SCORES[head.kind]]
        for n, head in heads.items()
        if len(heads) == 1 or is_labelled(head, labels[n], weights)
    ]
    return float(np.mean(scores))


def evaluate_trained(
    trained: Trained,
    predictor: Predictor,
    rows: Rows,
    source: str,
    heads: Mapping[str, Head] | None = None,
    baselines: BaselineRows | None = None,
) -> Evaluation:
    """Evaluates a trained model beside baselines, and adds facts about its training to the report.

    Args:
        trained: The trained model.
        predictor: Predicts the rows.
        rows: Rows with labels of `heads`.
        source: Name of the table of the rows.
        heads: The heads to evaluate, by name; by default all.
        baselines: Baselines to train; by default none but the constant predictions.

    Returns:
        The evaluation, as `keras_mm.evaluation.evaluate.evaluate_rows` returns it.
    """
    from keras_mm.estimator.baselines import BaselineRows, baseline_training
    from keras_mm.evaluation.evaluate import evaluate_rows

    settings = trained.settings
    about = {
        "preset": settings.preset,
        "vision": settings.vision_backbone if settings.images else None,
        "text": settings.text_backbone if settings.texts else None,
        "fusion": settings.fusion if settings.images and settings.texts else None,
        "images": list(settings.images),
        "texts": list(settings.texts),
        "loss": settings.loss,
        "class_weight": settings.class_weight,
        "seed": settings.seed,
        "backend": keras.backend.backend(),
        "training_rows": trained.num_rows,
        **({"members": text} if (text := members_text(trained)) else {}),
        **({"choice": "; ".join(trained.remarks)} if trained.remarks else {}),
    }
    found = baselines or BaselineRows()
    with baseline_training(trained, predictor, rows, found) as (predictor, training):
        return evaluate_rows(
            predictor,
            rows,
            source,
            priors=trained.priors,
            training=training,
            notes=found.notes,
            heads=heads,
            history=trained.history,
            monitor=settings.training.monitor,
            about=about,
        )
