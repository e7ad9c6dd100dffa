"""Trains a model on each of several folds, and averages them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.folds import Fold
from keras_mm.data.tables.rows import Rows
from keras_mm.estimator.decisions import default_decisions
from keras_mm.estimator.fit import (
    Callbacks,
    Outcome,
    build,
    check_training,
    create_preprocessor,
    new_trained,
    standardize,
    train,
)
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.reuse import Workbench, with_new_trunk
from keras_mm.estimator.spec import model_spec
from keras_mm.estimator.trained import Trained
from keras_mm.features.encode import encode_rows
from keras_mm.features.store.store import open_store
from keras_mm.features.table import FeatureTable
from keras_mm.inference.held_out import HeldOut
from keras_mm.models.ensemble import average
from keras_mm.models.multimodal import copy_variables, cut, input_names, parts
from keras_mm.progress import counted, progress_bar, progress_line
from keras_mm.training.callbacks import ValidationResult
from keras_mm.training.stages import StagesResult

Features = Mapping[str, FeatureTable]


def fit_folds(
    prepared: Prepared,
    workbench: Workbench,
    *,
    preprocessor: Preprocessor | None = None,
    callbacks: Callbacks = (),
    classifier_of: Callable[[Trained], Any],
) -> Outcome:
    """Trains a member on each fold of the rows, and averages their predictions.

    Frozen encoders run once over the rows, and all members share them. With trained encoders, each
    member has its own. Call it inside `keras_mm.random_state.seeded`.

    Args:
        prepared: Resolved settings, heads, rows and folds.
        workbench: Builds the models.
        preprocessor: The preprocessor of the models; by default that of the settings.
        callbacks: The user's Keras callbacks; each member is trained with them in turn.
        classifier_of: As in `keras_mm.estimator.fit.fit`.

    Returns:
        The average of the members, with the out-of-fold logits of all rows. If a training was
        stopped by an error, the average of the members so far, without these logits.

    Raises:
        ValueError: if labels or settings are not allowed for the heads.
    """
    check_training(prepared, callbacks)
    preprocessor = preprocessor or create_preprocessor(prepared.settings)
    members = _Members(prepared, workbench, preprocessor)
    folds, results = prepared.folds, []
    members.announce()
    with progress_bar(
        total=len(folds),
        description="training folds",
        unit="fold",
        show=bool(prepared.settings.verbose) and members.are_trunks,
    ) as bar:
        for fold in folds:
            results.append(members.train(fold, callbacks, classifier_of))
            bar.update(1)
            if results[-1].error is not None:
                break
    return _joined(members, results)


class _Members:
    """The members of an average, one for each fold.

    Args:
        prepared: As in `fit_folds`.
        workbench: As in `fit_folds`.
        preprocessor: The preprocessor of all members.

    Attributes:
        models: The members so far.
        are_trunks: Whether the members only differ in their trunks, as all encoders are frozen.
        logits: float32 `(num_rows, num_logits)` by head: the out-of-fold logits so far.
        second: The same of a second member that has the row among its validation rows.
    """

    def __init__(self, prepared: Prepared, workbench: Workbench, preprocessor: Preprocessor):
        self.prepared, self._workbench, self.preprocessor = prepared, workbench, preprocessor
        self.models: list[keras.Model] = []
        self._next, self._twin = build(prepared, workbench, preprocessor)
        settings = prepared.settings
        sides = {"vision": bool(settings.images), "text": bool(settings.texts)}
        used = {side for side, is_used in sides.items() if is_used}
        is_frozen = not any(settings.trains(side) for side in used)
        self.are_trunks = is_frozen and used == set(parts(self._next).encoders)
        self._store, self._batch_size = open_store(settings.cache), settings.batch_size
        self._names = input_names(cut(self._next))
        self._features, self._window_rows = self._encoded(prepared.rows)
        validation = prepared.validation
        self._val_features = {} if validation is None else self._encoded(validation)[0]
        self.logits = {
            name: np.full((len(prepared.rows), head.num_logits), np.nan, "float32")
            for name, head in prepared.heads.items()
        }
        self.second = {name: logits.copy() for name, logits in self.logits.items()}

    def train(
        self, fold: Fold, callbacks: Callbacks, classifier_of: Callable[[Trained], Any]
    ) -> StagesResult:
        """Trains the next member, and predicts the rows that its fold holds out."""
        number, model, twin = len(self.models), self._member(), self._twin
        part, features = self._part(fold)
        networks = [model] if twin is None else [model, twin]
        if twin is not None:
            copy_variables(parts(model).trunk, parts(twin).trunk)
        for network in networks:
            standardize(network, part.heads, part.rows.labels, part.rows.sample_weight)
        if not self.are_trunks:
            words = f"fold {number + 1} of {len(self.prepared.folds)}"
            progress_line(words, show=bool(self.prepared.settings.verbose))
        trained = new_trained(part, model, self.preprocessor)
        result = train(
            trained,
            part,
            twin=twin,
            features=features,
            callbacks=callbacks,
            classifier_of=classifier_of,
            verbose=0 if self.are_trunks else None,
        )
        self.models.append(model)
        self._batch_size = result.batch_size
        if result.error is None:
            if twin is not None and not callbacks:  # callbacks are given the model itself
                # The twin has the same weights; its prediction is compiled once for all members.
                trained = replace(trained, model=twin)
            self._predict(trained, fold.held_out)
            self._keep(result.validation, fold.val)
        return result

    def _member(self) -> keras.Model:
        number, settings = len(self.models), self.prepared.settings
        if not number:
            return self._next
        if not self.are_trunks:
            return build(self.prepared, self._workbench, self.preprocessor, member=number)[0]
        spec = model_spec(settings, self.prepared.heads, self.preprocessor)
        return with_new_trunk(self.models[0], spec, seed=settings.seed, member=number)

    def _part(self, fold: Fold) -> tuple[Prepared, list[Features]]:
        """Rows of a fold for training and for early stopping, and their features."""
        rows, validation = self.prepared.rows, self.prepared.validation
        chosen = {"train": rows.take(fold.train.tolist())}
        features: list[Features] = [self._of_rows(fold.train), self._val_features]
        if validation is not None:
            chosen["val"] = validation
        elif len(fold.val):
            chosen["val"] = rows.take(fold.val.tolist())
            features[1] = self._of_rows(fold.val)
        settings = replace(self.prepared.settings, batch_size=self._batch_size)
        return replace(self.prepared, settings=settings, parts=chosen, folds=()), features

    def _predict(self, trained: Trained, positions: np.ndarray) -> None:
        settings = self.prepared.settings
        predictor = trained.predictor(cache=settings.cache, engine=settings.engine, progress=False)
        rows = self.prepared.rows.take(positions.tolist())
        features = self._of_rows(positions) if self.are_trunks else None
        for name, logits in predictor.logits(rows, features).items():
            self.logits[name][positions] = logits

    def _keep(self, result: ValidationResult | None, positions: np.ndarray) -> None:
        """Keeps the logits of validation rows that no member before had among its own."""
        if result is None or self.prepared.validation is not None:
            return
        for name, logits in result.logits.items():
            is_new = np.isnan(self.second[name][positions]).all(axis=1)
            self.second[name][positions[is_new]] = logits[is_new]

    def _encoded(self, rows: Rows) -> tuple[dict[str, FeatureTable], np.ndarray | None]:
        """The features of frozen encoders for all windows of the rows, and each window's row."""
        settings = self.prepared.settings
        windows, window_rows = self.preprocessor.windows(rows)
        features = encode_rows(
            parts(self._next).encoders,
            windows,
            self.preprocessor,
            names=self._names,
            store=self._store,
            engine=settings.engine,
            progress=bool(settings.verbose),
        )
        return features, window_rows

    def announce(self) -> None:
        """Says what is trained, with sizes, if each fold trains encoders of its own."""
        if self.are_trunks:
            return
        count = len(self.prepared.folds)
        size = sum(math.prod(variable.shape) for variable in self._next.variables)
        progress_line(
            f"{count} folds train their own encoders, one after the other: the model will have "
            f"{counted(count * size, 'weight')}, {count * size * 4 / 1e6:,.0f} MB",
            show=bool(self.prepared.settings.verbose),
        )

    def _of_rows(self, positions: np.ndarray) -> dict[str, FeatureTable]:
        """The features of the windows of some rows, which are in ascending order."""
        if self._window_rows is not None:
            positions = np.flatnonzero(np.isin(self._window_rows, positions))
        return {name: table.take(positions) for name, table in self._features.items()}


