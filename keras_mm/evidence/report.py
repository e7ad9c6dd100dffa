"""The report: what a classifier is worth, as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, StrictUndefined

import keras_mm
from keras_mm.evidence.curves import best_epoch, draw_curves
from keras_mm.metrics.classification import lower_is_better
from keras_mm.metrics.intervals import wilson_interval

if TYPE_CHECKING:
    from keras_mm.evidence.evaluate import Evaluation

_FEW_ROWS = 20  # below it a class's recall is known to about 20 points at best
_MOST_MISTAKES = 20
_MOST_CONFUSIONS = 15
_MOST_NAMES = 10
_HELD = {
    "image_and_text": "Image and text",
    "image_only": "Image only",
    "text_only": "Text only",
}
_HIDDEN = {"images": "Image and text, images hidden", "texts": "Image and text, texts hidden"}
MODALITIES_NOTE = (
    "Rows by what they hold; then those that hold both, answered once with all their images hidden "
    "and once with all their texts. The latter show what this model makes of one side, not what a "
    "model of that side alone could: this one has learned to do without a side only if training "
    "rows lacked it, or modality dropout hid it."
)


@dataclass(frozen=True)
class Verdict:
    """Whether a model beats the majority class, in plain words.

    Attributes:
        better: Whether the majority class lies below the interval of the model's accuracy.
        headline: One short sentence.
        detail: The figures behind it.
    """

    better: bool
    headline: str
    detail: str


def render_report(evaluation: Evaluation) -> str:
    """The report as HTML: one file, no script, nothing loaded from elsewhere.

    Args:
        evaluation: What `MultimodalClassifier.evaluate` gives.

    Returns:
        A whole HTML document. The same evaluation gives the same text.
    """
    source = files("keras_mm.evidence").joinpath("report.html").read_text(encoding="utf-8")
    # Names of classes and columns come from data: everything is escaped but the drawing.
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(source)
    mistakes, num_mistakes = _mistakes(evaluation)
    return template.render(
        title="Evaluation report",
        verdict=find_verdict(evaluation),
        majority=majority_class(evaluation),
        comparison=compare_metrics(evaluation),
        classes=scores_by_class(evaluation),
        modalities=compare_modalities(evaluation),
        modalities_note=MODALITIES_NOTE,
        matrix=_matrix(evaluation),
        confusions=_confusions(evaluation),
        curves=draw_curves(evaluation.history, evaluation.monitor),
        best_epoch=best_epoch(evaluation.history, evaluation.monitor),
        best_name=_best_name(evaluation.monitor),
        num_epochs=max((len(values) for values in evaluation.history.values()), default=0),
        mistakes=mistakes,
        num_mistakes=num_mistakes,
        num_rows=evaluation.metrics["num_rows"],
        limits=find_limits(evaluation),
        about={name.replace("_", " "): plain(value) for name, value in evaluation.about.items()},
        version=keras_mm.__version__,
    )


def find_verdict(evaluation: Evaluation) -> Verdict:
    """Compares the accuracy, by its interval, with always giving the training rows' majority."""
    metrics, baseline = evaluation.metrics, evaluation.baselines["majority"]
    low, high = metrics["accuracy_interval"]
    majority, answer = baseline["accuracy"], f"always answering “{majority_class(evaluation)}”"
    better = majority < low
    detail = (
        f"Accuracy {_accuracy(metrics)} on {_rows(metrics['num_rows'])}, against "
        f"{percent(majority)} for {answer}, the most frequent class of the training rows."
    )
    if not better:
        detail += (
            " That lies above the interval: the model is worse."
            if majority > high
            else " That lies inside the interval: the difference may be chance."
        )
        detail += (
            " Balanced accuracy, which counts every class alike, is "
            f"{percent(metrics['balanced_accuracy'])} against "
            f"{percent(baseline['balanced_accuracy'])}."
        )
    detail += _stronger_constant(evaluation)
    return Verdict(better, f"{'Better' if better else 'No better'} than {answer}.", detail)


def _stronger_constant(evaluation: Evaluation) -> str:
    """A sentence where another constant answer does as well: test rows unlike training rows."""
    support = np.sum(evaluation.metrics["confusion_matrix"], axis=1)
    first, share = evaluation.classes[int(support.argmax())], float(support.max() / support.sum())
    majority = evaluation.baselines["majority"]["accuracy"]
    if share <= majority or share < evaluation.metrics["accuracy_interval"][0]:
        return ""
    return (
        f" Always answering “{first}”, the most frequent class of these test rows, would be "
        f"right on {percent(share)}."
    )


