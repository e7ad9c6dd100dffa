"""Evaluation of a classifier on labelled rows, beside the majority class."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_mm.data.rows import Rows
from keras_mm.evidence.modalities import evaluate_modalities
from keras_mm.metrics.classification import classification_metrics, majority_baseline
from keras_mm.metrics.probabilities import probabilities

if TYPE_CHECKING:
    from keras_mm.classifier import MultimodalClassifier


@dataclass(frozen=True)
class Evaluation:
    """What a classifier did on labelled rows.

    Attributes:
        metrics: See `keras_mm.metrics.classification.classification_metrics`.
        baselines: The same metrics for other answers; `"majority"` always gives the training rows'
            most frequent class.
        modalities: Scores of the rows that hold images, texts or both, and of the latter with one
            side hidden; see `keras_mm.evidence.modalities.evaluate_modalities`. Empty for a model
            of one side.
        predictions: A row each: `row`, `label`, `prediction`, and `probability_<class>`.
        classes: Label names in order.
        history: Metrics by epoch of the training run.
        about: Facts for the report: source, preset, columns, sizes.
        monitor: The metric of `history` that chose the epoch.
    """

    metrics: dict
    baselines: dict[str, dict]
    predictions: pd.DataFrame
    classes: list
    modalities: dict[str, dict[str, dict]] = field(default_factory=dict)
    history: dict[str, list] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    monitor: str = "val_loss"

    def to_dict(self) -> dict:
        """`{"test": metrics, "baselines": ..., "modalities": ...}`, JSON-serialisable."""
        found = {"test": self.metrics, "baselines": self.baselines}
        return {**found, "modalities": self.modalities} if self.modalities else found

    def save(self, path: str | PathLike) -> None:
        """Writes the report as one self-contained HTML file, whole or not at all."""
        from keras_mm.evidence.report import render_report

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(render_report(self), encoding="utf-8")
        temporary.replace(path)

    def __str__(self) -> str:
        low, high = self.metrics["accuracy_interval"]
        majority = self.baselines["majority"]
        return (
            f"accuracy {self.metrics['accuracy']:.4f} [{low:.3f}, {high:.3f}] "
            f"(majority class {majority['accuracy']:.4f}), "
            f"macro-F1 {self.metrics['macro_f1']:.4f} (majority class {majority['macro_f1']:.4f}), "
            f"{self.metrics['num_rows']} rows"
        )


def evaluate_rows(classifier: MultimodalClassifier, rows: Rows, source: str) -> Evaluation:
    """The evaluation of `classifier` on checked, labelled rows of the table named `source`."""
    features = classifier._features(rows)
    found = probabilities(classifier._logits(rows, features))
    classes = list(classifier.classes_)
    frame = classifier._frame(rows, found)
    frame.insert(0, "label", classifier.classes_[rows.labels])
    frame.insert(0, "row", frame.index)
    seen = np.repeat(np.arange(len(classes)), classifier.train_counts_)
    return Evaluation(
        metrics=classification_metrics(rows.labels, found, classes),
        baselines={"majority": majority_baseline(seen, rows.labels, classes)},
        predictions=frame,
        classes=[value.item() if isinstance(value, np.generic) else value for value in classes],
        modalities=evaluate_modalities(classifier, rows, features, found),
        history=classifier.history_,
        about=_about(classifier, rows, source),
        monitor=classifier._settings_.training.monitor,
    )


def _about(classifier: MultimodalClassifier, rows: Rows, source: str) -> dict[str, Any]:
    import keras

    settings = classifier._settings_
    return {
        "source": source,
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
        "training_rows": int(sum(classifier.train_counts_)),
        "test_rows": len(rows),
    }
