"""What happens in the course of a training: checkpoints, evaluations, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.files import new_file
from keras_mm.models.layers.scaling import target_scales
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ModelArgs
from keras_mm.simple_transformers.folders import SCORES, best_model_folder
from keras_mm.training.callbacks import TrainingObserver, ValidationResult
from keras_mm.training.memory import Snapshot


class EarlyStopping:
    """When an evaluation is the best so far, and when it is time to stop.

    Args:
        minimize: Whether less is better.
        patience: Evaluations without improvement before training stops, >= 1.
        delta: An improvement is more than this, >= 0.

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
        """Whether the patience is at its end."""
        return self._without >= self.patience

    def note(self, value: float, *, counts: bool = True) -> bool:
        """Takes an evaluation's metric; whether it is the best so far.

        Args:
            value: The metric.
            counts: Whether the patience wears out if it is not.
        """
        sign = 1 if self.minimize else -1
        gain = float("inf") if self.best is None else (self.best - value) * sign
        if gain > self.delta and not math.isnan(value):
            self.best, self._without = value, 0
            return True
        self._without += counts
        return False


class Progress(TrainingObserver):
    """Evaluates, saves and stops a training as `ModelArgs` say.

    Args:
        args: The settings.
        output_dir: Where checkpoints and scores go.
        evaluate: From the head, labels and logits to results by name; `None` for no evaluation.
        save: Called with a folder, the classifier, and results or `None`.
        clear: Called with `output_dir` before anything is saved.

    Attributes:
        global_step: Steps of the optimizer.
        losses: The mean loss of each epoch.
        scores: A list for each column of `training_progress_scores.csv`.
        has_cleared: Whether the output folder was cleared for this training.
    """

    def __init__(
        self,
        args: ModelArgs,
        output_dir: Path,
        evaluate: Callable[[Head, np.ndarray, np.ndarray], dict[str, float]] | None,
        save: Callable[[Path, Any, Mapping | None], None],
        clear: Callable[[Path], None],
    ):
        super().__init__()
        self.args, self.output_dir = args, output_dir
        self.global_step = 0
        self.losses: list[float] = []
        self.scores: dict[str, list] = {}
        self._evaluate, self._save, self._clear = evaluate, save, clear
        self._stopping = EarlyStopping(
            minimize=args.early_stopping_metric_minimize,
            patience=args.early_stopping_patience,
            delta=args.early_stopping_delta,
        )
        self._best: Snapshot | None = None
        self._batches, self.has_cleared = 0, False

    @property
    def best_model_dir(self) -> Path:
        """Where the best model goes: into `output_dir`, unless another folder is named."""
        return best_model_folder(self.output_dir, self.args)

    def make_room(self) -> None:
        """Clears the output folder, before the first thing is written and only then."""
        if not self.has_cleared:
            self._clear(self.output_dir)
        self.has_cleared = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Counts the step; saves and evaluates where it is time to."""
        self._batches += 1
        if self._batches % self.args.gradient_accumulation_steps:
            return
        self.global_step += 1
        assessed = None
        if self._evaluate and self._is_time(self.args.evaluate_during_training_steps):
            assessed = self._note(self.evaluation.evaluate(), logs, counts=True)
        evaluated = assessed is not None and self.args.save_eval_checkpoints
        if evaluated or self._is_time(self.args.save_steps):
            self._save_checkpoint(self.output_dir / f"checkpoint-{self.global_step}", assessed)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves and evaluates."""
        self.losses.append(self._loss(logs))
        assessed = None
        if self._evaluate and self.args.evaluate_each_epoch:
            consider = self.args.early_stopping_consider_epochs
            assessed = self._note(self.evaluation.last, logs, counts=consider)
        if self.args.save_model_every_epoch:
            name = f"checkpoint-{self.global_step}-epoch-{epoch + 1}"
            self._save_checkpoint(self.output_dir / name, assessed)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Puts the best weights back, where early stopping looked for them."""
        if self._best is not None and self.args.use_early_stopping:
            self._settle()
            self._best.restore()

    def _loss(self, logs: dict | None) -> float | None:
        """The training loss, of numbers in their own unit: they are learned standardised."""
        loss = (logs or {}).get("loss")
        ((name, head),) = self.classifier.heads_.items()
        if loss is None or head.kind != "regression":
            return loss
        self._settle()
        return loss * float(np.mean(target_scales(self.classifier.model_)[name])) ** 2

    def _settle(self) -> None:
        """On JAX, gives the variables the values that they have in the step's state."""
        _ = self.model

    def _is_time(self, steps: int) -> bool:
        return steps > 0 and self.global_step % steps == 0

    def _note(self, found: ValidationResult, logs: dict | None, *, counts: bool) -> dict:
        """Takes an evaluation; its results."""
        ((name, head),) = self.classifier.heads_.items()
        assessed = self._evaluate(head, found.labels[name], found.logits[name])
        metric = self.args.early_stopping_metric
        if metric not in assessed:
            raise InvalidValueError(unknown_name("early_stopping_metric", metric, assessed))
        row = {"global_step": self.global_step, "train_loss": self._loss(logs), **assessed}
        for name, value in row.items():
            self.scores.setdefault(name, []).append(value)
        if not self.args.no_save:
            self.make_room()
            with new_file(self.output_dir / SCORES) as temporary:
                pd.DataFrame(self.scores).to_csv(temporary, index=False)
        if self._stopping.note(assessed[metric], counts=counts):
            self._best = Snapshot(self.model.variables)
            if self.args.save_best_model and not self.args.no_save:
                self._save(self.best_model_dir, self.classifier, assessed)
        elif self.args.use_early_stopping and self._stopping.is_over:
            self.model.stop_training = True
        return assessed

    def _save_checkpoint(self, folder: Path, assessed: Mapping | None = None) -> None:
        if not self.args.no_save:
            self.make_room()
            self._settle()
            self._save(folder, self.classifier, assessed)
