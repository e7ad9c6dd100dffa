"""Stratified splits of a table, with groups of rows kept whole."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import is_number, is_whole, quote
from keras_mm.data.tables.columns import missing_columns
from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.sources import cells_of, memory_parts, type_name
from keras_mm.errors import InvalidValueError

Column = Any  # a column's name, or values for each row
_MAX_SWAP_TABLE = 4_000_000
_MOST_NAMED = 20  # classes in a message


def stratified_split(
    table: Any,
    label: Column,
    *,
    val_size: float = 0.0,
    test_size: float = 0.0,
    groups: Column | None = None,
    seed: int = 42,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Splits a table into train, validation and test rows with the same shares of the labels.

    The test rows are drawn first, then `val_size` of the remainder, both exactly as
    scikit-learn's `train_test_split(stratify=..., random_state=seed)` does. With `groups`, rows
    of one group stay together; the groups are then drawn so that every class comes as near to its
    share as they allow, and the rows keep the table's order.

    Args:
        table: The rows, as `keras_mm.load_table` takes them, except a path. The index and `attrs`
            of a DataFrame are kept; rows of other tables are numbered from 0.
        label: Name of the label column, or one label per row.
        val_size: Share of the rows left after the test split, in `[0, 1)`.
        test_size: Share of all rows, in `[0, 1)`.
        groups: Name of the column, or one value per row, whose equal values stay together.
        seed: Seed of the draw.

    Returns:
        `(train, val, test)`, DataFrames of pandas; a part of size 0 is an empty frame.

    Raises:
        ValueError: naming all that is wrong with the arguments; or if such a split is impossible,
            e.g. for a class with a single row.

    Warns:
        UserWarning: if a part has no row of some class.

    Example:
        >>> table = pd.DataFrame({"text_1": list("abcdefgh"), "label": ["no", "yes"] * 4})
        >>> train, val, test = stratified_split(table, "label", test_size=0.25)
        >>> len(train), len(val), len(test), sorted(test["label"])
        (6, 0, 2, ['no', 'yes'])
    """
    table = _in_memory(table)
    mistakes = _size_mistakes(val_size=val_size, test_size=test_size)
    rows = _read_rows(table, label, groups, mistakes)
    left, test = _hold_out(rows, np.arange(len(table)), "test", test_size, seed, bool(val_size))
    train, val = _hold_out(rows, left, "val", val_size, seed, False)
    parts = {"train": train, "val": val, "test": test}
    _warn_absent(rows, {name: part for name, part in parts.items() if len(part)})
    return _take(table, train), _take(table, val), _take(table, test)


