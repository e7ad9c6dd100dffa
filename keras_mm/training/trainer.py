"""The trainer: compiles and fits a model, stops early, and restores the best weights."""

from __future__ import annotations

import inspect
import json
import logging
import weakref
from collections.abc import Mapping, Sequence
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
    ValidationResult,
)
from keras_mm.training.head_start import start_heads
from keras_mm.training.label_weights import weigh_by_label
from keras_mm.training.model_outputs import check_label_names, is_bare, num_logits
from keras_mm.training.objectives import Objective, check_labels, check_monitor, create_objectives
from keras_mm.training.optimizers import create_optimizer, create_schedule, variable_rates
from keras_mm.training.reports import end_report, failure_report
from keras_mm.training.user_callbacks import check_callbacks, monitored, note_other_stopping

_log = logging.getLogger("keras_mm")

Settings = TypeVar("Settings", LossSettings, Optimization, Stopping)

# For each model with a kept step: the description of what it was compiled for; see `_step`.
_steps: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@with_arguments(LossSettings, Optimization, Stopping)
class Trainer:
    """Trains a model on a dataset of `(inputs, labels)` batches.

    Works for models of `create_multimodal_model` and for any Keras model that gives logits. For
    mixed precision, build the encoders under `keras.config.set_dtype_policy("mixed_bfloat16")`.

    Before training, heads that were never trained are set to predict the label frequencies; see
    `keras_mm.training.head_start`.

    Args:
        model: The model. Its output is logits `(batch, num_logits)`, or a dict of them by head.
        heads: The heads of the outputs, as in `create_multimodal_model`: a number of classes, a
            `keras_mm.Head`, or a dict of them by name. By default every output is a head for
            classes. With several heads, labels are dicts by head, and the loss is the sum of the
            heads' losses, each times its `loss_weight`; a row without a label (-1, or NaN for
            regression) is left out of the loss of that head.
        loss_settings: The loss; the keywords `loss`, `class_weight`, ... are its fields.
        optimization: The optimizer; the keywords `optimizer`, `learning_rate`, ... are its fields.
        stopping: The end of the training; the keywords `epochs`, `patience`, ... are its fields.
        callbacks: Your own Keras callbacks. They are called after the evaluation, whose `val_`
            metrics are in their logs, and before early stopping. The metric that `EarlyStopping`,
            `ModelCheckpoint` or `ReduceLROnPlateau` monitors is logged, and `mode="auto"` is
            replaced by the mode of this metric. `ReduceLROnPlateau` and `LearningRateScheduler`
            need `decay="constant"` and `warmup=0`, as otherwise a schedule sets the learning rate.
        seed: Seed of everything random in training, >= 0.
        verbose: 0 is silent; 1 shows a progress bar and a line per epoch on stderr.
        keep_step: Whether to keep the compiled training step for the next training of this model
            with `keep_step`. It is reused if loss and optimizer are names and have the same
            settings. In between, the model must not be compiled, nor its layers changed.
        **knobs: Fields of the three objects, as below; they replace the values of the objects.

    Attributes:
        history: Metrics by name, a list over the completed epochs of the last training; also of a
            training that failed.
        validation: Labels and logits of the validation rows with the weights that the last training
            kept; `None` without validation rows, or if they are not known.

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
        self.validation: ValidationResult | None = None

    __signature__ = signature_with(__init__, LossSettings, Optimization, Stopping)

    @default_settings("floatx", "epsilon")  # metrics and optimizers use both
    def fit(self, dataset: Any, validation_data: Any = None, *, batch_size: int = 32) -> dict:
        """Trains the model.

        If the training fails or is interrupted, the weights of the best epoch so far are restored
        (the initial weights, if no epoch was completed), the log says which, and the error is
        raised. The global random states are restored after the training.

        Args:
            dataset: A `MultimodalDataset`, another `PyDataset` of `(inputs, labels)` batches, or a
                tuple `(inputs, labels)` of arrays; with several heads, labels are a dict by head. A
                third element holds a weight >= 0 for each row.
            validation_data: The same for validation rows, whose weights count in all metrics; by
                default none.
            batch_size: Rows of a batch, >= 1, for arrays.

        Returns:
            Metrics by name, a list over the epochs.

        Raises:
            ValueError: if labels do not match the model, or class weights need them but the dataset
                has no `labels`; if no epoch logs the monitored metric.
            ForkError: in a process that was forked while the backend was running.
            FloatingPointError: if the loss or validation logits are infinite or NaN.
        """
        check_not_forked()
        with seeded(self.seed):
            return self._fit(dataset, validation_data, batch_size)

    def _fit(self, dataset: Any, validation_data: Any, batch_size: int) -> dict:
        self.history, self.validation, monitor = {}, None, self.stopping.monitor
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
        evaluation = None
        if validation_data is not None:
            monitors = {monitor, *monitored(self.callbacks)}
            evaluation = EpochEvaluation(validation_data, objectives, monitors)
            callbacks.append(evaluation)
            for observer in self.callbacks:
                if isinstance(observer, TrainingObserver):
                    observer.evaluation = evaluation
        best = BestWeights(
            monitor,
            lower=lower_is_better(monitor),
            first_epoch=self.stopping.min_epochs,
            evaluation=evaluation,
        )
        callbacks += [best, *self.callbacks, *self._plateaus(validation_data is not None)]
        stopping = self._early_stopping(validation_data is not None)
        callbacks += stopping
        progress = ProgressBar(show=bool(self.verbose))
        callbacks.append(progress)
        if self.keep_step:
            losses = weigh_by_label(dataset, objectives)
        else:
            losses = {name: objective.loss for name, objective in objectives.items()}
        self._compile(self._optimizer(len(dataset)), objectives, losses)
        if isinstance(dataset, RowBatches):
            dataset.epoch = 0
        start_heads(self.model, dataset, objectives)
        seed_layers(self.model, self.seed)
        try:
            fitted = self.model.fit(
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
        finally:
            if isinstance(dataset, RowBatches):
                dataset.label_weights = None
        self.history = fitted.history
        if stopping:
            number, stopped = best.restore(), stopping[0].stopped_epoch > 0
            words = end_report(self.stopping, number, self.history, stopped=stopped)
            if words:
                progress_line(words, show=bool(self.verbose))
        # Without a restored epoch, a user's callback may have changed the weights since.
        self.validation = best.validation if stopping or not self.callbacks else None
        if self.keep_step:  # not after a failure, as JAX could not continue with the step
            _steps[self.model] = self._step(self.model.optimizer, objectives, losses)
        return self.history

    def _compile(
        self,
        optimizer: keras.optimizers.Optimizer,
        objectives: Mapping[str, Objective],
        losses: Mapping[str, Any],
    ) -> None:
        """Compiles the model, or resets the optimizer of a kept step."""
        # Built here, because TensorFlow traces a step twice if it creates variables.
        optimizer.build(self.model.trainable_variables)
        kept = _steps.pop(self.model, None)
        if not self.keep_step or kept is None or kept != self._step(optimizer, objectives, losses):
            loss: Any = losses
            weights: Any = {name: objective.weight for name, objective in objectives.items()}
            if is_bare(self.model):
                loss, weights = one_or_all(losses), None
            self.model.compile(optimizer=optimizer, loss=loss, loss_weights=weights)
            return
        for old, new in zip(self.model.optimizer.variables, optimizer.variables, strict=True):
            old.assign(new)

    def _step(
        self,
        optimizer: keras.optimizers.Optimizer,
        objectives: Mapping[str, Objective],
        losses: Mapping[str, Any],
    ) -> str | None:
        """Describes, as JSON, what the compiled step depends on; `None` if it cannot be reused."""
        names = (self.loss_settings.loss, self.optimization.optimizer)
        named = all(isinstance(one, str) for one in names)
        if not named or self._rates() or keras.backend.backend() == "torch":
            return None
        # Without names, as Keras numbers them: they differ each time.
        parts = [optimizer, *losses.values()]
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
        widths = num_logits(self.model, heads or ("label",))
        check_label_names(self.model, widths, labels)
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
        """Checks that the labels of validation rows have the form and classes of training rows."""
        names = [getattr(one, "classes", None) for one in (dataset, validation)]
        names = [x if x is None or isinstance(x, Mapping) else list(x) for x in names]
        if all(names) and names[0] != names[1]:
            raise InvalidValueError(
                f"The validation rows have the classes {names[1]}, and the training rows have "
                f"{names[0]}. Create the validation dataset with the `classes` or `heads` of the "
                "training dataset."
            )
        labels = getattr(validation, "labels", None)
        alike = isinstance(labels, Mapping) == isinstance(getattr(dataset, "labels", None), Mapping)
        if labels is not None and not alike:
            raise InvalidValueError(
                "The labels of validation and training rows must both be arrays, or dicts by head."
            )
        if isinstance(labels, Mapping) and labels.keys() != objectives.keys():
            raise InvalidValueError(
                f"The validation rows must have labels of the heads {list(objectives)}. Received: "
                f"labels of {list(labels)}"
            )
        for name, values in by_head(objectives, labels).items():
            head = objectives[name].head
            if head is not None:
                check_labels(name, head, values)

    def _check_monitor(self, validation: Any, objectives: Mapping[str, Objective]) -> None:
        """Checks that epochs log the monitored metric, unless a callback may add it."""
        watched = self.stopping.early_stopping or self.optimization.decay == "plateau"
        if self.callbacks or not (watched and self._is_watched(validation is not None)):
            return
        labels = getattr(validation, "row_labels", getattr(validation, "labels", None))
        if labels is not None or validation is None:
            labels = {} if labels is None else by_head(objectives, labels)
            check_monitor(self.stopping.monitor, objectives, labels)

    def _is_watched(self, validated: bool) -> bool:
        """Whether the monitored metric is logged."""
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
        # Keras counts batches as steps, also with `accumulation_steps`.
        steps = steps_per_epoch * self.stopping.epochs
        rate = create_schedule(self.optimization, steps)
        return create_optimizer(self.optimization, rate, rates=self._rates())

    def _rates(self) -> list[tuple[keras.Variable, float]]:
        named = isinstance(self.optimization.optimizer, str)
        return variable_rates(self.model, self.optimization) if named else []


def _given(name: str, value: Any, default: Settings, knobs: Mapping[str, Any]) -> Settings:
    """The settings object, or its default, with the keywords that are fields of it."""
    if value is not None and not isinstance(value, type(default)):
        raise InvalidArgumentError(
            f"`{name}` must be a keras_mm.settings.training.{type(default).__name__}. "
            f"Received: {value!r}"
        )
    return refined(default if value is None else value, knobs)
