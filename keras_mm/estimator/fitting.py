"""How an estimator is trained: from settings and a table to a model, and to more heads of it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, fields, replace
from numbers import Real
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_mm.data.dataset import RowBatches
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.columns import missing_columns
from keras_mm.data.tables.load import load_beside, load_table, table_name
from keras_mm.data.tables.partition import read_parts
from keras_mm.data.tables.rows import Rows
from keras_mm.data.tables.run_columns import (
    find_heads,
    has_pair,
    label_columns,
    label_heads,
    with_columns,
)
from keras_mm.data.tables.targets import with_classes
from keras_mm.data.text.tokenizer import Tokenizer
from keras_mm.errors import ConfigError, InvalidValueError
from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.rollback import Rollback
from keras_mm.features.batches import FeatureBatches
from keras_mm.features.store.store import open_store
from keras_mm.inference.answers import by_head
from keras_mm.inference.predictor import Predictor
from keras_mm.metrics.head_metrics import head_prior, is_labelled
from keras_mm.models.heads import body_of, heads_alone, only, widened, with_heads
from keras_mm.models.layers.scaling import standardize_targets
from keras_mm.models.multimodal import join, parts
from keras_mm.progress import keras_output
from keras_mm.random_state import seeded
from keras_mm.settings.augmentation import as_augmentation
from keras_mm.settings.heads import HEAD_LOSSES, Head, resolve_threshold
from keras_mm.settings.label_keys import place_finder
from keras_mm.settings.settings import Settings
from keras_mm.settings.sliding_window import SlidingWindow, as_sliding_window
from keras_mm.training.callbacks import TrainingObserver
from keras_mm.training.memory import Snapshot
from keras_mm.training.objectives import create_objectives
from keras_mm.training.stages import FineTuning, StagesResult, fit_stages
from keras_mm.training.trainer import Trainer

_log = logging.getLogger("keras_mm")


class Fitting:
    """What an estimator of `Settings` does to be trained.

    A class that is built on it has the settings as parameters.

    Attributes:
        model_: The Keras model; only there where a training has come to its end.
        heads_: Heads by name, with their classes.
        priors_: What each head would answer without seeing anything, by name.
        preprocessor_: What makes the model's inputs.
        history_: Metrics by name, a list over the epochs.
        num_rows_: Training rows.
        skipped_: Problems of the training rows that were left out.
    """

    model_: keras.Model
    priors_: dict[str, list[float]]
    preprocessor_: Preprocessor
    history_: dict[str, list]
    num_rows_: int
    _settings_: Settings
    # Backbones of the user's own that a loaded classifier cannot begin anew with.
    _own_networks: tuple[str, ...] = ()
    _workbench: Workbench | None = None
    heads_: dict[str, Head]
    # Heads as `add_head` took them, trained or not.
    _declared: Mapping[str, Head] = MappingProxyType({})

    @property
    def _added(self) -> dict[str, Head]:
        """Heads that are not trained yet, and so no part of the model."""
        return {name: head for name, head in self._declared.items() if name not in self.heads_}

    def _bench(self) -> Workbench:
        """What this classifier and its clones make their models with, one after the other."""
        if self._workbench is None:
            self._workbench = Workbench()
        return self._workbench

    def _settings(self) -> Settings:
        going_on = self.warm_start and hasattr(self, "model_")  # type: ignore[attr-defined]
        for name in self._own_networks:
            if getattr(self, name) is None and not going_on:
                raise InvalidValueError(
                    f"this classifier was trained with a keras.Model of your own as `{name}`, and "
                    "a saved model holds it as it was trained. To train anew, give it again: "
                    f"set_params({name}=...)."
                )
        return Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})

    def _read(
        self, data, y, validation_data, validation_split, groups, image_dir, on_error, heads=None
    ) -> tuple[Settings, dict[str, Head], dict[str, Rows]]:
        """Settings with the table's columns, heads and checked rows; the table is let go."""
        settings, table = self._settings(), load_table(data, image_dir=image_dir)
        if y is not None:
            columns = label_columns(label_heads(settings.resolved()) if heads is None else heads)
            table = with_labels(table, y, columns)
        if heads is None:
            settings = with_columns(settings, table).resolved()
            heads = find_heads(settings, table)
            if settings.warm_start and hasattr(self, "model_"):
                old = self.heads_
                heads = {name: _with_old(head, old.get(name)) for name, head in heads.items()}
        else:
            used = self._settings_
            settings = replace(settings, images=used.images, texts=used.texts).resolved()
            absent = missing_columns(table, [*used.images, *used.texts, *label_columns(heads)])
            if absent:
                raise ConfigError([f"{table_name(table)}: {sentence}" for sentence in absent])
            heads = with_classes(heads, table)
        tables = {"train": table}
        if validation_data is not None:
            tables["val"] = load_beside(validation_data, image_dir, settings.images)
        parts = read_parts(
            tables,
            images=settings.images,
            texts=settings.texts,
            labels=heads,
            val_size=0.0 if validation_data is not None else validation_split,
            groups=groups,
            seed=settings.seed,
            on_error=on_error,
            progress=bool(settings.verbose),
        )
        return settings, heads, parts

    def _fit(self, settings, rows: Rows, validation: Rows | None, heads, callbacks):
        warm = settings.warm_start and hasattr(self, "model_")
        former = copy(self) if warm else None
        rollback = Rollback(self, self._bench(), in_place=warm)
        try:
            with seeded(settings.seed):
                result = self._trained(settings, rows, validation, heads, callbacks, former)
        except BaseException:
            rollback.put_back()
            raise
        if result.error is None:
            return self
        if rollback.had_model or not result.history:
            rollback.put_back()
        if rollback.had_model:
            _log.warning("the classifier keeps the model that it had before this training")
        raise result.error

    def _trained(
        self, settings, rows: Rows, validation: Rows | None, heads, callbacks, former
    ) -> StagesResult:
        """Trains anew, or goes on with the model of `former`, and takes all of it over."""
        self._settings_, self.heads_ = settings, dict(heads)
        self.num_rows_, self.skipped_ = len(rows), rows.skipped
        labels = by_head(heads, rows.labels)
        self.priors_ = {n: head_prior(head, labels[n]).tolist() for n, head in heads.items()}
        create_objectives(heads, widths(heads), labels, {}, **objective_options(settings))
        _check_tie(settings, heads)
        check_labelled(heads, labels)
        model = twin = None
        if former is not None:
            model = self._continued(former)
        else:
            self.preprocessor_ = _preprocessor(settings)
            with keras_output(show=bool(settings.verbose)):
                model, twin = self._bench().model(
                    self._model_spec(),
                    vision_weights=settings.vision_weights,
                    text_weights=settings.text_weights,
                    seed=settings.seed,
                )
            for network in (model, twin):
                if network is not None:
                    _standardize(network, heads, labels)
        result = self._train(model, twin, settings, heads, rows, validation, callbacks)
        self._settings_ = replace(settings, batch_size=result.batch_size)
        self.model_, self.history_ = model, result.history
        return result

    def _continued(self, former: Fitting) -> keras.Model:
        """The model to be trained on: with the classes of `heads_`, where it had fewer.

        Args:
            former: The estimator as it was.

        Raises:
            ValueError: if the settings ask for another model than there is.
        """
        old, new = former.heads_, self.heads_
        changed = _changed(former._model_spec(), self._model_spec())
        if former._settings_.special_tokens != self._settings_.special_tokens:
            changed.append("special_tokens")
        if list(old) != list(new):
            changed.append(f"heads {list(new)} in the place of {list(old)}; see `labels`")
        elif any(_layers(old[n]) != _layers(new[n]) for n in old):
            changed.append("heads")
        if changed:
            raise InvalidValueError(
                "warm_start=True goes on with the model that there is, and the settings ask for "
                f"another one ({', '.join(changed)}). Set them back, or warm_start=False."
            )
        model, wider = former.model_, {}
        for name, head in new.items():
            if head.num_logits > old[name].num_logits:
                wider[name] = head
        if not wider:
            return model
        encoders, trunk = parts(model)
        return join(encoders, widened(trunk, wider, list(old)))

    def _train(self, model, twin, settings, heads, rows, validation, callbacks) -> StagesResult:
        """Trains a model's outputs, `heads`."""
        training = settings.training
        tuning = FineTuning(
            model,
            training.stages or (),
            lora_rank=training.lora_rank,
            lora_alpha=training.lora_alpha,
            twin=None if callbacks else twin,  # which callbacks would get to see
        )
        for observer in callbacks:
            if isinstance(observer, TrainingObserver):
                observer.classifier = self._as_it_is(model)
        source = FeatureBatches(
            model,
            self.preprocessor_,
            (rows, validation),
            store=open_store(settings.cache),
            engine=settings.engine,
            progress=bool(settings.verbose),
        )
        return fit_stages(
            tuning,
            source.batches,
            source.forget,
            heads=heads,
            encoder_learning_rate=settings.encoder_learning_rate,
            layer_decay=training.layer_decay,
            batch_size=settings.batch_size,
            auto_find_batch_size=training.auto_find_batch_size,
            callbacks=callbacks,
            **objective_options(settings),
            **_trainer_options(settings),
        )

    def _as_it_is(self, model: keras.Model) -> Fitting:
        """A classifier of its own with a model that is still being trained."""
        found = copy(self)
        found.model_, found.history_ = model, {}
        return found

    def _train_heads(self, settings, heads, rows, validation, callbacks) -> None:
        """Trains new heads on what the model before them gives, and puts them in."""
        encoders, trunk = parts(self.model_)
        grown = with_heads(trunk, heads, list(self.heads_))
        _standardize(grown, heads, by_head(heads, rows.labels))
        cut = [
            (None, None) if part is None else self.preprocessor_.windows(part)
            for part in (rows, validation)
        ]
        shuffled: dict[str, Any] = {"shuffle": True, "seed": settings.seed}
        body = join(encoders, body_of(grown, next(iter(heads))))
        batches = [
            None if part is None else RowBatches(
                {"fused": self._predictor().run(body, part)},
                labels=part.labels,
                owners=owners,
                window=self.preprocessor_.sliding_window,
                batch_size=settings.batch_size,
                **options,
            )
            for (part, owners), options in zip(cut, (shuffled, {}), strict=True)
        ]  # fmt: skip
        trainer = Trainer(
            heads_alone(grown, list(heads)),
            heads=heads,
            callbacks=callbacks,
            **objective_options(settings),
            **_trainer_options(settings),
        )
        self._put_in(join(encoders, grown), heads, trainer.fit(*batches))

    def _predictor(self) -> Predictor:
        """What answers rows by the model as it is now."""
        used = self._settings_
        return Predictor(
            self.model_,
            self.preprocessor_,
            self.heads_,
            images=used.images,
            texts=used.texts,
            batch_size=used.batch_size,
            store=open_store(self.cache),  # type: ignore[attr-defined]
            engine=self.engine,  # type: ignore[attr-defined]
            progress=bool(self.verbose),  # type: ignore[attr-defined]
        )

    def _train_through(self, settings, heads, rows, validation, callbacks) -> None:
        """Trains new heads and all before them that `fit` trains."""
        if set(self.heads_) - set(heads):
            warnings.warn(
                "The fusion, and what else is trained, is shared: the answers of the other heads "
                f"({', '.join(sorted(set(self.heads_) - set(heads)))}) change.",
                stacklevel=3,
            )
        changed = _changed(self._model_spec(), self._model_spec(settings))
        if changed:
            raise InvalidValueError(
                "freeze=False trains the model that there is, and the settings ask for another one "
                f"({', '.join(changed)}). Set them back."
            )
        encoders, trunk = parts(self.model_)
        grown = with_heads(trunk, heads, list(self.heads_))
        _standardize(grown, heads, by_head(heads, rows.labels))
        own, before = join(encoders, only(grown, list(heads))), Snapshot(self.model_.variables)
        result = self._train(own, None, settings, heads, rows, validation, callbacks)
        if result.error is not None:
            before.restore()
            raise result.error
        self._put_in(join(encoders, grown), heads, result.history)

    def _put_in(self, model, heads, history) -> None:
        """Takes over a model with trained heads, and adds their history by head to that of all."""
        if len(self.heads_) == 1:
            self.history_ = _of_head(self.history_, next(iter(self.heads_)))
        several = len(self.heads_) > 1 or set(heads) != set(self.heads_)
        if several:
            own = _of_head(history, next(iter(heads))) if len(heads) == 1 else history
            history = {**self.history_, **{n: v for n, v in own.items() if n not in _TOTALS}}
        self.model_, self.history_ = model, history
        self.heads_ = {**self.heads_, **heads}

    def _model_spec(self, settings: Settings | None = None) -> dict:
        settings = self._settings_ if settings is None else settings
        vision = settings.images and {
            "backbone": settings.vision_backbone,
            "image_size": list(settings.image_size),
            "num_images": len(settings.images),
            "pooling": settings.vision_pooling or "mean",
            "trainable": settings.trains("vision"),
            "augmentation": asdict(as_augmentation(settings.augmentation)),
        }
        text = settings.texts and {
            "backbone": settings.text_backbone,
            "sequence_length": settings.sequence_length,
            "text_pairing": settings.text_pairing if len(settings.texts) > 1 else "packed",
            "pooling": settings.text_pooling,
            "trainable": settings.trains("text"),
        }
        if text and settings.special_tokens:
            text["vocabulary_size"] = self.preprocessor_.tokenizer.vocabulary_size
        training = settings.training
        return {
            "precision": settings.precision,
            "vision_encoder": vision or None,
            "text_encoder": text or None,
            "trunk": {
                "fusion": settings.fusion,
                "compare": settings.compare and has_pair(settings),
                "num_projection_layers": training.num_projection_layers,
                "projection_dims": training.projection_dims,
                "dropout_rate": training.dropout_rate,
                "modality_dropout": settings.modality_dropout,
            },
            "heads": {name: plain_values(asdict(head)) for name, head in self.heads_.items()},
        }


