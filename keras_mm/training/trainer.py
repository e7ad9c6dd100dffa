"""The trainer: compiles, fits, stops early, and puts the best weights back."""

from __future__ import annotations

import inspect
import json
import logging
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np

from keras_mm.data.dataset import RowBatches
from keras_mm.errors import InvalidArgumentError, InvalidValueError
from keras_mm.forks import check_not_forked
from keras_mm.metrics.classification import lower_is_better
from keras_mm.models.keras_settings import default_settings
from keras_mm.models.layers.scaling import target_scales
from keras_mm.progress import progress_line
from keras_mm.random_state import seed_layers, seeded
from keras_mm.settings.by_head import by_head, one_or_all
from keras_mm.settings.documentation import signature_with, with_arguments
from keras_mm.settings.heads import Head, as_heads
from keras_mm.settings.knobs import check_names, refined
from keras_mm.settings.training import LossSettings, Optimization, Stopping
from keras_mm.training.arrays import as_dataset
from keras_mm.training.callbacks import (
    AveragedWeights,
    BestWeights,
    DivergenceCheck,
    EpochEvaluation,
    MonitoredStopping,
    ProgressBar,
    TrainingObserver,
)
from keras_mm.training.head_start import start_heads
from keras_mm.training.objectives import (
    Objective,
    check_labels,
    check_monitor,
    create_objectives,
)
from keras_mm.training.optimizers import create_optimizer, create_schedule, variable_rates
from keras_mm.training.reports import end_report, failure_report
from keras_mm.training.user_callbacks import check_callbacks, monitored, note_other_stopping

_log = logging.getLogger("keras_mm")

Settings = TypeVar("Settings", LossSettings, Optimization, Stopping)

