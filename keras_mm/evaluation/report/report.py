"""The report of an evaluation as one self-contained HTML file."""

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
from keras_mm.evaluation.report.curves import best_epoch, draw_curves, draw_numbers
from keras_mm.evaluation.report.findings import (
    MODALITIES_NOTE,
    amount,
    baseline_name,
    compare_metrics,
    compare_modalities,
    find_limits,
    find_verdict,
    percent,
    plain,
)
from keras_mm.evaluation.report.mistakes import column_ends, find_mistakes
from keras_mm.evaluation.results import HeadEvaluation, Results
from keras_mm.metrics.classification import lower_is_better
from keras_mm.version import __version__

_MOST_SKIPPED = 20
_FULL_MATRIX = 12  # largest number of classes of a matrix that is readable
_MOST_PANELS = 12


def render_report(evaluation: Results) -> str:
    """The report as HTML without scripts or external resources.

    Args:
        evaluation: What `MultimodalClassifier.evaluate` returned.

    Returns:
        A whole HTML document. The same evaluation gives the same text.
    """
    source = files("keras_mm.evaluation.report").joinpath("report.html").read_text(encoding="utf-8")
    # Names of classes and columns come from data, so everything but the drawings is escaped.
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(source)
    heads, history = evaluation.heads, evaluation.history
    return template.render(
        title="Evaluation report",
        heads=[_section(evaluation, name, one) for name, one in heads.items()],
        several=evaluation.several,
        modalities_note=MODALITIES_NOTE,
        curves=draw_curves(
            history,
            evaluation.monitor,
            {name: one.head.kind for name, one in heads.items()},
            several=evaluation.several,
        ),
        best_epoch=best_epoch(history, evaluation.monitor),
        best_name=_best_name(evaluation.monitor),
        num_epochs=max((len(values) for values in history.values()), default=0),
        skipped=_skipped(evaluation),
        skipped_summary=evaluation.skipped_summary,
        num_problems=len(evaluation.skipped),
        about={name.replace("_", " "): plain(value) for name, value in evaluation.about.items()},
        version=__version__,
    )


def _skipped(evaluation: Results) -> list[tuple[str, str]]:
    """The row and the problem of the first problems of rows that were left out."""
    return [(plain(p.row), row_error([p])) for p in evaluation.skipped[:_MOST_SKIPPED]]


def _section(evaluation: Results, name: str, one: HeadEvaluation) -> dict[str, Any]:
    """The template's values for a head."""
    found: dict[str, Any] = {
        "name": name,
        "kind": one.head.kind,
        "verdict": find_verdict(one),
        "limits": find_limits(one, evaluation.about),
        "measured": bool(one.metrics),
    }
    if not one.metrics:
        return found
    frame = _of_head(evaluation, name)
    classes, classes_note = class_table(one)
    confusions, confusions_note = _confusions(one)
    return found | {
        "baseline": baseline_name(one),
        "comparison": compare_metrics(one),
        "classes": classes,
        "classes_note": classes_note,
        "modalities": compare_modalities(one),
        "matrix": _matrix(one),
        "confusions": confusions,
        "confusions_note": confusions_note,
        "numbers": _numbers(one, frame),
        "num_panels": _MOST_PANELS if len(one.classes) > _MOST_PANELS else 0,
        "mistakes": find_mistakes(one, frame, evaluation.rows, evaluation.id_column),
        "num_rows": one.metrics["num_rows"],
        "weighted": one.is_weighted,
    }


def _of_head(evaluation: Results, name: str) -> pd.DataFrame:
    """The predictions of one head, their columns named as if it were the only one."""
    whole = frame = evaluation.predictions
    if evaluation.several:
        prefix = f"{name}_"
        own = {column: column.removeprefix(prefix) for column in frame if column.startswith(prefix)}
        ids = [] if evaluation.id_column is None else [evaluation.id_column]
        frame = frame[["row", *ids, *own]].rename(columns=own)
    if "sample_weight" not in whole:
        return frame
    counted = whole["sample_weight"] > 0
    labels = [column for column in frame if column == "label" or column.startswith("label_")]
    return frame.assign(**{column: _without(frame[column], counted) for column in labels})


def _without(labels: pd.Series, counted: pd.Series) -> pd.Series:
    """The labels of the rows that count; no figure counts the others."""
    if labels.dtype.kind == "f":
        return labels.where(counted)
    return labels.astype(object).where(counted, None)


def _matrix(one: HeadEvaluation) -> list[dict]:
    """The rows of the confusion matrix; none for many classes or a head of another kind."""
    rows: list[dict] = []
    names = one.classes
    if "confusion_matrix" not in one.metrics or len(names) > MOST_CLASSES:
        return rows
    for i, counts in enumerate(one.metrics["confusion_matrix"]):
        total = sum(counts) or 1
        cells = [
            {
                "count": amount(count),
                "percent": percent(count / total),
                "opacity": f"{0.12 + 0.84 * count / total:.2f}",
                "strong": count / total > 0.7,
                "kind": "hit" if i == j else "miss",
                "answer": names[j],
            }
            for j, count in enumerate(counts)
        ]
        rows.append({"name": names[i], "cells": cells})
    return rows


def _confusions(one: HeadEvaluation) -> tuple[list[Confusion], str]:
    """The most frequent confusions if there are too many classes for a matrix, and a note."""
    if "per_class" not in one.metrics or len(one.classes) <= _FULL_MATRIX:
        return [], ""
    return frequent_confusions(one)


def _best_name(monitor: str) -> str:
    """The monitored metric in words: the lowest loss or error, or the highest of another metric."""
    lowest = lower_is_better(monitor)
    name = monitor.replace("val_", "validation ", 1).replace("_", " ")
    return f"{'lowest' if lowest else 'highest'} {name}"


def _numbers(one: HeadEvaluation, frame: pd.DataFrame) -> str:
    """A drawing of a regression head's predictions against the labels; empty for other heads."""
    if one.head.kind != "regression":
        return ""
    ends = column_ends(one)
    pairs = {
        str(name): (frame[f"label{end}"].to_numpy(), frame[f"prediction{end}"].to_numpy())
        for name, end in zip(one.classes, ends, strict=True)
        if str(name) in one.metrics["per_target"]
    }
    return draw_numbers(dict(islice(pairs.items(), _MOST_PANELS)))
