"""Callbacks of the trainer: evaluation at the epoch's end, and a progress bar."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.keras_internals import all_layers, moving_averages
from keras_mm.metrics.head_metrics import EXTENDED
from keras_mm.metrics.window_votes import join_windows
from keras_mm.progress import progress_bar, progress_line, seconds
from keras_mm.settings.by_head import by_head, head_prefixes
from keras_mm.training.memory import Snapshot
from keras_mm.training.objectives import Objective, unknown_monitor

_MOST_VALUES = 8  # in an epoch's line
_TOTALS = ("loss", "val_loss")


class DivergenceCheck(keras.callbacks.Callback):
    """Stops a training whose loss is infinite or NaN.

    Raises:
        FloatingPointError: at an epoch's end, if the training loss is not finite.
    """

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Checks the loss of the epoch."""
        check_finite((logs or {}).get("loss", 0.0), epoch)


def check_finite(values: Any, epoch: int) -> None:
    """Checks that a loss or logits are finite.

    Args:
        values: The loss or the logits, of any shape.
        epoch: Number of the epoch, from 0, for the error message.

    Raises:
        FloatingPointError: if a value is infinite or NaN.
    """
    if not np.isfinite(values).all():
        raise FloatingPointError(
            f"training diverged in epoch {epoch + 1}: the loss or some logits are infinite or NaN. "
            "Lower `learning_rate` (and `encoder_learning_rate`), or warm up longer."
        )


@dataclass(frozen=True)
class ValidationResult:
    """The result of an evaluation during training.

    Attributes:
        logs: Metrics by name, as in the history.
        labels: Encoded labels by head, first axis the rows.
        logits: Logits of the same rows by head, shape `(num_rows, num_logits)`.
    """

    logs: dict[str, float]
    labels: dict[str, np.ndarray]
    logits: dict[str, np.ndarray]


