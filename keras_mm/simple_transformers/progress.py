"""Checkpoints, evaluations and early stopping during a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.files import new_file
from keras_mm.models.layers.scaling import target_scales
from keras_mm.simple_transformers.args import ModelArgs
from keras_mm.simple_transformers.assessments import Assess
from keras_mm.simple_transformers.config import ModelConfig
from keras_mm.simple_transformers.folders import (
    SCORES,
    best_model_folder,
    clear_output,
    write_model,
)
from keras_mm.training.callbacks import TrainingObserver, ValidationResult
from keras_mm.training.memory import Snapshot


class EarlyStopping:
    """Decides whether an evaluation is the best so far, and when to stop.

    Args:
        minimize: Whether a lower value is better.
        patience: Number of evaluations without improvement after which training stops, >= 1.
        delta: The metric must improve by more than this, >= 0.

    Attributes:
        best: The best value so far; `None` before the first evaluation.

    Example:
        >>> stopping = EarlyStopping(patience=3)
        >>> [stopping.note(value) for value in (1.0, 2.0, 2.0, 2.0)]
        [True, False, False, False]
        >>> stopping.is_over, stopping.best
        (True, 1.0)
    """

    def __init__(self, *, minimize: bool = True, patience: int = 3, delta: float = 0.0):
        self.minimize, self.patience, self.delta = minimize, patience, delta
        self.best: float | None = None
        self._without = 0

    @property
    def is_over(self) -> bool:
        """Whether the last `patience` evaluations brought no improvement."""
        return self._without >= self.patience

    def note(self, value: float, *, counts: bool = True) -> bool:
        """Takes the metric of an evaluation into account.

        Args:
            value: The value of the metric.
            counts: Whether the evaluation counts for `patience` if it brings no improvement.

        Returns:
            Whether the value is the best so far.
        """
        sign = 1 if self.minimize else -1
        gain = float("inf") if self.best is None else (self.best - value) * sign
        if gain > self.delta and not math.isnan(value):
            self.best, self._without = value, 0
            return True
        self._without += counts
        return False


class Progress(TrainingObserver):
    """Evaluates and saves the model during training, and stops it, as the settings require.

    Args:
        args: The settings.
        config: As in `write_model`.
        output_dir: Folder for checkpoints and scores.
        assess: Computes the results of an evaluation; `None` to evaluate nothing.

    Attributes:
        global_step: Number of optimizer steps.
        losses: The mean loss of each epoch.
        scores: The columns of `training_progress_scores.csv`, each a list.
        has_cleared: Whether this training has cleared the output folder.
    """

    def __init__(
        self, args: ModelArgs, config: ModelConfig, output_dir: Path, assess: Assess | None
    ):
        super().__init__()
        self.args, self.config, self.output_dir = args, config, output_dir
        self.global_step = 0
        self.losses: list[float] = []
        self.scores: dict[str, list] = {}
        self.has_cleared = False
        self._assess = assess
        self._stopping = EarlyStopping(
            minimize=args.early_stopping_metric_minimize,
            patience=args.early_stopping_patience,
            delta=args.early_stopping_delta,
        )
        self._best: Snapshot | None = None
        self._batches = 0

    @property
    def best_model_dir(self) -> Path:
        """Folder of the best model: in `output_dir`, unless the settings name another one."""
        return best_model_folder(self.output_dir, self.args)

    def clear_once(self) -> None:
        """Clears the output folder, if this training has not done so yet; call it before writes."""
        if not self.has_cleared:
            clear_output(self.output_dir)
        self.has_cleared = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Counts optimizer steps, and saves and evaluates at the steps that the settings require.

        Args:
            batch: Number of the batch in its epoch.
            logs: Metrics of the epoch so far.
        """
        self._batches += 1
        if self._batches % self.args.gradient_accumulation_steps:
            return
        self.global_step += 1
        results = None
        due = self._is_due(self.args.evaluate_during_training_steps)
        if self._assess is not None and self.evaluation is not None and due:
            results = self._note(self._assess, self.evaluation.evaluate(), logs, counts=True)
        evaluated = results is not None and self.args.save_eval_checkpoints
        if evaluated or self._is_due(self.args.save_steps):
            self._save_checkpoint(f"checkpoint-{self.global_step}", results)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves and evaluates, if the settings require it.

        Args:
            epoch: Number of the epoch, from 0.
            logs: Metrics of the epoch.
        """
        self.losses.append(self._loss(logs))
        results = None
        each = self.args.evaluate_each_epoch
        if self._assess is not None and self.evaluation is not None and each:
            counts = self.args.early_stopping_consider_epochs
            results = self._note(self._assess, self.evaluation.last, logs, counts=counts)
        if self.args.save_model_every_epoch:
            self._save_checkpoint(f"checkpoint-{self.global_step}-epoch-{epoch + 1}", results)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Restores the best weights, if early stopping is used.

        Args:
            logs: The last metrics.
        """
        if self._best is not None and self.args.use_early_stopping:
            self._update_variables()
            self._best.restore()

    def _loss(self, logs: dict | None) -> float:
        """The training loss; for a regression converted to the unit of the labels.

        The logged loss of a regression is that of standardised targets.
        """
        loss = (logs or {}).get("loss", math.nan)
        ((name, head),) = self.classifier.heads_.items()
        if head.kind != "regression":
            return loss
        self._update_variables()
        return loss * float(np.mean(target_scales(self.classifier.model_)[name])) ** 2

    def _update_variables(self) -> None:
        """Updates the variables of the model, which are outdated on JAX during training."""
        _ = self.model  # this property of Keras' callbacks updates them

    def _is_due(self, steps: int) -> bool:
        return steps > 0 and self.global_step % steps == 0

    def _note(
        self, assess: Assess, validation: ValidationResult, logs: dict | None, *, counts: bool
    ) -> dict[str, float]:
        """Writes the results of an evaluation; keeps the best weights, and may stop training."""
        ((name, head),) = self.classifier.heads_.items()
        scores = assess(head, validation.labels[name], validation.logits[name])
        metric = self.args.early_stopping_metric
        if metric not in scores:
            raise InvalidValueError(unknown_name("early_stopping_metric", metric, scores))
        row = {"global_step": self.global_step, "train_loss": self._loss(logs), **scores}
        for column, value in row.items():
            self.scores.setdefault(column, []).append(value)
        if not self.args.no_save:
            self.clear_once()
            with new_file(self.output_dir / SCORES) as temporary:
                pd.DataFrame(self.scores).to_csv(temporary, index=False)
        if self._stopping.note(scores[metric], counts=counts):
            self._best = Snapshot(self.model.variables)
            if self.args.save_best_model and not self.args.no_save:
                write_model(self.best_model_dir, self.classifier, self.args, self.config, scores)
        elif self.args.use_early_stopping and self._stopping.is_over:
            self.model.stop_training = True
        return scores

    def _save_checkpoint(self, name: str, results: Mapping | None) -> None:
        if not self.args.no_save:
            self.clear_once()
            self._update_variables()
            write_model(self.output_dir / name, self.classifier, self.args, self.config, results)
