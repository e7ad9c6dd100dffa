"""Stratified splits of a table, and folds for cross-validation; groups of rows stay together."""

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
_MAX_SWAP_TABLE = 4_000_000  # most pairs of groups that are compared: limits time and memory
_MOST_NAMED = 20  # most classes that a message lists


def stratified_split(
    table: Any,
    label: Column,
    *,
    val_size: float = 0.0,
    test_size: float = 0.0,
    groups: Column | None = None,
    seed: int = 42,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Splits a table into training, validation and test rows with the same shares of the labels.

    The test rows are drawn first, then `val_size` of the remaining rows, both exactly as by
    scikit-learn's `train_test_split(stratify=..., random_state=seed)`. With `groups`, the rows of a
    group go to the same part; groups are drawn so that the share of every class is as close to the
    size of the part as possible, and the rows keep the order of the table.

    Args:
        table: The rows, as in `keras_mm.load_table`, but not a path. The index and `attrs` of a
            pandas DataFrame are kept; the index of other tables is the row number from 0.
        label: Name of the label column, or one label per row.
        val_size: Share of the rows left after the test rows were drawn, in `[0, 1)`.
        test_size: Share of all rows, in `[0, 1)`.
        groups: Name of a column, or one value per row: rows with equal values stay together.
            `None` draws single rows.
        seed: Seed of the draw.

    Returns:
        `(train, val, test)`, pandas DataFrames; a part of size 0 has no rows.

    Raises:
        ValueError: listing all mistakes in the arguments; or if the split is impossible, e.g. for a
            class with a single row.

    Warns:
        UserWarning: if a part lacks a class.

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
    """Splits a table into folds for cross-validation: every row is a test row exactly once.

    Args:
        table: The rows, as in `keras_mm.load_table`, but not a path. The index and `attrs` of a
            pandas DataFrame are kept; the index of other tables is the row number from 0.
        label: Name of the label column, or one label per row.
        num_folds: Number of folds, >= 2.
        groups: Name of a column, or one value per row: rows with equal values stay together.
            `None` draws single rows.
        seed: Seed of the shuffle.

    Returns:
        Iterator over `(train, test)`, pandas DataFrames with rows in the order of the table. The
        arguments are checked before it is returned.

    Raises:
        ValueError: listing all mistakes in the arguments; or if there are fewer rows or groups than
            folds, or no class has a row for every fold.

    Warns:
        UserWarning: if a fold lacks a class.

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
        warnings.simplefilter("ignore", UserWarning)  # `_warn_absent` warns with the class names
        folds = list(splitter.split(rows.labels, rows.labels, rows.groups))
    _warn_absent(rows, {f"test fold {i}": test for i, (_, test) in enumerate(folds)})
    _warn_absent(rows, {f"train fold {i}": train for i, (train, _) in enumerate(folds)})
    return ((_take(table, train), _take(table, test)) for train, test in folds)


@dataclass(frozen=True)
class _Rows:
    """Labels and groups of the rows as integers, and the names of the classes."""

    labels: np.ndarray
    groups: np.ndarray | None
    classes: Sequence[Any]

    def counts(self, positions: np.ndarray) -> np.ndarray:
        """Counts the rows of each class at these positions."""
        return np.bincount(self.labels[positions], minlength=len(self.classes))

    def describe(self, positions: np.ndarray, selected: np.ndarray) -> str:
        """Lists the selected classes with their numbers of rows."""
        counts, positions_of_classes = self.counts(positions), np.flatnonzero(selected)
        shown = [
            f"{quote(self.classes[position])} ({counts[position]})"
            for position in positions_of_classes[:_MOST_NAMED]
        ]
        more = len(positions_of_classes) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


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
    """The table as a DataFrame; raises ValueError for a path, and for other values."""
    if isinstance(table, str | PathLike):
        raise InvalidValueError(
            "`table` must be a DataFrame or another table in memory; read files with "
            f"keras_mm.load_table first. Received: {type_name(table)}"
        )
    return next(memory_parts(table))


def _read_rows(
    table: pd.DataFrame, label: Column, groups: Column | None, mistakes: list[str]
) -> _Rows:
    """Encodes labels and groups; raises an error that lists all mistakes, also earlier ones."""
    if not len(table):
        mistakes.append("`table` has no rows to split.")
    labels, classes = encode_values(
        "label", column_values(table, "label", label, mistakes), mistakes
    )
    codes = None
    if groups is not None:
        codes, _ = encode_values(
            "groups", column_values(table, "groups", groups, mistakes), mistakes
        )
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    return _Rows(labels, codes, classes)


def column_values(
    table: pd.DataFrame, argument: str, column: Column, mistakes: list[str]
) -> np.ndarray:
    """Reads one value per row, from the name of a column or an array-like.

    Args:
        table: The rows.
        argument: Name of the argument that has the value `column`, for messages.
        column: The name of a column, or one value per row.
        mistakes: Messages of mistakes are appended to this list.

    Returns:
        An object array `(num_rows,)`; an empty array after a mistake.
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


def encode_values(
    argument: str, values: np.ndarray, mistakes: list[str]
) -> tuple[np.ndarray, Sequence[Any]]:
    """Encodes values as integers, in sorted order; a missing value is a mistake.

    Args:
        argument: Name of the argument that has the values, for messages.
        values: One value per row.
        mistakes: Messages of mistakes are appended to this list.

    Returns:
        Integers `(num_rows,)`, and the value of each integer.
    """
    missing = np.flatnonzero([is_missing(value) for value in values])
    if len(missing):
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        mistakes.append(
            f"`{argument}` is missing in {len(missing)} of {len(values)} rows (rows {shown}, "
            "counted from 0); remove these rows or fill in the values."
        )
    codes, classes = pd.factorize(values, sort=True)
    return codes, classes.tolist()


def _hold_out(
    rows: _Rows, positions: np.ndarray, part: str, size: float, seed: int, splits_rest: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Splits positions into the rest and a part; `splits_rest`: the rest is split again."""
    if not size:
        return positions, positions[:0]
    if rows.groups is None:
        _check_strata(rows, positions, part, size)
        from sklearn.model_selection import train_test_split  # slow to import

        rest, held = train_test_split(
            positions, test_size=size, stratify=rows.labels[positions], random_state=seed
        )
        return rest, held
    keep = 2 if splits_rest else 1
    num_groups = len(np.unique(rows.groups[positions]))
    if num_groups <= keep:
        raise InvalidValueError(
            f"`groups` has {num_groups} group(s) for {keep + 1} parts, but each part needs one. "
            "Ask for fewer parts, or split without groups."
        )
    held = _draw_groups(rows.labels[positions], rows.groups[positions], size, seed, keep)
    return positions[~held], positions[held]


def _check_strata(rows: _Rows, positions: np.ndarray, part: str, size: float) -> None:
    """Raises if scikit-learn's stratified split is impossible; its own messages name no class."""
    counts = rows.counts(positions)
    after = " left after the test rows were drawn" if part == "val" else ""
    if np.any(counts == 1):
        raise InvalidValueError(
            f"`{part}_size={size}` is impossible: a class needs two rows to be split, but these "
            f"have one{after}: {rows.describe(positions, counts == 1)}. Add rows, merge the class "
            f"into another or remove it, or set {part}_size=0."
        )
    num_held = math.ceil(size * len(positions))
    num_classes = int((counts > 0).sum())
    if min(num_held, len(positions) - num_held) < num_classes:
        raise InvalidValueError(
            f"`{part}_size={size}` is impossible: it splits {len(positions)} rows{after} into "
            f"{len(positions) - num_held} and {num_held}, but both need a row for each of "
            f"{num_classes} classes: {rows.describe(positions, counts > 0)}. Change the size or "
            "add rows."
        )


def _draw_groups(
    labels: np.ndarray, groups: np.ndarray, size: float, seed: int, keep: int
) -> np.ndarray:
    """Chooses whole groups to hold out; the share of each class gets as close to `size` as it can.

    Starts with a random draw. Then repeats the exchange of two groups (or the move of one group)
    that improves the shares most, until none improves them. At least one group is held out, and at
    least `keep` groups are not.

    Returns:
        Whether each row is held out, bool `(num_rows,)`.
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
    """Rows of each class in each group, and last their sum; shape `(groups, classes + 1)`."""
    _, group_codes = np.unique(groups, return_inverse=True)
    _, label_codes = np.unique(labels, return_inverse=True)
    counts = np.zeros((group_codes.max() + 1, label_codes.max() + 1))
    np.add.at(counts, (group_codes, label_codes), 1)
    return np.column_stack([counts, counts.sum(axis=1)])


def _exchange(
    table: np.ndarray, target: np.ndarray, held: np.ndarray, order: np.ndarray, keep: int
) -> bool:
    """Makes the best exchange in `held`; returns False if no exchange improves the counts."""
    # An empty group is added at the end: the exchange with it moves a group to the other side.
    leaving = _distinct(table, order[held[order]], held.sum() < len(held) - keep)
    entering = _distinct(table, order[~held[order]], held.sum() > 1)
    if len(leaving) * len(entering) > _MAX_SWAP_TABLE:
        return False
    padded = np.vstack([table, np.zeros_like(target)])
    gap = target - table[held].sum(axis=0)
    out, remaining = padded[leaving], gap - padded[entering]
    # `|remaining + out|^2` for every pair, expanded to save the memory of a third axis.
    errors = (remaining**2).sum(axis=1)[:, None] + (out**2).sum(axis=1) + 2 * remaining @ out.T
    best = np.unravel_index(np.argmin(errors), errors.shape)
    if not errors[best] < gap @ gap - 1e-6:
        return False
    flags = np.append(held, False)
    flags[entering[best[0]]], flags[leaving[best[1]]] = True, False
    held[:] = flags[:-1]
    return True


def _distinct(table: np.ndarray, candidates: np.ndarray, none_too: bool) -> np.ndarray:
    """One candidate for each distinct row of counts; with `none_too` also the empty group."""
    _, first = np.unique(table[candidates], axis=0, return_index=True)
    return np.append(candidates[first], len(table)) if none_too else candidates[first]


def _check_folds(rows: _Rows, num_folds: int) -> None:
    all_rows = np.arange(len(rows.labels))
    counts = rows.counts(all_rows)
    units = {"rows": len(all_rows)}
    if rows.groups is not None:
        units["groups"] = len(np.unique(rows.groups))
    for unit, number in units.items():
        if number < num_folds:
            raise InvalidValueError(
                f"`num_folds={num_folds}` is impossible with {number} {unit}; use at most {number} "
                "folds."
            )
    if counts.max() < num_folds:
        raise InvalidValueError(
            f"`num_folds={num_folds}` is impossible: no class has a row for every fold: "
            f"{rows.describe(all_rows, counts > 0)}. Use at most {counts.max()} folds."
        )


def _warn_absent(rows: _Rows, parts: dict[str, np.ndarray]) -> None:
    """Warns of classes that a part lacks."""
    counts = np.array([rows.counts(part) for part in parts.values()])
    absent = (counts == 0).any(axis=0)
    if not absent.any():
        return
    lacking = [name for name, row in zip(parts, counts, strict=True) if (row == 0).any()]
    warnings.warn(
        f"Some classes have too few rows to be in every part: "
        f"{rows.describe(np.arange(len(rows.labels)), absent)}. A class has none in "
        f"{', '.join(lacking)}, so metrics of such a part ignore the class.",
        UserWarning,
        stacklevel=3,
    )
