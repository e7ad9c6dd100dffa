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
from keras_mm.metrics.window_votes import join_windows
from keras_mm.progress import progress_bar, progress_line, seconds
from keras_mm.settings.by_head import by_head, head_prefixes
from keras_mm.training.memory import Snapshot
from keras_mm.training.objectives import Objective, unknown_monitor

_MOST_VALUES = 8  # in an epoch's line
_TOTALS = ("loss", "val_loss")


class DivergenceCheck(keras.callbacks.Callback):
    """Ends a run whose loss is no number any more.

    Raises:
        FloatingPointError: at an epoch's end, if the training loss is not finite.
    """

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks at the epoch's loss."""
        check_finite((logs or {}).get("loss", 0.0), epoch)


def check_finite(values: Any, epoch: int) -> None:
    """Says that training diverged if some of `values`, a loss or logits, are infinite or NaN."""
    if not np.isfinite(values).all():
        raise FloatingPointError(
            f"training diverged in epoch {epoch + 1}: the loss or some logits are infinite or NaN. "
            "Lower `learning_rate` (and `encoder_learning_rate`), or warm up longer."
        )


@dataclass(frozen=True)
class ValidationResult:
    """What an evaluation in training found.

    Attributes:
        logs: Metrics by name, as in the history.
        labels: Encoded labels by head, a row each.
        logits: Logits by head, of the same rows.
    """

    logs: dict[str, float]
    labels: dict[str, np.ndarray]
    logits: dict[str, np.ndarray]


class EpochEvaluation(keras.callbacks.Callback):
    """Adds `val_loss` and the validation metrics of each head to each epoch's logs.

    The weighted loss is a mean by the weights' sum, which depends on batching; so it is computed
    once over the logits of all rows, as the metrics are, by the functions that evaluation uses, and
    with the weights that the dataset gives its rows.
    With several heads the names are `val_<head>_loss`, `val_<head>_accuracy`, ..., and `val_loss`
    is the sum of the heads' losses by their weights. A head of which no row has labels has none.

    Args:
        dataset: A dataset of `(inputs, labels)` batches, or of `(inputs, labels, weights)`; of
            several heads, labels by head.
        objectives: What measures each head, by name.
        monitors: Metrics that are logged beside those that always are.

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
        """Evaluates, before any callback that comes after."""
        found = self.evaluate(epoch).logs
        if logs is not None:
            logs.update(found)

    def evaluate(self, epoch: int = 0) -> ValidationResult:
        """Evaluates the model as it is, also within an epoch.

        Args:
            epoch: Number of the epoch, from 0, for the error message.

        Returns:
            Metrics, labels and logits of the validation rows.

        Raises:
            FloatingPointError: if logits are not finite.
        """
        found_rows = collect(self.model, self.dataset)
        labels, logits = (by_head(self.objectives, x) for x in found_rows[:2])
        weights = getattr(self.dataset, "row_weights", found_rows[2])
        if not isinstance(weights, Mapping):
            weights = dict.fromkeys(self.objectives, weights)
        window_rows = getattr(self.dataset, "window_rows", None)
        if window_rows is not None:
            labels = by_head(self.objectives, self.dataset.row_labels)
        result = ValidationResult({}, {}, {})
        total = None
        prefixes = head_prefixes(self.objectives)
        for name, objective in self.objectives.items():
            y, z = labels[name], logits[name]
            check_finite(z, epoch)
            if window_rows is not None:
                window = self.dataset.window
                tie = window.tie_index(objective.names)
                z = join_windows(z, window_rows, objective.kind, vote=window.vote, tie=tie)
            result.labels[name], result.logits[name] = y, z
            found = objective.measure(y, z, weights[name])
            if "loss" in found:
                total = (total or 0.0) + found["loss"] * objective.weight
            prefix = f"val_{prefixes[name]}"
            for metric, value in found.items():
                if metric in objective.logged or prefix + metric in self.monitors:
                    result.logs[prefix + metric] = value
        if total is not None:
            result.logs["val_loss"] = total
        self.last = result
        return result


class TrainingObserver(keras.callbacks.Callback):
    """A callback that may evaluate and save what is being trained, whenever it likes.

    Attributes:
        evaluation: What evaluates the validation rows; it has done so when `on_epoch_end` is
            called, see its `last`. `None` without such rows.
        classifier: The classifier that is being trained, with the model as it is now: it answers
            and can be saved. `None` where there is none.
    """

    evaluation: EpochEvaluation | None = None
    classifier: Any = None


class AveragedWeights(keras.callbacks.Callback):
    """Puts the optimizer's moving average of the weights in their place between epochs.

    What evaluates or keeps weights at an epoch's end, after this callback, so sees the average;
    the next epoch goes on from the weights themselves.
    """

    _weights: list | None = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Puts the averages in."""
        variables = self.model.trainable_variables
        # Copies: on some backends an array shares the variable's memory.
        self._weights = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
        averages = moving_averages(self.model.optimizer)
        for variable, average in zip(variables, averages, strict=True):
            # By a copy: JAX lets no two variables share memory that a step may take.
            variable.assign(np.array(keras.ops.convert_to_numpy(average)))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Puts the weights back."""
        if self._weights is not None:
            for variable, value in zip(self.model.trainable_variables, self._weights, strict=True):
                variable.assign(value)


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the best epoch so far, and the metrics of all.

    It comes behind what evaluates and before the user's callbacks, which may fail. An epoch is
    judged when the next one begins, as those callbacks may add the metric that is monitored.

    Args:
        monitor: Metric in the epochs' logs. Where it is not there, the last epoch is the best.
        lower: Whether less of it is better.
        first_epoch: The epoch, from 1, with which comparing begins; before it the last is best.
    """

    def __init__(self, monitor: str, *, lower: bool, first_epoch: int = 1):
        super().__init__()
        self.monitor, self.lower, self.first_epoch = monitor, lower, first_epoch
        self._logs: list[dict] = []
        self._best: tuple[int, float | None, Snapshot] | None = None
        self._first: Snapshot | None = None
        self._last: Snapshot | None = None

    @property
    def history(self) -> dict[str, list]:
        """Metrics by name, a list over the epochs that came to their end."""
        names = dict.fromkeys(name for logs in self._logs for name in logs)
        return {name: [logs.get(name, math.nan) for logs in self._logs] for name in names}

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Keeps the weights as they are, for a training that fails in its first epoch."""
        model = self.model
        self._moving = _moving_variables(model)
        # JAX gives the memory of all variables to each step, also of those that do not change.
        on_jax = keras.backend.backend() == "jax"
        self._first = Snapshot(model.variables if on_jax else self._moving)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps the epoch's weights until it is judged."""
        self._judge()
        self.model  # on JAX, brings the variables up to date  # noqa: B018
        self._last = Snapshot(self._moving)
        self._logs.append({} if logs is None else logs)

    def restore(self, *, after_failure: bool = False) -> int:
        """Puts the weights of the best epoch back, or the first ones if no epoch came to its end.

        Args:
            after_failure: Whether a step may have been broken off, so that frozen layers need
                their weights too.

        Returns:
            The number of the best epoch, from 1, or 0.
        """
        self._judge()
        if self._first is not None and (after_failure or self._best is None):
            self._first.restore()
        if self._best is None:
            return 0
        self._best[2].restore()
        return self._best[0]

    def _judge(self) -> None:
        """Makes the last epoch the best if it is."""
        if self._last is None:
            return
        value = self._logs[-1].get(self.monitor)
        number = len(self._logs)
        if (
            self._best is None
            or number <= self.first_epoch
            or self._is_better(value, self._best[1])
        ):
            self._best = (number, value, self._last)
        self._last = None

    def _is_better(self, value: float | None, best: float | None) -> bool:
        if value is None or best is None:
            return best is None
        if math.isnan(best) or math.isnan(value):
            return not math.isnan(value)
        return value < best if self.lower else value > best


