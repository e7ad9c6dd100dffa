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
    monitor = _monitor_of(training.monitor, heads, own)
    training = replace(training, monitor=monitor)
    return replace(settings, class_weight=weight, training=training), named


def _monitor_of(monitor: str, heads: Mapping[str, Head], own: Mapping[str, Head]) -> str:
    """The monitored metric as it is logged where these heads are trained.

    Args:
        monitor: The metric as it is logged where the classifier's own heads are trained.
        heads: The heads that are trained.
        own: The classifier's own heads.

    Returns:
        The metric's name; `"val_loss"` where the metric is that of a head that is not trained.
    """
    if monitor == "val_loss" or not monitor.startswith("val_"):
        return monitor
    metric = monitor.removeprefix("val_")
    named = next((name for name in {**own, **heads} if metric.startswith(f"{name}_")), None)
    measured = next(iter(own)) if named is None and len(own) == 1 else named
    if named is not None:
        metric = metric.removeprefix(f"{named}_")
    if len(heads) == 1:
        (name, head), *_ = heads.items()
        # A metric of a model's only head is also one of another head of its kind.
        alike = named is None and measured is not None and own[measured].kind == head.kind
        return f"val_{metric}" if alike or measured == name else "val_loss"
    if measured is None:  # what a callback logs
        return monitor
    return f"val_{measured}_{metric}" if measured in heads else "val_loss"