_OBJECTIVE_FIELDS = ("label_smoothing", "gamma", "tau", "beta")
_TRAINER_FIELDS = (
    "weight_decay",
    "warmup",
    "decay",
    "plateau_factor",
    "plateau_patience",
    "momentum",
    "adam_betas",
    "adam_epsilon",
    "decay_power",
    "clipnorm",
    "accumulation_steps",
    "ema_momentum",
    "monitor",
    "patience",
)
_TOTALS = ("loss", "val_loss")  # of all heads together


def objective_options(settings: Settings) -> dict[str, Any]:
    """Keywords of `Trainer` that say what is minimised."""
    rarer = {name: getattr(settings.training, name) for name in _OBJECTIVE_FIELDS}
    return {"loss": settings.loss, "class_weight": settings.class_weight, **rarer}


def _trainer_options(settings: Settings) -> dict[str, Any]:
    """Keywords of `Trainer` that say how."""
    return {
        "optimizer": settings.optimizer,
        "learning_rate": settings.learning_rate,
        "epochs": settings.epochs,
        "early_stopping": settings.early_stopping,
        "seed": settings.seed,
        "verbose": settings.verbose,
        **{name: getattr(settings.training, name) for name in _TRAINER_FIELDS},
    }


def widths(heads: Mapping[str, Head]) -> dict[str, int]:
    """Number of logits by head."""
    return {name: head.num_logits for name, head in heads.items()}


