"""Checks the user's Keras callbacks: the metrics they monitor, the learning rate they set."""

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
    """The metrics that callbacks monitor; training logs them in each epoch.

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
    """Sets the mode of callbacks, and checks before training that they can be used.

    With `mode="auto"`, Keras itself finds the mode only for losses and for metrics that the model
    was compiled with; for others it raises at the end of the first epoch. Such callbacks get the
    mode of the metric that they monitor.

    Args:
        callbacks: The user's callbacks; the mode of those with `mode="auto"` is set in place.
        heads: Names of the heads that are trained.
        optimization: The optimizer and the schedule of its learning rate.

    Raises:
        ValueError: if a callback with `mode="auto"` monitors a metric that training does not log,
            or if a callback sets the learning rate and a schedule does, too.
    """
    _check_rate_setters(callbacks, optimization)
    _set_directions(callbacks, heads)


def _set_directions(callbacks: Iterable[keras.callbacks.Callback], heads: Collection[str]) -> None:
    """Replaces `mode="auto"` by `"min"` or `"max"`, as the monitored metric requires."""
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
                + f" If another callback logs it, set the mode: {kind}(monitor={monitor!r}, "
                "mode='min'), or mode='max' if higher is better."
            )
        callback.mode = "min" if lower_is_better(monitor) else "max"


def _check_rate_setters(
    callbacks: Iterable[keras.callbacks.Callback], optimization: Optimization
) -> None:
    """Refuses callbacks that set the learning rate if a schedule sets it at every step."""
    names = [type(one).__name__ for one in callbacks if isinstance(one, _SETTING_RATES)]
    decay, warmup = optimization.decay, optimization.warmup
    can_set = decay == "plateau" or (decay == "constant" and not warmup)
    if not names or can_set or not isinstance(optimization.optimizer, str):
        return
    instead = ", or decay='plateau' without the callback" if "ReduceLROnPlateau" in names else ""
    raise InvalidValueError(
        f"`callbacks`: {' and '.join(dict.fromkeys(names))} cannot set the learning rate, as "
        f"decay={decay!r} with warmup={warmup:g} sets it at every step. Use decay='constant' and "
        f"warmup=0{instead}. In the estimator they are fields of `training`: "
        "training={'decay': 'constant', 'warmup': 0}."
    )


def note_other_stopping(callbacks: Iterable[keras.callbacks.Callback], stopping: Stopping) -> None:
    """Warns that early stopping of the training overrides weights that an `EarlyStopping` restores.

    Args:
        callbacks: The user's callbacks.
        stopping: The early stopping of the training.
    """
    users = [one for one in callbacks if isinstance(one, keras.callbacks.EarlyStopping)]
    if stopping.early_stopping and any(one.restore_best_weights for one in users):
        _log.warning(
            "early stopping keeps the weights of the best epoch by %r, not those that your "
            "EarlyStopping restores; set early_stopping=False to keep these", stopping.monitor,
        )  # fmt: skip
