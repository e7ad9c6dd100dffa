"""Callbacks of the trainer: evaluation at the epoch's end, and a progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
from tqdm import tqdm

from keras_mm.metrics.classification import classification_metrics
from keras_mm.metrics.probabilities import probabilities
from keras_mm.presets import unknown_name


class DivergenceCheck(keras.callbacks.Callback):
    """Ends a run whose loss is no number any more.

    Raises:
        FloatingPointError: at an epoch's end, if the training loss is not finite.
    """

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks at the epoch's loss."""
        check_finite((logs or {}).get("loss", 0.0), epoch)


def check_finite(values, epoch: int) -> None:
    """Says that training diverged if some of `values`, a loss or logits, are infinite or NaN."""
    if not np.isfinite(values).all():
        raise FloatingPointError(
            f"training diverged in epoch {epoch + 1}: the loss or some logits are infinite or NaN. "
            "Lower `learning_rate` (and `encoder_learning_rate`), or warm up longer."
        )


class EpochEvaluation(keras.callbacks.Callback):
    """Adds `val_loss`, `val_accuracy` and `val_macro_f1` to each epoch's logs.

    The weighted loss is a mean by the weights' sum, which depends on batching; so it is computed
    once over the logits of all rows, as the metrics are, by the functions that evaluation uses.

    Args:
        dataset: A dataset of `(inputs, labels)` batches.
        loss: From labels and logits to a scalar.
        classes: Label names; `None` gives the loss only.

    Raises:
        FloatingPointError: at an epoch's end, if logits are not finite.
    """

    def __init__(self, dataset, loss: Callable, classes: Sequence | None = None):
        super().__init__()
        self.dataset, self.loss, self.classes = dataset, loss, classes

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Evaluates, before any callback that comes after."""
        labels, logits = collect(self.model, self.dataset)
        check_finite(logits, epoch)
        value = self.loss(keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(logits))
        logs["val_loss"] = float(keras.ops.convert_to_numpy(value))
        if self.classes is not None:
            found = classification_metrics(labels, probabilities(logits), self.classes)
            logs["val_accuracy"], logs["val_macro_f1"] = found["accuracy"], found["macro_f1"]


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
        averages = self.model.optimizer._model_variables_moving_average
        for variable, average in zip(variables, averages, strict=True):
            # By a copy: JAX lets no two variables share memory that a step may take.
            variable.assign(np.array(keras.ops.convert_to_numpy(average)))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Puts the weights back."""
        if self._weights is not None:
            for variable, value in zip(self.model.trainable_variables, self._weights, strict=True):
                variable.assign(value)


class MonitoredStopping(keras.callbacks.EarlyStopping):
    """Early stopping that says so when there is nothing to watch."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """As Keras' own.

        Raises:
            ValueError: if no metric is called as `monitor` says.
        """
        if self.monitor not in logs:
            raise ValueError(unknown_name("metric in `monitor`:", self.monitor, logs))
        super().on_epoch_end(epoch, logs)


def collect(model: keras.Model, dataset) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits of all rows of a dataset."""
    labels, logits = [], []
    for index in range(len(dataset)):
        inputs, batch_labels = dataset[index][:2]
        logits.append(np.asarray(model.predict_on_batch(inputs)))
        labels.append(np.asarray(batch_labels))
    return np.concatenate(labels), np.concatenate(logits)


class ProgressBar(keras.callbacks.Callback):
    """A bar per epoch on stderr, and a line with its results."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Notes the size of the run."""
        self._began = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Opens the epoch's bar."""
        self._epoch = f"epoch {epoch + 1}/{self.params['epochs']}"
        self._bar = tqdm(
            desc=self._epoch, total=self.params["steps"], unit="step", leave=False, delay=1
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the bar."""
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Closes the bar and prints the results."""
        self._bar.close()
        values = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        seconds = time.monotonic() - self._began
        print(f"{self._epoch}  {values}  ({seconds:.0f} s)", file=sys.stderr)
