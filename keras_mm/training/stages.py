"""Fine-tuning in stages: which variables each trains, the best stage, batches that fit memory."""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import keras

from keras_mm.errors import InvalidValueError
from keras_mm.metrics.classification import lower_is_better
from keras_mm.models.backbones.blocks import TrainableState, top_blocks, train_only
from keras_mm.models.backbones.lora import enable_lora, merge_lora
from keras_mm.models.multimodal import backbones, copy_variables, cut, parts
from keras_mm.progress import counted, progress_line
from keras_mm.settings.heads import Head
from keras_mm.settings.knobs import refined
from keras_mm.settings.stages import Stage, fill_sides
from keras_mm.settings.training import LossSettings, Optimization, Stopping
from keras_mm.training.callbacks import ValidationResult
from keras_mm.training.memory import Snapshot, is_out_of_memory
from keras_mm.training.trainer import Trainer

_log = logging.getLogger("keras_mm")

Of = TypeVar("Of", Optimization, Stopping)


class FineTuning:
    """Sets which variables of a model's encoders each stage trains.

    Args:
        model: A model of `create_multimodal_model`. Stages train only encoder variables that are
            trainable when this object is created; parts that the model does not use stay frozen.
        stages: The stages; by default one that trains all trainable variables.
        lora_rank: Rank of the LoRA adapters, which are trained instead of the weights of trainable
            encoders; `None` for no adapters.
        lora_alpha: Strength of the adapters; by default `lora_rank`.
        twin: A model that is trained instead of the trunk, if all encoders are frozen: the same
            layers with the same weights. It may have been trained before.

    Raises:
        ValueError: if a stage trains blocks that a network does not have, or no more than the stage
            before; with LoRA if a trainable encoder has no attention.
    """

    def __init__(
        self,
        model: keras.Model,
        stages: Sequence[Stage] = (),
        *,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        twin: keras.Model | None = None,
    ):
        self.model, self.stages, self.twin = model, tuple(stages), twin
        self._networks = backbones(model)
        encoders = parts(model).encoders
        self._encoders = {side: encoders.get(side, net) for side, net in self._networks.items()}
        self._before = [TrainableState(encoder) for encoder in self._encoders.values()]
        try:
            self._plans = self._all_plans(lora_rank, lora_alpha)
        except BaseException:
            self.undo()
            raise

    def _all_plans(self, lora_rank: int | None, lora_alpha: float | None) -> list[dict[str, list]]:
        """The variables of each side that each stage trains."""
        trainable = {
            side: list(network.trainable_variables) for side, network in self._networks.items()
        }
        if lora_rank is not None:
            trainable = {
                side: enable_lora(self._networks[side], lora_rank, lora_alpha) if chosen else []
                for side, chosen in trainable.items()
            }
        plans = [self._plan(stage, trainable) for stage in self.stages] or [trainable]
        for number in range(1, len(plans)):
            before, plan = (_ids(p) for p in plans[number - 1 : number + 1])
            if plan <= before:
                raise InvalidValueError(
                    f"`training.stages[{number}]` unfreezes nothing: the previous stage already "
                    f"trains its blocks, {self.stages[number].blocks!r}. Give it more blocks, or "
                    "leave it out."
                )
        return plans

    def undo(self) -> None:
        """Restores what was trainable before, so that training can continue."""
        for state in self._before:
            state.restore()

    def __len__(self) -> int:
        return len(self._plans)

    def begin(self, number: int) -> keras.Model:
        """Makes only those encoder variables trainable that a stage trains.

        Args:
            number: Number of the stage, from 0.

        Returns:
            The model to train, without its frozen encoders.
        """
        for side, encoder in self._encoders.items():
            train_only(encoder, self._plans[number][side])
        return self.twin or cut(self.model)

    def trained_sides(self, number: int) -> set[str]:
        """The sides whose encoder a stage trains.

        Args:
            number: Number of the stage, from 0.

        Returns:
            Any of `"vision"` and `"text"`.
        """
        return {side for side, chosen in self._plans[number].items() if chosen}

    def end(self) -> None:
        """Copies the weights of the twin to the model, and merges adapters into the encoders."""
        if self.twin is not None:
            copy_variables(parts(self.twin).trunk, parts(self.model).trunk)
        for network in self._networks.values():
            merge_lora(network)

    def _plan(self, stage: Stage, trainable: dict[str, list]) -> dict[str, list]:
        plan = {}
        for side, network in self._networks.items():
            chosen = {id(v) for v in top_blocks(network, stage.depth(side), side)}
            plan[side] = [v for v in trainable[side] if id(v) in chosen]
        absent = set(stage.blocks if isinstance(stage.blocks, Mapping) else ()) - set(plan)
        if absent:
            raise InvalidValueError(
                f"A stage trains blocks of the {min(absent)} encoder, but the model has none. "
                f"Received: blocks={stage.blocks!r}"
            )
        return plan


