"""Sets Keras' global settings to their defaults while layers are built, then back to the user's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from keras_mm.errors import InvalidValueError
from keras_mm.forks import check_not_forked

DEFAULTS = {"image_data_format": "channels_last", "floatx": "float32", "epsilon": 1e-7}
_ENCODER_POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")

# By setting: the number of open contexts, and the user's value. Settings are global for the
# process, so the last context that closes restores them, whatever its thread.
_open: dict[str, tuple[int, object]] = {}
_lock = threading.Lock()


@contextmanager
def default_settings(*names: str) -> Iterator[None]:
    """Sets some of Keras' global settings to Keras' defaults, and restores them afterwards.

    Args:
        *names: Names in `DEFAULTS`; without names, all of them.

    Yields:
        None.
    """
    names = names or tuple(DEFAULTS)
    # Keras derives the dtype policy from `floatx` at its first use: that must be the user's value.
    keras.config.dtype_policy()
    with _lock:
        for name in names:
            _open[name] = (_open.get(name, (0,))[0] + 1, _user_value(name))
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
    """Gives layers that are built inside one dtype policy, and images with channels last.

    `keras.applications` and KerasHub read the global settings and have no arguments for them.

    Args:
        dtype_policy: Name of the layers' dtype policy.

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
    """The dtype policy of a new encoder: mixed precision if the user has set it globally.

    Args:
        trainable: Whether the encoder is trained.

    Returns:
        The name of the global policy; `"float32"` if the user has not set a policy.

    Raises:
        ValueError: if an encoder cannot have the global policy.
    """
    name = keras.config.dtype_policy().name
    if name == _user_value("floatx"):  # not set, but derived from `floatx`
        return "float32"
    if name not in _ENCODER_POLICIES:
        raise InvalidValueError(
            "The global dtype policy of an encoder must be 'float32', 'mixed_bfloat16' or "
            f"'mixed_float16'. Received: {name!r}. Call keras.config.set_dtype_policy('float32')."
        )
    if name == "mixed_float16" and trainable:
        # Keras scales the loss only if the policy of the whole model is mixed; ours is float32.
        raise InvalidValueError(
            "A trainable encoder cannot have the global dtype policy 'mixed_float16': small "
            "gradients would become 0. Call keras.config.set_dtype_policy('mixed_bfloat16')."
        )
    return name


def _user_value(name: str) -> object:
    return _open[name][1] if name in _open else getattr(keras.config, name)()


def _set(name: str, value: object) -> None:
    getattr(keras.config, f"set_{name}")(value)