def compare_metrics(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    """Rows of a table: metric, model, majority class, which way is better."""
    model, majority = evaluation.metrics, evaluation.baselines["majority"]
    names = (
        ("macro_f1", "Macro-F1", "higher"),
        ("balanced_accuracy", "Balanced accuracy", "higher"),
        ("log_loss", "Log loss (nats)", "lower"),
        ("mcc", "Matthews correlation (MCC)", "higher"),
        ("auroc", "Area under the ROC curve", "higher"),
        ("auprc", f"Average precision for “{evaluation.classes[-1]}”", "higher"),
    )
    rows = [("Accuracy", _accuracy(model), percent(majority["accuracy"]), "higher")]
    rows += [
        (text, f"{model[n]:.3f}", f"{majority[n]:.3f}", way) for n, text, way in names if n in model
    ]
    return rows


def scores_by_class(evaluation: Evaluation) -> list[dict]:
    """Scores of each class, as text: what has no row to be measured on is a dash, not 0."""
    matrix = np.asarray(evaluation.metrics["confusion_matrix"])
    answered, found = matrix.sum(axis=0), []
    for i, name in enumerate(evaluation.classes):
        scores = evaluation.metrics["per_class"][str(name)]
        support, correct = scores["support"], int(matrix[i, i])
        low, high = wilson_interval(correct, support) if support else (0.0, 1.0)
        found.append(
            {
                "name": name,
                "precision": f"{scores['precision']:.3f}" if answered[i] else "–",
                "recall": f"{scores['recall']:.3f}" if support else "–",
                "interval": f"[{low:.2f}, {high:.2f}]" if support else "",
                "f1": f"{scores['f1']:.3f}" if support + answered[i] else "–",
                "support": support,
            }
        )
    return found


def compare_modalities(evaluation: Evaluation) -> list[tuple[str, int, str, str, str]]:
    """Rows of a table: what is there, test rows, accuracy, the majority class's, macro-F1."""
    found = evaluation.modalities
    return [
        (
            name,
            scores["num_rows"],
            _accuracy(scores),
            percent(scores["majority_accuracy"]),
            f"{scores['macro_f1']:.3f}",
        )
        for part, names in (("held", _HELD), ("hidden", _HIDDEN))
        for key, name in names.items()
        if (scores := found.get(part, {}).get(key))
    ]


def find_limits(evaluation: Evaluation) -> list[str]:
    """What the figures do not show, a sentence each."""
    metrics, about = evaluation.metrics, evaluation.about
    low, high = metrics["accuracy_interval"]
    simpler = (
        "a model of the images alone, or of the texts alone,"
        if about.get("images") and about.get("texts")
        else "a simpler model"
    )
    return [
        f"From {_rows(metrics['num_rows'])} the accuracy is only known to lie between "
        f"{percent(low)} and {percent(high)} (95% interval).",
        f"The majority class is the only baseline: whether {simpler} would do as well was not "
        "measured.",
        *_limits_of_classes(evaluation),
    ]


def _limits_of_classes(evaluation: Evaluation) -> list[str]:
    support = np.sum(evaluation.metrics["confusion_matrix"], axis=1).tolist()
    named, limits = list(zip(evaluation.classes, support, strict=True)), []
    few = [f"“{name}” ({count})" for name, count in named if 0 < count < _FEW_ROWS]
    if few:
        limits.append(
            f"Fewer than {_FEW_ROWS} test rows have the label {_some(few)}: the figures of such "
            "a class are rough."
        )
    none = [f"“{name}”" for name, count in named if count == 0]
    if none:
        limits.append(f"No test row has the label {_some(none)}: nothing is known about it.")
    return limits


def majority_class(evaluation: Evaluation) -> Any:
    """The class that the majority baseline always answers."""
    matrix = np.asarray(evaluation.baselines["majority"]["confusion_matrix"])
    return evaluation.classes[int(matrix.sum(axis=0).argmax())]


def percent(share: float) -> str:
    """A share with one decimal; only a whole is 100.0%, only nothing is 0.0%."""
    text = f"{share:.1%}"
    if text == "100.0%" and share < 1:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and share > 0 else text


def plain(value: Any) -> str:
    """A fact or setting as a reader wants it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {plain(item)}" for name, item in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(plain(item) for item in value) or "none"
    return "none" if value is None else str(getattr(value, "name", value))


def _accuracy(metrics: Mapping) -> str:
    low, high = metrics["accuracy_interval"]
    return f"{percent(metrics['accuracy'])} [{100 * low:.1f}, {100 * high:.1f}]"


def _rows(count: int) -> str:
    return f"{count} test row{'' if count == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _matrix(evaluation: Evaluation) -> list[dict]:
    rows = []
    for i, counts in enumerate(evaluation.metrics["confusion_matrix"]):
        total = max(sum(counts), 1)
        cells = [
            {
                "count": count,
                "percent": percent(count / total),
                "opacity": f"{0.12 + 0.84 * count / total:.2f}",
                "strong": count / total > 0.7,
                "kind": "hit" if i == j else "miss",
                "answer": evaluation.classes[j],
            }
            for j, count in enumerate(counts)
        ]
        rows.append({"name": evaluation.classes[i], "cells": cells})
    return rows


def _confusions(evaluation: Evaluation) -> list[dict]:
    """The most frequent confusions, for matrices too large to print their figures."""
    misses = [
        {"label": row["name"], **cell}
        for row in _matrix(evaluation)
        for cell in row["cells"]
        if cell["kind"] == "miss" and cell["count"]
    ]
    return sorted(misses, key=lambda cell: -cell["count"])[:_MOST_CONFUSIONS]


def _best_name(monitor: str) -> str:
    """What early stopping sought: the lowest loss, or the highest of anything else."""
    lowest = lower_is_better(monitor)
    name = monitor.replace("val_", "validation ", 1).replace("_", " ")
    return f"{'lowest' if lowest else 'highest'} {name}"


def _mistakes(evaluation: Evaluation) -> tuple[list[dict], int]:
    """The most confident mistakes, and how many there are in all."""
    frame = evaluation.predictions
    columns = [f"probability_{name}" for name in evaluation.classes]
    frame = frame[["row", "label", "prediction"]].assign(
        probability=frame[columns].to_numpy(dtype="float64").max(axis=1)
    )
    wrong = frame[(frame["label"] != frame["prediction"]).to_numpy(dtype=bool)]
    worst = wrong.sort_values("probability", ascending=False, kind="stable")[:_MOST_MISTAKES]
    return worst.to_dict("records"), len(wrong)
