"""Trains the members of a model on each of several folds, and averages them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_mm.checks import require
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.errors import ConfigError
from keras_mm.estimator.choice.choose import (
    Budget,
    choose_members,
    finished_trials,
    leaderboard,
    weighty,
    with_models,
)
from keras_mm.estimator.choice.sides import alone, useful_sides
from keras_mm.estimator.choice.trial import Trial
from keras_mm.estimator.decisions import default_decisions
from keras_mm.estimator.fit import (
    Callbacks,
    Outcome,
    check_training,
    create_preprocessor,
    new_trained,
)
from keras_mm.estimator.member_folds import MemberFolds, SharedFeatures
from keras_mm.estimator.member_weights import Blend, blend
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.train_linear import takes_long
from keras_mm.estimator.trained import FoldMember, Trained, members_text, shares_of
from keras_mm.inference.held_out import HeldOut
from keras_mm.models.ensemble import average
from keras_mm.models.multimodal import parts
from keras_mm.progress import counted, progress_bar, progress_line
from keras_mm.settings.members import (
    SIDE_OF,
    Member,
    as_members,
    members_problems,
    modalities_of,
)
from keras_mm.training.blend import check_metric
from keras_mm.training.stages import StagesResult

_log = logging.getLogger("keras_mm")


def fit_folds(
    prepared: Prepared,
    workbench: Workbench,
    *,
    preprocessor: Preprocessor | None = None,
    callbacks: Callbacks = (),
    classifier_of: Callable[[Trained], Any],
    budget: Budget | None = None,
) -> Outcome:
    """Trains each member on each fold of the rows, and averages their predictions.

    Frozen encoders run once over the rows, and all members share them; the weights of the members
    are chosen by their out-of-fold predictions. With trained encoders there is one member, and the
    model of each fold has encoders of its own. Call it inside `keras_mm.random_state.seeded`.

    Args:
        prepared: Resolved settings, heads, rows and folds.
        workbench: Builds the models.
        preprocessor: The preprocessor of the models; by default that of the settings.
        callbacks: The user's Keras callbacks; each model is trained with them in turn.
        classifier_of: As in `keras_mm.estimator.fit.fit`.
        budget: The time of a search of members; by default `training.time_limit` after the
            rows are encoded.

    Returns:
        The average of the members, with the out-of-fold logits of all rows. If a training was
        stopped by an error, the average of the models of the first member so far, without these
        logits.

    Raises:
        ConfigError: if members do not fit the columns of the table.
        ValueError: if labels or settings are not allowed for the heads, or no head has the metric
            that the weights are to make best.
    """
    is_search = prepared.settings.members == "search"
    members = () if is_search else _members(prepared)
    check_training(prepared, callbacks)
    check_metric(prepared.settings.blend_metric, prepared.heads, prepared.rows.labels)
    preprocessor = preprocessor or create_preprocessor(prepared.settings)
    kind = "trunk" if is_search else members[0].kind
    shared = SharedFeatures(prepared, workbench, preprocessor, kind)
    if is_search:
        trials, error = choose_members(
            shared,
            budget or Budget(prepared.settings.training.time_limit, time.perf_counter()),
            hidden=_hidden(prepared),
            callbacks=callbacks,
            classifier_of=classifier_of,
        )
        return Outcome(_chosen(shared, trials, classifier_of), error)
    if not shared.are_frozen:
        members = members[:1]
        _announce(shared)
    hidden = _hidden(prepared) if len(members) > 1 else ()
    trained: list[MemberFolds] = []
    results: list[StagesResult] = []
    with progress_bar(
        total=len(prepared.folds) * len(members),
        description="training folds",
        unit="fold",
        show=bool(prepared.settings.verbose) and shared.are_frozen,
    ) as bar:
        for number, member in enumerate(members):
            trained.append(MemberFolds(shared, member, number))
            for fold in prepared.folds:
                results.append(trained[-1].train(fold, callbacks, classifier_of, hidden=hidden))
                bar.update(1)
                if results[-1].error is not None:
                    return _interrupted(shared, trained[0], results)
    found = blend(prepared, trained)
    return Outcome(default_decisions(_joined(shared, trained, found, results)))


def _hidden(prepared: Prepared) -> tuple[str, ...]:
    """The modalities without which a model of several members must predict rows, too."""
    modalities = modalities_of(vars(prepared.settings))
    return modalities if len(modalities) > 1 else ()


def _chosen(
    shared: SharedFeatures, trials: Sequence[Trial], classifier_of: Callable[[Trained], Any]
) -> Trained:
    """The blend of the members that a search tried, without a modality that does not help."""
    prepared, finished = shared.prepared, finished_trials(trials)
    sides = useful_sides(prepared, finished)
    if sides.sentence:
        progress_line(sides.sentence, show=bool(prepared.settings.verbose))
    if sides.only is not None:
        finished = alone(finished, sides.only)
    found = blend(prepared, finished)
    used = [with_models(shared, finished[number], classifier_of) for number in found.used]
    trained = _joined(
        shared,
        [require(trial.folds, "folds") for trial in used],
        replace(found, used=tuple(range(len(used)))),
        [each for trial in used for each in trial.results],
    )
    settings = trained.settings
    if sides.only is not None:
        settings = settings.one_side(SIDE_OF[sides.only])
    chosen = tuple(finished[number].member.setting for number in weighty(found, finished))
    settings = replace(settings, members=chosen)
    return default_decisions(
        replace(
            trained,
            settings=settings,
            preprocessor=create_preprocessor(settings) if sides.only else trained.preprocessor,
            trials=leaderboard(prepared, trials, shares_of(trained)),
            remarks=(sides.sentence,) if sides.sentence else (),
        )
    )


def _members(prepared: Prepared) -> tuple[Member, ...]:
    """The members of the model; those of the settings must fit the columns of the table."""
    settings = prepared.settings
    modalities = modalities_of(vars(settings))
    problems = members_problems(settings.members or "trunk", modalities)
    if problems:
        raise ConfigError(problems)
    members = as_members(settings.members or "trunk", modalities)
    if settings.members == "auto" and takes_long(prepared):
        _log.info("no linear members: they would take long for so many rows and classes")
        members = members[:1]
    return members


def _announce(shared: SharedFeatures) -> None:
    """Says, with sizes, that the model of each fold trains encoders of its own."""
    count = len(shared.prepared.folds)
    size = sum(math.prod(variable.shape) for variable in shared.model.variables)
    progress_line(
        f"{count} folds train their own encoders, one after the other: the model will have "
        f"{counted(count * size, 'weight')}, {count * size * 4 / 1e6:,.0f} MB",
        show=bool(shared.prepared.settings.verbose),
    )


def _interrupted(
    shared: SharedFeatures, first: MemberFolds, results: Sequence[StagesResult]
) -> Outcome:
    """The average of the models of the first member, if a training was stopped."""
    error, results = results[-1].error, results[: len(first.models)]
    stopped = results[-1].error is not None  # else a later member was
    if stopped and not results[-1].history and len(results) > 1:  # in its first epoch: untrained
        first.models.pop()
        results = results[:-1]
    folds = [FoldMember(first.member, number) for number in range(1, len(first.models) + 1)]
    return Outcome(_trained(shared, first.models, folds, None, results), error)


def _joined(
    shared: SharedFeatures,
    trained: Sequence[MemberFolds],
    found: Blend,
    results: Sequence[StagesResult],
) -> Trained:
    """The weighted average of all members, with their histories one after the other."""
    prepared = shared.prepared
    models, members = [], []
    for number in found.used:
        for fold, model in enumerate(trained[number].models, 1):
            models.append(model)
            members.append(FoldMember(trained[number].member, fold))
    outcome = _trained(shared, models, members, found, _with_epochs(trained, results))
    text = members_text(outcome)
    if text is not None:
        progress_line(f"weights of the members: {text}", show=bool(prepared.settings.verbose))
    return replace(outcome, held_out=_held_out(prepared, found))


def _with_epochs(
    trained: Sequence[MemberFolds], results: Sequence[StagesResult]
) -> Sequence[StagesResult]:
    """The results of the first member that is trained in epochs; of the first if none is."""
    count = len(results) // len(trained)
    own = [results[start : start + count] for start in range(0, len(results), count)]
    return next((each for each in own if any(result.history for result in each)), own[0])


def _trained(
    shared: SharedFeatures,
    models: Sequence[keras.Model],
    members: Sequence[FoldMember],
    found: Blend | None,
    results: Sequence[StagesResult],
) -> Trained:
    prepared, settings = shared.prepared, shared.prepared.settings
    sides = [side for side in parts(shared.model).encoders if settings.trains(side)]
    weights = None if found is None else found.weights
    model = average(models, prepared.heads, weights=weights, own_sides=sides)
    single = len(members) == 1
    folds = max(member.fold or 1 for member in members)
    return replace(
        new_trained(prepared, model, shared.preprocessor),
        settings=replace(settings, batch_size=results[-1].batch_size, folds=folds),
        members=[FoldMember(members[0].member)] if single else members,
        history=join_histories([result.history for result in results]),
    )


def _held_out(prepared: Prepared, found: Blend) -> HeldOut:
    rows, fold = prepared.rows, np.zeros(len(prepared.rows), int)
    for number, each in enumerate(prepared.folds, 1):
        fold[each.held_out] = number
    return HeldOut(
        "out_of_fold",
        rows.numbers,
        rows.labels,
        found.logits,
        rows.sample_weight,
        fold,
        rows.groups,
        found.second,
        len(prepared.folds),
    )


def join_histories(histories: Sequence[Mapping[str, list]]) -> dict[str, list]:
    """Joins the histories of the members of an average.

    Args:
        histories: The history of each member: metrics by name, a list over its epochs.

    Returns:
        Metrics by name, the lists one after the other, NaN where a member has no such metric; and
        `fold`, the number of the member of each epoch, from 1. The history of a single member is
        returned unchanged.
    """
    if len(histories) == 1:
        return dict(histories[0])
    lengths = [len(next(iter(history.values()), [])) for history in histories]
    names = dict.fromkeys(name for history in histories for name in history)
    joined = {
        name: [
            value
            for history, length in zip(histories, lengths, strict=True)
            for value in history.get(name, [math.nan] * length)
        ]
        for name in names
    }
    joined["fold"] = [n for n, length in enumerate(lengths, 1) for _ in range(length)]
    return joined