def _moving_variables(model: keras.Model) -> list:
    """The variables that training may change: all but those of frozen layers."""
    frozen = {
        id(variable)
        for layer in all_layers(model)
        if not layer.trainable
        for variable in layer.weights
    }
    return [variable for variable in model.variables if id(variable) not in frozen]


class MonitoredStopping(keras.callbacks.EarlyStopping):
    """Early stopping that says so when there is nothing to watch."""

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
    """Labels, logits and weights of all rows of a dataset; of several heads, each by head.

    Args:
        model: The model, which gives the logits.
        dataset: A dataset of `(inputs, labels)` or `(inputs, labels, weights)` batches.

    Returns:
        Labels, logits, and the weights as the dataset has them; `None` without weights.
    """
    labels, logits, weights, size = [], [], [], 0
    for index in range(len(dataset)):
        inputs, batch_labels, *batch_weights = dataset[index]
        count = len(keras.tree.flatten(inputs)[0])
        size = max(size, count)
        if count < size:  # filled up: a batch of another size would be compiled for itself
            rows = np.minimum(np.arange(size), count - 1)
            inputs = keras.tree.map_structure(lambda x, rows=rows: np.asarray(x)[rows], inputs)
        found = keras.tree.map_structure(np.asarray, model.predict_on_batch(inputs))
        logits.append(keras.tree.map_structure(lambda x, n=count: x[:n], found))
        labels.append(keras.tree.map_structure(np.asarray, batch_labels))
        weights += [keras.tree.map_structure(_flat, x) for x in batch_weights if x is not None]

    def join(*parts: np.ndarray) -> np.ndarray:
        return np.concatenate(parts)

    found = (keras.tree.map_structure(join, *parts) for parts in (labels, logits))
    return *found, keras.tree.map_structure(join, *weights) if weights else None


def _flat(weights: Any) -> np.ndarray:
    """Weights of shape `(batch,)` or `(batch, 1)` as `(batch,)`."""
    return np.asarray(weights).reshape(-1)


class ProgressBar(keras.callbacks.Callback):
    """A bar per epoch on stderr, and a line with its results and its duration.

    Args:
        show: Whether stderr gets them; the log file of a run has the lines anyway.
    """

    def __init__(self, *, show: bool = True):
        super().__init__()
        self._show, self._bar = show, progress_bar(description="", unit="step", show=False)
        self.async_safe = not show  # Keras then does not wait for each batch

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
        """Moves the bar."""
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Closes the bar and prints the results."""
        self.close()
        logs = logs or {}
        if len(logs) > _MOST_VALUES:  # of several heads: they stand in the history
            logs = {n: v for n, v in logs.items() if n in _TOTALS or not n.endswith("_loss")}
        values = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        took = seconds(time.monotonic() - self._began)
        progress_line(f"{self._epoch}  {values}  ({took})", show=self._show)

    def close(self) -> None:
        """Closes the bar of an epoch that did not come to its end."""
        self._bar.close()