class EpochEvaluation(keras.callbacks.Callback):
    """Adds `val_loss` and the validation metrics of each head to the logs of each epoch.

    A weighted loss is divided by the sum of the weights, so a mean over batches would depend on the
    batches. Therefore, loss and metrics are computed from the logits of all rows, by the functions
    that evaluation uses, with the row weights of the dataset.
    With several heads, the names are `val_<head>_loss`, `val_<head>_accuracy`, ..., and `val_loss`
    is the sum of the heads' losses, each times its weight. A head without labels has no metrics.

    Args:
        dataset: A dataset of `(inputs, labels)` or `(inputs, labels, weights)` batches; with
            several heads, labels are dicts by head.
        objectives: Objectives by head.
        monitors: Metrics to log in addition to those that are always logged.

    Raises:
        FloatingPointError: at an epoch's end, if logits are not finite.
    """

    last: ValidationResult

    def __init__(
        self, dataset: Any, objectives: Mapping[str, Objective], monitors: Collection[str] = ()
    ):
        super().__init__()
        self.dataset, self.objectives, self.monitors = dataset, objectives, monitors

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Evaluates, and adds the metrics to `logs`, where later callbacks find them."""
        metrics = self.evaluate(epoch).logs
        if logs is not None:
            logs.update(metrics)

    def evaluate(self, epoch: int = 0) -> ValidationResult:
        """Evaluates the model with its present weights, also within an epoch.

        Args:
            epoch: Number of the epoch, from 0, for the error message.

        Returns:
            Metrics, labels and logits of the validation rows.

        Raises:
            FloatingPointError: if logits are not finite.
        """
        collected = collect(self.model, self.dataset)
        labels, logits = (by_head(self.objectives, x) for x in collected[:2])
        weights = getattr(self.dataset, "row_weights", collected[2])
        if not isinstance(weights, Mapping):
            weights = dict.fromkeys(self.objectives, weights)
        window_rows = getattr(self.dataset, "window_rows", None)
        if window_rows is not None:
            labels = by_head(self.objectives, self.dataset.row_labels)
        result = ValidationResult({}, {}, {})
        total = None
        prefixes = head_prefixes(self.objectives)
        extended = any(monitor.endswith(EXTENDED) for monitor in self.monitors)
        for name, objective in self.objectives.items():
            y, z = labels[name], logits[name]
            check_finite(z, epoch)
            if window_rows is not None:
                window = self.dataset.window
                tie = window.tie_index(objective.names)
                z = join_windows(z, window_rows, objective.kind, vote=window.vote, tie=tie)
            result.labels[name], result.logits[name] = y, z
            metrics = objective.measure(y, z, weights[name], extended=extended)
            if "loss" in metrics:
                total = (total or 0.0) + metrics["loss"] * objective.weight
            prefix = f"val_{prefixes[name]}"
            for metric, value in metrics.items():
                if metric in objective.logged or prefix + metric in self.monitors:
                    result.logs[prefix + metric] = value
        if total is not None:
            result.logs["val_loss"] = total
        self.last = result
        return result


class TrainingObserver(keras.callbacks.Callback):
    """A callback that can evaluate and save the model at any time during training.

    Attributes:
        evaluation: Evaluates the validation rows; when `on_epoch_end` is called, its `last` holds
            the result of the epoch. `None` without validation rows.
        classifier: The classifier that is being trained, with the present weights: it can predict
            and can be saved. `None` if the training was not started by a classifier.
    """

    evaluation: EpochEvaluation | None = None
    classifier: Any = None


class AveragedWeights(keras.callbacks.Callback):
    """Replaces the weights by their moving average at the end of each epoch.

    Callbacks that come after this one evaluate and keep the average. The next epoch continues with
    the weights themselves.
    """

    _weights: list | None = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Replaces the weights by their averages."""
        variables = self.model.trainable_variables
        # Copies: on some backends an array shares the variable's memory.
        self._weights = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
        averages = moving_averages(self.model.optimizer)
        for variable, average in zip(variables, averages, strict=True):
            # A copy, because a training step on JAX reuses the memory of its variables; two
            # variables must not share memory.
            variable.assign(np.array(keras.ops.convert_to_numpy(average)))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Restores the weights."""
        if self._weights is not None:
            for variable, value in zip(self.model.trainable_variables, self._weights, strict=True):
                variable.assign(value)


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the best epoch so far, and the metrics of all epochs.

    It must come after the evaluation, and before the user's callbacks, which may fail. As these may
    add the monitored metric to the logs, an epoch is compared with the best one only at the end of
    the next epoch or in `restore`.

    Args:
        monitor: Name of a metric in the logs. If no epoch logs it, the last epoch is the best.
        lower: Whether a lower value is better.
        first_epoch: The first epoch, from 1, that is compared with later ones. Epochs before it
            count only if the training ends before it.
        evaluation: The evaluation of each epoch, if there is one.

    Attributes:
        validation: The evaluation of the last epoch; after `restore`, that of the best one.
    """

    validation: ValidationResult | None = None

    def __init__(
        self,
        monitor: str,
        *,
        lower: bool,
        first_epoch: int = 1,
        evaluation: EpochEvaluation | None = None,
    ):
        super().__init__()
        self.monitor, self.lower, self.first_epoch = monitor, lower, first_epoch
        self.evaluation = evaluation
        self._logs: list[dict] = []
        self._best: tuple[int, float | None, Snapshot, ValidationResult | None] | None = None
        self._first: Snapshot | None = None
        self._last: Snapshot | None = None

    @property
    def history(self) -> dict[str, list]:
        """Metrics by name, a list over the completed epochs."""
        names = dict.fromkeys(name for logs in self._logs for name in logs)
        return {name: [logs.get(name, math.nan) for logs in self._logs] for name in names}

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Keeps the initial weights, for a training that fails in its first epoch."""
        model = self.model
        self._moving = _moving_variables(model)
        # On JAX, a step that fails loses the values of all variables, also of frozen ones, as
        # each step reuses their memory.
        on_jax = keras.backend.backend() == "jax"
        self._first = Snapshot(model.variables if on_jax else self._moving)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps the weights of the epoch until it is compared with the best one."""
        self._judge()
        self.model  # on JAX, this property updates the variables  # noqa: B018
        self._last = Snapshot(self._moving)
        self.validation = None if self.evaluation is None else self.evaluation.last
        self._logs.append({} if logs is None else logs)

    def restore(self, *, after_failure: bool = False) -> int:
        """Restores the weights of the best epoch, or the initial ones if no epoch was completed.

        Args:
            after_failure: Whether a step may have been interrupted, so that variables that training
                does not change must be restored, too.

        Returns:
            The number of the best epoch, from 1; 0 if no epoch was completed.
        """
        self._judge()
        if self._first is not None and (after_failure or self._best is None):
            self._first.restore()
        if self._best is None:
            return 0
        self._best[2].restore()
        self.validation = self._best[3]
        return self._best[0]

    def _judge(self) -> None:
        """Compares the last epoch with the best one, and replaces this if the last is better."""
        if self._last is None:
            return
        value = self._logs[-1].get(self.monitor)
        number = len(self._logs)
        if (
            self._best is None
            or number <= self.first_epoch
            or self._is_better(value, self._best[1])
        ):
            self._best = (number, value, self._last, self.validation)
        self._last = None

    def _is_better(self, value: float | None, best: float | None) -> bool:
        if value is None or best is None:
            return best is None
        if math.isnan(best) or math.isnan(value):
            return not math.isnan(value)
        return value < best if self.lower else value > best


