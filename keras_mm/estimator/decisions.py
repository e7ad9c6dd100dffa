"""Fits the decisions of a trained model on held-out rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_mm.checks import quote
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.head_names import choose_heads, choose_multilabel
from keras_mm.estimator.held_out import held_out_rows
from keras_mm.estimator.trained import Trained
from keras_mm.inference.decisions.fit import fit_head_decisions
from keras_mm.inference.decisions.options import Options
from keras_mm.inference.held_out import HeldOut
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.multilabel import tune_thresholds
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head


def fit_decisions(
    trained: Trained,
    predictor: Predictor,
    rows: Any,
    options: Options,
    *,
    head: str | Sequence[str] | None = None,
    sample_weight: Any = None,
    image_dir: str | os.PathLike | None = None,
    on_error: str = "raise",
) -> Trained:
    """Fits decisions of heads; see `MultimodalClassifier.fit_decisions`.

    Args:
        trained: The trained model.
        predictor: Its predictor.
        rows: A table; `None` for the held-out rows of the training.
        options: What the decisions are fitted for.
        head: Names of the heads; by default all.
        sample_weight: As in `MultimodalClassifier.fit_decisions`.
        image_dir: As in `MultimodalClassifier.fit_decisions`.
        on_error: As in `MultimodalClassifier.fit_decisions`.

    Returns:
        The model with decisions, and with the thresholds of multilabel heads.

    Raises:
        ValueError: if a head has no held-out rows, or an option is not valid for a head.
        TableError: listing every row that cannot be used.
    """
    chosen = dict(trained.heads) if head is None else choose_heads(head, trained.heads)
    if rows is None:
        if sample_weight is not None or image_dir is not None:
            raise InvalidValueError(
                "`sample_weight` and `image_dir` describe `rows`; the held-out rows of the "
                "training have their own. Received: rows=None"
            )
        held_out = _of_training(trained, chosen)
    else:
        held_out = held_out_rows(
            predictor,
            rows,
            chosen,
            sample_weight=sample_weight,
            image_dir=image_dir,
            on_error=on_error,
        )
    heads, decisions = dict(trained.heads), dict(trained.decisions)
    for name, one in chosen.items():
        heads[name], decisions[name] = fit_head_decisions(
            name,
            one,
            held_out.labels[name],
            held_out.logits[name],
            options,
            source=held_out.source,
            sample_weight=held_out.sample_weight,
            second=held_out.second.get(name),
            num_members=held_out.num_members,
        )
    return replace(trained, heads=heads, decisions=decisions)


def fit_thresholds(
    trained: Trained,
    predictor: Predictor,
    data: Any,
    head: str | None,
    *,
    metric: Any,
    **reading: Any,
) -> tuple[Trained, dict[Any, float]]:
    """Chooses the thresholds of a multilabel head; see `MultimodalClassifier.tune_thresholds`.

    Args:
        trained: The trained model.
        predictor: Its predictor.
        data: Rows with the label column of the head.
        head: Name of the head; `None` for the only multilabel head.
        metric: As in `keras_mm.metrics.tune_thresholds`.
        **reading: `sample_weight`, `image_dir` and `on_error`, as in `held_out_rows`.

    Returns:
        The model with the new thresholds, and the thresholds by label.

    Raises:
        ValueError: if there is no such head.
    """
    name = choose_multilabel(trained.heads, head)
    held_out = held_out_rows(predictor, data, {name: trained.heads[name]}, **reading)
    thresholds = _thresholds(held_out, name, metric)
    tuned = replace(trained.heads[name], threshold=thresholds)
    by_label = dict(zip(tuned.names, thresholds, strict=True))
    return replace(trained, heads={**trained.heads, name: tuned}), by_label


def default_decisions(trained: Trained) -> Trained:
    """Chooses thresholds for the multilabel heads of a model that was trained with folds.

    Rare labels seldom reach a probability of 0.5, so the thresholds are those of the best F1 on the
    out-of-fold rows. Thresholds that the user has set are kept, and 0.5 for a label that fewer rows
    have than there are folds: the best F1 of one row would give the label to most other rows.

    Args:
        trained: The trained model, with `held_out`.

    Returns:
        The model with thresholds; `trained` itself if there are no out-of-fold rows, or no head
        needs thresholds.
    """
    held_out = trained.held_out
    if held_out is None or held_out.source != "out_of_fold":
        return trained
    tuned = {
        name: replace(head, threshold=_default_thresholds(held_out, name))
        for name, head in trained.heads.items()
        if head.kind == "multilabel" and head.threshold == 0.5 and name in held_out.logits
    }
    return replace(trained, heads={**trained.heads, **tuned}) if tuned else trained


def _default_thresholds(held_out: HeldOut, name: str) -> tuple[float, ...]:
    tuned = _thresholds(held_out, name, "f1")
    counts = (held_out.labels[name] == 1).sum(axis=0)
    num_folds = 1 if held_out.fold is None else int(held_out.fold.max())
    return tuple(np.where(counts < num_folds, 0.5, tuned).tolist())


def _of_training(trained: Trained, chosen: Mapping[str, Head]) -> HeldOut:
    held_out = trained.held_out
    missing = [name for name in chosen if held_out is None or name not in held_out.logits]
    if held_out is None or missing:
        raise InvalidValueError(
            f"The heads {quote(missing)} have no held-out rows. `fit` keeps them if it has folds "
            "or validation rows; a loaded model, and one that `fit_head` has changed, has none. "
            "Pass labelled rows that were not trained on: fit_decisions(rows)."
        )
    return held_out


def _thresholds(held_out: HeldOut, name: str, metric: Any) -> tuple[float, ...]:
    """The thresholds of a multilabel head that are best on held-out rows."""
    thresholds = tune_thresholds(
        held_out.labels[name],
        probabilities(held_out.logits[name], "multilabel"),
        metric=metric,
        sample_weight=held_out.sample_weight,
    )
    return tuple(thresholds.tolist())
