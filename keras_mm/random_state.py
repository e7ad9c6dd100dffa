"""Random draws that follow from a seed and leave the global random states unchanged.

Keras takes the seeds of initializers and dropout from Python's global generator. The user's program
draws from the same generators, so this package must not change their states.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_mm.keras_internals import (
    keep_keras_seed,
    keep_tensorflow_seed,
    set_keras_seed,
    set_tensorflow_seed,
)

# The random states are global for the process, so trainings in several threads take turns.
_turn = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds all random draws inside, and restores the global random states afterwards.

    Args:
        seed: The seed, in [0, 2**32).

    Yields:
        Nothing.

    Example:
        >>> before = random.getstate()
        >>> with seeded(3):
        ...     first = random.random()
        >>> with seeded(3):
        ...     first == random.random()
        True
        >>> random.getstate() == before
        True
    """
    with _turn, _states_restored():
        set_states(seed)
        yield


@contextmanager
def unseeded() -> Iterator[None]:
    """Restores the global random states after draws whose values do not matter.

    While another thread trains, nothing is restored here: that would undo the draws of the
    training, which restores the states itself when it ends.

    Yields:
        Nothing.
    """
    if not _turn.acquire(blocking=False):
        yield
        return
    try:
        with _states_restored():
            yield
    finally:
        _turn.release()


def seed_layers(model: keras.Model, seed: int) -> None:
    """Sets the seed generators of a model's layers, such as dropout and augmentation.

    A training with this seed then makes the same draws, whatever the layers drew before.

    Args:
        model: A built model.
        seed: The seed, >= 0.
    """
    states = [v for v in model.variables if v.name == "seed_generator_state"]
    values = np.random.default_rng(seed).integers(1, 2**31 - 1, size=len(states))
    for state, value in zip(states, values, strict=True):
        state.assign(np.array([value, 0], state.dtype))


def set_states(seed: int) -> None:
    """Sets the global random states from a seed; to be called inside `seeded` only.

    Unlike `keras.utils.set_random_seed`, it keeps TensorFlow's kernels; see
    `keras_mm.keras_internals.set_tensorflow_seed`.

    Args:
        seed: The seed, in [0, 2**32).
    """
    random.seed(seed)
    np.random.seed(seed)
    set_keras_seed(seed)
    set_tensorflow_seed(seed)
    if keras.backend.backend() == "torch":
        sys.modules["torch"].manual_seed(seed)


@contextmanager
def _states_restored() -> Iterator[None]:
    restorers = [_python(), _numpy(), keep_keras_seed(), keep_tensorflow_seed(), _torch()]
    try:
        yield
    finally:
        for restore in restorers:
            restore()


def _python() -> Callable[[], Any]:
    state = random.getstate()
    return lambda: random.setstate(state)


def _numpy() -> Callable[[], Any]:
    state = np.random.get_state(legacy=False)
    return lambda: np.random.set_state(state)


def _torch() -> Callable[[], Any]:
    if keras.backend.backend() != "torch":
        return lambda: None
    torch: Any = sys.modules["torch"]
    state = torch.get_rng_state()
    # Reading the states of devices would initialise CUDA where nothing has used it yet.
    on_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    on_devices = torch.cuda.get_rng_state_all() if on_cuda else None

    def restore() -> None:
        torch.set_rng_state(state)
        if on_devices is not None:
            torch.cuda.set_rng_state_all(on_devices)

    return restore
