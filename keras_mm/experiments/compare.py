"""Compares settings on a table: every cell of a grid is trained on the same folds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from sklearn.base import clone

from keras_mm.checks import check_whole, require
from keras_mm.data.tables.folds import Fold, draw_folds
from keras_mm.data.tables.load import load_table
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.run_columns import find_heads, with_columns
from keras_mm.errors import ConfigError
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.estimator.fit import check_training
from keras_mm.estimator.prepare import Prepared, prepare
from keras_mm.experiments.comparison import Comparison
from keras_mm.experiments.grid import Cell, expand_grid
from keras_mm.experiments.store import CellStore, table_digest
from keras_mm.progress import progress_bar
from keras_mm.settings.heads import Head
from keras_mm.settings.settings import Settings, settings_from
from keras_mm.version import __version__

_VAL_SIZE = 0.1  # of the rows outside a fold, for early stopping


def compare(
    table: Any,
    grid: Mapping[str, Any] | str,
    *,
    labels: Any = "label",
    folds: int = 5,
    repeats: int = 1,
    groups: Any = None,
    sample_weight: str | None = None,
    seed: int = 0,
    image_dir: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    **settings: Any,
) -> Comparison:
    """Trains every cell of a grid on the same folds, and compares the results.

    A row is predicted by the trunk that was not trained on it. Frozen encoders run once over the
    rows for all cells. The first cell is the reference that the others are compared with; the
    majority class stands beside them.

    Args:
        table: The rows, as in `MultimodalClassifier.fit`.
        grid: Values by axis, see `keras_mm.experiments.grid.expand_grid`; or `"example"`, the
            table of the Keras example: each modality with cross-entropy, weighted cross-entropy and
            focal loss.
        labels: As in `MultimodalClassifier`; a single head.
        folds: Number of folds, >= 2.
        repeats: How often all folds are drawn and trained anew, >= 1.
        groups: Column name, or array of shape `(num_rows,)`: rows of a group are in one fold.
        sample_weight: Column with the weights of the rows; `None` if all rows count 1.
        seed: Seed of the first repeat, of folds and weights; each next repeat has the next seed.
        image_dir: Folder that image paths are relative to.
        output: Folder in which each finished cell is kept at once. A comparison with the same
            folder goes on with the next cell.
        **settings: Other settings of all cells, as in `MultimodalClassifier`: `preset`, `images`,
            `texts`, `epochs`, ...

    Returns:
        The comparison: `table`, a DataFrame with a line for each cell, and `save(path)`.

    Raises:
        ConfigError: listing every setting and cell that is wrong, before anything runs; or if
            `output` holds a comparison of other rows or folds.
        TableError: listing every row that cannot be used.
        ValueError: if there are fewer rows or groups than folds.

    Example:
        >>> import keras_mm
        >>> train, _ = keras_mm.load_sample_data()
        >>> found = compare(
        ...     train[:120], {"loss": ["cross_entropy", "focal"]}, folds=2, texts=["text_2"],
        ...     preset="tiny", text_trainable=False, epochs=1, verbose=0,
        ... )
        >>> found.table["loss"].tolist()
        ['majority', 'cross_entropy', 'focal']
    """
    check_whole(repeats=repeats)
    values = {**settings, "labels": labels, "seed": seed, "folds": folds}
    run = _checked(
        load_table(table, image_dir=image_dir),
        grid,
        settings_from(values, Settings),
        repeats=repeats,
        groups=groups,
        weight_column=sample_weight,
    )
    return _run(run, output)


@dataclass(frozen=True)
class _Run:
    """A comparison whose settings, cells and rows are checked.

    Attributes:
        settings: The settings of all cells, with columns.
        cells: The cells.
        head: Name and head, with its classes.
        rows: All rows, with both modalities.
        folds: The folds of each repeat.
        digest: A digest of the rows.
    """

    settings: Settings
    cells: list[Cell]
    head: tuple[str, Head]
    rows: Rows
    folds: list[list[Fold]]
    digest: str


def _checked(
    table: pd.DataFrame,
    grid: Mapping[str, Any] | str,
    settings: Settings,
    *,
    repeats: int,
    groups: Any,
    weight_column: str | None,
) -> _Run:
    """Checks everything of a comparison; nothing is trained."""
    also = [name for name in (groups, weight_column) if isinstance(name, str)]
    base = with_columns(settings, table, also=also)
    cells = expand_grid(grid, base)
    heads = find_heads(base, table)
    if len(heads) > 1:
        raise ConfigError([f"one head is compared at a time. Received: the heads {list(heads)}"])
    weights = {} if weight_column is None else {"train": weight_column}
    rows = prepare(
        base,
        {"train": table},
        heads,
        groups=groups,
        weights=weights,
        progress=bool(base.verbose),
    ).rows
    drawn = [
        draw_folds(rows, heads, require(base.folds, "folds"), val_size=_VAL_SIZE, seed=seed)
        for seed in range(base.seed, base.seed + repeats)
    ]
    run = _Run(base, cells, next(iter(heads.items())), rows, drawn, table_digest(rows))
    _check_cells(run)
    return run


def _check_cells(run: _Run) -> None:
    """Checks the cells against the head and the labels, before any is trained."""
    name, head = run.head
    problems = []
    for cell in run.cells:
        settings = cell.apply(run.settings).resolved()
        parts = {"train": run.rows}
        for folds in run.folds:
            try:
                check_training(Prepared(settings, {name: head}, parts, {}, folds=folds))
            except ValueError as error:
                problems.append(f"{cell.name}: {error}")
                break
    if problems:
        raise ConfigError(problems, "grid")


def _run(run: _Run, output: str | os.PathLike | None) -> Comparison:
    """Trains the cells that are not in `output` yet, and compares all."""
    store = CellStore(output, _facts(run))
    name, head = run.head
    first = MultimodalClassifier(**vars(run.settings))
    frames: dict[int, list[pd.DataFrame]] = {place: [] for place in range(len(run.cells))}
    total = len(run.cells) * len(run.folds)
    with progress_bar(
        total=total, description="cells", unit="cell", show=bool(run.settings.verbose)
    ) as bar:
        for place, cell in enumerate(run.cells):
            for repeat, folds in enumerate(run.folds):  # inside: they share a compiled step
                key = f"{cell.key(run.settings)}-{run.settings.seed + repeat}"
                frame = store.read(key)
                if frame is None:
                    frame = _train(run, cell, first, folds, repeat)
                    store.write(key, frame)
                frames[place].append(frame)
                bar.update(1)
    return Comparison.of_cells(run.cells, name, head, run.rows, run.folds, frames)


def _train(
    run: _Run,
    cell: Cell,
    first: MultimodalClassifier,
    folds: Sequence[Fold],
    repeat: int,
) -> pd.DataFrame:
    """Trains a cell; returns its out-of-fold predictions and the seconds of the training."""
    name, head = run.head
    settings = replace(cell.apply(run.settings), seed=run.settings.seed + repeat, verbose=0)
    classifier = clone(first).set_params(**vars(settings))  # shares encoders and compiled steps
    rows = run.rows
    rows = rows if settings.images else rows.one_side("text")
    rows = rows if settings.texts else rows.one_side("vision")
    begun = time.perf_counter()
    classifier.fit_rows(rows, heads={name: head}, folds=folds)
    return classifier.out_of_fold_.assign(seconds=time.perf_counter() - begun)


def _facts(run: _Run) -> dict[str, Any]:
    """What must not change when a comparison goes on."""
    import keras

    settings = run.settings
    return {
        "rows": len(run.rows),
        "content of the rows": run.digest,
        "images": list(settings.images),
        "texts": list(settings.texts),
        "labels": repr(settings.labels),
        "classes": [str(value) for value in run.head[1].names],
        "folds": settings.folds,
        "seed": settings.seed,
        "groups": run.rows.groups is not None,
        "backend": keras.backend.backend(),
        "version of keras_mm": __version__,
    }
