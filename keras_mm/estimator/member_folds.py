"""Trains one member of a model on each fold, on features that all members share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_mm.checks import require
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.folds import Fold
from keras_mm.data.tables.rows import Rows
from keras_mm.estimator.fit import Callbacks, build, new_trained, train
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.reuse import Workbench, model_on, with_new_trunk
from keras_mm.estimator.spec import model_spec
from keras_mm.estimator.train_linear import train_linear
from keras_mm.estimator.trained import Trained
from keras_mm.features.encode import encode_rows
from keras_mm.features.store.store import open_store
from keras_mm.features.table import FeatureTable
from keras_mm.inference.predictor import Predictor
from keras_mm.models.multimodal import copy_variables, cut, input_names, parts
from keras_mm.progress import progress_line
from keras_mm.settings.members import SIDE_OF, Member, with_own
from keras_mm.training.callbacks import ValidationResult
from keras_mm.training.stages import StagesResult

Features = Mapping[str, FeatureTable]
Logits = dict[str, np.ndarray]

_SKIP_RATE = 0.3  # of the learning rate: a linear layer of many features learns fast


class SharedFeatures:
    """The first model of a training with folds, and the features of its frozen encoders.

    Args:
        prepared: Resolved settings, heads, rows and folds.
        workbench: Builds the models.
        preprocessor: The preprocessor of all models.
        kind: Kind of the first member.

    Attributes:
        prepared: Resolved settings, heads, rows and folds.
        workbench: Builds the models.
        preprocessor: The preprocessor of all models.
        kind: Kind of `model`.
        model: A new model of that kind that reads all modalities; if `are_frozen`, its encoders are
            those of all members.
        twin: The twin of its trunk; see `Workbench.model`.
        are_frozen: Whether all encoders are frozen and outside the trunk.
    """

    def __init__(
        self, prepared: Prepared, workbench: Workbench, preprocessor: Preprocessor, kind: str
    ):
        self.prepared, self.workbench, self.preprocessor = prepared, workbench, preprocessor
        self.kind = kind
        self.model, self.twin = build(prepared, workbench, preprocessor, kind=kind)
        settings = prepared.settings
        sides = {"vision": bool(settings.images), "text": bool(settings.texts)}
        used = {side for side, is_used in sides.items() if is_used}
        is_frozen = not any(settings.trains(side) for side in used)
        self.are_frozen = is_frozen and used == set(parts(self.model).encoders)
        self._store = open_store(settings.cache)
        self._names: set[str] = set()
        self._windows = {
            part: preprocessor.windows(rows)
            for part, rows in (("train", prepared.rows), ("val", prepared.validation))
            if rows is not None
        }
        self._features: dict[str, dict[str, FeatureTable]] = {part: {} for part in self._windows}
        self.include(self.model)

    def include(self, model: keras.Model) -> None:
        """Encodes what a model reads, as far as no model before has read it.

        Args:
            model: A model on the same encoders.
        """
        names = [name for name in input_names(cut(model)) if name not in self._names]
        if not names:
            return
        for part, (windows, _) in self._windows.items():
            self._features[part] |= encode_rows(
                parts(self.model).encoders,
                windows,
                self.preprocessor,
                names=names,
                store=self._store,
                engine=self.prepared.settings.engine,
                progress=bool(self.prepared.settings.verbose),
            )
        self._names |= set(names)

    def of_rows(self, positions: np.ndarray) -> dict[str, FeatureTable]:
        """The features of some training rows, or of their windows.

        Args:
            positions: Positions of rows, ascending.

        Returns:
            Features by the trunk's input names.
        """
        window_rows = self._windows["train"][1]
        if window_rows is not None:
            positions = np.flatnonzero(np.isin(window_rows, positions))
        return {name: table.take(positions) for name, table in self._features["train"].items()}

    @property
    def of_validation(self) -> dict[str, FeatureTable]:
        """The features of the validation rows; none without such rows."""
        return self._features.get("val", {})


class MemberFolds:
    """Trains a member on each fold.

    Args:
        shared: The features.
        member: Kind and modalities of the member.
        number: Number of the member in the model, from 0; only that and the seed decide the first
            weights.

    Attributes:
        models: The models of the folds so far.
        batch_size: Rows of the batches that fit memory.
        logits: float32 `(num_rows, num_logits)` by head: the out-of-fold logits so far.
        second: The same of a second model that has the row among its validation rows.
        without: The out-of-fold logits if all images, or all texts, are hidden, by `"image"` and
            `"text"` and by head.
    """

    def __init__(self, shared: SharedFeatures, member: Member, number: int):
        self._shared, self.member, self._number = shared, member, number
        prepared = shared.prepared
        self._settings = with_own(prepared.settings, dict(member.own))
        self.models: list[keras.Model] = []
        self.batch_size = prepared.settings.batch_size
        self.logits = {
            name: np.full((len(prepared.rows), head.num_logits), np.nan, "float32")
            for name, head in prepared.heads.items()
        }
        self.second = {name: logits.copy() for name, logits in self.logits.items()}
        self.without: dict[str, Logits] = {}
        self._first, self._twin = self._build()
        shared.include(self._first)

    def train(
        self,
        fold: Fold,
        callbacks: Callbacks,
        classifier_of: Callable[[Trained], Any],
        *,
        hidden: Sequence[str] = (),
    ) -> StagesResult:
        """Trains the model of the next fold, and predicts the rows that it holds out.

        Args:
            fold: The fold.
            callbacks: The user's Keras callbacks.
            classifier_of: As in `keras_mm.estimator.fit.fit`.
            hidden: Modalities without which the rows are predicted, too.

        Returns:
            The result of the training.
        """
        shared, model, twin = self._shared, self._model(), self._twin
        part, features = self._part(fold)
        if not shared.are_frozen:
            words = f"fold {len(self.models) + 1} of {len(shared.prepared.folds)}"
            progress_line(words, show=bool(part.settings.verbose))
        trained = new_trained(part, model, shared.preprocessor)
        if self.member.kind == "linear":
            result = self._train_linear(trained, part, features)
        else:
            if twin is not None:
                copy_variables(parts(model).trunk, parts(twin).trunk)
            result = train(
                trained,
                part,
                twin=twin,
                is_new=True,
                features=features,
                callbacks=callbacks,
                classifier_of=classifier_of,
                verbose=0 if shared.are_frozen else None,
            )
        self.models.append(model)
        self.batch_size = result.batch_size
        if result.error is None:
            if twin is not None and not callbacks:  # callbacks are given the model itself
                # The twin has the same weights; its prediction is compiled once for all folds.
                trained = replace(trained, model=twin)
            self._predict(trained, fold.held_out, hidden)
            self._keep(result.validation, fold.val)
        return result

    def _train_linear(
        self, trained: Trained, part: Prepared, features: Sequence[Features]
    ) -> StagesResult:
        """Fits a linear model; an error is returned, as what was trained before is kept."""
        try:
            return train_linear(trained, part, features)
        except BaseException as error:
            return StagesResult({}, require(part.settings.batch_size, "batch_size"), error)

    def _build(self) -> tuple[keras.Model, keras.Model | None]:
        """The model of the first fold, and a twin."""
        shared, settings = self._shared, self._settings
        sides = {SIDE_OF[modality] for modality in self.member.modalities}
        encoders = parts(shared.model).encoders
        is_first = not self._number and self.member.kind == shared.kind and not self.member.own
        if is_first and sides >= set(encoders):
            return shared.model, None if self.member.kind == "linear" else shared.twin
        own = {side: encoder for side, encoder in encoders.items() if side in sides}
        spec = model_spec(settings, shared.prepared.heads, shared.preprocessor)
        model, twin = model_on(
            own, spec, seed=settings.seed, member=self._seed(), kind=self.member.kind
        )
        return model, None if self.member.kind == "linear" else twin

    def _model(self) -> keras.Model:
        """A new model for the next fold."""
        shared, settings = self._shared, self._settings
        if not self.models:
            return self._first
        if not shared.are_frozen:
            number = len(self.models)
            return build(shared.prepared, shared.workbench, shared.preprocessor, member=number)[0]
        spec = model_spec(settings, shared.prepared.heads, shared.preprocessor)
        return with_new_trunk(
            self.models[0], spec, seed=settings.seed, member=self._seed(), kind=self.member.kind
        )

    def _seed(self) -> int:
        """Number of the trunk among all trunks of the model."""
        return self._number * len(self._shared.prepared.folds) + len(self.models)

    def _part(self, fold: Fold) -> tuple[Prepared, list[Features]]:
        """Rows of a fold for training and for early stopping, and their features."""
        shared, prepared = self._shared, self._shared.prepared
        rows, validation = prepared.rows, prepared.validation
        chosen = {"train": rows.take(fold.train.tolist())}
        features: list[Features] = [shared.of_rows(fold.train), shared.of_validation]
        if validation is not None:
            chosen["val"] = validation
        elif len(fold.val):
            chosen["val"] = rows.take(fold.val.tolist())
            features[1] = shared.of_rows(fold.val)
        settings = replace(self._settings, batch_size=self.batch_size)
        if self.member.kind == "linear_skip":
            rate = require(settings.learning_rate, "learning_rate")
            settings = replace(settings, learning_rate=_SKIP_RATE * rate)
        return replace(prepared, settings=settings, parts=chosen, folds=()), features

    def _predict(self, trained: Trained, positions: np.ndarray, hidden: Sequence[str]) -> None:
        shared, settings = self._shared, self._shared.prepared.settings
        predictor = trained.predictor(cache=settings.cache, engine=settings.engine, progress=False)
        rows = shared.prepared.rows.take(positions.tolist())
        features = shared.of_rows(positions) if shared.are_frozen else None
        found: Mapping[str, np.ndarray] = predictor.logits(rows, features)
        _put(self.logits, positions, found)
        for modality in hidden:
            if modality in self.member.modalities and len(self.member.modalities) > 1:
                found = _without(predictor, rows, modality, features)
            else:
                found = {name: logits[positions] for name, logits in self.logits.items()}
            into = self.without.setdefault(
                modality,
                {name: np.full_like(logits, np.nan) for name, logits in self.logits.items()},
            )
            _put(into, positions, found)

    def _keep(self, result: ValidationResult | None, positions: np.ndarray) -> None:
        """Keeps the logits of validation rows that no model before had among its own."""
        if result is None or self._shared.prepared.validation is not None:
            return
        for name, logits in result.logits.items():
            is_new = np.isnan(self.second[name][positions]).all(axis=1)
            self.second[name][positions[is_new]] = logits[is_new]


def _put(into: Logits, positions: np.ndarray, logits: Mapping[str, np.ndarray]) -> None:
    for name, values in logits.items():
        into[name][positions] = values


def _without(
    predictor: Predictor, rows: Rows, modality: str, features: Features | None
) -> Mapping[str, np.ndarray]:
    """The logits of rows whose images, or texts, are hidden."""
    hidden: dict[str, Any] = {
        f"{modality}s": tuple([None] * len(rows) for _ in getattr(rows, f"{modality}s"))
    }
    return predictor.logits(replace(rows, **hidden), features)
