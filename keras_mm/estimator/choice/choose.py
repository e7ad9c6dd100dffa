"""Tries members on the folds of a table until the time is up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from keras_mm.estimator.choice.candidates import Candidates
from keras_mm.estimator.choice.sides import main_metric, main_score, predicted_by
from keras_mm.estimator.choice.trial import FINISHED, PRUNED, Trial, fold_score
from keras_mm.estimator.fit import Callbacks
from keras_mm.estimator.member_folds import MemberFolds, SharedFeatures
from keras_mm.estimator.member_weights import Blend, blend
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.train_linear import takes_long
from keras_mm.estimator.trained import Trained
from keras_mm.progress import progress_bar, progress_line
from keras_mm.progress import seconds as in_words
from keras_mm.settings.members import Member

_KEPT = 5  # the first trials, which are never given up: the members of "auto"
_LEAST_TRIALS = 4  # finished ones, before others are compared with them and given up
_MISFITS = 5  # candidates in turn that would take too long, after which the search ends
_LEAST = 0.02  # weight of a member that is worth training again
_GUESS = 4.0  # a trunk takes this many times as long as a linear model, until one is trained


class TrialStore(Protocol):
    """Where trials are kept, so that a search that was stopped can go on."""

    def read(self, number: int, member: Member) -> Trial | None:
        """Reads a trial without its models; `None` if it is not there."""

    def write(self, trial: Trial) -> None:
        """Keeps a trial without its models."""


@dataclass(frozen=True)
class Budget:
    """The time that a search may take.

    Attributes:
        time_limit: Seconds.
        begun: When it began, as `time.perf_counter` tells.
        again: How long training the chosen members again takes, as a multiple of their trials; 0 if
            they are not trained again.
        store: Where trials are kept, if they are.
    """

    time_limit: float
    begun: float
    again: float = 0.0
    store: TrialStore | None = None

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.begun + self.time_limit - time.perf_counter()


def choose_members(
    shared: SharedFeatures,
    budget: Budget,
    *,
    hidden: Sequence[str] = (),
    callbacks: Callbacks = (),
    classifier_of: Callable[[Trained], Any],
) -> tuple[list[Trial], BaseException | None]:
    """Tries members until the time is up; at least one.

    A trial that could not be finished in time is not begun. Trunks that are worse than half of the
    finished ones after two folds are given up.

    Args:
        shared: The features of the rows, with frozen encoders.
        budget: The time.
        hidden: Modalities without which the rows are predicted, too.
        callbacks: As in `keras_mm.estimator.fit.fit`.
        classifier_of: As in `keras_mm.estimator.fit.fit`.

    Returns:
        The trials in order, and the error or interruption that ended the search, if one did after
        a trial was finished.
    """
    settings, store = shared.prepared.settings, budget.store
    candidates = Candidates(
        settings,
        shared.prepared.heads,
        seed=settings.seed,
        linear=not takes_long(shared.prepared),
    )
    trials: list[Trial] = []
    number = misfits = 0
    with progress_bar(
        total=round(budget.time_limit),
        description="searching members",
        unit="second",
        show=bool(settings.verbose),
    ) as bar:
        while (member := candidates.next()) is not None and misfits < _MISFITS:
            trial = None if store is None else store.read(number, member)
            if trial is not None:  # its time counts, too
                budget = replace(budget, begun=budget.begun - trial.seconds)
            elif trials and _needed(shared, member, trials, budget.again) > budget.left:
                misfits, number = misfits + 1, number + 1
                continue
            else:
                try:
                    trial = _try(
                        shared, member, number, trials, budget, hidden, callbacks, classifier_of
                    )
                except BaseException as error:
                    if not finished_trials(trials):
                        raise
                    return trials, error
                if store is not None and (trial.state == FINISHED or budget.left > 0):
                    store.write(trial)
            misfits, number = 0, number + 1
            trials.append(trial)
            candidates.tell(member, trial.score)
            bar.update(min(round(trial.seconds), max(0, round(budget.time_limit) - bar.n)))
    if budget.left < 0 and len(trials) == 1:
        progress_line(
            f"the time limit of {in_words(budget.time_limit)} allows one member only: "
            f"{trials[0].member.name} took {in_words(trials[0].seconds)}"
        )
    return trials, None


def with_models(
    shared: SharedFeatures, trial: Trial, classifier_of: Callable[[Trained], Any]
) -> Trial:
    """A trial with its models, which are trained again if they are not known.

    Args:
        shared: As in `choose_members`.
        trial: A finished trial.
        classifier_of: As in `choose_members`.

    Returns:
        The trial with the same models as when it was tried.
    """
    if trial.folds is not None:
        return trial
    folds, results = MemberFolds(shared, trial.member, trial.number), []
    for fold in shared.prepared.folds:
        results.append(folds.train(fold, (), classifier_of))
        if results[-1].error is not None:
            raise results[-1].error
    return replace(trial, folds=folds, results=tuple(results))


def _try(
    shared: SharedFeatures,
    member: Member,
    number: int,
    before: Sequence[Trial],
    budget: Budget,
    hidden: Sequence[str],
    callbacks: Callbacks,
    classifier_of: Callable[[Trained], Any],
) -> Trial:
    """Trains a member on the folds, unless it is given up."""
    prepared, begun = shared.prepared, time.perf_counter()
    folds, results, scores = MemberFolds(shared, member, number), [], []
    for fold in prepared.folds:
        results.append(folds.train(fold, callbacks, classifier_of, hidden=hidden))
        error = results[-1].error
        if error is not None:
            raise error
        scores.append(fold_score(prepared, [fold], folds.logits))
        is_bad = number >= _KEPT and _is_bad(scores, before)
        if len(scores) < len(prepared.folds) and (is_bad or (before and budget.left < 0)):
            break
    done = len(scores) == len(prepared.folds)
    return Trial(
        member,
        FINISHED if done else PRUNED,
        fold_score(prepared, prepared.folds[: len(scores)], folds.logits),
        tuple(scores),
        time.perf_counter() - begun,
        folds.logits,
        folds.second,
        folds.without,
        number,
        folds if done else None,
        tuple(results),
    )


def _is_bad(scores: Sequence[float], before: Sequence[Trial]) -> bool:
    """Whether the scores of the first folds are below the median of the finished trials'."""
    count = len(scores)
    finished = [float(np.mean(t.by_fold[:count])) for t in before if t.state == FINISHED]
    if count < 2 or len(finished) < _LEAST_TRIALS:
        return False
    return bool(np.mean(scores) < statistics.median(finished))


