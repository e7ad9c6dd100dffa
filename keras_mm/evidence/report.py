"""The report: what a classifier is worth, as one self-contained HTML file."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, StrictUndefined

import keras_mm
from keras_mm.metrics.intervals import wilson_interval

if TYPE_CHECKING:
    from keras_mm.evidence.evaluate import Evaluation

_FEW_ROWS = 20  # below it a class's recall is known to about 20 points at best
_MOST_MISTAKES = 20
_MOST_CONFUSIONS = 15
_MOST_NAMES = 10
_PANELS = (("loss", "val_loss"), ("val_accuracy", "val_macro_f1"))

# Stand-ins that become CSS variables, so that the drawing follows the page's light or dark colours.
_INK, _FIRST, _SECOND = "#010203", "#040506", "#070809"
_CSS_COLORS = {_INK: "var(--muted)", _FIRST: "var(--first)", _SECOND: "var(--second)"}


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
        matrix=_matrix(evaluation),
        confusions=_confusions(evaluation),
        curves=_curves(evaluation.history),
        best_epoch=_best_epoch(evaluation.history),
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
    )
    rows = [("Accuracy", _accuracy(model), percent(majority["accuracy"]), "higher")]
    rows += [(text, f"{model[n]:.3f}", f"{majority[n]:.3f}", way) for n, text, way in names]
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


def _best_epoch(history: Mapping) -> int | None:
    """The epoch, from 1, with the lowest validation loss; `None` without one."""
    losses = np.asarray(history.get("val_loss", ()), dtype="float64")
    return int(np.nanargmin(losses)) + 1 if np.isfinite(losses).any() else None


def _curves(history: Mapping) -> str:
    """The training curves as inline SVG; empty without history."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    panels = [[name for name in names if history.get(name)] for names in _PANELS]
    panels = [names for names in panels if names]
    if not panels:
        return ""
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "keras_mm",
        "font.size": 10,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(inks, _INK),
    }
    text = io.StringIO()
    with rc_context(style):
        figure = Figure(figsize=(4.8 * len(panels), 3.1), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, names in zip(axes, panels, strict=True):
            _draw(axis, names, history)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing)
    return _inline(text.getvalue(), 480 * len(panels))


def _draw(axis: Any, names: Sequence[str], history: Mapping) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, color in zip(names, (_FIRST, _SECOND), strict=False):
        values = np.asarray(history[name], dtype="float64")
        axis.plot(
            np.arange(1, len(values) + 1), values, "o-", color=color, label=name, markersize=3.5
        )
    best = _best_epoch(history)
    if best is not None:
        axis.axvline(best, color=_INK, linestyle="--", linewidth=1, label=f"epoch {best}")
    # A lone epoch would get an axis of fractions.
    axis.set_xlim(0.5, len(history[names[0]]) + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlabel("epoch")
    axis.grid(axis="y", color=_INK, alpha=0.18, linewidth=0.8)
    axis.legend(frameon=False)


def _inline(svg: str, width: int) -> str:
    """A stand-alone SVG as a part of the page: no prologue, no metadata, the page's colours."""
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :])
    for color, variable in _CSS_COLORS.items():
        svg = svg.replace(color, variable)
    opening = f'<svg role="img" aria-label="Training curves" style="max-width: {width * 1.1:.0f}px"'
    return svg.replace("<svg", opening, 1)