def _joined(members: _Members, results: Sequence[StagesResult]) -> Outcome:
    """The average of the members, with their histories one after the other."""
    prepared, error = members.prepared, results[-1].error
    settings = prepared.settings
    if not results[-1].history and len(results) > 1:  # stopped in its first epoch: untrained
        members.models.pop()
        results = results[:-1]
    sides = [side for side in parts(members.models[0]).encoders if settings.trains(side)]
    model = average(members.models, prepared.heads, own_sides=sides)
    trained = new_trained(prepared, model, members.preprocessor)
    settings = replace(settings, batch_size=results[-1].batch_size, folds=len(members.models))
    history = join_histories([result.history for result in results])
    held_out = None if error is not None else _held_out(members)
    trained = replace(trained, settings=settings, history=history, held_out=held_out)
    return Outcome(default_decisions(trained), error)


def _held_out(members: _Members) -> HeldOut:
    prepared = members.prepared
    rows, fold = prepared.rows, np.zeros(len(prepared.rows), int)
    for number, each in enumerate(prepared.folds, 1):
        fold[each.held_out] = number
    return HeldOut(
        "out_of_fold",
        rows.numbers,
        rows.labels,
        members.logits,
        rows.sample_weight,
        fold,
        rows.groups,
        members.second,
        len(members.models),
    )


def join_histories(histories: Sequence[Mapping[str, list]]) -> dict[str, list]:
    """Joins the histories of the members of an average.

    Args:
        histories: The history of each member: metrics by name, a list over its epochs.

    Returns:
        Metrics by name, the lists one after the other, NaN where a member has no such metric; and
        `fold`, the number of the member of each epoch, from 1. The history of a single member is
        returned unchanged.
    """
    if len(histories) == 1:
        return dict(histories[0])
    lengths = [len(next(iter(history.values()), [])) for history in histories]
    names = dict.fromkeys(name for history in histories for name in history)
    joined = {
        name: [
            value
            for history, length in zip(histories, lengths, strict=True)
            for value in history.get(name, [math.nan] * length)
        ]
        for name in names
    }
    joined["fold"] = [n for n, length in enumerate(lengths, 1) for _ in range(length)]
    return joined
