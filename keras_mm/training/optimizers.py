"""Optimizers and schedules; some variables can have other learning rates than the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mm.errors import InvalidValueError
from keras_mm.keras_internals import replace_update
from keras_mm.models.backbones.blocks import backbone_blocks
from keras_mm.models.multimodal import backbones
from keras_mm.settings.training import Optimization
from keras_mm.training.fused_adam import fused_update

_CLASSES = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "adafactor": keras.optimizers.Adafactor,
}


def create_optimizer(
    optimization: Optimization,
    learning_rate: Any,
    *,
    rates: Sequence[tuple[Any, float]] = (),
) -> keras.optimizers.Optimizer:
    """Creates an optimizer; variables in `rates` have a multiple of its learning rate.

    Args:
        optimization: The name of the optimizer and its settings, or a Keras optimizer.
        learning_rate: A number > 0 or a Keras schedule.
        rates: Pairs of a variable and the factor of its learning rate, > 0; by default all
            variables have the same rate.

    Returns:
        The optimizer. A Keras optimizer in `optimization` is returned itself, with its own learning
        rate for all variables.

    Raises:
        ValueError: if `ema_momentum` is set and the Keras optimizer keeps no moving average.

    Example:
        >>> type(create_optimizer(Optimization(optimizer="sgd"), 0.5)).__name__
        'SGD'
    """
    name, ema = optimization.optimizer, optimization.ema_momentum
    if not isinstance(name, str):
        if ema is not None and not name.use_ema:
            raise InvalidValueError(
                "`ema_momentum` needs a Keras optimizer that was created with use_ema=True, or the "
                f"name of an optimizer. Received: ema_momentum={ema}, optimizer={name!r}"
            )
        return name
    kind = _RATED[name] if rates else _CLASSES[name]
    beta_1, beta_2 = optimization.adam_betas
    adam = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": optimization.adam_epsilon}
    own = {
        "adamw": {"weight_decay": optimization.weight_decay, **adam},
        "adam": adam,
        "sgd": {"momentum": optimization.momentum},
    }
    options: dict[str, Any] = own.get(name, {})
    steps = optimization.accumulation_steps
    if steps > 1:
        options["gradient_accumulation_steps"] = steps
    if ema is not None:
        # Keras averages after every batch, also if a step accumulates several.
        options.update(use_ema=True, ema_momentum=ema ** (1 / steps))
    optimizer = kind(learning_rate, global_clipnorm=optimization.clipnorm, **options)
    if rates:
        # By identity, because variables of two encoders can have the same name.
        optimizer.factors = {id(variable): factor for variable, factor in rates}
    else:
        replace_update(optimizer, fused_update(optimizer))
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def variable_rates(
    model: keras.Model, optimization: Optimization
) -> list[tuple[keras.Variable, float]]:
    """Finds the encoder variables whose learning rate differs from that of the trunk.

    Args:
        model: The model. Its encoders are backbones of `create_multimodal_model`, or layers named
            `vision_encoder` and `text_encoder`.
        optimization: The learning rates, and `layer_decay`, by which each block below the top
            learns more slowly.

    Returns:
        Pairs of a trainable variable and the factor of its rate, relative to `learning_rate`.
    """
    rate = optimization.encoder_learning_rate
    by_side = rate if isinstance(rate, Mapping) else dict.fromkeys(("vision", "text"), rate)
    networks = backbones(model)
    for layer in model.layers:
        if layer.name in ("vision_encoder", "text_encoder"):
            networks.setdefault(layer.name.removesuffix("_encoder"), layer)
    factors = []
    peak, decay = optimization.learning_rate, optimization.layer_decay
    for side, network in networks.items():
        factor = (by_side.get(side) or peak) / peak
        blocks = backbone_blocks(network) if decay < 1 else [network.weights]
        for depth, block in enumerate(reversed(blocks)):
            share = factor * decay**depth
            factors += [(v, share) for v in block if v.trainable and share != 1]
    return factors


def _with_rates(base: type) -> type:
    """Derives an optimizer class that updates groups of variables at different rates.

    It overrides the update of a list of variables, which Keras calls on every backend; torch's
    optimizers do not update single variables. Weight decay scales with the rate of a group. A saved
    optimizer stores the factors in the order of its variables, as it does not store their names.
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
            """Yields `(factor, variables, *others)` for each group of variables."""
            groups: dict[float, list] = {}
            for row in zip(variables, *others, strict=True):
                groups.setdefault(self.factors.get(id(row[0]), 1.0), []).append(row)
            for factor in sorted(groups):
                yield factor, *map(list, zip(*groups[factor], strict=True))

        def _backend_update_step(
            self, grads: Any, trainable_variables: Any, learning_rate: Any
        ) -> None:
            update = fused_update(self) or super()._backend_update_step
            for factor, variables, part in self._by_rate(trainable_variables, grads):
                update(part, variables, learning_rate * factor)

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


def create_schedule(optimization: Optimization, total_steps: int) -> Any:
    """Creates the learning rate of a training: a linear warm-up, then a decay.

    Args:
        optimization: The peak `learning_rate`, `warmup` and `decay`.
        total_steps: Number of batches of the whole training, >= 1.

    Returns:
        A Keras schedule; or a number, the peak, if the rate is constant or a callback changes it
        (`decay="plateau"`).

    Example:
        >>> create_schedule(Optimization(learning_rate=0.5, decay="plateau"), 10)
        0.5
    """
    peak, decay = optimization.learning_rate, optimization.decay
    if decay == "plateau":
        return peak
    warmup_steps = int(total_steps * optimization.warmup)
    if decay == "constant" and not warmup_steps:
        return peak
    if decay in ("linear", "polynomial"):
        power = optimization.decay_power if decay == "polynomial" else 1.0
        return PolynomialDecay(peak, total_steps, warmup_steps, power)
    # With alpha=1, the cosine schedule is constant after the warm-up.
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=max(total_steps - warmup_steps, 1),
        alpha=1.0 if decay == "constant" else 0.0,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


@keras.saving.register_keras_serializable("keras_mm")
class PolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up from 0 to the peak, then a polynomial decay to 0.

    The decay is the peak times a power of the share of steps that are left.

    Args:
        learning_rate: The peak, > 0.
        total_steps: Number of steps of the whole training, >= 1.
        warmup_steps: Number of steps of the warm-up, >= 0.
        power: Exponent of the decay, > 0; 1 is linear.

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
        """The learning rate at a step.

        Args:
            step: Number of the step, from 0.

        Returns:
            The rate, a float32 scalar.
        """
        step = ops.cast(step, "float32")
        remaining = (self.total_steps - step) / max(self.total_steps - self.warmup_steps, 1)
        share = ops.clip(remaining, 0.0, 1.0) ** self.power
        if self.warmup_steps:
            share = ops.minimum(share, step / self.warmup_steps)
        return self.learning_rate * share

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments.

        Returns:
            Values by name.
        """
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "power": self.power,
        }
