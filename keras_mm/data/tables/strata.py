"""Strata of rows: a split keeps the shares of the labels, for heads of every kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mm.data.tables.targets import Target

_QUANTILES = 5


def labelled_rows(labels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Positions of the rows that have a label of some head.

    Args:
        labels: By head, as `keras_mm.data.tables.rows.Rows` has them.

    Returns:
        int `(num_labelled,)`, in order.
    """
    known = [_known(array) for array in labels.values()]
    return np.flatnonzero(np.any(known, axis=0))


def strata(
    targets: Mapping[str, Target],
    labels: Mapping[str, np.ndarray],
    rows: Sequence[int],
    *,
    smallest: float,
) -> list:
    """A stratum for each row: a split keeps the share of each stratum.

    For one head of classes the stratum is the class. Else the rows are divided by one head after
    the other, as long as every stratum has a row for every part: by class; by the rarest of several
    labels; by fifths of the rows for numbers; and by whether there is a label. Labels that are too
    rare for that share a stratum.

    Args:
        targets: Targets by head.
        labels: By head, as `keras_mm.data.tables.rows.Rows` has them.
        rows: Positions of the rows to divide.
        smallest: The smallest part's share of the rows, in (0, 1).

    Returns:
        Class names, or numbers of strata, one for each of `rows`.
    """
    (name, target), *others = targets.items()
    if not others and target.kind in ("multiclass", "binary"):
        return [(target.classes or ())[code] for code in labels[name][rows]]
    least = max(2, math.ceil(1 / smallest))
    found = np.zeros(len(rows), int)
    for name, target in targets.items():
        for codes in _codes(target.kind, labels[name][rows]):
            found = _refined(found, codes, least)
    return found.tolist()


def _known(labels: np.ndarray) -> np.ndarray:
    there: Any = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
    return np.any(there.reshape(len(labels), -1), axis=1)


def _codes(kind: str, labels: np.ndarray) -> list[np.ndarray]:
    """Codes to divide the rows by, one array after the other; -1 without a label."""
    if kind == "regression":
        return [_fifths(column) for column in labels.reshape(len(labels), -1).T]
    if kind != "multilabel":
        return [labels.reshape(-1)]
    by_rarity = np.argsort((labels == 1).sum(axis=0), kind="stable")
    given = labels[:, by_rarity] == 1
    rarest = np.where(given.any(axis=1), given.argmax(axis=1), labels.shape[1])
    return [np.where(_known(labels), rarest, -1)]


def _fifths(values: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values)
    edges = np.quantile(values[there], np.arange(1, _QUANTILES) / _QUANTILES) if there.any() else []
    return np.where(there, np.searchsorted(edges, values), -1)


def _refined(found: np.ndarray, codes: np.ndarray, least: int) -> np.ndarray:
    """Strata divided by `codes` too, unless that gives strata of fewer than `least` rows."""
    refined, count = np.zeros_like(found), 0
    for stratum in np.unique(found):
        rows = np.flatnonzero(found == stratum)
        values, places, sizes = np.unique(codes[rows], return_inverse=True, return_counts=True)
        numbers = np.arange(len(values))
        small = sizes < least
        if small.any():
            # They form one stratum, or join the largest.
            together = sizes[small].sum() >= least or small.all()
            numbers[small] = np.flatnonzero(small)[0] if together else sizes.argmax()
        refined[rows] = count + numbers[places]
        count += len(values)
    return refined