def _ids(plan: dict[str, list]) -> set[int]:
    return {id(variable) for chosen in plan.values() for variable in chosen}


@dataclass(frozen=True)
class StagesResult:
    """The result of a training in stages.

    Attributes:
        history: Metrics by name, a list over the epochs of all stages, with the number of the
            `stage` if there are several.
        batch_size: Rows of the batches that fit memory.
        error: The error or interruption that stopped the training; the model then has the best
            weights so far. `None` if the training was completed.
        validation: Labels and logits of the validation rows with the weights that were kept, as
            `Trainer.validation`; `None` if the training was not completed.
    """

    history: dict[str, list]
    batch_size: int
    error: BaseException | None = None
    validation: ValidationResult | None = None


def fit_stages(
    tuning: FineTuning,
    batches: Callable[[keras.Model, int, int], Sequence],
    forget: Callable[[Collection[str]], None],
    loss_settings: LossSettings,
    optimization: Optimization,
    stopping: Stopping,
    *,
    heads: Mapping[str, Head],
    batch_size: int = 32,
    auto_find_batch_size: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seed: int = 0,
    verbose: int = 1,
) -> StagesResult:
    """Trains stage after stage; of several, the weights of the best are kept.

    Args:
        tuning: Which variables each stage trains.
        batches: Returns training and validation data (or `None`) for the model to train (without
            its frozen encoders), the rows of a batch, and a seed.
        forget: Called after each stage with the sides whose encoders it has trained.
        loss_settings: The loss.
        optimization: The optimizer; a stage can have its own learning rates.
        stopping: Epochs and early stopping of a stage; a stage can have its own epochs.
        heads: As in `Trainer`.
        batch_size: Rows of a batch, >= 1.
        auto_find_batch_size: Whether to halve the batches if memory runs out.
        callbacks: As in `Trainer`.
        seed: As in `Trainer`, for the first stage; the seed of each next stage is one higher.
        verbose: As in `Trainer`.

    Returns:
        What the stages gave; of a training that failed, up to there.
    """
    history: dict[str, list] = {}
    best = BestOfStages(tuning.model, stopping)
    stages = tuning.stages or (Stage(),)
    error, validation = None, None
    for number, stage in enumerate(stages):
        trained = tuning.begin(number)
        trainer = Trainer(
            trained,
            heads=heads,
            loss_settings=loss_settings,
            optimization=_of_stage(optimization, stage),
            stopping=_of_stage(stopping, stage),
            callbacks=callbacks,
            seed=seed + number,
            verbose=verbose,
            keep_step=tuning.twin is not None,
        )
        _announce(trained, number, len(stages), show=bool(verbose))
        result = _fit_stage(trainer, batches, batch_size, auto_find_batch_size)
        logs, batch_size, error = result.history, result.batch_size, result.error
        forget(tuning.trained_sides(number))
        if len(stages) > 1 and logs:
            logs = {**logs, "stage": [number + 1] * len(logs["loss"])}
            best.note(logs)
        if best.stage in (0, number + 1):
            validation = result.validation
        for name, values in logs.items():
            history.setdefault(name, []).extend(values)
        if error is not None:
            break
    tuning.end()
    best.report(len(stages), show=bool(verbose))
    if error is not None:
        tuning.undo()
    return StagesResult(history, batch_size, error, None if error is not None else validation)


