"""A trained model with its settings, heads and preprocessor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_mm.checks import require
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.errors import Problem
from keras_mm.features.store.store import open_store
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.inference.held_out import HeldOut
from keras_mm.inference.predictor import Predictor
from keras_mm.models.ensemble import member_weights
from keras_mm.settings.heads import Head
from keras_mm.settings.members import Member
from keras_mm.settings.settings import Settings


@dataclass(frozen=True)
class FoldMember:
    """A member of a trained model.

    Attributes:
        member: Its kind and what it reads.
        fold: Number of the fold that it left out, from 1; `None` for a single model.
    """

    member: Member
    fold: int | None = None


@dataclass(frozen=True)
class Trained:
    """A trained model with its settings, heads and preprocessor.

    Attributes:
        settings: The resolved settings of the training.
        heads: The heads by name, with their classes.
        model: The Keras model, from preprocessed inputs to logits.
        preprocessor: Makes the inputs of the model from rows.
        priors: The best constant prediction by head: frequencies of the classes or labels, or means
            of the targets.
        history: Metrics by name, a list over the epochs.
        num_rows: Number of training rows.
        members: The members of the model, in the order of `keras_mm.models.ensemble.members`.
        skipped: Problems of the training rows that were left out.
        decisions: Decisions by head, for the heads whose decisions were fitted.
        trials: Lines of what a search of members tried, see
            `keras_mm.estimator.choice.choose.leaderboard`.
        remarks: Sentences about what a search chose.
        held_out: Logits of rows that the weights were not trained on, by head; `None` if they are
            not known, as in a loaded model.
    """

    settings: Settings
    heads: Mapping[str, Head]
    model: keras.Model
    preprocessor: Preprocessor
    priors: Mapping[str, list]
    history: Mapping[str, list]
    num_rows: int
    members: Sequence[FoldMember] = ()
    skipped: Sequence[Problem] = ()
    decisions: Mapping[str, HeadDecisions] = field(default_factory=dict)
    trials: Sequence[Mapping[str, Any]] = ()
    remarks: Sequence[str] = ()
    held_out: HeldOut | None = None

    def predictor(self, *, cache: Any, engine: str, progress: bool) -> Predictor:
        """Creates the predictor of this model.

        Args:
            cache: As in the estimator.
            engine: As in the estimator.
            progress: Whether to show a progress bar for steps that take longer than two seconds.

        Returns:
            The predictor.
        """
        return Predictor(
            self.model,
            self.preprocessor,
            self.heads,
            images=self.settings.images,
            texts=self.settings.texts,
            batch_size=require(self.settings.batch_size, "batch_size"),
            store=open_store(cache),
            engine=engine,
            progress=progress,
            decisions=self.decisions,
        )


def member_shares(trained: Trained) -> dict[str, dict[str, float]]:
    """The weight of each member in the predictions of rows that have all modalities.

    Args:
        trained: A trained model.

    Returns:
        By head, a weight for each member by its name, which sum to 1. Members that the model does
        without are left out.
    """
    weights = member_weights(trained.model)
    found = {}
    for name in trained.heads:
        shares: dict[str, float] = {}
        own = weights[name].everywhere if name in weights else (1.0,)
        for each, share in zip(trained.members, own, strict=True):
            shares[each.member.name] = shares.get(each.member.name, 0.0) + share
        found[name] = shares
    return found


def shares_of(trained: Trained) -> dict[Member, float]:
    """The mean weight of each member over the heads.

    Args:
        trained: A trained model.

    Returns:
        A weight for each member that the model has; they sum to 1.
    """
    weights = member_weights(trained.model)
    found: dict[Member, float] = {}
    for name in trained.heads:
        own = weights[name].everywhere if name in weights else (1.0,)
        for each, share in zip(trained.members, own, strict=True):
            found[each.member] = found.get(each.member, 0.0) + share / len(trained.heads)
    return found


def members_text(trained: Trained) -> str | None:
    """The weights of the members as text, for a report.

    Args:
        trained: A trained model.

    Returns:
        Such as "trunk 0.60, linear:text 0.40", by head if there are several; `None` for a model
        whose only member is a trunk without settings of its own.
    """
    members = {each.member for each in trained.members}
    if len(members) < 2 and all(each.kind == "trunk" and not each.own for each in members):
        return None
    texts = {
        name: ", ".join(f"{member} {share:.2f}" for member, share in shares.items())
        for name, shares in member_shares(trained).items()
    }
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())
