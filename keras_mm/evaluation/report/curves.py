"""Draws training curves, and predictions against labels of regression, as inline SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_mm.metrics.classification import lower_is_better
from keras_mm.progress import counted

# The metrics drawn next to the loss, by kind of head.
_METRICS = {
    "multiclass": ("val_accuracy", "val_macro_f1"),
    "binary": ("val_accuracy", "val_macro_f1"),
    "multilabel": ("val_micro_f1", "val_macro_f1"),
    "regression": ("val_mean_absolute_error",),
}
_MOST_DOTS = 1000


# `_inline` replaces these colours by CSS variables, which follow the page's colour scheme.
_INK, _FIRST, _SECOND = "#010203", "#040506", "#070809"
_CSS_COLORS = {_INK: "var(--muted)", _FIRST: "var(--first)", _SECOND: "var(--second)"}


def best_epoch(history: Mapping, monitor: str = "val_loss") -> int | None:
    """Finds the epoch with the best value of a metric.

    Args:
        history: Metrics by name, a list with a value per epoch.
        monitor: Name of the metric.

    Returns:
        The epoch, counted from 1; `None` if the metric has no finite value.

    Example:
        >>> best_epoch({"val_loss": [0.7, 0.5, 0.6]})
        2
    """
    values = np.asarray(history.get(monitor, ()), dtype="float64")
    if not np.isfinite(values).any():
        return None
    best = np.nanargmin(values) if lower_is_better(monitor) else np.nanargmax(values)
    return int(best) + 1


def fold_histories(history: Mapping) -> list[Mapping]:
    """Splits the history of a training with folds.

    Args:
        history: Metrics by name, a list with a value per epoch. With folds, the epochs of all folds
            one after the other, and the number of each epoch's fold as `fold`.

    Returns:
        The history of each fold, without `fold`; the given one if there are no folds.

    Example:
        >>> fold_histories({"loss": [3, 2, 4], "fold": [1, 1, 2]})
        [{'loss': [3, 2]}, {'loss': [4]}]
    """
    folds = history.get("fold")
    if not folds:
        return [history]
    joined = {n: v for n, v in history.items() if n != "fold" and len(v) == len(folds)}
    return [
        {
            name: [value for value, fold in zip(values, folds, strict=True) if fold == number]
            for name, values in joined.items()
        }
        for number in sorted(set(folds))
    ]


def count_epochs(history: Mapping) -> str:
    """The number of epochs as text.

    Args:
        history: As in `fold_histories`.

    Returns:
        Such as "12 epochs" or "5 folds of 8 to 12 epochs"; an empty text without epochs.

    Example:
        >>> count_epochs({"loss": [3, 2, 4], "fold": [1, 1, 2]})
        '2 folds of 1 to 2 epochs'
    """
    counts = [
        max((len(values) for values in part.values()), default=0)
        for part in fold_histories(history)
    ]
    low, high = min(counts), max(counts)
    epochs = f"{low} to {high} epochs" if low != high else counted(high, "epoch")
    return f"{len(counts)} folds of {epochs}" if len(counts) > 1 else epochs if high else ""


def draw_curves(
    history: Mapping,
    monitor: str = "val_loss",
    kinds: Mapping[str, str] | None = None,
    *,
    several: bool = False,
) -> str:
    """Draws the training curves, with the best epoch marked; with folds, a curve for each.

    Args:
        history: Metrics by name, a list with a value per epoch.
        monitor: Name of the metric whose best epoch is marked.
        kinds: The kind of each head by name; by default one multiclass head.
        several: Whether the model has several heads. Their metrics are named by head, and each head
            has its own row of panels.

    Returns:
        Inline SVG; an empty text if `history` has none of the metrics.
    """
    wanted = _panels(kinds or {}, several)
    panels = [[name for name in names if history.get(name)] for names in wanted]
    panels = [names for names in panels if names]
    if not panels:
        return ""
    return _drawing(
        panels, lambda axis, names: _draw(axis, names, history, monitor), "Training curves"
    )


def draw_numbers(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Draws the predictions of a regression head against its labels, one panel per target.

    Args:
        pairs: Labels and predictions by target, floats, shape `(num_rows,)` each. Rows whose label
            is NaN are not drawn. Of more than 1,000 rows a random sample of 1,000 is drawn.

    Returns:
        Inline SVG.
    """
    return _drawing(
        list(pairs),
        lambda axis, name: _draw_pairs(axis, name, *pairs[name]),
        "Predictions and labels",
    )


