"""Scores by modality: of rows with images or texts only, and of rows with one modality hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.results import BASELINE_SCORES, SCORES
from keras_mm.features.table import FeatureTable
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.head_metrics import head_metrics, is_labelled, prior_metrics
from keras_mm.settings.heads import Head


def evaluate_modalities(
    predictor: Predictor,
    rows: Rows,
    features: Mapping[str, FeatureTable],
    logits: Mapping[str, np.ndarray],
    priors: Mapping[str, list[float]],
    heads: Mapping[str, Head] | None = None,
) -> dict[str, dict[str, dict[str, dict]]]:
    """Scores the rows with both modalities, with one, and with one of two hidden.

    A row has the modality "image" if it has at least one image, and "text" if it has at least one
    text. The encoders do not run again: a hidden modality is masked in the encoders' features.

    Args:
        predictor: The model's predictor.
        rows: Checked, labelled rows. If they have weights, the scores are weighted.
        features: The encoders' features of `rows`.
        logits: Logits of `rows` by head, shape `(num_rows, num_logits)`.
        priors: For each head the best constant prediction, as returned by
            `keras_mm.metrics.head_metrics.head_prior`.
        heads: The heads to score, by name; by default all heads of the model.

    Returns:
        An empty dict for a model with images only or texts only, else a dict for each head.
        `"held"` has the scores of the rows with `"image_and_text"`, with `"image_only"` and with
        `"text_only"`. `"hidden"` has the scores of the `"image_and_text"` rows without their
        `"images"` and without their `"texts"`. Groups without a labelled row are left out.

        The scores are `num_rows`, `accuracy`, `accuracy_interval` (95%), `macro_f1` and
        `majority_accuracy`, the accuracy of always predicting the training rows' most frequent
        class. Multilabel heads have `subset_accuracy`, `subset_accuracy_interval`, `macro_f1` and
        `baseline_subset_accuracy` instead. Regression heads have `mean_absolute_error`, `r2` and
        `baseline_mean_absolute_error`, the error of always predicting the training rows' mean.
    """
    if not (rows.images and rows.texts):
        return {}
    heads = predictor.heads if heads is None else heads
    masks = predictor.preprocessor.masks(rows)
    image, text = masks["image_mask"].any(axis=1), masks["text_mask"].any(axis=1)
    held = {"image_and_text": image & text, "image_only": image & ~text, "text_only": text & ~image}
    labels, weights = rows.labels, rows.sample_weight
    hidden_logits = {}
    complete = np.flatnonzero(held["image_and_text"])
    if len(complete):
        encoded = {name: value.take(complete.tolist()) for name, value in features.items()}
        for side in ("images", "texts"):
            remaining = hide(rows.take(complete.tolist()), side)
            hidden_logits[side] = predictor.logits(remaining, encoded)
    result: dict[str, dict] = {}
    for name, head in heads.items():
        score = _Scores(head, priors[name], labels[name], weights)
        held_scores = {
            group: score(np.flatnonzero(mask), logits[name][mask]) for group, mask in held.items()
        }
        hidden_scores = {
            side: score(complete, values[name]) for side, values in hidden_logits.items()
        }
        result[name] = {
            "held": {group: scores for group, scores in held_scores.items() if scores},
            "hidden": {side: scores for side, scores in hidden_scores.items() if scores},
        }
    return result


def hide(rows: Rows, side: str) -> Rows:
    """Removes the images or the texts of rows.

    Args:
        rows: Checked rows.
        side: What to remove: `"images"` or `"texts"`.

    Returns:
        New rows, with `None` in each cell of these columns; everything else is the same.
    """
    without: dict[str, Any] = {side: tuple([None] * len(rows) for _ in getattr(rows, side))}
    return replace(rows, **without)


class _Scores:
    """Computes scores of a head and of its baseline."""

    def __init__(
        self, head: Head, prior: list[float], labels: np.ndarray, weights: np.ndarray | None
    ):
        self.head, self.prior, self.labels, self.weights = head, prior, labels, weights

    def __call__(self, rows: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
        """Scores the rows at these positions; empty if no row with a weight above 0 has a label."""
        labels = self.labels[rows]
        weights = None if self.weights is None else self.weights[rows]
        if not is_labelled(self.head, labels, weights):
            return {}
        kind = self.head.kind
        metrics = head_metrics(self.head, labels, logits, sample_weight=weights)
        baseline = prior_metrics(self.head, self.prior, labels, weights)
        scores = {name: metrics[name] for name in SCORES[kind]}
        return scores | {BASELINE_SCORES[kind]: baseline[SCORES[kind][1]]}
