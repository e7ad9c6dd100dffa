"""What a training takes, from an estimator's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from keras_mm.data.tables.run_columns import label_heads
from keras_mm.settings.heads import HEAD_LOSSES, Head
from keras_mm.settings.settings import Settings
from keras_mm.settings.training import LossSettings, Optimization, Stopping


def loss_settings(settings: Settings) -> LossSettings:
    """What a training minimises.

    Args:
        settings: The estimator's, resolved.

    Returns:
        The loss and its knobs.
    """
    return LossSettings(**_values(settings, LossSettings))


def optimization(settings: Settings) -> Optimization:
    """How a training minimises it.

    Args:
        settings: The estimator's, resolved.

    Returns:
        The optimizer, learning rates and their knobs.
    """
    return Optimization(**_values(settings, Optimization))


def stopping(settings: Settings) -> Stopping:
    """When a training ends.

    Args:
        settings: The estimator's, resolved.

    Returns:
        Epochs, and what early stopping watches.
    """
    return Stopping(**_values(settings, Stopping))


def _values(settings: Settings, kind: type) -> dict[str, Any]:
    """The fields of a dataclass, from the settings and their rarer knobs."""
    found = {**vars(settings), **vars(settings.training)}
    return {f.name: found[f.name] for f in fields(kind)}


def settings_for_heads(
    settings: Settings, heads: Mapping[str, Head]
) -> tuple[Settings, dict[str, Head]]:
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
    monitor = _monitor_among(training.monitor, heads, own)
    if monitor != "val_loss" and len(heads) == 1:
        name = next(iter(heads))
        if monitor.startswith(f"val_{name}_"):
            monitor = monitor.replace(f"val_{name}_", "val_", 1)
        elif kinds != {head.kind for head in own.values()} or len(own) > 1:
            monitor = "val_loss"  # it is another head's
    training = replace(training, monitor=monitor)
    return replace(settings, class_weight=weight, training=training), named


def _monitor_among(monitor: str, heads: Mapping[str, Head], own: Mapping[str, Head]) -> str:
    """The monitored metric as it is named where several heads are trained."""
    if len(heads) == 1 or monitor == "val_loss" or not monitor.startswith("val_"):
        return monitor
    if len(own) == 1:
        (name,) = own
        if name not in heads:
            return "val_loss"
        metric = monitor.removeprefix("val_").removeprefix(f"{name}_")
        return f"val_{name}_{metric}"
    others = [name for name in own if monitor.startswith(f"val_{name}_") and name not in heads]
    return "val_loss" if others else monitor
