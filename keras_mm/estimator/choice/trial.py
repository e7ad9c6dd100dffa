"""A member that was tried on the folds, and its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mm.data.tables.folds import Fold
from keras_mm.estimator.member_folds import Logits, MemberFolds
from keras_mm.estimator.prepare import Prepared
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.members import Member
from keras_mm.training.blend import scorer
from keras_mm.training.stages import StagesResult

FINISHED, PRUNED = "finished", "pruned"


@dataclass(frozen=True)
class Trial:
    """A member that was tried.

    Attributes:
        member: Kind, modalities and settings of the member.
        state: `"finished"`, or `"pruned"` if it was given up after some folds.
        score: Its score on the out-of-fold rows of its folds, as the search ranks members; higher
            is better.
        by_fold: The same of each of its folds.
        seconds: Time that it took.
        logits: As in `MemberFolds`; NaN in folds that it was not trained on.
        second: As in `MemberFolds`.
        without: As in `MemberFolds`.
        number: Its number in the search, from 0; with the seed, it decides the first weights.
        folds: The trained models; `None` if they are not known, as in a trial that was stored.
        results: Results of the trainings, one for each fold.
    """

    member: Member
    state: str
    score: float
    by_fold: tuple[float, ...]
    seconds: float
    logits: Logits
    second: Logits
    without: dict[str, Logits]
    number: int
    folds: MemberFolds | None = None
    results: Sequence[StagesResult] = ()


def fold_score(prepared: Prepared, folds: Sequence[Fold], logits: Mapping[str, Any]) -> float:
    """Scores the out-of-fold logits of some folds.

    Args:
        prepared: Settings, heads and rows.
        folds: The folds; other rows do not count.
        logits: Logits by head of all rows.

    Returns:
        The mean over the heads of the score that `blend_metric` names; NaN if no row has a label.
    """
    rows = np.sort(np.concatenate([fold.held_out for fold in folds]))
    weights = prepared.rows.sample_weight
    scores = []
    for name, head in prepared.heads.items():
        labels = prepared.rows.labels[name][rows]
        score = scorer(
            head,
            labels,
            prepared.settings.blend_metric,
            None if weights is None else weights[rows],
        )
        if score is not None:
            own = logits[name][rows]
            scores.append(
                score(own if head.kind == "regression" else probabilities(own, head.kind))
            )
    return float(np.mean(scores)) if scores else float("nan")
