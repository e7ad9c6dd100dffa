"""Evaluates a model on labelled rows, beside baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.baselines.rivals import Rivals, TrainingRows, train_rivals
from keras_mm.evaluation.beside_baselines import evaluate_beside
from keras_mm.evaluation.modalities import evaluate_modalities
from keras_mm.evaluation.report.report import render_report
from keras_mm.evaluation.results import HeadEvaluation, Results
from keras_mm.files import write_text
from keras_mm.inference.answers import answer_frame
from keras_mm.inference.decisions.measure import measure_decisions
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.head_metrics import is_labelled
from keras_mm.settings.heads import Head


class Evaluation(Results):
    """Results of a model on labelled rows that can be saved as a report; see `Results`."""

    def save(self, path: str | PathLike) -> None:
        """Writes the report as one self-contained HTML file.

        If writing fails, the path is unchanged.

        Args:
            path: The file; an existing file is replaced.
        """
        write_text(path, render_report(self))


def evaluate_rows(
    predictor: Predictor,
    rows: Rows,
    source: str,
    *,
    priors: Mapping[str, list[float]],
    training: TrainingRows | None = None,
    notes: Sequence[str] = (),
    heads: Mapping[str, Head] | None = None,
    history: Mapping[str, list] | None = None,
    monitor: str = "val_loss",
    about: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Evaluates a model on checked, labelled rows.

    Args:
        predictor: The model's predictor.
        rows: Checked rows with labels of `heads`. If they have weights, the metrics are weighted;
            if they have groups, intervals of differences are those of whole groups.
        source: Name of the rows' table, for the report.
        priors: For each head the best constant prediction, as returned by
            `keras_mm.metrics.head_metrics.head_prior`.
        training: Baselines to train, and their rows; by default none but `priors`.
        notes: Sentences on the baselines, for the report.
        heads: The heads to evaluate, by name; by default all heads of the model.
        history: Metrics of the training by name, a list with a value per epoch.
        monitor: The metric of `history` that chose the epoch of the model's weights.
        about: Facts about the training, for the report.

    Returns:
        Metrics, metrics of the baselines, scores by modality, and predictions.

    Raises:
        ValueError: if a single head is evaluated and no row has a label of it.
    """
    heads = predictor.heads if heads is None else heads
    features = predictor.features(rows)
    logits = predictor.logits(rows, features)
    frame = answer_frame(heads, logits, rows.numbers, rows.labels)
    frame.insert(0, "row", rows.numbers.to_flat_index())
    if rows.sample_weight is not None:
        frame.insert(1, "sample_weight", rows.sample_weight)
    modalities = evaluate_modalities(predictor, rows, features, logits, priors, heads)
    rivals = Rivals()
    if training is not None:
        rivals = train_rivals(training, predictor, rows, heads, features)
    evaluated = {}
    for name, head in heads.items():
        scores = modalities.get(name, {})
        evaluated[name] = HeadEvaluation(head, {}, {}, scores)
        if len(heads) == 1 or is_labelled(head, rows.labels[name], rows.sample_weight):
            beside = (logits[name], priors[name], rivals.predictions, scores)
            evaluated[name] = evaluate_beside(name, head, rows, *beside)
            _add_decisions(evaluated[name], predictor, name, rows, logits[name])
    skipped = {"skipped_rows": rows.num_skipped} if rows.num_skipped else {}
    return Evaluation(
        heads=evaluated,
        predictions=frame,
        history=dict(history or {}),
        about={"source": source, **(about or {}), "test_rows": len(rows), **skipped},
        monitor=monitor,
        several=len(predictor.heads) > 1,
        rows=rows,
        skipped=rows.skipped,
        num_skipped=rows.num_skipped,
        notes=(*notes, *rivals.notes),
    )


def _add_decisions(
    evaluated: HeadEvaluation, predictor: Predictor, name: str, rows: Rows, logits: np.ndarray
) -> None:
    """Adds the measures of a head's decisions to its metrics, if it has any."""
    if name in predictor.decisions:
        decisions, labels = predictor.decisions[name], rows.labels[name]
        evaluated.metrics["decisions"] = measure_decisions(
            evaluated.head, decisions, labels, logits, rows.sample_weight
        )
