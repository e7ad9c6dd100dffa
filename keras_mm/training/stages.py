"""Fine-tuning in stages: what each trains, the best of all kept, batches that fit the memory."""

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
from keras_mm.training.memory import Snapshot, is_out_of_memory
from keras_mm.training.trainer import Trainer

_log = logging.getLogger("keras_mm")

Of = TypeVar("Of", Optimization, Stopping)


class FineTuning:
    """Which variables of a model's encoders are trained, stage after stage.

    Args:
        model: A model of `create_multimodal_model`. What of its encoders is trainable now is what
            stages choose from: parts that nothing uses stay frozen.
        stages: The stages; none is one that trains what is trainable.
        lora_rank: Rank of the adapters that learn in place of the trainable encoders' own weights;
            `None` for no adapters.
        lora_alpha: Strength of the adapters; `None` is `lora_rank`.
        twin: Of a model with frozen encoders, what is trained in the place of its trunk: a model of
            the same layers that begins with the same weights, and may have been trained before.

    Raises:
        ValueError: if a stage asks for blocks that a network does not have, or trains nothing more
            than the one before; if LoRA is asked for and an encoder that is trained has no
            attention.
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
                    f"`training.stages[{number}]` unfreezes nothing: nothing of its blocks "
                    f"{self.stages[number].blocks!r} is still frozen in the stage before."
                )
        return plans

    def undo(self) -> None:
        """Makes everything trainable again that was before, so that training can continue."""
        for state in self._before:
            state.restore()

    def __len__(self) -> int:
        return len(self._plans)

    def begin(self, number: int) -> keras.Model:
        """Makes only those parts of the encoders trainable that a stage trains.

        Args:
            number: Number of the stage, from 0.

        Returns:
            The model that is trained, cut at its frozen encoders.
        """
        for side, encoder in self._encoders.items():
            train_only(encoder, self._plans[number][side])
        return self.twin or cut(self.model)

    def trained_sides(self, number: int) -> set[str]:
        """Sides of which a stage trains something.

        Args:
            number: Number of the stage, from 0.

        Returns:
            `"vision"`, `"text"`, both or none.
        """
        return {side for side, chosen in self._plans[number].items() if chosen}

    def end(self) -> None:
        """Gives the model the twin's weights, and adds the adapters to those of the encoders."""
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
                f"a stage trains blocks of the {min(absent)} encoder, and there is none: "
                f"its blocks are {stage.blocks!r}."
            )
        return plan


def _ids(plan: dict[str, list]) -> set[int]:
    return {id(variable) for chosen in plan.values() for variable in chosen}


@dataclass(frozen=True)
class StagesResult:
    """What a training in stages gave.

    Attributes:
        history: Metrics by name, a list over the epochs of all stages, with the number of the
            `stage` where there are several.
        batch_size: The rows of a batch that fitted.
        error: What ended the training before its end, an interruption among them; the model then
            has the best weights so far. `None` where it came to its end.
    """

    history: dict[str, list]
    batch_size: int
    error: BaseException | None = None


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
        tuning: What each stage trains.
        batches: From what is trained of the model (it is cut at its frozen encoders), the rows of
            a batch and a seed to training data and validation data, or `None`.
        forget: Called with the sides whose encoders a stage has changed.
        loss_settings: What is minimised.
        optimization: How; a stage may have learning rates of its own.
        stopping: When a stage ends; it may have epochs of its own.
        heads: As `Trainer`.
        batch_size: Rows of a batch.
        auto_find_batch_size: Whether to halve it where memory runs out; see `fit_within_memory`.
        callbacks: As `Trainer`.
        seed: As `Trainer`, for the first stage; each next one has the next number.
        verbose: As `Trainer`.

    Returns:
        What the stages gave; of a training that failed, up to there.
    """
    history: dict[str, list] = {}
    best = BestOfStages(tuning.model, stopping)
    stages = tuning.stages or (Stage(),)
    error: BaseException | None = None
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
        if len(stages) > 1:
            count = sum(math.prod(v.shape) for v in trained.trainable_variables)
            words = f"stage {number + 1} of {len(stages)}: {counted(count, 'weight')} are trained"
            progress_line(words, show=bool(verbose))
        result = _fit_stage(trainer, batches, batch_size, auto_find_batch_size)
        found, batch_size, error = result.history, result.batch_size, result.error
        forget(tuning.trained_sides(number))
        if len(stages) > 1 and found:
            found = {**found, "stage": [number + 1] * len(found["loss"])}
            best.note(found)
        for name, values in found.items():
            history.setdefault(name, []).extend(values)
        if error is not None:
            break
    tuning.end()
    if best.stage:
        words = f"the weights of stage {best.stage} of {len(stages)} are kept: it has the best "
        progress_line(f"{words}{stopping.monitor}, {best.value:.4f}", show=bool(verbose))
    if error is not None:
        tuning.undo()
    return StagesResult(history, batch_size, error)


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
            return StagesResult(*fit_within_memory(trainer.model, fit, batch_size))
        return StagesResult(fit(batch_size), batch_size)
    except BaseException as error:
        return StagesResult(trainer.history, batch_size, error)


def _of_stage(settings: Of, stage: Stage) -> Of:
    """Settings of a training with what a stage has of its own."""
    own = {name: value for name, value in vars(stage).items() if value is not None}
    known = vars(settings)
    return refined(settings, {n: fill_sides(v, known[n]) for n, v in own.items() if n in known})


def fit_within_memory(
    model: keras.Model, fit: Callable[[int], Any], batch_size: int
) -> tuple[Any, int]:
    """`fit(batch_size)`, and again from the same weights with half the rows while memory runs out.

    Args:
        model: What `fit` trains; brought back as it was before `fit` is called again, so that the
            result is that of a run with the smaller batches.
        fit: Trains with batches of so many rows.
        batch_size: Rows of a batch to begin with, >= 1.

    Returns:
        What `fit` returned, and the rows of a batch that fitted.
    """
    snapshot = Snapshot(model.variables)
    while True:
        try:
            return fit(batch_size), batch_size
        except Exception as error:  # each backend has its own kind
            if batch_size == 1 or not is_out_of_memory(error):
                raise
            half = batch_size // 2
            _log.warning("out of memory with batches of %d; going on with %d", batch_size, half)
            batch_size = half
        # Outside of the handler, so that nothing of the failed step is kept alive by its error.
        gc.collect()
        snapshot.restore()


class BestOfStages:
    """Keeps the weights of the best stage, where a later one makes the monitored metric worse.

    Args:
        model: The model.
        stopping: What a stage may have ended by. Without early stopping, or where the monitored
            metric is not in the stages' histories, the last stage counts.

    Attributes:
        stage: The number of the best stage so far, from 1; 0 where none could be compared.
        value: Its best value of the monitored metric.
    """

    def __init__(self, model: keras.Model, stopping: Stopping):
        self.model, self.first_epoch = model, stopping.min_epochs
        self.monitor = stopping.monitor if stopping.early_stopping else ""
        self.stage, self.value, self._count = 0, math.nan, 0
        self._snapshot: Snapshot | None = None

    def note(self, history: dict) -> None:
        """Takes a stage's history; keeps its weights, or puts the better ones back."""
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
