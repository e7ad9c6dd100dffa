"""Scores by the modalities that rows have, and with one modality hidden."""

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
    """Scores by the modalities that rows have, and of complete rows with one modality hidden.

    A row has images if it has at least one image, and texts likewise. The encoders are not run
    again: hidden inputs are masked after the encoders.

    Args:
        predictor: The model's predictor.
        rows: Checked, labelled rows, and perhaps their weights, which the scores use.
        features: The encoders' features of `rows`.
        logits: Logits of `rows`, shape `(num_rows, num_logits)`, by head.
        priors: The best constant prediction by head, as `head_prior` returns it.
        heads: The heads that the rows have labels of; by default all.

    Returns:
        Scores by head. `"held"` has the scores of the rows with `"image_and_text"`, `"image_only"`
        and `"text_only"`, where such rows have labels. `"hidden"` has the scores of the
        `"image_and_text"` rows without their `"images"` and without their `"texts"`; it is empty if
        there are no such rows. The scores are `num_rows`, `accuracy`, `accuracy_interval` (95%),
        `macro_f1` and `majority_accuracy`, the accuracy of the training rows' most frequent class.
        For multilabel heads `subset_accuracy` and `baseline_subset_accuracy` replace `accuracy` and
        `majority_accuracy`. For regression heads the scores are `num_rows`, `mean_absolute_error`,
        `r2` and `baseline_mean_absolute_error`, the error of the training rows' mean. An empty dict
        for a model with images only or texts only.
    """
    if not (rows.images and rows.texts):
        return {}
    heads = predictor.heads if heads is None else heads
    masks = predictor.preprocessor.masks(rows)
    image, text = masks["image_mask"].any(axis=1), masks["text_mask"].any(axis=1)
    held = {"image_and_text": image & text, "image_only": image & ~text, "text_only": text & ~image}
    labels, weights, answers = rows.labels, rows.sample_weight, {"": logits}
    complete = np.flatnonzero(held["image_and_text"])
    if len(complete):
        encoded = {name: value.take(complete.tolist()) for name, value in features.items()}
        for side in ("images", "texts"):
            left = hide(rows.take(complete.tolist()), side)
            answers[side] = predictor.logits(left, encoded)
    found: dict[str, dict] = {}
    for name, head in heads.items():
        score = _Scores(head, priors[name], labels[name], weights)
        scores = {
            what: score(np.flatnonzero(mask), answers[""][name][mask])
            for what, mask in held.items()
        }
        hidden = {
            side: score(complete, answered[name]) for side, answered in answers.items() if side
        }
        found[name] = {
            "held": {what: one for what, one in scores.items() if one},
            "hidden": {side: one for side, one in hidden.items() if one},
        }
    return found


def hide(rows: Rows, side: str) -> Rows:
    """Rows without their images, or without their texts.

    Args:
        rows: Checked rows.
        side: What is removed: `"images"` or `"texts"`.

    Returns:
        New rows; the other columns and the labels are the same.
    """
    without: dict[str, Any] = {side: tuple([None] * len(rows) for _ in getattr(rows, side))}
    return replace(rows, **without)


class _Scores:
    """Scores of a head and its baseline."""

    def __init__(
        self, head: Head, prior: list[float], labels: np.ndarray, weights: np.ndarray | None
    ):
        self.head, self.prior, self.labels, self.weights = head, prior, labels, weights

    def __call__(self, rows: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
        """The scores on some rows; empty if no row of a weight above 0 has a label."""
        labels = self.labels[rows]
        weights = None if self.weights is None else self.weights[rows]
        if not is_labelled(self.head, labels, weights):
            return {}
        kind = self.head.kind
        metrics = head_metrics(self.head, labels, logits, sample_weight=weights)
        baseline = prior_metrics(self.head, self.prior, labels, weights)
        found = {name: metrics[name] for name in SCORES[kind]}
        return found | {BASELINE_SCORES[kind]: baseline[SCORES[kind][1]]}