def suited(settings: Settings, heads: Mapping[str, Head]) -> tuple[Settings, dict[str, Head]]:
    """Settings and heads for training these heads alone: what is meant for others is left out.

    Args:
        settings: The estimator's.
        heads: Those of its heads that are trained, with their classes.

    Returns:
        Settings whose loss, class weights, smoothing and monitored metric suit the heads; and heads
        with losses of their own where the settings' is of another kind.
    """
    named = {}
    for name, head in heads.items():
        losses = HEAD_LOSSES[head.kind]
        loss = head.loss or (settings.loss if settings.loss in losses else losses[0])
        named[name] = replace(head, loss=loss)
    training, weight = settings.training, settings.class_weight
    own = label_heads(settings)
    if not (isinstance(weight, str) or set(heads) <= set(own)):
        weight = None  # given class by class, for other classes
    kinds = {head.kind for head in heads.values()}
    if kinds == {"regression"}:
        weight, training = None, replace(training, label_smoothing=0.0)
    monitor = training.monitor
    if monitor != "val_loss" and len(heads) == 1:
        name = next(iter(heads))
        if monitor.startswith(f"val_{name}_"):
            monitor = monitor.replace(f"val_{name}_", "val_", 1)
        elif kinds != {head.kind for head in own.values()} or len(own) > 1:
            monitor = "val_loss"  # it is another head's
    training = replace(training, monitor=monitor)
    return replace(settings, class_weight=weight, training=training), named


