"""The report of an evaluation as one self-contained HTML file."""

from __future__ import annotations

from importlib.resources import files
from itertools import islice
from typing import Any

import numpy as np
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
    Table,
    baseline_name,
    compare_metrics,
    compare_modalities,
    find_limits,
    find_verdict,
    percent,
    plain,
)
from keras_mm.evaluation.results import HeadEvaluation, Results
from keras_mm.metrics.classification import lower_is_better
from keras_mm.version import __version__

_MOST_MISTAKES = 20
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
    return [(plain(p.row), row_error([p])) for p in evaluation.skipped[:_MOST_MISTAKES]]


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
    mistakes, num_mistakes = _mistakes(one, frame)
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
        "mistakes": mistakes,
        "num_mistakes": num_mistakes,
        "num_rows": one.metrics["num_rows"],
    }


def _of_head(evaluation: Results, name: str) -> pd.DataFrame:
    """The predictions of one head, their columns named as if it were the only one."""
    frame = evaluation.predictions
    if not evaluation.several:
        return frame
    prefix = f"{name}_"
    own = {column: column.removeprefix(prefix) for column in frame if column.startswith(prefix)}
    return frame[["row", *own]].rename(columns=own)


def _matrix(one: HeadEvaluation) -> list[dict]:
    """The rows of the confusion matrix; none for many classes or a head of another kind."""
    rows: list[dict] = []
    names = one.classes
    if "confusion_matrix" not in one.metrics or len(names) > MOST_CLASSES:
        return rows
    for i, counts in enumerate(one.metrics["confusion_matrix"]):
        total = max(sum(counts), 1)
        cells = [
            {
                "count": count,
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
    ends = _ends(one)
    pairs = {
        str(name): (frame[f"label{end}"].to_numpy(), frame[f"prediction{end}"].to_numpy())
        for name, end in zip(one.classes, ends, strict=True)
        if str(name) in one.metrics["per_target"]
    }
    return draw_numbers(dict(islice(pairs.items(), _MOST_PANELS)))


def _ends(one: HeadEvaluation) -> list[str]:
    """The ends of a regression head's column names, one for each target."""
    return [""] if len(one.classes) == 1 else [f"_{name}" for name in one.classes]


def _mistakes(one: HeadEvaluation, frame: pd.DataFrame) -> tuple[Table, int]:
    """The most confident mistakes or largest errors; and the number of all mistakes."""
    if one.head.kind == "regression":
        return _errors(one, frame), one.metrics["num_rows"]
    found = frame[[f"probability_{name}" for name in one.classes]].to_numpy("float64")
    if one.head.kind == "multilabel":
        gives, has = (_marks(frame[name], one.classes) for name in ("prediction", "label"))
        wrong = (gives != has) & frame["label"].notna().to_numpy()[:, None]
        # Confidence of a wrong prediction: that the label applies, or that it does not.
        sure = np.where(gives, found, 1 - found)
        rows, sure = wrong.any(axis=1), np.where(wrong, sure, 0).max(axis=1)
    else:
        known = frame["label"].notna().to_numpy()
        rows = known & (frame["label"] != frame["prediction"]).to_numpy(dtype=bool)
        sure = found.max(axis=1)
    frame = frame[["row", "label", "prediction"]].assign(sure=sure)[rows]
    worst = frame.sort_values("sure", ascending=False, kind="stable")[:_MOST_MISTAKES]
    lines = [
        [row.row, plain(row.label), plain(row.prediction), f"{row.sure:.3f}"]
        for row in worst.itertuples()
    ]
    return Table(("Row", "Label", "Answer", "Probability"), lines), len(frame)


def _marks(cells: pd.Series, names: list) -> np.ndarray:
    """Whether each name is in each cell, a list or `None`: bool `(num_rows, num_names)`."""
    places = {name: place for place, name in enumerate(names)}
    found = np.zeros((len(cells), len(names)), dtype=bool)
    for row, cell in enumerate(cells):
        found[row, [places[name] for name in cell or ()]] = True
    return found


def _errors(one: HeadEvaluation, frame: pd.DataFrame) -> Table:
    """The rows with the largest errors, measured in standard deviations of the targets."""
    rows = []
    for name, end in zip(one.classes, _ends(one), strict=True):
        label, answer = frame[f"label{end}"], frame[f"prediction{end}"]
        errors = (answer - label).abs()
        unit = label.std() or 1.0
        for place in np.argsort(-errors.fillna(-1).to_numpy(), kind="stable")[:_MOST_MISTAKES]:
            if np.isfinite(errors.iloc[place]):
                values = [frame["row"].iloc[place], name, label.iloc[place], answer.iloc[place]]
                rows.append((errors.iloc[place] / unit, [*values, errors.iloc[place]]))
    worst = sorted(rows, key=lambda pair: -pair[0])[:_MOST_MISTAKES]
    lines = [[row[0], row[1], *(f"{value:.4g}" for value in row[2:])] for _, row in worst]
    if len(one.classes) > 1:
        return Table(("Row", "Target", "Label", "Answer", "Error"), lines)
    return Table(("Row", "Label", "Answer", "Error"), [line[:1] + line[2:] for line in lines])