def _moving_variables(model: keras.Model) -> list:
    """The variables that training may change: all except those of frozen layers."""
    frozen = {
        id(variable)
        for layer in all_layers(model)
        if not layer.trainable
        for variable in layer.weights
    }
    return [variable for variable in model.variables if id(variable) not in frozen]


class MonitoredStopping(keras.callbacks.EarlyStopping):
    """Early stopping that raises an error if the monitored metric is not logged."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Compares the monitored metric, as `keras.callbacks.EarlyStopping` does.

        Args:
            epoch: Number of the epoch, from 0.
            logs: Metrics of the epoch.

        Raises:
            ValueError: if the monitored metric is not among the logs.
        """
        logs = {} if logs is None else logs
        if self.monitor not in logs:
            raise InvalidValueError(unknown_monitor(self.monitor, logs))
        super().on_epoch_end(epoch, logs)


def collect(model: keras.Model, dataset: Any) -> tuple[Any, Any, Any]:
    """Predicts all rows of a dataset, and collects their labels and weights.

    Args:
        model: A model from inputs to logits.
        dataset: A dataset of `(inputs, labels)` or `(inputs, labels, weights)` batches.

    Returns:
        Labels, logits and weights: each an array, first axis the rows, or a dict of arrays by head.
        The weights are `None` if the batches have none.
    """
    labels, logits, weights, size = [], [], [], 0
    for index in range(len(dataset)):
        inputs, batch_labels, *batch_weights = dataset[index]
        count = len(keras.tree.flatten(inputs)[0])
        size = max(size, count)
        # A smaller batch is padded, because the model would be compiled again for its size.
        if count < size:
            rows = np.minimum(np.arange(size), count - 1)
            inputs = keras.tree.map_structure(lambda x, rows=rows: np.asarray(x)[rows], inputs)
        outputs = keras.tree.map_structure(np.asarray, model.predict_on_batch(inputs))
        logits.append(keras.tree.map_structure(lambda x, n=count: x[:n], outputs))
        labels.append(keras.tree.map_structure(np.asarray, batch_labels))
        weights += [keras.tree.map_structure(_flat, x) for x in batch_weights if x is not None]

    def join(*parts: np.ndarray) -> np.ndarray:
        return np.concatenate(parts)

    joined = (keras.tree.map_structure(join, *parts) for parts in (labels, logits))
    return *joined, keras.tree.map_structure(join, *weights) if weights else None


def _flat(weights: Any) -> np.ndarray:
    """Weights of shape `(batch,)` or `(batch, 1)` as `(batch,)`."""
    return np.asarray(weights).reshape(-1)


class ProgressBar(keras.callbacks.Callback):
    """Shows a progress bar for each epoch, and a line with its results and duration.

    Args:
        show: Whether to show them on stderr; the lines are always in the log file of a run.
    """

    def __init__(self, *, show: bool = True):
        super().__init__()
        self._show, self._bar = show, progress_bar(description="", unit="step", show=False)
        self.async_safe = not show  # if True, Keras does not wait for each batch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Opens the epoch's bar."""
        self._began = time.monotonic()
        self._epoch = f"epoch {epoch + 1}/{self.params['epochs']}"
        self._bar = progress_bar(
            description=self._epoch,
            total=self.params["steps"],
            unit="step",
            leave=False,
            show=self._show,
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Advances the bar by a batch."""
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Closes the bar and prints the results."""
        self.close()
        logs = logs or {}
        if len(logs) > _MOST_VALUES:  # with several heads: the history has the other values
            logs = {n: v for n, v in logs.items() if n in _TOTALS or not n.endswith("_loss")}
        values = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        took = seconds(time.monotonic() - self._began)
        progress_line(f"{self._epoch}  {values}  ({took})", show=self._show)

    def close(self) -> None:
        """Closes the bar of an epoch that was not completed."""
        self._bar.close()
