"""Training curves as a drawing that stands inside an HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mm.metrics.classification import lower_is_better

_PANELS = (("loss", "val_loss"), ("val_accuracy", "val_macro_f1"))


# Stand-ins that become CSS variables, so that the drawing follows the page's light or dark colours.
_INK, _FIRST, _SECOND = "#010203", "#040506", "#070809"
_CSS_COLORS = {_INK: "var(--muted)", _FIRST: "var(--first)", _SECOND: "var(--second)"}


def best_epoch(history: Mapping, monitor: str = "val_loss") -> int | None:
    """The epoch, from 1, with the best value of `monitor`; `None` without one."""
    values = np.asarray(history.get(monitor, ()), dtype="float64")
    if not np.isfinite(values).any():
        return None
    best = np.nanargmin(values) if lower_is_better(monitor) else np.nanargmax(values)
    return int(best) + 1


def draw_curves(history: Mapping, monitor: str = "val_loss") -> str:
    """The training curves as inline SVG, the best epoch marked; empty without history."""
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
            _draw(axis, names, history, monitor)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing)
    return _inline(text.getvalue(), 480 * len(panels))


def _draw(axis: Any, names: Sequence[str], history: Mapping, monitor: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, color in zip(names, (_FIRST, _SECOND), strict=False):
        values = np.asarray(history[name], dtype="float64")
        axis.plot(
            np.arange(1, len(values) + 1), values, "o-", color=color, label=name, markersize=3.5
        )
    best = best_epoch(history, monitor)
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
