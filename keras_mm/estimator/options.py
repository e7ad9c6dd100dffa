"""The keywords of a training, from an estimator's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_mm.data.tables.run_columns import label_heads
from keras_mm.settings.heads import HEAD_LOSSES, Head
from keras_mm.settings.settings import Settings

_OBJECTIVE_FIELDS = ("label_smoothing", "gamma", "tau", "beta")
_TRAINER_FIELDS = (
    "weight_decay",
    "warmup",
    "decay",
    "plateau_factor",
    "plateau_patience",
    "momentum",
    "adam_betas",
    "adam_epsilon",
    "decay_power",
    "clipnorm",
    "accumulation_steps",
    "ema_momentum",
    "monitor",
    "patience",
)


def objective_options(settings: Settings) -> dict[str, Any]:
    """Keywords of `Trainer` that say what is minimised."""
    rarer = {name: getattr(settings.training, name) for name in _OBJECTIVE_FIELDS}
    return {"loss": settings.loss, "class_weight": settings.class_weight, **rarer}


def trainer_options(settings: Settings) -> dict[str, Any]:
    """Keywords of `Trainer` that say how."""
    return {
        "optimizer": settings.optimizer,
        "learning_rate": settings.learning_rate,
        "epochs": settings.epochs,
        "early_stopping": settings.early_stopping,
        "seed": settings.seed,
        "verbose": settings.verbose,
        **{name: getattr(settings.training, name) for name in _TRAINER_FIELDS},
    }


def suited(settings: Settings, heads: Mapping[str, Head]) -> tuple[Settings, dict[str, Head]]:
    """Settings and heads for training these heads alone: what is meant for others is left out.

    Args:
        settings: The estimator's.
        heads: Those of its heads that are trained, with their classes.

    Returns:
        Settings whose loss, class weights, smoothing and monitored metric suit the heads; and heads
        with losses of their own where the settings' is of another kind.
    """
    named = {}
    for name, head in heads.items():
        losses = HEAD_LOSSES[head.kind]
        loss = head.loss or (settings.loss if settings.loss in losses else losses[0])
        named[name] = replace(head, loss=loss)
    training, weight = settings.training, settings.class_weight
    own = label_heads(settings)
    if not (isinstance(weight, str) or set(heads) <= set(own)):
        weight = None  # given class by class, for other classes
    kinds = {head.kind for head in heads.values()}
    if kinds == {"regression"}:
        weight, training = None, replace(training, label_smoothing=0.0)
    monitor = training.monitor
    if monitor != "val_loss" and len(heads) == 1:
        name = next(iter(heads))
        if monitor.startswith(f"val_{name}_"):
            monitor = monitor.replace(f"val_{name}_", "val_", 1)
        elif kinds != {head.kind for head in own.values()} or len(own) > 1:
            monitor = "val_loss"  # it is another head's
    training = replace(training, monitor=monitor)
    return replace(settings, class_weight=weight, training=training), named
