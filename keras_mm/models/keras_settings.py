"""Keras' global settings while layers are built: the same, whatever the user has set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from keras_mm.errors import InvalidValueError
from keras_mm.forks import check_not_forked

DEFAULTS = {"image_data_format": "channels_last", "floatx": "float32", "epsilon": 1e-7}
_ENCODER_POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")

# By setting: how many contexts are open, and the user's value. Settings are global for the process,
# so the last context that closes restores them, in any thread.
_open: dict[str, tuple[int, object]] = {}
_lock = threading.Lock()


@contextmanager
def default_settings(*names: str) -> Iterator[None]:
    """Sets some of Keras' global settings to Keras' defaults, and then back to the user's.

    Args:
        *names: Names in `DEFAULTS`; none stands for all of them.

    Yields:
        None.
    """
    names = names or tuple(DEFAULTS)
    keras.config.dtype_policy()  # Keras derives it once, from the user's `floatx`
    with _lock:
        for name in names:
            _open[name] = (_open.get(name, (0,))[0] + 1, _of_the_user(name))
            _set(name, DEFAULTS[name])
    try:
        yield
    finally:
        with _lock:
            for name in names:
                count, before = _open.pop(name)
                if count > 1:
                    _open[name] = (count - 1, before)
                else:
                    _set(name, before)


@contextmanager
def build_settings(dtype_policy: str = "float32") -> Iterator[None]:
    """Layers built inside read images channels last and have one dtype policy.

    `keras.applications` and KerasHub read the global settings, and have no argument for them.

    Args:
        dtype_policy: Name of the dtype policy of the layers.

    Yields:
        None.

    Raises:
        ForkError: in a process that was forked from one whose backend was running.
    """
    check_not_forked()  # building layers runs the backend
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy)
    try:
        with default_settings():
            yield
    finally:
        keras.config.set_dtype_policy(before)


def encoder_policy(*, trainable: bool) -> str:
    """The dtype policy of a new encoder: mixed precision if the user has set it.

    Args:
        trainable: Whether the encoder is trained.

    Returns:
        The name of the global policy; `"float32"` if that is only derived from `floatx`.

    Raises:
        ValueError: if an encoder cannot have the global policy.
    """
    name = keras.config.dtype_policy().name
    if name == _of_the_user("floatx"):
        return "float32"
    if name not in _ENCODER_POLICIES:
        raise InvalidValueError(
            "The global dtype policy of an encoder must be 'float32', 'mixed_bfloat16' or "
            f"'mixed_float16'. Received: {name!r}. Call keras.config.set_dtype_policy('float32')."
        )
    if name == "mixed_float16" and trainable:
        # Keras would not scale the loss, since the policy of the whole model is float32.
        raise InvalidValueError(
            "A trainable encoder cannot have the global dtype policy 'mixed_float16': small "
            "gradients would become 0. Call keras.config.set_dtype_policy('mixed_bfloat16')."
        )
    return name


def _of_the_user(name: str) -> object:
    return _open[name][1] if name in _open else getattr(keras.config, name)()


def _set(name: str, value: object) -> None:
    getattr(keras.config, f"set_{name}")(value)
