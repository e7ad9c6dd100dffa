"""Divides rows into strata, so that splits keep the shares of the labels, for any kind of head."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from keras_mm.data.tables.targets import Target

_QUANTILES = 5


def labelled_rows(labels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Finds the rows that have a label of at least one head.

    Args:
        labels: Encoded labels by head, see `keras_mm.data.tables.rows.Rows`.

    Returns:
        Positions of the rows, ascending integers, shape `(num_labelled,)`.
    """
    known = [_known(array) for array in labels.values()]
    return np.flatnonzero(np.any(known, axis=0))


def known_labels(labels: np.ndarray) -> np.ndarray:
    """Finds the labels of a head that are not missing.

    Args:
        labels: Encoded labels of one head, shape `(num_rows,)` or `(num_rows, num_labels)`.

    Returns:
        Bool, of the same shape.

    Example:
        >>> known_labels(np.array([[0.5, np.nan]])).tolist()
        [[True, False]]
    """
    return ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0


def strata(
    targets: Mapping[str, Target],
    labels: Mapping[str, np.ndarray],
    rows: Sequence[int],
    *,
    smallest: float,
    merged: bool = False,
) -> list:
    """Assigns a stratum to each row. A split keeps the share of each stratum.

    With a single head of classes the strata are the classes. Otherwise, the rows are divided by one
    head after the other: by class, by the rarest label of a multilabel row, by quintile of numbers,
    and by whether the label is missing. A stratum that would be too small to have a row in every
    part is merged with others.

    Args:
        targets: Targets by head.
        labels: Encoded labels by head, see `keras_mm.data.tables.rows.Rows`.
        rows: Positions of the rows to divide.
        smallest: Share of the rows that the smallest part gets, in (0, 1].
        merged: Whether classes of a single head that are too small are merged, too; otherwise a
            split refuses them.

    Returns:
        The stratum of each of `rows`: a class name, or a number.
    """
    (name, target), *others = targets.items()
    if not (others or merged) and target.kind in ("multiclass", "binary"):
        return [(target.classes or ())[code] for code in labels[name][rows]]
    min_rows = max(2, math.ceil(1 / smallest))
    row_strata = np.zeros(len(rows), int)
    for name, target in targets.items():
        for codes in _codes(target.kind, labels[name][rows]):
            row_strata = _refined(row_strata, codes, min_rows)
    return row_strata.tolist()


def _known(labels: np.ndarray) -> np.ndarray:
    return np.any(known_labels(labels).reshape(len(labels), -1), axis=1)


def _codes(kind: str, labels: np.ndarray) -> list[np.ndarray]:
    """Arrays of codes by which the rows are divided, in order; -1 where the label is missing."""
    if kind == "regression":
        return [_fifths(column) for column in labels.reshape(len(labels), -1).T]
    if kind != "multilabel":
        return [labels.reshape(-1)]
    by_rarity = np.argsort((labels == 1).sum(axis=0), kind="stable")
    has_label = labels[:, by_rarity] == 1
    rarest = np.where(has_label.any(axis=1), has_label.argmax(axis=1), labels.shape[1])
    return [np.where(_known(labels), rarest, -1)]


def _fifths(values: np.ndarray) -> np.ndarray:
    is_known = ~np.isnan(values)
    edges = (
        np.quantile(values[is_known], np.arange(1, _QUANTILES) / _QUANTILES)
        if is_known.any()
        else []
    )
    return np.where(is_known, np.searchsorted(edges, values), -1)


def _refined(row_strata: np.ndarray, codes: np.ndarray, min_rows: int) -> np.ndarray:
    """Divides strata by `codes`; merges those that would have fewer than `min_rows` rows."""
    refined, count = np.zeros_like(row_strata), 0
    for stratum in np.unique(row_strata):
        rows = np.flatnonzero(row_strata == stratum)
        values, code_indices, sizes = np.unique(
            codes[rows], return_inverse=True, return_counts=True
        )
        numbers = np.arange(len(values))
        small = sizes < min_rows
        if small.any():
            # Together they are one stratum, if it is large enough; otherwise they join the largest.
            is_one_stratum = sizes[small].sum() >= min_rows or small.all()
            numbers[small] = np.flatnonzero(small)[0] if is_one_stratum else sizes.argmax()
        refined[rows] = count + numbers[code_indices]
        count += len(values)
    return refined
