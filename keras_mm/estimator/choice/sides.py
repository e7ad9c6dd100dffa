"""Whether images and texts both help: members of all modalities against those of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_mm.estimator.choice.trial import Trial
from keras_mm.estimator.prepare import Prepared
from keras_mm.metrics.bootstrap import Difference, bootstrap_difference
from keras_mm.metrics.head_metrics import is_labelled, measure
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head
from keras_mm.settings.members import MODALITIES
from keras_mm.training.blend import blend_weights

# The score of a head that is shown.
MAIN = {"multiclass": "macro_f1", "binary": "macro_f1", "multilabel": "auprc", "regression": "r2"}
_WORDS = {"macro_f1": "macro-F1", "auprc": "mean average precision", "r2": "R2"}


@dataclass(frozen=True)
class Sides:
    """The modalities that a model reads.

    Attributes:
        only: `"image"` or `"text"` if the model reads that alone, else `None`.
        sentence: What the other modality adds, with its interval; empty if the table has one.
    """

    only: str | None = None
    sentence: str = ""


def useful_sides(prepared: Prepared, trials: Sequence[Trial]) -> Sides:
    """Decides whether a modality is left out, because the model is no better with it.

    The weights of the members are chosen on the other folds of each row here, so that more members
    are no advantage by themselves. With several heads, the mean of their scores decides, and the
    sentence is about the first head.

    Args:
        prepared: Settings, heads and rows.
        trials: The finished trials.

    Returns:
        The modalities, and a sentence.
    """
    if not any(len(trial.member.modalities) > 1 for trial in trials):
        return Sides()
    everything = _predictions(prepared, trials)
    found = {
        modality: _predictions(prepared, members)
        for modality in MODALITIES
        if (members := alone(trials, modality))
    }
    if not found:
        return Sides()
    best = max(found, key=lambda modality: main_score(prepared, found[modality]))
    other = next(modality for modality in MODALITIES if modality != best)
    difference, name, score = _difference(prepared, everything, found[best])
    helps = main_score(prepared, everything) > main_score(prepared, found[best])
    values = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    words = f"{score} out of fold {values} against {best}s alone{name}"
    if not helps:
        return Sides(best, f"{other}s are left out, because they do not help: {words}")
    clear = "help" if difference.low > 0 else "may help"
    return Sides(None, f"{other}s {clear}: {words}")


def alone(trials: Sequence[Trial], modality: str) -> list[Trial]:
    """The trials of one modality, for a model that reads no other.

    Args:
        trials: Finished trials.
        modality: `"image"` or `"text"`.

    Returns:
        Trials without what they predict of rows that lack a modality.
    """
    own = [trial for trial in trials if trial.member.modalities == (modality,)]
    return [replace(trial, without={}) for trial in own]


def _predictions(prepared: Prepared, trials: Sequence[Trial]) -> dict[str, np.ndarray]:
    """Predictions by head of a blend whose weights were chosen on the other folds of each row."""
    rows = prepared.rows
    found = {}
    for name, head in prepared.heads.items():
        each = [predicted_by(head, trial.logits[name]) for trial in trials]
        result = np.full_like(each[0], np.nan)
        for fold in prepared.folds:
            others = np.setdiff1d(np.arange(len(rows)), fold.held_out)
            weights = rows.sample_weight
            shares = blend_weights(
                head,
                rows.labels[name][others],
                [values[others] for values in each],
                metric=prepared.settings.blend_metric,
                sample_weight=None if weights is None else weights[others],
            )
            result[fold.held_out] = sum(
                share * values[fold.held_out] for share, values in zip(shares, each, strict=True)
            )
        found[name] = result
    return found


def predicted_by(head: Head, logits: np.ndarray) -> np.ndarray:
    """Probabilities or numbers of logits.

    Args:
        head: The head.
        logits: Its logits.

    Returns:
        float64, shape `(num_rows, num_columns)`.
    """
    values = logits if head.kind == "regression" else probabilities(logits, head.kind)
    return values.astype("float64")


def main_metric(prepared: Prepared) -> str:
    """The name of the score that members are shown with.

    Args:
        prepared: The heads.

    Returns:
        One of `MAIN`; `"main_score"` if heads have different ones.
    """
    names = {MAIN[head.kind] for head in prepared.heads.values()}
    return names.pop() if len(names) == 1 else "main_score"


def main_score(prepared: Prepared, predicted: Mapping[str, np.ndarray]) -> float:
    """The mean of the main scores of all heads.

    Args:
        prepared: Heads and rows.
        predicted: Probabilities or numbers of all rows by head.

    Returns:
        The mean; minus infinity if no head has labels.
    """
    rows = prepared.rows
    scores = [
        measure(head, rows.labels[name], predicted[name], sample_weight=rows.sample_weight).get(
            MAIN[head.kind], np.nan
        )
        for name, head in prepared.heads.items()
        if is_labelled(head, rows.labels[name], rows.sample_weight)
    ]
    return float(np.nanmean(scores)) if len(scores) and np.isfinite(scores).any() else -np.inf


def _difference(
    prepared: Prepared, first: Mapping[str, Any], second: Mapping[str, Any]
) -> tuple[Difference, str, str]:
    """The difference of the first head's main scores, that head's name, and the score's."""
    rows = prepared.rows
    name, head = next(
        (n, h)
        for n, h in prepared.heads.items()
        if is_labelled(h, rows.labels[n], rows.sample_weight)
    )
    difference = bootstrap_difference(
        rows.labels[name],
        first[name],
        second[name],
        MAIN[head.kind],
        kind=head.kind,
        sample_weight=rows.sample_weight,
        groups=rows.groups,
    )
    of_head = f" ({name})" if len(prepared.heads) > 1 else ""
    return difference, of_head, _WORDS[MAIN[head.kind]]
