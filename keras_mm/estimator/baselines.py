"""Prepares the training of baselines: their rows, and the features that they share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from keras_mm.data.tables.load import load_table
from keras_mm.data.tables.partition import split_rows
from keras_mm.data.tables.rows import Rows
from keras_mm.estimator.alone import predict_alone
from keras_mm.estimator.options import settings_for_heads
from keras_mm.estimator.prepare import FitArgs, Prepared, prepare_heads
from keras_mm.estimator.trained import Trained
from keras_mm.evaluation.baselines.rivals import TrainingRows
from keras_mm.features.store.store import FeatureStore
from keras_mm.inference.predictor import Predictor
from keras_mm.settings.baselines import chosen_baselines
from keras_mm.settings.heads import Head

_VALIDATION = 0.1  # share of the training rows for early stopping
_NO_ROWS = (
    "No baseline was trained, as there are no training rows: evaluate(..., train=rows) takes them."
)


@dataclass(frozen=True)
class BaselineRows:
    """Which baselines an evaluation trains, and on which rows.

    Attributes:
        kinds: Names of `keras_mm.settings.baselines.BASELINES`.
        prepared: Heads and rows of the training; `None` if there are none. The settings are those
            of the model that is evaluated.
        notes: Sentences for the report.
    """

    kinds: tuple[str, ...] = ()
    prepared: Prepared | None = None
    notes: tuple[str, ...] = field(default=())


def find_baseline_rows(
    trained: Trained,
    heads: Mapping[str, Head],
    baselines: Any,
    arguments: FitArgs,
) -> BaselineRows:
    """Reads the training rows of baselines.

    Args:
        trained: The model that is evaluated.
        heads: The heads to evaluate, by name.
        baselines: As in `keras_mm.settings.baselines.chosen_baselines`.
        arguments: The training table and how to read it; without table, `data` is `None`. Weights
            and groups are only read from columns that the table has.

    Returns:
        The baselines to train and their rows; without rows, a note says so.

    Raises:
        ValueError: for an unknown baseline.
        TableError: listing every problem of the table.
    """
    kinds = chosen_baselines(baselines)
    if not kinds:
        return BaselineRows()
    if arguments.data is None:
        return BaselineRows(notes=(_NO_ROWS,))
    if isinstance(arguments.data, Prepared):
        return BaselineRows(kinds, arguments.data)
    table = load_table(arguments.data, image_dir=arguments.image_dir)
    weights, groups = (
        column if isinstance(column, str) and column in table else None
        for column in (arguments.sample_weight, arguments.groups)
    )
    arguments = replace(arguments, data=table, sample_weight=weights, groups=groups)
    settings = trained.settings
    folds = settings.folds or 1
    arguments = replace(arguments, validation_split=_VALIDATION if folds > 1 else 0.0)
    prepared = prepare_heads(settings, settings, heads, arguments, folds=folds)
    return BaselineRows(kinds, prepared if prepared.folds else _with_validation(prepared))


@contextmanager
def baseline_training(
    trained: Trained, predictor: Predictor, rows: Rows, found: BaselineRows
) -> Iterator[tuple[Predictor, TrainingRows | None]]:
    """Provides the training of baselines, which all use the same features.

    Args:
        trained: The model that is evaluated.
        predictor: Its predictor. If it has no feature cache, a temporary one is used.
        rows: The rows to evaluate.
        found: The baselines and their rows.

    Yields:
        The predictor to evaluate with, and the rows to train on; `None` without baselines.
    """
    prepared = found.prepared
    if prepared is None:
        yield predictor, None
        return
    settings, own = settings_for_heads(trained.settings, prepared.heads)
    prepared = replace(prepared, settings=settings, heads=own)
    with TemporaryDirectory(prefix="keras_mm_", ignore_cleanup_errors=True) as folder:
        store = predictor.store or FeatureStore(folder)

        def alone(side: str) -> dict[str, np.ndarray]:
            return predict_alone(
                trained, prepared, rows, side, cache=store.folder, engine=predictor.engine
            )

        yield (
            replace(predictor, store=store),
            TrainingRows(
                found.kinds, _all_rows(prepared), alone, settings.class_weight, settings.seed
            ),
        )


def _with_validation(prepared: Prepared) -> Prepared:
    """Draws rows for early stopping from the training rows, if they can be split."""
    rows = prepared.rows
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a part may lack a rare class
            drawn = split_rows(
                rows, prepared.heads, val_size=_VALIDATION, seed=prepared.settings.seed
            )
    except ValueError:  # a class with a single row
        return prepared
    return replace(prepared, parts={name: rows.take(chosen) for name, chosen in drawn.items()})


def _all_rows(prepared: Prepared) -> Rows:
    """Training and validation rows: all rows that the training has seen."""
    first, second = prepared.rows, prepared.validation
    if second is None:
        return first
    weights = groups = None
    if first.sample_weight is not None or second.sample_weight is not None:
        weights = np.concatenate(
            [
                np.ones(len(r)) if r.sample_weight is None else r.sample_weight
                for r in (first, second)
            ]
        )
    if first.groups is not None:
        # Validation rows of another table have no groups: each is a group of its own.
        own = np.arange(len(second)) + first.groups.max() + 1
        groups = np.concatenate([first.groups, own if second.groups is None else second.groups])
    return Rows(
        tuple(one + other for one, other in zip(first.images, second.images, strict=True)),
        tuple(one + other for one, other in zip(first.texts, second.texts, strict=True)),
        {
            name: np.concatenate([values, second.labels[name]])
            for name, values in first.labels.items()
        },
        first.numbers.append(second.numbers),
        sample_weight=weights,
        groups=groups,
    )
