"""Optimizers with learning rates of their own for some variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError

DECAYS = ("cosine", "linear", "polynomial", "constant", "plateau")
_CLASSES = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "adafactor": keras.optimizers.Adafactor,
}


def create_optimizer(
    name: str,
    learning_rate: Any,
    *,
    rates: Sequence[tuple[Any, float]] = (),
    weight_decay: float = 0.0,
    clipnorm: float | None = None,
    accumulation_steps: int = 1,
    ema_momentum: float | None = None,
    momentum: float = 0.9,
    adam_betas: Sequence[float] = (0.9, 0.999),
    adam_epsilon: float = 1e-7,
) -> keras.optimizers.Optimizer:
    """An optimizer in which some variables learn at a multiple of the learning rate.

    Args:
        name: `"adamw"`, `"adam"`, `"sgd"` or `"adafactor"`.
        learning_rate: A number or a Keras schedule.
        rates: Variables (of pretrained encoders) and what the rate is multiplied by for each, > 0.
        weight_decay: Decoupled weight decay, for `"adamw"` only.
        clipnorm: Largest global norm of the gradients.
        accumulation_steps: Batches averaged into one step.
        ema_momentum: Keeps a moving average of the weights with this momentum a step, in [0, 1).
        momentum: Of `"sgd"`, in [0, 1).
        adam_betas: Of `"adamw"` and `"adam"`: decay of the two moments, in [0, 1).
        adam_epsilon: Of `"adamw"` and `"adam"`: what keeps their denominator from 0, > 0.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in _CLASSES:
        raise InvalidValueError(unknown_name("optimizer", name, _CLASSES))
    kind = _RATED[name] if rates else _CLASSES[name]
    adam = {"beta_1": adam_betas[0], "beta_2": adam_betas[1], "epsilon": adam_epsilon}
    own = {
        "adamw": {"weight_decay": weight_decay, **adam},
        "adam": adam,
        "sgd": {"momentum": momentum},
    }
    options: dict[str, Any] = own.get(name, {})
    if accumulation_steps > 1:
        options["gradient_accumulation_steps"] = accumulation_steps
    if ema_momentum is not None:
        # Keras averages after every batch, also where a step takes several.
        options.update(use_ema=True, ema_momentum=ema_momentum ** (1 / accumulation_steps))
    optimizer = kind(learning_rate, global_clipnorm=clipnorm, **options)
    if rates:
        # By identity: two encoders may name their variables alike.
        optimizer.factors = {id(variable): factor for variable, factor in rates}
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _with_rates(base: type) -> type:
    """`base`, updating each part of the variables at its own rate.

    The update of all variables together is what every backend's optimizer goes through; torch has
    no update of a single variable. Weight decay follows each part's rate. A saved optimizer keeps
    the rates by the positions of its variables.
    """

    class RatedOptimizer(base):
        weight_decay: float | None
        factors: dict[int, float]

        def __init__(self, *args: Any, rates: Any = (), **kwargs: Any):
            super().__init__(*args, **kwargs)
            self.saved_rates, self.factors = tuple(rates), {}

        def build(self, variables: Any) -> None:
            super().build(variables)
            if len(self.saved_rates) == len(variables):
                rates = zip(variables, self.saved_rates, strict=True)
                self.factors = {id(variable): rate for variable, rate in rates}

        def get_config(self) -> dict[str, Any]:
            rates = [self.factors.get(id(v), 1.0) for v in self._trainable_variables]
            return {**super().get_config(), "rates": rates or list(self.saved_rates)}

        def _by_rate(self, variables: Any, *others: Any) -> Iterator[tuple]:
            """`(factor, variables, *others)` of each part."""
            groups: dict[float, list] = {}
            for row in zip(variables, *others, strict=True):
                groups.setdefault(self.factors.get(id(row[0]), 1.0), []).append(row)
            for factor in sorted(groups):
                yield factor, *map(list, zip(*groups[factor], strict=True))

        def _backend_update_step(
            self, grads: Any, trainable_variables: Any, learning_rate: Any
        ) -> None:
            for factor, variables, part in self._by_rate(trainable_variables, grads):
                super()._backend_update_step(part, variables, learning_rate * factor)

        def _apply_weight_decay(self, variables: Any) -> None:
            whole = self.weight_decay
            if whole is None:
                return
            try:
                for factor, part in self._by_rate(variables):
                    self.weight_decay = whole * factor
                    super()._apply_weight_decay(part)
            finally:
                self.weight_decay = whole

    RatedOptimizer.__name__ = f"Rated{base.__name__}"
    return keras.saving.register_keras_serializable("keras_mm")(RatedOptimizer)


_RATED = {name: _with_rates(base) for name, base in _CLASSES.items()}


def create_schedule(
    learning_rate: float,
    total_steps: int,
    *,
    warmup: float = 0.1,
    decay: str = "cosine",
    power: float = 1.0,
) -> Any:
    """Learning rate over the steps of a run: a linear rise, then a fall to 0, or level.

    For `"plateau"` it is a number, which a callback lowers.

    Args:
        learning_rate: The peak.
        total_steps: Steps of the whole run.
        warmup: Part of the steps in which the rate rises from 0, in [0, 1).
        decay: `"cosine"`, `"linear"`, `"polynomial"`, `"constant"` or `"plateau"`, which has no
            rise.
        power: Of `"polynomial"`, > 0.

    Raises:
        ValueError: for an unknown `decay`.
    """
    if decay not in DECAYS:
        raise InvalidValueError(unknown_name("decay", decay, DECAYS))
    if decay == "plateau":
        return learning_rate
    warmup_steps = int(total_steps * warmup)
    if decay == "constant" and not warmup_steps:
        return learning_rate
    if decay in ("linear", "polynomial"):
        power = power if decay == "polynomial" else 1.0
        return PolynomialDecay(learning_rate, total_steps, warmup_steps, power)
    # With alpha=1 the cosine is level.
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=max(total_steps - warmup_steps, 1),
        alpha=1.0 if decay == "constant" else 0.0,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


@keras.saving.register_keras_serializable("keras_mm")
class PolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise from 0 to the peak, then a power of what is left of the steps.

    Args:
        learning_rate: The peak, > 0.
        total_steps: Steps of the whole run, >= 1.
        warmup_steps: Steps of the rise, >= 0.
        power: 1 is a line to 0 at the last step; > 0.

    Example:
        >>> schedule = PolynomialDecay(0.5, total_steps=10, warmup_steps=2)
        >>> [round(float(schedule(step)), 4) for step in (0, 1, 2, 6, 10)]
        [0.0, 0.25, 0.5, 0.25, 0.0]
    """

    def __init__(
        self, learning_rate: float, total_steps: int, warmup_steps: int = 0, power: float = 1.0
    ):
        self.learning_rate, self.power = float(learning_rate), float(power)
        self.total_steps, self.warmup_steps = int(total_steps), int(warmup_steps)

    def __call__(self, step: Any) -> Any:
        """The rate at a step, counted from 0."""
        step = ops.cast(step, "float32")
        left = (self.total_steps - step) / max(self.total_steps - self.warmup_steps, 1)
        share = ops.clip(left, 0.0, 1.0) ** self.power
        if self.warmup_steps:
            share = ops.minimum(share, step / self.warmup_steps)
        return self.learning_rate * share

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "power": self.power,
        }