def _panels(kinds: Mapping[str, str], several: bool) -> list[tuple[str, ...]]:
    """The names of the metrics in each panel."""
    panels: list[tuple[str, ...]] = [("loss", "val_loss")]
    if not several:
        return [*panels, _METRICS[next(iter(kinds.values()), "multiclass")]]
    for head, kind in kinds.items():
        metrics = (name.replace("val_", f"val_{head}_", 1) for name in _METRICS[kind])
        panels += [(f"{head}_loss", f"val_{head}_loss"), tuple(metrics)]
    return panels


def _drawing(panels: Sequence, draw: Callable[[Any, Any], None], label: str) -> str:
    """Draws panels, two in a row, as inline SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns, rows = min(len(panels), 2), -(-len(panels) // 2)
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "keras_mm",  # the same ids in each drawing: equal evaluations, equal pages
        "font.size": 10,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(inks, _INK),
    }
    text = io.StringIO()
    with rc_context(style):
        figure = Figure(figsize=(4.8 * columns, 3.1 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, panel in zip(axes, panels, strict=False):
            draw(axis, panel)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=no_metadata)
    return _inline(text.getvalue(), 480 * columns, label)


def _draw(axis: Any, names: Sequence[str], history: Mapping, monitor: str) -> None:
    from matplotlib.ticker import MaxNLocator

    folds = fold_histories(history)
    style: dict = {"markersize": 3.5} if len(folds) == 1 else {"markersize": 2, "linewidth": 0.8}
    for name, color in zip(names, (_FIRST, _SECOND), strict=False):
        for number, fold in enumerate(folds):
            values = np.asarray(fold[name], dtype="float64")
            label = None if number else name
            epochs = np.arange(1, len(values) + 1)
            axis.plot(epochs, values, "o-", color=color, label=label, **style)
    best = best_epoch(history, monitor) if len(folds) == 1 else None
    if best is not None:
        axis.axvline(best, color=_INK, linestyle="--", linewidth=1, label=f"epoch {best}")
    # Without limits, the axis of a single epoch has fractions as ticks.
    axis.set_xlim(0.5, max(len(fold[names[0]]) for fold in folds) + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlabel("epoch")
    axis.grid(axis="y", color=_INK, alpha=0.18, linewidth=0.8)
    axis.legend(frameon=False)


def _draw_pairs(axis: Any, name: str, labels: np.ndarray, predictions: np.ndarray) -> None:
    labelled = np.flatnonzero(np.isfinite(labels))
    if len(labelled) > _MOST_DOTS:
        labelled = np.sort(np.random.default_rng(0).choice(labelled, _MOST_DOTS, replace=False))
    x, y = labels[labelled], predictions[labelled]
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axis.plot(ends, ends, color=_INK, linestyle="--", linewidth=1)
    axis.plot(x, y, "o", color=_FIRST, markersize=3, alpha=0.55, markeredgewidth=0)
    shown = name.replace("$", r"\$")  # else matplotlib reads it as a formula
    axis.set_xlabel(f"{shown}: label")
    axis.set_ylabel("prediction")
    axis.grid(color=_INK, alpha=0.18, linewidth=0.8)


def _inline(svg: str, width: int, label: str) -> str:
    """Turns an SVG file into a part of the page: no prologue, no namespaces, the page's colours."""
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :])
    for color, variable in _CSS_COLORS.items():
        svg = svg.replace(color, variable)
    opening = f'<svg role="img" aria-label="{label}" style="max-width: {width * 1.1:.0f}px"'
    return svg.replace("<svg", opening, 1)
