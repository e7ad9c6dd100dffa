"""Out of memory: how such an error is recognised, and how a model is restored after it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

# TensorFlow's and JAX's error, torch's on a GPU, torch's on a CPU.
_WORDS = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory", "OOM when allocating")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any backend says that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return True
    return any(word.lower() in str(error).lower() for word in _WORDS)


class Snapshot:
    """The values of variables at one moment, in memory of the host.

    Args:
        variables: Keras variables. JAX gives the memory of all that it trains with to the next
            step, so that after an error none of them has a value.
    """

    def __init__(self, variables: Iterable[Any]):
        # Copies: on some backends an array shares the variable's memory.
        self._values = [(v, np.array(keras.ops.convert_to_numpy(v))) for v in variables]

    def restore(self) -> None:
        """Gives every variable its value of that moment."""
        for variable, value in self._values:
            variable.assign(value)