# What the kept steps of models were compiled for.
_steps: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@with_arguments(LossSettings, Optimization, Stopping)
class Trainer:
    """Trains a model on a dataset of `(inputs, labels)` batches.

    Works for models of `create_multimodal_model` and for any Keras model that gives logits. For
    mixed precision, build the encoders under `keras.config.set_dtype_policy("mixed_bfloat16")`.

    A model's heads that were never trained begin at the labels' shares; see
    `keras_mm.training.head_start`.

    Args:
        model: The model; its outputs are logits `(batch, num_logits)`, or a dict of them by head.
        heads: What the outputs answer, as `create_multimodal_model` takes it: a number of classes,
            a `keras_mm.Head`, or a dict of them by name. `None` takes every output for the logits
            of classes. With several heads labels are dicts by head, and the loss is the sum of the
            heads' losses by their `loss_weight`; a row without a head's label (-1, for numbers NaN)
            counts nothing there.
        loss_settings: What is minimised; the keywords `loss`, `class_weight`, ... are its fields.
        optimization: How; the keywords `optimizer`, `learning_rate`, ... are its fields.
        stopping: When the training ends; the keywords `epochs`, `patience`, ... are its fields.
        callbacks: Keras callbacks of your own; they see the `val_` metrics, and come before early
            stopping. `EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau` with `mode="auto"`
            know which direction of these metrics is better, and what they monitor is logged.
            `ReduceLROnPlateau` and `LearningRateScheduler` need `decay="constant"` and `warmup=0`,
            which leave the learning rate to them.
        seed: Seed of everything random in training, >= 0.
        verbose: 0 is silent, 1 shows a bar and a line per epoch (on stderr).
        keep_step: Whether the compiled step serves the next training of this model by such a
            trainer, with the same loss and optimizer, by name, and their settings. Only for a model
            that nobody compiles, and whose layers nobody changes, in between.
        **knobs: Fields of the three objects, as below; they take the place of what these hold.

    Attributes:
        history: Metrics by name, a list over the epochs of the last training that came to their
            end; also of one that failed.

    Raises:
        ValueError: for a value outside its range.
        TypeError: for an unknown keyword; the nearest is offered.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> x, y = np.eye(3, dtype="float32"), np.array([0, 1, 1])
        >>> history = Trainer(model, epochs=2, verbose=0).fit((x, y))
        >>> len(history["loss"])
        2
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        heads: int | Head | Mapping[str, Head] | None = None,
        loss_settings: LossSettings | None = None,
        optimization: Optimization | None = None,
        stopping: Stopping | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        seed: int = 0,
        verbose: int = 1,
        keep_step: bool = False,
        **knobs: Any,
    ):
        kinds = (LossSettings, Optimization, Stopping)
        check_names(knobs, *kinds, also=inspect.signature(Trainer).parameters)
        self.model = model
        self.heads = None if heads is None else as_heads(heads)
        self.loss_settings = _given("loss_settings", loss_settings, LossSettings(), knobs)
        self.optimization = _given("optimization", optimization, Optimization(), knobs)
        self.stopping = _given("stopping", stopping, Stopping(), knobs)
        self.callbacks, self.seed, self.verbose = callbacks, seed, verbose
        self.keep_step = keep_step
        self.history: dict[str, list] = {}

    __signature__ = signature_with(__init__, LossSettings, Optimization, Stopping)

    @default_settings("floatx", "epsilon")  # of metrics and optimizers
    def fit(self, dataset: Any, validation_data: Any = None, *, batch_size: int = 32) -> dict:
        """Trains the model.

        A training that fails or is interrupted puts the weights of its best epoch so far back (of
        the beginning, if none came to its end), logs which one, and raises on. The global random
        states are left as they were.

        Args:
            dataset: A `MultimodalDataset`, another `PyDataset` of `(inputs, labels)`, or a tuple
                `(inputs, labels)` of arrays; the labels of several heads as a dict by head. Each
                may have a weight per row as a third element; validation uses them, too.
            validation_data: The same, for validation.
            batch_size: Rows of a batch, for arrays.

        Returns:
            Metrics by name, a list over the epochs.

        Raises:
            ValueError: if the labels do not fit the model, or class weights need what is not there.
            ForkError: in a process that was forked from one whose backend was running.
            FloatingPointError: if training diverges: the loss or validation's logits are infinite
                or NaN at an epoch's end.
        """
        check_not_forked()
        with seeded(self.seed):
            return self._fit(dataset, validation_data, batch_size)

    def _fit(self, dataset: Any, validation_data: Any, batch_size: int) -> dict:
        self.history, monitor = {}, self.stopping.monitor
        dataset = as_dataset(dataset, batch_size, shuffle=True, seed=self.seed)
        objectives = self._objectives(dataset)
        if validation_data is not None:
            validation_data = as_dataset(validation_data, batch_size)
            self._check_alike(dataset, validation_data, objectives)
        check_callbacks(self.callbacks, objectives, self.optimization)
        note_other_stopping(self.callbacks, self.stopping)
        self._check_monitor(validation_data, objectives)
        callbacks: list = [DivergenceCheck()]
        callbacks += [] if self.optimization.ema_momentum is None else [AveragedWeights()]
        if validation_data is not None:
            monitors = {monitor, *monitored(self.callbacks)}
            evaluation = EpochEvaluation(validation_data, objectives, monitors)
            callbacks.append(evaluation)
            for observer in self.callbacks:
                if isinstance(observer, TrainingObserver):
                    observer.evaluation = evaluation
        best = BestWeights(
            monitor, lower=lower_is_better(monitor), first_epoch=self.stopping.min_epochs
        )
        callbacks += [best, *self.callbacks, *self._plateaus(validation_data is not None)]
        stopping = self._early_stopping(validation_data is not None)
        callbacks += stopping
        progress = ProgressBar(show=bool(self.verbose))
        callbacks.append(progress)
        self._compile(self._optimizer(len(dataset)), objectives)
        if isinstance(dataset, RowBatches):
            dataset.epoch = 0
        start_heads(self.model, dataset, objectives)
        seed_layers(self.model, self.seed)
        try:
            found = self.model.fit(
                dataset,
                epochs=self.stopping.epochs,
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
        except BaseException as error:
            progress.close()
            self.history = best.history
            number = best.restore(after_failure=True)
            _log.warning(failure_report(error, number, self.history))
            raise
        self.history = found.history
        if stopping:
            number, stopped = best.restore(), stopping[0].stopped_epoch > 0
            words = end_report(self.stopping, number, self.history, stopped=stopped)
            if words:
                progress_line(words, show=bool(self.verbose))
        if self.keep_step:  # and nothing of a failure: JAX could not go on with it
            _steps[self.model] = self._step(self.model.optimizer, objectives)
        return self.history

    def _compile(
        self, optimizer: keras.optimizers.Optimizer, objectives: Mapping[str, Objective]
    ) -> None:
        """Compiles the model, or sets back the optimizer of a step that was kept."""
        # Built before the first step: TensorFlow would trace a step that makes variables twice.
        optimizer.build(self.model.trainable_variables)
        kept = _steps.pop(self.model, None)
        if not self.keep_step or kept is None or kept != self._step(optimizer, objectives):
            loss: Any = {name: objective.loss for name, objective in objectives.items()}
            weights: Any = {name: objective.weight for name, objective in objectives.items()}
            if _is_bare(self.model):
                loss, weights = one_or_all(loss), None
            self.model.compile(optimizer=optimizer, loss=loss, loss_weights=weights)
            return
        for old, new in zip(self.model.optimizer.variables, optimizer.variables, strict=True):
            old.assign(new)

    def _step(
        self, optimizer: keras.optimizers.Optimizer, objectives: Mapping[str, Objective]
    ) -> str | None:
        """What decides the compiled step, as text; `None` where none is, or no text can."""
        given = (self.loss_settings.loss, self.optimization.optimizer)
        named = all(isinstance(one, str) for one in given)
        if not named or self._rates() or keras.backend.backend() == "torch":
            return None
        # Their names are counted up.
        parts = [optimizer, *(objective.loss for objective in objectives.values())]
        config: list = [
            [type(part).__name__, {**part.get_config(), "name": None}] for part in parts
        ]
        config += [[name, objective.weight] for name, objective in objectives.items()]
        trained = [id(variable) for variable in self.model.trainable_variables]
        try:
            return json.dumps([config, trained], default=np.generic.item)
        except TypeError:
            return None

    def _objectives(self, dataset: Any) -> dict[str, Objective]:
        labels = getattr(dataset, "labels", None)
        labels = getattr(dataset, "row_labels", labels)
        weights = getattr(dataset, "row_weights", None)
        heads = getattr(dataset, "heads", None) if self.heads is None else self.heads
        widths = _num_logits(self.model, heads or ("label",))
        _check_label_names(self.model, widths, labels)
        return create_objectives(
            heads,
            widths,
            by_head(widths, labels),
            by_head(widths, getattr(dataset, "classes", None)),
            self.loss_settings,
            scales=target_scales(self.model),
            sample_weight=weights,
        )

    def _check_alike(
        self, dataset: Any, validation: Any, objectives: Mapping[str, Objective]
    ) -> None:
        """Refuses validation rows whose labels are others than those that are trained on."""
        names = [getattr(one, "classes", None) for one in (dataset, validation)]
        names = [x if x is None or isinstance(x, Mapping) else list(x) for x in names]
        if all(names) and names[0] != names[1]:
            raise InvalidValueError(
                f"The validation rows have other classes, {names[1]}, than the training rows, "
                f"{names[0]}: give their dataset the training set's `classes`, or `heads`."
            )
        labels = getattr(validation, "labels", None)
        alike = isinstance(labels, Mapping) == isinstance(getattr(dataset, "labels", None), Mapping)
        if labels is not None and not alike:
            raise InvalidValueError(
                "The labels of the validation rows must be like the training rows'."
            )
        if isinstance(labels, Mapping) and labels.keys() != objectives.keys():
            raise InvalidValueError(
                f"The validation rows have labels of {list(labels)}, and the heads are "
                f"{list(objectives)}."
            )
        for name, values in by_head(objectives, labels).items():
            head = objectives[name].head
            if head is not None:
                check_labels(name, head, values)

    def _check_monitor(self, validation: Any, objectives: Mapping[str, Objective]) -> None:
        """Refuses a monitored metric that no epoch logs, unless a callback may add it."""
        watched = self.stopping.early_stopping or self.optimization.decay == "plateau"
        if self.callbacks or not (watched and self._is_watched(validation is not None)):
            return
        labels = getattr(validation, "row_labels", getattr(validation, "labels", None))
        if labels is not None or validation is None:
            found = {} if labels is None else by_head(objectives, labels)
            check_monitor(self.stopping.monitor, objectives, found)

    def _is_watched(self, validated: bool) -> bool:
        """Whether the monitored metric is there."""
        return validated or not self.stopping.monitor.startswith("val_")

    def _early_stopping(self, validated: bool) -> list:
        stopping = self.stopping
        if not stopping.early_stopping or not self._is_watched(validated):
            return []
        return [
            MonitoredStopping(
                stopping.monitor,
                patience=stopping.patience,
                start_from_epoch=stopping.min_epochs - 1,  # counted from 0
                mode="min" if lower_is_better(stopping.monitor) else "max",
            )
        ]

    def _plateaus(self, validated: bool) -> list:
        optimization, monitor = self.optimization, self.stopping.monitor
        if optimization.decay != "plateau" or not self._is_watched(validated):
            return []
        return [
            keras.callbacks.ReduceLROnPlateau(
                monitor,
                factor=optimization.plateau_factor,
                patience=optimization.plateau_patience,
                mode="min" if lower_is_better(monitor) else "max",
                min_lr=optimization.plateau_min_lr,
            )
        ]

    def _optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        # Keras counts batches, also those it accumulates.
        steps = steps_per_epoch * self.stopping.epochs
        rate = create_schedule(self.optimization, steps)
        return create_optimizer(self.optimization, rate, rates=self._rates())

    def _rates(self) -> list[tuple[keras.Variable, float]]:
        named = isinstance(self.optimization.optimizer, str)
        return variable_rates(self.model, self.optimization) if named else []


def _given(name: str, value: Any, default: Settings, knobs: Mapping[str, Any]) -> Settings:
    """A settings object, or its default, with the keywords that are its fields."""
    if value is not None and not isinstance(value, type(default)):
        raise InvalidArgumentError(
            f"`{name}` must be a keras_mm.settings.training.{type(default).__name__}. "
            f"Received: {value!r}"
        )
    return refined(default if value is None else value, knobs)


def _is_bare(model: keras.Model) -> bool:
    """Whether a model gives the logits of its only head, rather than a dict by head."""
    return not isinstance(getattr(model, "output", None), dict)


def _check_label_names(model: keras.Model, names: Collection[str], labels: Any) -> None:
    """Refuses labels that are a dict where the model's outputs are none, or of other names."""
    if _is_bare(model) and isinstance(labels, Mapping):
        raise InvalidValueError(
            f"A model of one output has one array of labels. Received: labels of {list(labels)}"
        )
    if _is_bare(model) or labels is None:
        return
    if not isinstance(labels, Mapping) or set(labels) != set(names):
        given = list(labels) if isinstance(labels, Mapping) else "one array"
        raise InvalidValueError(
            f"The model's outputs are {list(names)}, and so must be the labels: a dict by "
            f"head. Fill a head up with -1, or NaN, where there are none. Received: {given}"
        )


def _num_logits(model: keras.Model, names: Iterable[str]) -> dict[str, int]:
    """Width of each head's logits.

    Args:
        model: A Keras model of one output, or of a dict of outputs by head.
        names: Where the output is one: the head's name comes first.
    """
    output = getattr(model, "output", None)  # a Sequential model without an Input has none
    if isinstance(output, list | tuple):
        raise InvalidValueError(
            "A model of several outputs must give them as a dict by head. Received: "
            f"{len(output)} outputs"
        )
    if isinstance(output, dict):
        return {name: logits.shape[-1] for name, logits in output.items()}
    try:
        width = model.output_shape[-1] if output is None else output.shape[-1]
    except AttributeError:
        raise InvalidValueError(
            f"The model {model.name!r} does not tell its outputs: make it a functional one."
        ) from None
    return {next(iter(names)): width}
