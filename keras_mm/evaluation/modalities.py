"""How well a model answers rows by the modalities that they hold, or that are left to them."""

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
    """Scores by the modalities that rows hold, and of complete rows with one of them hidden.

    A row holds images if it has at least one, and texts likewise. The encoders are not run again:
    what is hidden is masked behind them.

    Args:
        predictor: What answers the rows.
        rows: Checked, labelled rows.
        features: What its encoders give for `rows`.
        logits: What it answers `rows`, by head, `(num_rows, num_logits)`.
        priors: By head, what it would answer without seeing anything, as `head_prior` gives it.
        heads: The heads that the rows have labels of; by default all.

    Returns:
        By head, `"held"`: scores of the rows that hold `"image_and_text"`, `"image_only"`,
        `"text_only"`, for those of the three that have rows with labels. `"hidden"`: scores of the
        `"image_and_text"` rows, answered without their `"images"` and without their `"texts"`;
        empty where there are no such rows. Scores are `num_rows`, `accuracy`, `accuracy_interval`
        (95%), `macro_f1` and `majority_accuracy`, that of the training rows' most frequent class;
        with several labels a row `subset_accuracy` in the place of `accuracy` (and
        `baseline_subset_accuracy`), and of numbers `mean_absolute_error`, `r2` and
        `baseline_mean_absolute_error`, the error of always answering
        the training rows' mean. An empty dict for a model of images alone or of texts alone.
    """
    if not (rows.images and rows.texts):
        return {}
    heads = predictor.heads if heads is None else heads
    masks = predictor.preprocessor.masks(rows)
    image, text = masks["image_mask"].any(axis=1), masks["text_mask"].any(axis=1)
    held = {"image_and_text": image & text, "image_only": image & ~text, "text_only": text & ~image}
    labels, answers = rows.labels, {"": logits}
    complete = np.flatnonzero(held["image_and_text"])
    if len(complete):
        encoded = {name: value.take(complete.tolist()) for name, value in features.items()}
        for side in ("images", "texts"):
            left = hide(rows.take(complete.tolist()), side)
            answers[side] = predictor.logits(left, encoded)
    found: dict[str, dict] = {}
    for name, head in heads.items():
        score = _Scores(head, priors[name])
        scores = {
            what: score(labels[name][mask], answers[""][name][mask]) for what, mask in held.items()
        }
        hidden = {
            side: score(labels[name][complete], answered[name])
            for side, answered in answers.items()
            if side
        }
        found[name] = {
            "held": {what: one for what, one in scores.items() if one},
            "hidden": {side: one for side, one in hidden.items() if one},
        }
    return found


def hide(rows: Rows, side: str) -> Rows:
    """The rows without any of their images, or without any of their texts.

    Args:
        rows: Checked rows.
        side: `"images"` or `"texts"`.
    """
    without: dict[str, Any] = {side: tuple([None] * len(rows) for _ in getattr(rows, side))}
    return replace(rows, **without)


class _Scores:
    """Scores of a head on some rows, and its baseline's."""

    def __init__(self, head: Head, prior: list[float]):
        self.head, self.prior = head, prior

    def __call__(self, labels: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
        """The scores; empty where there are too few labels for any."""
        if not is_labelled(self.head, labels):
            return {}
        kind = self.head.kind
        metrics = head_metrics(self.head, labels, logits)
        baseline = prior_metrics(self.head, self.prior, labels)
        found = {name: metrics[name] for name in SCORES[kind]}
        return found | {BASELINE_SCORES[kind]: baseline[SCORES[kind][1]]}
