"""The best scores that are possible on the sample data with a part of the inputs."""

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
    """P(observation, label), shape `(num_observations, 3)`.

    Observations with equal posteriors are merged: the best rule treats them the same.
    """
    masses: dict[tuple[Any, ...], np.ndarray] = {}
    for axis, direction, before, after in all_changes():
        for outcome, (label, probability) in enumerate(OUTCOMES):
            values = dict(
                zip(INPUTS, (before, after, *texts_of(axis, direction, outcome)), strict=True)
            )
            observation = tuple(values[name] for name in inputs)
            mass = masses.setdefault(observation, np.zeros(len(SAMPLE_LABELS)))
            mass[SAMPLE_LABELS.index(label)] += probability / len(all_changes())
    merged: dict[tuple[float, ...], np.ndarray] = {}
    for mass in masses.values():
        posterior = tuple(np.round(mass / mass.sum(), 9))
        merged[posterior] = merged.get(posterior, 0) + mass
    return np.stack(list(merged.values()))


def _best_macro_f1(joint: np.ndarray, steps: int = 3000) -> float:
    """The highest macro-F1 of any decision rule, including random ones, by gradient ascent.

    A rule is P(predicted label | observation), one row per observation.
    """
    prior, observed = joint.sum(axis=0), joint.sum(axis=1, keepdims=True)
    best = 0.0
    # Several starts, from nearly uniform predictions to always the most probable label.
    for certainty in (0.5, 1.0, 4.0):
        rule = (joint / observed + 0.01) ** certainty
        for _ in range(steps):
            rule /= rule.sum(axis=1, keepdims=True)
            hits, predicted = (joint * rule).sum(axis=0), (observed * rule).sum(axis=0)
            best = max(best, float(np.mean(2 * hits / (prior + predicted))))
            slope = 2 * joint / observed / (prior + predicted) - 2 * hits / (prior + predicted) ** 2
            rule *= np.exp(0.1 * slope)  # keeps all entries positive, unlike adding the gradient
    return best


def sample_ceilings() -> dict[str, float]:
    """Computes the best scores that any model can reach with a part of the inputs.

    They come from an enumeration of all changes and outcomes, so they hold for infinite data. On
    600 test rows, scores differ from them by a few points by chance.

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
