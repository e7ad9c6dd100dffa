"""How well a classifier answers rows by the modalities that they hold, or that are left to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_mm.data.rows import Rows
from keras_mm.metrics.classification import classification_metrics
from keras_mm.metrics.probabilities import probabilities

if TYPE_CHECKING:
    from keras_mm.classifier import MultimodalClassifier
    from keras_mm.features.table import FeatureTable

_SCORES = ("num_rows", "accuracy", "accuracy_interval", "macro_f1")


def evaluate_modalities(
    classifier: MultimodalClassifier,
    rows: Rows,
    features: Mapping[str, FeatureTable],
    found: np.ndarray,
) -> dict[str, dict[str, dict]]:
    """Scores by the modalities that rows hold, and of complete rows with one of them hidden.

    A row holds images if it has at least one, and texts likewise. The encoders are not run again:
    what is hidden is masked behind them.

    Args:
        classifier: A fitted classifier.
        rows: Checked, labelled rows.
        features: What the classifier's encoders give for `rows`.
        found: Its probabilities for `rows`, shape `(num_rows, num_classes)`.

    Returns:
        `"held"`: scores of the rows that hold `"image_and_text"`, `"image_only"`, `"text_only"`,
        for those of the three that have rows. `"hidden"`: scores of the `"image_and_text"` rows,
        answered without their `"images"` and without their `"texts"`; empty where there are no
        such rows. Scores are `num_rows`, `accuracy`, `accuracy_interval` (95%), `macro_f1` and
        `majority_accuracy`, that of the training rows' most frequent class. An empty dict for a
        model of images alone or of texts alone.
    """
    if not (rows.images and rows.texts):
        return {}
    masks = classifier.preprocessor_.masks(rows)
    image, text = masks["image_mask"].any(axis=1), masks["text_mask"].any(axis=1)
    held = {"image_and_text": image & text, "image_only": image & ~text, "text_only": text & ~image}
    scores = {
        name: _scores(classifier, rows.labels[mask], found[mask])
        for name, mask in held.items()
        if mask.any()
    }
    hidden, complete = {}, np.flatnonzero(held["image_and_text"]).tolist()
    if complete:
        encoded = {name: value.take(complete) for name, value in features.items()}
        for side in ("images", "texts"):
            left = hide(rows.take(complete), side)
            answers = probabilities(classifier._logits(left, encoded))
            hidden[side] = _scores(classifier, left.labels, answers)
    return {"held": scores, "hidden": hidden}


def hide(rows: Rows, side: str) -> Rows:
    """The rows without any of their images, or without any of their texts.

    Args:
        rows: Checked rows.
        side: `"images"` or `"texts"`.
    """
    without: dict[str, Any] = {side: tuple([None] * len(rows) for _ in getattr(rows, side))}
    return replace(rows, **without)


def _scores(classifier, labels: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    metrics = classification_metrics(labels, found, list(classifier.classes_))
    majority = float(np.mean(labels == np.argmax(classifier.train_counts_)))
    return {name: metrics[name] for name in _SCORES} | {"majority_accuracy": majority}
