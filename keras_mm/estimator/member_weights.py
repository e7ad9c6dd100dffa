"""Weighs the members of a model by their out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.trained import Trained
from keras_mm.metrics.probabilities import probabilities
from keras_mm.models.ensemble import MemberWeights, member_weights
from keras_mm.models.layers.average import AveragePrediction
from keras_mm.settings.heads import Head
from keras_mm.settings.members import Member
from keras_mm.training.blend import blend_weights

Logits = Mapping[str, np.ndarray]


class Predicted(Protocol):
    """A member with its out-of-fold logits, see `keras_mm.estimator.member_folds.MemberFolds`."""

    @property
    def member(self) -> Member:
        """Kind and modalities."""

    @property
    def logits(self) -> Logits:
        """The out-of-fold logits by head."""

    @property
    def second(self) -> Logits:
        """Those of a second model."""

    @property
    def without(self) -> Mapping[str, Logits]:
        """The out-of-fold logits of rows with a modality hidden."""


@dataclass(frozen=True)
class Blend:
    """The weights of members, and the held-out logits of their average.

    Attributes:
        used: Numbers of the members that any head or row uses.
        weights: The weights of the models by head: of each member that is used, one for each fold.
        logits: Out-of-fold logits by head, float32 `(num_rows, num_logits)`.
        second: Logits by head of second models, see `keras_mm.inference.held_out.HeldOut`.
    """

    used: tuple[int, ...]
    weights: dict[str, MemberWeights]
    logits: dict[str, np.ndarray]
    second: dict[str, np.ndarray]


def blend(prepared: Prepared, members: Sequence[Predicted]) -> Blend:
    """Chooses the weights of members.

    Rows that lack all images, or all texts, have weights of their own, which are chosen on the same
    rows with the images, or the texts, hidden.

    Args:
        prepared: Settings, heads and rows of the training.
        members: The trained members.

    Returns:
        The weights, and the logits of the average of the members on the held-out rows.
    """
    shares = {name: _head_shares(prepared, name, members) for name in prepared.heads}
    everything = np.array(
        [row for own in shares.values() for row in (own.everywhere, *own.without.values())]
    )
    used = tuple(np.flatnonzero(everything.any(axis=0)).tolist())
    folds = len(prepared.folds)
    weights = {
        name: MemberWeights(
            _of_models(own.everywhere, used, folds),
            {modality: _of_models(row, used, folds) for modality, row in own.without.items()},
        )
        for name, own in shares.items()
    }
    logits, second = {}, {}
    for name, head in prepared.heads.items():
        own = shares[name].everywhere
        logits[name] = _mean(head, [member.logits[name] for member in members], own)
        second[name] = _mean(head, [member.second[name] for member in members], own)
    return Blend(used, weights, logits, second)


def weights_of_new_heads(
    trained: Trained,
    heads: Mapping[str, Head],
    validation: Rows | None,
    logits: Sequence[Logits | None],
) -> dict[str, MemberWeights]:
    """Chooses the weights of the members in the prediction of heads that are trained later.

    Args:
        trained: The model, whose members stay.
        heads: The heads to weigh, by name.
        validation: The rows for early stopping, if there were any.
        logits: For each model, its logits of these rows by head; `None` if they are not known.

    Returns:
        Weights by head; none if all members are of one kind. Without validation rows, the members
        that read all modalities weigh the same.
    """
    kinds = list(dict.fromkeys(each.member for each in trained.members))
    if len(kinds) < 2:
        return {}
    places = [[n for n, e in enumerate(trained.members) if e.member == kind] for kind in kinds]
    most = max(len(kind.modalities) for kind in kinds)
    weights = {}
    for name, head in heads.items():
        shares = np.array([float(len(kind.modalities) == most) for kind in kinds])
        known = [None if each is None else each.get(name) for each in logits]
        if validation is not None and all(each is not None for each in known):
            means = [
                np.mean([_predictions(head, np.asarray(known[n])) for n in own], axis=0)
                for own in places
            ]
            shares = np.array(
                blend_weights(
                    head,
                    validation.labels[name],
                    means,
                    metric=trained.settings.blend_metric,
                    sample_weight=validation.sample_weight,
                )
            )
        without = {
            modality: _of_kinds(_able(shares, kinds, modality), places)
            for modality in next(iter(member_weights(trained.model).values())).without
        }
        weights[name] = MemberWeights(_of_kinds(shares, places), without)
    return weights


def _able(shares: np.ndarray, kinds: Sequence[Member], modality: str) -> np.ndarray:
    """The shares of the members that do not need a modality; of all that read others, if none."""
    free = np.array([modality not in kind.modalities for kind in kinds])
    able = np.array([kind.modalities != (modality,) for kind in kinds])
    for chosen in (shares * free, 1.0 * free, 1.0 * able):
        if chosen.any():
            return chosen
    return shares


def _of_kinds(shares: np.ndarray, places: Sequence[Sequence[int]]) -> tuple[float, ...]:
    row = np.zeros(sum(len(own) for own in places))
    for share, own in zip(shares / shares.sum(), places, strict=True):
        row[list(own)] = share / len(own)
    return tuple(row.tolist())


def _head_shares(prepared: Prepared, name: str, members: Sequence[Predicted]) -> MemberWeights:
    """The weight of each member in the prediction of a head."""
    head, rows = prepared.heads[name], prepared.rows

    def chosen(logits: Sequence[Logits]) -> tuple[float, ...]:
        predictions = [_predictions(head, each[name]) for each in logits]
        return blend_weights(
            head,
            rows.labels[name],
            predictions,
            metric=prepared.settings.blend_metric,
            sample_weight=rows.sample_weight,
        )

    without = {}
    for modality in members[0].without:
        able = [n for n, m in enumerate(members) if m.member.modalities != (modality,)]
        row = np.zeros(len(members))
        row[able] = chosen([members[number].without[modality] for number in able])
        without[modality] = tuple(row.tolist())
    return MemberWeights(chosen([member.logits for member in members]), without)


def _predictions(head: Head, logits: np.ndarray) -> np.ndarray:
    return logits if head.kind == "regression" else probabilities(logits, head.kind)


def _of_models(shares: Sequence[float], used: Sequence[int], folds: int) -> tuple[float, ...]:
    """The weight of each model: the models of a member share its weight."""
    return tuple(shares[number] / folds for number in used for _ in range(folds))


def _mean(head: Head, logits: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    """The logits of the average of the members that have a weight, as the model computes them."""
    chosen = [(each, share) for each, share in zip(logits, shares, strict=True) if share > 0]
    if len(chosen) == 1:
        return chosen[0][0]
    layer = AveragePrediction(head.kind, [share for _, share in chosen])
    known = ~np.any([np.isnan(each).any(axis=1) for each, _ in chosen], axis=0)
    result = np.full_like(logits[0], np.nan)
    if known.any():
        mean = layer([keras.ops.convert_to_tensor(each[known]) for each, _ in chosen])
        result[known] = keras.ops.convert_to_numpy(mean)
    return result
