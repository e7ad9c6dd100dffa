"""Keras callbacks of the user's: what they monitor, and the learning rate that some of them set."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import keras

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.metrics.classification import lower_is_better
from keras_mm.metrics.head_metrics import METRICS
from keras_mm.settings.training import Optimization, Stopping

_MONITORING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)
_SETTING_RATES = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)

_log = logging.getLogger("keras_mm")


def monitored(callbacks: Iterable[keras.callbacks.Callback]) -> set[str]:
    """The metrics that callbacks monitor, which each epoch then logs.

    Args:
        callbacks: The user's callbacks.

    Returns:
        Names of metrics.
    """
    return {callback.monitor for callback in callbacks if isinstance(callback, _MONITORING)}


def check_callbacks(
    callbacks: Collection[keras.callbacks.Callback],
    heads: Collection[str],
    optimization: Optimization,
) -> None:
    """Makes callbacks fit a training, or refuses them before any work.

    A callback with `mode="auto"` gets the direction of the metric that it monitors: Keras itself
    only knows that of a loss and of the metrics that a model was compiled with, and raises for any
    other at the end of the first epoch.

    Args:
        callbacks: The user's callbacks; those with `mode="auto"` are changed.
        heads: Names of the heads that are trained.
        optimization: The optimizer, and how its rate falls.

    Raises:
        ValueError: if `mode="auto"` and the metric is none that training logs; or if a callback
            sets the learning rate where a schedule sets it already.
    """
    _check_rate_setters(callbacks, optimization)
    _set_directions(callbacks, heads)


def _set_directions(callbacks: Iterable[keras.callbacks.Callback], heads: Collection[str]) -> None:
    """Sets whether lower or higher is better where a callback has `mode="auto"`."""
    prefixes = [f"{name}_" for name in heads] if len(heads) > 1 else [""]
    for callback in callbacks:
        if not isinstance(callback, _MONITORING) or callback.mode != "auto":
            continue
        monitor = callback.monitor
        known = ["loss", "val_loss", *(f"{prefix}loss" for prefix in prefixes)]
        known += [f"val_{prefix}{metric}" for prefix in prefixes for metric in METRICS]
        if monitor not in known:
            kind = type(callback).__name__
            raise InvalidValueError(
                unknown_name(f"metric in {kind}(monitor=...):", monitor, known)
                + f" If another callback logs it, say which direction is better: {kind}(monitor="
                f"{monitor!r}, mode='min') or mode='max'."
            )
        callback.mode = "min" if lower_is_better(monitor) else "max"


def _check_rate_setters(
    callbacks: Iterable[keras.callbacks.Callback], optimization: Optimization
) -> None:
    """Refuses callbacks that set the learning rate where a schedule sets it already."""
    names = [type(one).__name__ for one in callbacks if isinstance(one, _SETTING_RATES)]
    decay, warmup = optimization.decay, optimization.warmup
    level = decay == "plateau" or (decay == "constant" and not warmup)
    if not names or level or not isinstance(optimization.optimizer, str):
        return
    instead = ", or decay='plateau' without the callback" if "ReduceLROnPlateau" in names else ""
    raise InvalidValueError(
        f"`callbacks`: {' and '.join(dict.fromkeys(names))} cannot set the learning rate, which "
        f"decay={decay!r} with warmup={warmup:g} sets at every step. Leave the rate to the "
        f"callback with decay='constant' and warmup=0{instead} (of the estimator: "
        "training={'decay': 'constant', 'warmup': 0})."
    )


def note_other_stopping(callbacks: Iterable[keras.callbacks.Callback], stopping: Stopping) -> None:
    """Logs which weights are kept where an `EarlyStopping` is given beside the training's own.

    Args:
        callbacks: The user's callbacks.
        stopping: When the training ends.
    """
    others = [one for one in callbacks if isinstance(one, keras.callbacks.EarlyStopping)]
    if stopping.early_stopping and any(one.restore_best_weights for one in others):
        _log.warning(
            "the weights of the best epoch by %r are kept; set early_stopping=False to keep those "
            "that your EarlyStopping restores", stopping.monitor,
        )  # fmt: skip