def _changed(former: Mapping, spec: Mapping) -> list[str]:
    """Parts of a model's spec that differ, but for the heads."""
    return [name for name in former if name != "heads" and former[name] != spec[name]]


def _layers(head: Head) -> tuple:
    """What a head's layers are made of, but for its classes."""
    return head.kind, head.dropout_rate, head.l2


def _with_old(head: Head, old: Head | None) -> Head:
    """The head with the classes that it had first, in their order, and new ones behind them.

    Raises:
        ValueError: if it is of another kind, or a binary head would get a third class.
    """
    if old is None or old.kind != head.kind or head.kind == "regression":
        return head
    # The places of a multi-hot table are no names, but where the labels never had others.
    numbered = old.multi_hot is not False and old.names == tuple(range(old.num_classes))
    places, form = bool(head.multi_hot) and not numbered, head.multi_hot
    if not isinstance(head.column, tuple):
        form = old.multi_hot if places or old.multi_hot is not None else form
    place_of = place_finder(old.names)
    unfit = places or (old.multi_hot and not head.multi_hot)  # rows that are refused later
    new = [] if unfit else [name for name in head.names if place_of(name) is None]
    grown = replace(head, classes=(*old.names, *new), multi_hot=form, threshold=0.5)
    if head.kind != "multilabel" or (
        isinstance(head.threshold, Real) and isinstance(old.threshold, Real)
    ):
        return replace(grown, threshold=head.threshold)
    before = resolve_threshold(old.threshold, old.names).tolist()
    most = float(head.threshold) if isinstance(head.threshold, Real) else 0.5
    return replace(grown, threshold=(*before, *[most] * len(new)))


