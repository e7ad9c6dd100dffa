"""Renders the report of an evaluation as one self-contained HTML page."""

from __future__ import annotations

from importlib.resources import files
from itertools import islice
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from keras_mm.data.tables.row_parts import row_error
from keras_mm.evaluation.report.classes import (
    MOST_CLASSES,
    Confusion,
    class_table,
    frequent_confusions,
)
from keras_mm.evaluation.report.comparison import (
    compare_baselines,
    compare_metrics,
    describe_baselines,
)
from keras_mm.evaluation.report.curves import best_epoch, count_epochs, draw_curves, draw_numbers
from keras_mm.evaluation.report.decisions import decision_note, decision_table
from keras_mm.evaluation.report.findings import (
    INTERVALS_NOTE,
    MODALITIES_NOTE,
    compare_modalities,
    find_limits,
    find_remarks,
)
from keras_mm.evaluation.report.formats import amount, percent, plain
from keras_mm.evaluation.report.mistakes import column_ends, find_mistakes
from keras_mm.evaluation.report.slice_table import SLICES_NOTE, slice_tables
from keras_mm.evaluation.results import HeadEvaluation, Results
from keras_mm.metrics.classification import lower_is_better
from keras_mm.version import __version__

_MOST_SKIPPED = 20
_FULL_MATRIX = 12  # up to this number of classes, a matrix is readable without other tables
_MOST_PANELS = 12


def render_report(evaluation: Results) -> str:
    """Renders a report as HTML, without scripts or external resources.

    Args:
        evaluation: The results, as returned by `MultimodalClassifier.evaluate`.

    Returns:
        A complete HTML document. The same evaluation always gives the same text.
    """
    source = files("keras_mm.evaluation.report").joinpath("report.html").read_text(encoding="utf-8")
    # Everything but the drawings is escaped: names of classes and columns may contain HTML.
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(source)
    heads, history = evaluation.heads, evaluation.history
    return template.render(
        title="Evaluation report",
        heads=[_section(evaluation, name, result) for name, result in heads.items()],
        several=evaluation.several,
        intervals_note=INTERVALS_NOTE,
        modalities_note=MODALITIES_NOTE,
        slices_note=SLICES_NOTE,
        curves=draw_curves(
            history,
            evaluation.monitor,
            {name: result.head.kind for name, result in heads.items()},
            several=evaluation.several,
        ),
        best_epoch=None if "fold" in history else best_epoch(history, evaluation.monitor),
        best_name=_best_name(evaluation.monitor),
        epochs=count_epochs(history),
        skipped=_skipped(evaluation),
        skipped_summary=evaluation.skipped_summary,
        num_problems=len(evaluation.skipped),
        about={name.replace("_", " "): plain(value) for name, value in evaluation.about.items()},
        version=__version__,
    )


def _skipped(evaluation: Results) -> list[tuple[str, str]]:
    """The first problems of rows that were left out: row and problem, as text."""
    return [(plain(p.row), row_error([p])) for p in evaluation.skipped[:_MOST_SKIPPED]]


def _section(evaluation: Results, name: str, result: HeadEvaluation) -> dict[str, Any]:
    """The values for the template's section on a head."""
    values: dict[str, Any] = {
        "name": name,
        "kind": result.head.kind,
        "verdict": result.verdict,
        "limits": find_limits(result, evaluation.about, evaluation.notes),
        "measured": bool(result.metrics),
    }
    if not result.metrics:
        return values
    frame = _of_head(evaluation, name)
    classes, classes_note = class_table(result)
    confusions, confusions_note = _confusions(result)
    return values | {
        "remarks": find_remarks(result),
        "beside": compare_baselines(result),
        "comparison": compare_metrics(result),
        "baselines": describe_baselines(result),
        "classes": classes,
        "classes_note": classes_note,
        "modalities": compare_modalities(result),
        "slices": slice_tables(result),
        "decisions": decision_table(result),
        "decisions_note": decision_note(result),
        "matrix": _matrix(result),
        "confusions": confusions,
        "confusions_note": confusions_note,
        "numbers": _numbers(result, frame),
        "num_panels": _MOST_PANELS if len(result.classes) > _MOST_PANELS else 0,
        "mistakes": find_mistakes(result, frame, evaluation.rows, evaluation.id_column),
        "num_rows": result.metrics["num_rows"],
        "weighted": result.is_weighted,
    }


def _of_head(evaluation: Results, name: str) -> pd.DataFrame:
    """The predictions of a head, with the column names of a model with a single head."""
    predictions = frame = evaluation.predictions
    if evaluation.several:
        prefix = f"{name}_"
        columns = {
            column: column.removeprefix(prefix) for column in frame if column.startswith(prefix)
        }
        ids = [] if evaluation.id_column is None else [evaluation.id_column]
        frame = frame[["row", *ids, *columns]].rename(columns=columns)
    if "sample_weight" not in predictions:
        return frame
    has_weight = predictions["sample_weight"] > 0
    labels = [column for column in frame if column == "label" or column.startswith("label_")]
    return frame.assign(**{column: _with_weight(frame[column], has_weight) for column in labels})


def _with_weight(labels: pd.Series, has_weight: pd.Series) -> pd.Series:
    """Labels without those of rows with the weight 0, which no metric counts."""
    if labels.dtype.kind == "f":
        return labels.where(has_weight)
    return labels.astype(object).where(has_weight, None)


def _matrix(result: HeadEvaluation) -> list[dict]:
    """The rows of the confusion matrix; empty for many classes, or a head without a matrix."""
    rows: list[dict] = []
    names = result.classes
    if "confusion_matrix" not in result.metrics or len(names) > MOST_CLASSES:
        return rows
    for i, counts in enumerate(result.metrics["confusion_matrix"]):
        total = sum(counts) or 1
        cells = [
            {
                "count": amount(count),
                "percent": percent(count / total),
                "opacity": f"{0.12 + 0.84 * count / total:.2f}",
                "strong": count / total > 0.7,
                "kind": "hit" if i == j else "miss",
                "prediction": names[j],
            }
            for j, count in enumerate(counts)
        ]
        rows.append({"name": names[i], "cells": cells})
    return rows


def _confusions(result: HeadEvaluation) -> tuple[list[Confusion], str]:
    """The most frequent confusions and a note; empty if a readable matrix shows them all."""
    if "per_class" not in result.metrics or len(result.classes) <= _FULL_MATRIX:
        return [], ""
    return frequent_confusions(result)


def _best_name(monitor: str) -> str:
    """The monitored metric in words, such as "lowest validation loss"."""
    lowest = lower_is_better(monitor)
    name = monitor.replace("val_", "validation ", 1).replace("_", " ")
    return f"{'lowest' if lowest else 'highest'} {name}"


def _numbers(result: HeadEvaluation, frame: pd.DataFrame) -> str:
    """Draws predictions of a regression head against its labels; empty for other heads."""
    if result.head.kind != "regression":
        return ""
    ends = column_ends(result)
    pairs = {
        str(name): (frame[f"label{end}"].to_numpy(), frame[f"prediction{end}"].to_numpy())
        for name, end in zip(result.classes, ends, strict=True)
        if str(name) in result.metrics["per_target"]
    }
    return draw_numbers(dict(islice(pairs.items(), _MOST_PANELS)))