def stratified_k_fold(
    table: Any,
    label: Column,
    *,
    num_folds: int = 5,
    groups: Column | None = None,
    seed: int = 42,
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Folds of a table for cross-validation: every row is a test row once.

    Args:
        table: The rows, as `keras_mm.load_table` takes them, except a path. The index and `attrs`
            of a DataFrame are kept; rows of other tables are numbered from 0.
        label: Name of the label column, or one label per row.
        num_folds: Number of folds, >= 2.
        groups: Name of the column, or one value per row, whose equal values stay together.
        seed: Seed of the shuffle.

    Returns:
        Iterator of `(train, test)`, rows in the table's order. The arguments are checked at once.

    Raises:
        ValueError: naming all that is wrong with the arguments; or if there are fewer rows or
            groups than folds, or no class has a row for every fold.

    Warns:
        UserWarning: if some fold has no row of some class.

    Example:
        >>> table = pd.DataFrame({"text_1": list("abcdef"), "label": ["no", "yes"] * 3})
        >>> [len(test) for _, test in stratified_k_fold(table, "label", num_folds=3)]
        [2, 2, 2]
    """
    table, mistakes = _in_memory(table), []
    if not is_whole(num_folds, 2):
        mistakes.append(f"`num_folds` must be an integer >= 2. Received: num_folds={num_folds!r}")
    rows = _read_rows(table, label, groups, mistakes)
    _check_folds(rows, num_folds)
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow to import

    kind = StratifiedKFold if rows.groups is None else StratifiedGroupKFold
    splitter = kind(n_splits=num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # _warn_absent warns, with the names
        folds = list(splitter.split(rows.labels, rows.labels, rows.groups))
    _warn_absent(rows, {f"test fold {i}": test for i, (_, test) in enumerate(folds)})
    _warn_absent(rows, {f"train fold {i}": train for i, (train, _) in enumerate(folds)})
    return ((_take(table, train), _take(table, test)) for train, test in folds)


@dataclass(frozen=True)
class _Rows:
    """Labels and groups of the rows as integers, and the class names behind them."""

    labels: np.ndarray
    groups: np.ndarray | None
    classes: Sequence[Any]

    def counts(self, positions: np.ndarray) -> np.ndarray:
        """Rows of each class among these positions."""
        return np.bincount(self.labels[positions], minlength=len(self.classes))

    def describe(self, positions: np.ndarray, wanted: np.ndarray) -> str:
        """The wanted classes with their numbers of rows."""
        counts, places = self.counts(positions), np.flatnonzero(wanted)
        named = [
            f"{quote(self.classes[place])} ({counts[place]})" for place in places[:_MOST_NAMED]
        ]
        more = len(places) - len(named)
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _take(table: pd.DataFrame, positions: np.ndarray) -> pd.DataFrame:
    part = table.iloc[positions].copy()
    part.attrs = dict(table.attrs)
    return part


def _size_mistakes(**sizes: float) -> list[str]:
    return [
        f"`{name}` must be a share in [0, 1), e.g. 0.1. Received: {name}={size!r}"
        for name, size in sizes.items()
        if not (is_number(size) and 0 <= size < 1)
    ]


def _in_memory(table: Any) -> pd.DataFrame:
    """The table as a DataFrame; raises ValueError for a path, and for what is no table."""
    if isinstance(table, str | PathLike):
        raise InvalidValueError(
            "`table` must be a DataFrame or another table in memory; read a file with "
            f"keras_mm.load_table first. Received: {type_name(table)}"
        )
    return next(memory_parts(table))


def _read_rows(
    table: pd.DataFrame, label: Column, groups: Column | None, mistakes: list[str]
) -> _Rows:
    """Labels and groups of the table; raises for all mistakes, those given included."""
    if not len(table):
        mistakes.append("`table` has no rows to split.")
    labels, classes = _encode("label", column_values(table, "label", label, mistakes), mistakes)
    codes = None
    if groups is not None:
        codes, _ = _encode("groups", column_values(table, "groups", groups, mistakes), mistakes)
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    return _Rows(labels, codes, classes)


def column_values(
    table: pd.DataFrame, argument: str, column: Column, mistakes: list[str]
) -> np.ndarray:
    """One value per row, from a column's name or an array-like.

    Args:
        table: The rows.
        argument: Name of the argument that `column` was given as, for messages.
        column: A column's name, or one value per row.
        mistakes: What is wrong is appended here.

    Returns:
        An object array `(num_rows,)`; empty after a mistake.
    """
    if np.ndim(column) == 0:
        absent = missing_columns(table, [column])
        if not absent:
            column = table[column]
        mistakes += [f"`{argument}={column!r}`: the table has {absence}" for absence in absent]
    if np.ndim(column) == 1 and len(column) == len(table):
        return pd.Series(cells_of(column), dtype=object).to_numpy()
    if np.ndim(column):
        mistakes.append(
            f"`{argument}` must hold one value per row, {len(table)} in all. "
            f"Received: shape {np.shape(column)}"
        )
    return np.empty(0, dtype=object)


def _encode(
    argument: str, values: np.ndarray, mistakes: list[str]
) -> tuple[np.ndarray, Sequence[Any]]:
    """Values as integers in sorted order; an empty cell or NaN is a mistake."""
    missing = np.flatnonzero([is_missing(value) for value in values])
    if len(missing):
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        mistakes.append(
            f"`{argument}` is missing in {len(missing)} of {len(values)} rows (rows {shown}, "
            "counted from 0); drop these rows or fill them in."
        )
    codes, classes = pd.factorize(values, sort=True)
    return codes, classes.tolist()


def _hold_out(
    rows: _Rows, positions: np.ndarray, part: str, size: float, seed: int, more: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Splits positions into the rest and a part; `more`: another part is drawn from the rest."""
    if not size:
        return positions, positions[:0]
    if rows.groups is None:
        _check_strata(rows, positions, part, size)
        from sklearn.model_selection import train_test_split  # slow to import

        rest, held = train_test_split(
            positions, test_size=size, stratify=rows.labels[positions], random_state=seed
        )
        return rest, held
    keep = 2 if more else 1
    num_groups = len(np.unique(rows.groups[positions]))
    if num_groups <= keep:
        raise InvalidValueError(
            f"`groups` has {num_groups} group(s) for {keep + 1} parts; each part needs one of its "
            "own. Ask for fewer parts, or split without groups."
        )
    held = _draw_groups(rows.labels[positions], rows.groups[positions], size, seed, keep)
    return positions[~held], positions[held]


def _check_strata(rows: _Rows, positions: np.ndarray, part: str, size: float) -> None:
    """Raises where scikit-learn's stratified split is impossible."""
    counts = rows.counts(positions)
    after = " left after the test rows were drawn" if part == "val" else ""
    if np.any(counts == 1):
        raise InvalidValueError(
            f"`{part}_size={size}` is impossible: a class needs two rows to be split, and these "
            f"have one{after}: {rows.describe(positions, counts == 1)}. Add rows, merge the class "
            f"into another or drop it, or set {part}_size=0."
        )
    num_held = math.ceil(size * len(positions))
    num_classes = int((counts > 0).sum())
    if min(num_held, len(positions) - num_held) < num_classes:
        raise InvalidValueError(
            f"`{part}_size={size}` is impossible: it cuts {len(positions)} rows{after} into "
            f"{len(positions) - num_held} and {num_held}, and both need a row for each of "
            f"{num_classes} classes: {rows.describe(positions, counts > 0)}. Change the size or "
            "add rows."
        )


def _draw_groups(
    labels: np.ndarray, groups: np.ndarray, size: float, seed: int, keep: int
) -> np.ndarray:
    """Chooses the rows to hold out: whole groups, with each class as near to its share as possible.

    Starts from a random draw, then makes the exchange of two groups (or the move of one) that
    helps most, until none does. At least one group is held out and `keep` are not.
    """
    table = _group_counts(labels, groups)
    target = size * table.sum(axis=0)
    held = np.zeros(len(table), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(table))
    num_taken = 0
    for group in order[keep:]:
        held[group] = num_taken + table[group, -1] <= target[-1]
        num_taken += held[group] * table[group, -1]
    if not held.any():
        held[order[np.argmin(table[order, -1])]] = True
    while _exchange(table, target, held, order, keep):
        pass
    return held[np.unique(groups, return_inverse=True)[1]]


def _group_counts(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Rows of each class in each group; the last column is their sum, shape (groups, classes+1)."""
    _, group_codes = np.unique(groups, return_inverse=True)
    _, label_codes = np.unique(labels, return_inverse=True)
    counts = np.zeros((group_codes.max() + 1, label_codes.max() + 1))
    np.add.at(counts, (group_codes, label_codes), 1)
    return np.column_stack([counts, counts.sum(axis=1)])


def _exchange(
    table: np.ndarray, target: np.ndarray, held: np.ndarray, order: np.ndarray, keep: int
) -> bool:
    """Makes the best exchange in `held`; False if none brings the counts nearer to the target."""
    # Exchanging a group with an empty one, which is added at the end, moves it.
    leaving = _distinct(table, order[held[order]], held.sum() < len(held) - keep)
    entering = _distinct(table, order[~held[order]], held.sum() > 1)
    if len(leaving) * len(entering) > _MAX_SWAP_TABLE:
        return False
    padded = np.vstack([table, np.zeros_like(target)])
    gap = target - table[held].sum(axis=0)
    out, wanted = padded[leaving], gap - padded[entering]
    # |wanted + out|^2 for every pair, without a third axis
    errors = (wanted**2).sum(axis=1)[:, None] + (out**2).sum(axis=1) + 2 * wanted @ out.T
    best = np.unravel_index(np.argmin(errors), errors.shape)
    if not errors[best] < gap @ gap - 1e-6:
        return False
    flags = np.append(held, False)
    flags[entering[best[0]]], flags[leaving[best[1]]] = True, False
    held[:] = flags[:-1]
    return True


def _distinct(table: np.ndarray, candidates: np.ndarray, none_too: bool) -> np.ndarray:
    """One candidate of each kind of group (equal counts); with `none_too` also the empty group."""
    _, first = np.unique(table[candidates], axis=0, return_index=True)
    return np.append(candidates[first], len(table)) if none_too else candidates[first]


def _check_folds(rows: _Rows, num_folds: int) -> None:
    everything = np.arange(len(rows.labels))
    counts = rows.counts(everything)
    units = {"rows": len(everything)}
    if rows.groups is not None:
        units["groups"] = len(np.unique(rows.groups))
    for unit, number in units.items():
        if number < num_folds:
            raise InvalidValueError(
                f"`num_folds={num_folds}` is impossible with {number} {unit}; ask for at most "
                f"{number} folds."
            )
    if counts.max() < num_folds:
        raise InvalidValueError(
            f"`num_folds={num_folds}` is impossible: no class has a row for every fold: "
            f"{rows.describe(everything, counts > 0)}. Ask for at most {counts.max()} folds."
        )


def _warn_absent(rows: _Rows, parts: dict[str, np.ndarray]) -> None:
    """Warns about classes without a row in some part."""
    counts = np.array([rows.counts(part) for part in parts.values()])
    absent = (counts == 0).any(axis=0)
    if not absent.any():
        return
    where = [name for name, row in zip(parts, counts, strict=True) if (row == 0).any()]
    warnings.warn(
        f"Too few rows of {rows.describe(np.arange(len(rows.labels)), absent)} to reach every "
        f"part: some class has none in {', '.join(where)}. Metrics of such a part miss the class.",
        UserWarning,
        stacklevel=3,
    )
