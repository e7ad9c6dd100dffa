"""Draws folds of checked rows: what each member of a model is trained on, and what it predicts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.splits import stratified_k_fold, stratified_split
from keras_mm.data.tables.strata import known_labels, strata
from keras_mm.data.tables.targets import Target, as_targets
from keras_mm.errors import InvalidValueError
from keras_mm.settings.heads import Head


@dataclass(frozen=True)
class Fold:
    """Positions of rows, ascending integers.

    Attributes:
        train: The rows that the weights are trained on.
        val: The rows for early stopping, from the other folds, too; empty for none.
        held_out: The rows of this fold, which decide nothing.
    """

    train: np.ndarray
    val: np.ndarray
    held_out: np.ndarray


def draw_folds(
    rows: Rows, heads: Mapping[str, Head], num_folds: int, *, val_size: float, seed: int
) -> list[Fold]:
    """Draws stratified folds; with groups, the rows of a group are all in one fold.

    Args:
        rows: Checked rows with labels of `heads`; with groups, if there are any.
        heads: Heads by name, with their classes.
        num_folds: Number of folds, >= 2.
        val_size: Share of the rows outside a fold that is drawn for early stopping, in [0, 1). The
            rows of a class with too few rows for that all stay training rows.
        seed: Seed of the draw, in [0, 2**32).

    Returns:
        The folds; each row is held out exactly once.

    Raises:
        ValueError: if there are fewer rows or groups than folds, no class has a row for each, or
            all labels of a head are of one fold, whose member could not be trained.

    Warns:
        UserWarning: if a fold lacks a class.

    Example:
        >>> from keras_mm.data.tables.rows import read_rows
        >>> table = [{"text": word, "label": i % 2} for i, word in enumerate("abcdefgh")]
        >>> rows = read_rows(table, texts=["text"], labels={"label": Head(classes=(0, 1))})
        >>> folds = draw_folds(rows, {"label": Head(classes=(0, 1))}, 2, val_size=0.5, seed=0)
        >>> [(len(fold.train), len(fold.val), len(fold.held_out)) for fold in folds]
        [(2, 2, 4), (2, 2, 4)]
    """
    targets, positions = as_targets(heads), np.arange(len(rows))
    row_strata = strata(targets, rows.labels, positions.tolist(), smallest=1 / num_folds)
    frame = pd.DataFrame({"position": positions})
    splits = stratified_k_fold(
        frame, row_strata, num_folds=num_folds, groups=rows.groups, seed=seed
    )
    folds = []
    for others, held_out in splits:
        train, val = others["position"].to_numpy(), positions[:0]
        if val_size:
            train, val = _inner_split(rows, targets, train, val_size, seed)
        folds.append(Fold(train, val, held_out["position"].to_numpy()))
    _check_labelled(rows, folds)
    return folds


def _check_labelled(rows: Rows, folds: Sequence[Fold]) -> None:
    """Checks that each fold has a training row with each label or target that any row has."""
    for name, labels in rows.labels.items():
        known = known_labels(labels)
        for number, fold in enumerate(folds, 1):
            if np.any(known.any(axis=0) & ~known[fold.train].any(axis=0)):
                raise InvalidValueError(
                    f"`num_folds={len(folds)}` is impossible: fold {number} has no training row "
                    f"with a label of the head {name!r}, of which {int(known.sum())} are known. "
                    "Add labels, or train without folds."
                )


def _inner_split(
    rows: Rows, targets: Mapping[str, Target], positions: np.ndarray, val_size: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws rows for early stopping from the rows outside a fold."""
    smallest = min(val_size, 1 - val_size)
    row_strata = strata(targets, rows.labels, positions.tolist(), smallest=smallest, merged=True)
    groups = None if rows.groups is None else rows.groups[positions]
    frame = pd.DataFrame({"position": positions})
    with warnings.catch_warnings():  # of strata, which have no names, for each fold again
        warnings.simplefilter("ignore", UserWarning)
        parts = stratified_split(frame, row_strata, val_size=val_size, groups=groups, seed=seed)
    train, val = (np.sort(part["position"].to_numpy()) for part in parts[:2])
    return train, val
