"""How far a part of the inputs can get on the sample data, computed from the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mm.data.samples.task import OUTCOMES, SAMPLE_LABELS, all_changes, texts_of

INPUTS = ("image_1", "image_2", "text_1", "text_2")
VIEWS = {
    "image_only": ("image_1", "image_2"),
    "text_only": ("text_1", "text_2"),
    **{f"without_{name}": tuple(other for other in INPUTS if other != name) for name in INPUTS},
}


def _joint(inputs: Sequence[str]) -> np.ndarray:
    """P(observation, label), observations of equal posterior merged, `(observations, 3)`."""
    masses: dict[tuple[Any, ...], np.ndarray] = {}
    for axis, direction, before, after in all_changes():
        for outcome, (label, probability) in enumerate(OUTCOMES):
            shown = dict(
                zip(INPUTS, (before, after, *texts_of(axis, direction, outcome)), strict=True)
            )
            seen = tuple(shown[name] for name in inputs)
            mass = masses.setdefault(seen, np.zeros(len(SAMPLE_LABELS)))
            mass[SAMPLE_LABELS.index(label)] += probability / len(all_changes())
    merged: dict[tuple[float, ...], np.ndarray] = {}
    for mass in masses.values():
        posterior = tuple(np.round(mass / mass.sum(), 9))
        merged[posterior] = merged.get(posterior, 0) + mass
    return np.stack(list(merged.values()))


def _best_macro_f1(joint: np.ndarray, steps: int = 3000) -> float:
    """The highest macro-F1 of any rule, randomised ones included, by gradient ascent."""
    prior, seen = joint.sum(axis=0), joint.sum(axis=1, keepdims=True)
    best = 0.0
    for certainty in (0.5, 1.0, 4.0):  # starts: from cautious to deciding for the likeliest label
        rule = (joint / seen + 0.01) ** certainty
        for _ in range(steps):
            rule /= rule.sum(axis=1, keepdims=True)
            hits, named = (joint * rule).sum(axis=0), (seen * rule).sum(axis=0)
            best = max(best, float(np.mean(2 * hits / (prior + named))))
            slope = 2 * joint / seen / (prior + named) - 2 * hits / (prior + named) ** 2
            rule *= np.exp(0.1 * slope)  # a step uphill that keeps every row a distribution
    return best


def sample_ceilings() -> dict[str, float]:
    """The best scores that any model can reach with a part of the inputs.

    Computed by enumerating all changes and outcomes, so they hold for infinite data. On 600 test
    rows chance adds or removes a few points.

    Returns:
        `<part>_accuracy` and `<part>_macro_f1`, fractions, for the parts `image_only`, `text_only`,
        `without_image_1`, `without_image_2`, `without_text_1` and `without_text_2`.

    Example:
        >>> sample_ceilings()["without_text_2_accuracy"]
        0.85
    """
    ceilings = {}
    for view, inputs in VIEWS.items():
        joint = _joint(inputs)
        ceilings[f"{view}_accuracy"] = round(float(joint.max(axis=1).sum()), 6)
        ceilings[f"{view}_macro_f1"] = round(_best_macro_f1(joint), 6)
    return ceilings