def _expected(member: Member, trials: Sequence[Trial]) -> float:
    """Seconds that a trial will take, from those before of the same kind."""
    kind, width = member.kind == "linear", len(member.modalities)
    alike = [t for t in trials if (t.member.kind == "linear") == kind]
    if not alike:
        most = max((trial.seconds for trial in trials), default=0.0)
        return most if kind else _GUESS * most
    same = [t for t in alike if len(t.member.modalities) == width]
    finished = [t for t in same or alike if t.state == FINISHED]
    seconds = max(t.seconds for t in finished[-3:] or same or alike)
    return seconds if same else seconds * width / len(alike[0].member.modalities)


def _needed(shared: SharedFeatures, member: Member, trials: Sequence[Trial], again: float) -> float:
    """Seconds that a trial needs, and the training of the chosen members after it."""
    later = again * _seconds_of_chosen(shared, trials) if again else 0.0
    return _expected(member, trials) + later


def _seconds_of_chosen(shared: SharedFeatures, trials: Sequence[Trial]) -> float:
    """Seconds of the trials whose members would be chosen now."""
    finished = finished_trials(trials)
    if not finished:
        return 0.0
    found = blend(shared.prepared, finished)
    return sum(finished[number].seconds for number in weighty(found, finished))


def weighty(found: Blend, finished: Sequence[Trial]) -> list[int]:
    """The members that are worth training again, without those that hardly count.

    Args:
        found: The blend of the trials.
        finished: The trials.

    Returns:
        Numbers of trials: those with a weight in any head, and for rows that lack a modality the
        heaviest of those that can predict them, if none of the former can.
    """
    count = len(finished)
    folds = len(next(iter(found.weights.values())).everywhere) // len(found.used)

    def shares(rows: Iterable[Sequence[float]]) -> np.ndarray:
        total = np.zeros(count)
        for row in rows:
            total[list(found.used)] += np.reshape(row, (len(found.used), folds)).sum(axis=1)
        return total / len(found.weights)

    all_rows = shares(w.everywhere for w in found.weights.values())
    kept = {number for number in range(count) if all_rows[number] >= _LEAST}
    for modality in next(iter(found.weights.values())).without:
        if all(finished[number].member.modalities == (modality,) for number in kept):
            own = shares(w.without[modality] for w in found.weights.values())
            kept.add(int(np.argmax(own)))
    return sorted(kept)


def finished_trials(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that can be members of the model, those of all modalities first.

    Args:
        trials: All trials.

    Returns:
        The finished ones.
    """
    finished = [trial for trial in trials if trial.state == FINISHED]
    return sorted(finished, key=lambda trial: -len(trial.member.modalities))


def leaderboard(
    prepared: Prepared, trials: Sequence[Trial], shares: Mapping[Member, float]
) -> list[dict[str, Any]]:
    """The trials as lines of a table, the best first.

    Args:
        prepared: Heads and rows.
        trials: All trials.
        shares: The weight of each member of the model.

    Returns:
        For each trial `member` (its name), `state`, `score`, the metric of `main_metric` out of
        fold (`None` if it was given up), `weight` and `seconds`.
    """
    metric = main_metric(prepared)
    lines = [
        {
            "member": trial.member.name,
            "state": trial.state,
            "score": trial.score,
            metric: _metric(prepared, trial),
            "weight": shares.get(trial.member, 0.0),
            "seconds": round(trial.seconds, 2),
        }
        for trial in trials
    ]
    return sorted(lines, key=lambda line: (line["state"] != FINISHED, -line["score"]))


def _metric(prepared: Prepared, trial: Trial) -> float | None:
    if trial.state != FINISHED:
        return None
    heads = prepared.heads.items()
    return main_score(prepared, {n: predicted_by(head, trial.logits[n]) for n, head in heads})
