"""The trainer: compiles, fits, stops early, and puts the best weights back."""

from __future__ import annotations

import json
import logging
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mm.data.dataset import RowBatches
from keras_mm.errors import InvalidValueError
from keras_mm.forks import check_not_forked
from keras_mm.metrics.classification import lower_is_better
from keras_mm.models.backbones.blocks import backbone_blocks
from keras_mm.models.keras_settings import default_settings
from keras_mm.models.layers.scaling import target_scales
from keras_mm.models.multimodal import backbones
from keras_mm.random_state import seed_layers, seeded
from keras_mm.settings.heads import Head, as_heads, by_head, one_or_all
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
from keras_mm.training.objectives import Objective, check_labels, create_objectives
from keras_mm.training.optimizers import create_optimizer, create_schedule

_log = logging.getLogger("keras_mm")

# What the kept steps of models were compiled for.
_steps: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


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
        loss: `"cross_entropy"`, `"focal"`, `"logit_adjusted"` (by the classes' shares of the
            training labels), or a Keras loss of your own; see `keras_mm.create_loss` for the other
            kinds of heads. A head may name its own. `val_loss` is the same loss over the
            validation rows, with the training rows' shares.
        class_weight: `None`, `"balanced"` or `"effective_number"` (from the training labels), a
            dict by label, or a sequence in class order. Goes into the loss, so that it also counts
            in `val_loss`. A head may have its own.
        label_smoothing: Part of the target spread over all classes, in [0, 1).
        gamma: Focusing exponent of the focal loss, >= 0.
        tau: Strength of the logit adjustment, >= 0.
        beta: Of `class_weight="effective_number"`, in [0, 1); the larger, the nearer to
            `"balanced"`.
        optimizer: `"adamw"`, `"adam"`, `"sgd"`, `"adafactor"`, or a Keras optimizer of your own
            (its rate is then left as it is).
        learning_rate: Peak learning rate, > 0.
        encoder_learning_rate: Peak rate of the layers named `vision_encoder` and `text_encoder`,
            and of the BERT of an `mmbt` fusion, where they are trainable: a number, or a dict by
            side, `"vision"` and `"text"`. `None`, or a side left out, is `learning_rate`.
        layer_decay: What the encoders' rate is multiplied by from one block of a backbone to the
            next below, in (0, 1]; the top block has the encoder's rate. 1 is one rate for all.
        weight_decay: AdamW's decoupled weight decay, >= 0.
        warmup: Part of all steps in which the rate rises from 0, in [0, 1).
        decay: `"cosine"`, `"linear"`, or `"polynomial"` (to 0 at the last step), `"constant"`, or
            `"plateau"`: without warm-up, and multiplied by `plateau_factor` when `monitor` has not
            improved for `plateau_patience` epochs (needs validation data), down to 1e-8.
        clipnorm: Largest global norm of the gradient; `None` does not clip.
        accumulation_steps: Batches whose gradients are averaged into one step.
        momentum: Of `optimizer="sgd"`, in [0, 1).
        adam_betas: Of `"adamw"` and `"adam"`: decay of the two moments, in [0, 1).
        adam_epsilon: Of `"adamw"` and `"adam"`: what keeps their denominator from 0, > 0.
        decay_power: Of `decay="polynomial"`, > 0.
        plateau_factor: See `decay`; in (0, 1).
        plateau_patience: See `decay`; >= 1.
        ema_momentum: Evaluates, and ends with, a moving average of the weights over the steps,
            with this momentum, in [0, 1); `None` takes the weights as they are.
        epochs: Most epochs, >= 1.
        early_stopping: Whether to stop when `monitor` no longer improves, and put the best weights
            back; needs validation data.
        monitor: A metric in the epoch's logs: `"val_loss"`, `"val_accuracy"`, `"val_macro_f1"`,
            another number that `keras_mm.metrics.head_metrics.head_metrics` gives, with several
            heads as `"val_<head>_accuracy"`, or what a callback of your own adds.
        patience: Epochs without improvement, >= 1.
        callbacks: Keras callbacks of your own; they see the `val_` metrics, and come before early
            stopping.
        seed: Seed of everything random in training, >= 0.
        verbose: 0 is silent, 1 shows a bar and a line per epoch (on stderr).
        keep_step: Whether the compiled step serves the next training of this model by such a
            trainer, with the same loss and optimizer, by name, and their settings. Only for a model
            that nobody compiles, and whose layers nobody changes, in between.

    Attributes:
        history: Metrics by name, a list over the epochs of the last training that came to their
            end; also of one that failed.

    Raises:
        ValueError: for a value outside its range.

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
        loss: str | keras.losses.Loss = "cross_entropy",
        class_weight: str | Mapping | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        gamma: float = 2.0,
        tau: float = 1.0,
        beta: float = 0.999,
        optimizer: str | keras.optimizers.Optimizer = "adamw",
        learning_rate: float = 1e-3,
        encoder_learning_rate: float | Mapping[str, float] | None = None,
        layer_decay: float = 1.0,
        weight_decay: float = 0.004,
        warmup: float = 0.0,
        decay: str = "cosine",
        clipnorm: float | None = None,
        accumulation_steps: int = 1,
        momentum: float = 0.9,
        adam_betas: Sequence[float] = (0.9, 0.999),
        adam_epsilon: float = 1e-7,
        decay_power: float = 1.0,
        plateau_factor: float = 0.2,
        plateau_patience: int = 3,
        ema_momentum: float | None = None,
        epochs: int = 20,
        early_stopping: bool = True,
        monitor: str = "val_loss",
        patience: int = 5,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        seed: int = 0,
        verbose: int = 1,
        keep_step: bool = False,
    ):
        for name, value in (("epochs", epochs), ("patience", patience)):
            if value < 1:
                raise InvalidValueError(f"`{name}` must be >= 1. Received: {name}={value}")
        self.model, self.loss, self.class_weight = model, loss, class_weight
        self.heads = None if heads is None else as_heads(heads)
        self.label_smoothing, self.gamma = label_smoothing, gamma
        self.tau, self.beta = tau, beta
        self.optimizer, self.learning_rate = optimizer, learning_rate
        self.encoder_learning_rate, self.weight_decay = encoder_learning_rate, weight_decay
        self.warmup, self.decay, self.clipnorm = warmup, decay, clipnorm
        self.accumulation_steps, self.ema_momentum = accumulation_steps, ema_momentum
        self.momentum, self.decay_power = momentum, decay_power
        self.adam_betas, self.adam_epsilon = adam_betas, adam_epsilon
        self.plateau_factor = plateau_factor
        self.plateau_patience = plateau_patience
        self.layer_decay, self.epochs = layer_decay, epochs
        self.early_stopping, self.monitor, self.patience = early_stopping, monitor, patience
        self.callbacks, self.seed, self.verbose = callbacks, seed, verbose
        self.keep_step = keep_step
        self.history: dict[str, list] = {}

    @default_settings("floatx", "epsilon")  # of metrics and optimizers
    def fit(self, dataset: Any, validation_data: Any = None, *, batch_size: int = 32) -> dict:
        """Trains the model.

        A training that fails or is interrupted puts the weights of its best epoch so far back (of
        the beginning, if none came to its end), logs which one, and raises on. The global random
        states are left as they were.

        Args:
            dataset: A `MultimodalDataset`, another `PyDataset` of `(inputs, labels)`, or a tuple
                `(inputs, labels)` of arrays; the labels of several heads as a dict by head.
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
        self.history = {}
        dataset = _as_dataset(dataset, batch_size, shuffle=True, seed=self.seed)
        objectives = self._objectives(dataset)
        if validation_data is not None:
            validation_data = _as_dataset(validation_data, batch_size)
            self._check_alike(dataset, validation_data, objectives)
        callbacks: list = [DivergenceCheck()]
        callbacks += [] if self.ema_momentum is None else [AveragedWeights()]
        if validation_data is not None:
            evaluation = EpochEvaluation(validation_data, objectives, self.monitor)
            callbacks.append(evaluation)
            for observer in self.callbacks:
                if isinstance(observer, TrainingObserver):
                    observer.evaluation = evaluation
        lower = lower_is_better(self.monitor)
        best = BestWeights(self.monitor, lower=lower)
        callbacks += [best, *self.callbacks, *self._plateaus(validation_data is not None)]
        stopping = self._early_stopping(validation_data is not None)
        callbacks += stopping
        callbacks += [ProgressBar()] if self.verbose else []
        self._compile(self._optimizer(len(dataset)), objectives)
        if isinstance(dataset, RowBatches):
            dataset.epoch = 0
        start_heads(self.model, dataset, objectives)
        seed_layers(self.model, self.seed)
        try:
            found = self.model.fit(
                dataset, epochs=self.epochs, callbacks=callbacks, shuffle=False, verbose=0
            )
        except BaseException as error:
            self.history = best.history
            self._keep_best(best, error)
            raise
        self.history = found.history
        if stopping:
            best.restore()
        if self.keep_step:  # and nothing of a failure: JAX could not go on with it
            _steps[self.model] = self._step(self.model.optimizer, objectives)
        return self.history

    def _keep_best(self, best: BestWeights, error: BaseException) -> None:
        """Puts the best weights of a training that failed back, and says so in one line."""
        number = best.restore(after_failure=True)
        reason = type(error).__name__
        if not number:
            _log.warning("training ended in its first epoch (%s): nothing of it is kept", reason)
        else:
            count = len(next(iter(self.history.values()), ()))
            _log.warning(
                "training ended after %d epochs (%s): the weights of epoch %d are kept",
                count, reason, number,
            )  # fmt: skip

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
        named = isinstance(self.loss, str) and isinstance(self.optimizer, str)
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
        heads = getattr(dataset, "heads", None) if self.heads is None else self.heads
        widths = _num_logits(self.model, heads or ("label",))
        _check_names(self.model, widths, labels)
        return create_objectives(
            heads,
            widths,
            by_head(widths, labels),
            by_head(widths, getattr(dataset, "classes", None)),
            loss=self.loss,
            class_weight=self.class_weight,
            label_smoothing=self.label_smoothing,
            gamma=self.gamma,
            tau=self.tau,
            beta=self.beta,
            scales=target_scales(self.model),
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

    def _early_stopping(self, validated: bool) -> list:
        if not self.early_stopping or (not validated and self.monitor.startswith("val_")):
            return []
        return [
            MonitoredStopping(
                self.monitor,
                patience=self.patience,
                mode="min" if lower_is_better(self.monitor) else "max",
            )
        ]

    def _plateaus(self, validated: bool) -> list:
        if self.decay != "plateau" or (not validated and self.monitor.startswith("val_")):
            return []
        return [
            keras.callbacks.ReduceLROnPlateau(
                self.monitor,
                factor=self.plateau_factor,
                patience=self.plateau_patience,
                mode="min" if lower_is_better(self.monitor) else "max",
                min_lr=1e-8,
            )
        ]

    def _optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        if not isinstance(self.optimizer, str):
            if self.ema_momentum is not None and not self.optimizer.use_ema:
                raise InvalidValueError(
                    "`ema_momentum` needs an optimizer made with use_ema=True, or one given by "
                    f"name. Received: ema_momentum={self.ema_momentum}, {self.optimizer!r}"
                )
            return self.optimizer
        steps = steps_per_epoch * self.epochs  # Keras counts batches, also those it accumulates
        rate = create_schedule(
            self.learning_rate,
            steps,
            warmup=self.warmup,
            decay=self.decay,
            power=self.decay_power,
        )
        return create_optimizer(
            self.optimizer,
            rate,
            rates=self._rates(),
            weight_decay=self.weight_decay,
            clipnorm=self.clipnorm,
            accumulation_steps=self.accumulation_steps,
            ema_momentum=self.ema_momentum,
            momentum=self.momentum,
            adam_betas=self.adam_betas,
            adam_epsilon=self.adam_epsilon,
        )

    def _rates(self) -> list[tuple[Any, float]]:
        """The encoders' variables that learn at another rate than the trunk, with its factor."""
        rate = self.encoder_learning_rate
        by_side = rate if isinstance(rate, Mapping) else dict.fromkeys(("vision", "text"), rate)
        networks = backbones(self.model)
        for layer in self.model.layers:
            if layer.name in ("vision_encoder", "text_encoder"):
                networks.setdefault(layer.name.removesuffix("_encoder"), layer)
        factors = []
        for side, network in networks.items():
            factor = (by_side.get(side) or self.learning_rate) / self.learning_rate
            blocks = backbone_blocks(network) if self.layer_decay < 1 else [network.weights]
            for depth, block in enumerate(reversed(blocks)):
                share = factor * self.layer_decay**depth
                factors += [(v, share) for v in block if v.trainable and share != 1]
        return factors


def _is_bare(model: keras.Model) -> bool:
    """Whether a model gives the logits of its only head, rather than a dict by head."""
    return not isinstance(getattr(model, "output", None), dict)


def _check_names(model: keras.Model, names: Collection[str], labels: Any) -> None:
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


def _as_dataset(data: Any, batch_size: int, **options: Any) -> Any:
    if not isinstance(data, tuple):
        return data
    inputs, labels = data
    arrays = inputs if isinstance(inputs, dict) else {"": np.asarray(inputs)}
    if isinstance(labels, Mapping):
        labels = {name: _numbers(values) for name, values in labels.items()}
    else:
        labels = _numbers(labels)
    dataset = RowBatches(arrays, labels=labels, batch_size=batch_size, **options)
    return dataset if isinstance(inputs, dict) else _Bare(dataset)


def _numbers(labels: Any) -> np.ndarray:
    labels = np.asarray(labels)
    return labels.astype("int32") if labels.dtype == bool else labels


class _Bare(keras.utils.PyDataset):
    """Batches of a single unnamed array."""

    def __init__(self, dataset: RowBatches):
        super().__init__()
        self.dataset, self.labels = dataset, dataset.labels

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple:
        inputs, labels = self.dataset[index]
        return inputs[""], labels

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()
