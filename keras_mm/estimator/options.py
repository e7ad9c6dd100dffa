"""Converts the settings of an estimator into the settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from keras_mm.data.tables.run_columns import label_heads
from keras_mm.settings.heads import HEAD_LOSSES, Head
from keras_mm.settings.settings import Settings
from keras_mm.settings.training import LossSettings, Optimization, Stopping


def loss_settings(settings: Settings) -> LossSettings:
    """The loss settings of an estimator.

    Args:
        settings: Resolved settings of the estimator.

    Returns:
        The loss, class weights and other settings of the loss.
    """
    return LossSettings(**_values(settings, LossSettings))


def optimization(settings: Settings) -> Optimization:
    """The optimizer settings of an estimator.

    Args:
        settings: Resolved settings of the estimator.

    Returns:
        The optimizer, the learning rates and their schedule.
    """
    return Optimization(**_values(settings, Optimization))


def stopping(settings: Settings) -> Stopping:
    """The stopping settings of an estimator.

    Args:
        settings: Resolved settings of the estimator.

    Returns:
        The number of epochs, and early stopping.
    """
    return Stopping(**_values(settings, Stopping))


def _values(settings: Settings, kind: type) -> dict[str, Any]:
    """Values for the fields of a dataclass, from the settings and from their `training`."""
    values = {**vars(settings), **vars(settings.training)}
    return {f.name: values[f.name] for f in fields(kind)}


def settings_for_heads(
    settings: Settings, heads: Mapping[str, Head]
) -> tuple[Settings, dict[str, Head]]:
    """Settings for the training of some heads, without values that are for other heads.

    Args:
        settings: Settings of the estimator.
        heads: The heads to train, by name, with their classes.

    Returns:
        Settings whose class weights, label smoothing and monitored metric are valid for the heads;
        and the heads, each with its own loss, as the loss of the settings can be of another kind.
    """
    named = {}
    for name, head in heads.items():
        losses = HEAD_LOSSES[head.kind]
        loss = head.loss or (settings.loss if settings.loss in losses else losses[0])
        named[name] = replace(head, loss=loss)
    training, weight = settings.training, settings.class_weight
    own = label_heads(settings)
    if not (isinstance(weight, str) or set(heads) <= set(own)):
        weight = None  # a dict or list with the classes of other heads
    kinds = {head.kind for head in heads.values()}
    if kinds == {"regression"}:
        weight, training = None, replace(training, label_smoothing=0.0)
    monitor = _monitor_of(training.monitor, heads, own)
    training = replace(training, monitor=monitor)
    return replace(settings, class_weight=weight, training=training), named


def _monitor_of(monitor: str, heads: Mapping[str, Head], own: Mapping[str, Head]) -> str:
    """The name that the monitored metric has in the logs when only some heads are trained.

    Args:
        monitor: The name in the logs of a training of the heads of `labels`.
        heads: The heads to train.
        own: The heads of `labels`.

    Returns:
        The name of the metric; `"val_loss"` if it is a metric of a head that is not trained.
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
        # If `labels` has one head, names have no prefix and hold for any head of the same kind.
        same_kind = named is None and measured is not None and own[measured].kind == head.kind
        return f"val_{metric}" if same_kind or measured == name else "val_loss"
    if measured is None:  # a metric that a callback logs
        return monitor
    return f"val_{measured}_{metric}" if measured in heads else "val_loss"