def _announce(trained: keras.Model, number: int, count: int, *, show: bool) -> None:
    """Says which of several stages begins, and how many weights it trains."""
    if count == 1:
        return
    size = sum(math.prod(variable.shape) for variable in trained.trainable_variables)
    words = f"stage {number + 1} of {count}: {counted(size, 'weight')} are trained"
    progress_line(words, show=show)


def _fit_stage(
    trainer: Trainer,
    batches: Callable[[keras.Model, int, int], Sequence],
    batch_size: int,
    auto_find_batch_size: bool,
) -> StagesResult:
    """Trains one stage; an error is returned, as the caller must make the model whole first."""

    def fit(size: int) -> dict:
        return trainer.fit(*batches(trainer.model, size, trainer.seed))

    try:
        if auto_find_batch_size:
            history, batch_size = fit_within_memory(trainer.model, fit, batch_size)
        else:
            history = fit(batch_size)
        return StagesResult(history, batch_size, validation=trainer.validation)
    except BaseException as error:
        return StagesResult(trainer.history, batch_size, error)


def _of_stage(settings: Of, stage: Stage) -> Of:
    """The settings with the values that a stage sets itself."""
    own = {name: value for name, value in vars(stage).items() if value is not None}
    known = vars(settings)
    return refined(settings, {n: fill_sides(v, known[n]) for n, v in own.items() if n in known})


def fit_within_memory(
    model: keras.Model, fit: Callable[[int], Any], batch_size: int
) -> tuple[Any, int]:
    """Calls `fit(batch_size)`, with smaller batches each time that memory runs out.

    Args:
        model: The model that `fit` trains. Its variables are restored before each further call, so
            that the result is that of a training with the smaller batches alone.
        fit: Trains with batches of the given number of rows.
        batch_size: Rows of the first batches, >= 1; halved for each further call.

    Returns:
        The result of `fit`, and the rows of the batches that fit memory.

    Raises:
        Exception: the error of `fit`, if it is another one, or batches are of one row already.
    """
    snapshot = Snapshot(model.variables)
    while True:
        try:
            return fit(batch_size), batch_size
        except Exception as error:  # each backend has its own kind
            if batch_size == 1 or not is_out_of_memory(error):
                raise
            half = batch_size // 2
            _log.warning("out of memory with batches of %d; continuing with %d", batch_size, half)
            batch_size = half
        # Outside the handler, as the error keeps the arrays of the failed step in memory.
        gc.collect()
        snapshot.restore()


class BestOfStages:
    """Keeps the weights of the best stage, in case a later one makes the monitored metric worse.

    Args:
        model: The model.
        stopping: Early stopping of the stages. Without early stopping, or if no stage logs the
            monitored metric, the weights of the last stage are kept.

    Attributes:
        stage: Number of the best stage so far, from 1; 0 if no stage could be compared.
        value: The best value of the monitored metric in this stage.
    """

    def __init__(self, model: keras.Model, stopping: Stopping):
        self.model, self.first_epoch = model, stopping.min_epochs
        self.monitor = stopping.monitor if stopping.early_stopping else ""
        self.stage, self.value, self._count = 0, math.nan, 0
        self._snapshot: Snapshot | None = None

    def note(self, history: dict) -> None:
        """Compares a stage with the best one; keeps its weights, or restores the better ones.

        Args:
            history: Metrics of the stage by name, a list over its epochs.
        """
        self._count += 1
        values = history.get(self.monitor)
        if not values:
            return
        lower = lower_is_better(self.monitor)
        values = values[min(self.first_epoch, len(values)) - 1 :]
        best = min(values) if lower else max(values)
        if not self.stage or (best < self.value if lower else best > self.value):
            self.stage, self.value = self._count, best
            self._snapshot = Snapshot(self.model.variables)
        elif self._snapshot is not None:
            self._snapshot.restore()

    def report(self, num_stages: int, *, show: bool) -> None:
        """Says which stage is kept, if stages could be compared.

        Args:
            num_stages: Number of stages.
            show: Whether to say it.
        """
        if self.stage:
            words = f"the weights of stage {self.stage} of {num_stages} are kept: it has the best "
            progress_line(f"{words}{self.monitor}, {self.value:.4f}", show=show)