def _standardize(model: keras.Model, heads: Mapping[str, Head], labels: Mapping) -> None:
    """Makes regression heads learn standardised targets."""
    for name, head in heads.items():
        if head.kind == "regression":
            standardize_targets(model, name, labels[name])


def _of_head(history: Mapping[str, list], name: str) -> dict[str, list]:
    """The history of a head by itself, with its metrics named as among several."""
    named = {}
    for metric, values in history.items():
        prefix = "val_" if metric.startswith("val_") else ""
        named[f"{prefix}{name}_{metric.removeprefix('val_')}"] = values
    totals = {metric: history[metric] for metric in _TOTALS if metric in history}
    return {**totals, **named}


def with_labels(table: pd.DataFrame, y: Any, columns: Sequence[str]) -> pd.DataFrame:
    """The table with the labels `y` in its label columns; without `y`, as it is.

    Raises:
        ValueError: if `y` has other rows, or other columns.
    """
    if y is None:
        return table
    if len(y) != len(table):
        raise InvalidValueError(f"`y` has {len(y)} labels for {len(table)} rows.")
    if isinstance(y, pd.DataFrame):
        if set(columns) <= set(y.columns):
            y = y[list(columns)]
        elif len(columns) > 1:
            raise InvalidValueError(
                f"`y` must have the columns {list(columns)}. Received: {list(y.columns)}"
            )
        y = y.to_numpy(object)
    if len(columns) == 1:
        if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        return table.assign(**{columns[0]: pd.Series(list(y), dtype=object).to_numpy()})
    given = np.asarray(y, dtype=object)
    if given.ndim != 2 or given.shape[1] != len(columns):
        raise InvalidValueError(
            f"`y` must have a column for each of {list(columns)}. Received: shape {given.shape}"
        )
    return table.assign(**{column: given[:, i] for i, column in enumerate(columns)})


def _preprocessor(settings: Settings) -> Preprocessor:
    weights = settings.text_weights
    local = str(weights) not in ("pretrained", "random")
    folder = weights if local and os.path.isdir(str(weights)) else os.path.dirname(str(weights))
    tokenizer = None
    if settings.texts:
        with keras_output(show=bool(settings.verbose)):
            tokenizer = Tokenizer.load(folder if local else settings.text_backbone)
        if settings.special_tokens:
            tokenizer = tokenizer.with_special_tokens(settings.special_tokens)
    return Preprocessor(
        image_size=settings.image_size if settings.images else None,
        num_images=len(settings.images),
        tokenizer=tokenizer,
        sequence_length=settings.sequence_length,
        num_texts=len(settings.texts),
        text_pairing=settings.text_pairing,
        sliding_window=_window(settings),
    )


def check_labelled(heads: Mapping[str, Head], labels: Mapping) -> None:
    """Raises ValueError for a head of which no training row has a label."""
    for name, head in heads.items():
        if not is_labelled(head, labels[name]):
            raise InvalidValueError(
                f"No training row has a label of the head {name!r}: give rows that have one, or "
                "leave the head out."
            )


def _check_tie(settings: Settings, heads: Mapping[str, Head]) -> None:
    window = as_sliding_window(settings.sliding_window)
    if window is None or window.tie_value is None:
        return
    if all(window.tie_index(head.names) is None for head in heads.values()):
        known = sorted({str(name) for head in heads.values() for name in head.names})
        raise InvalidValueError(
            f"`sliding_window.tie_value` must be one of {known}. "
            f"Received: tie_value={window.tie_value!r}"
        )


def _window(settings: Settings) -> SlidingWindow | None:
    """The sliding window with its text by the table's role in the place of its column."""
    window = as_sliding_window(settings.sliding_window)
    return None if window is None else window.by_slot(settings.texts)


def plain_values(value: Any) -> Any:
    """JSON-serialisable copies of NumPy values and mappings."""
    if isinstance(value, Mapping):
        return {str(k): plain_values(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain_values(v) for v in value]
    if isinstance(value, os.PathLike):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value
