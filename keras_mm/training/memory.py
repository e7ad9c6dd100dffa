"""Recognises errors of memory that ran out, and restores a model after them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

# In order: errors of TensorFlow and JAX, of torch on a GPU, of torch on a CPU, of TensorFlow.
_WORDS = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory", "OOM when allocating")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any backend.

    Args:
        error: The error.

    Returns:
        Whether memory ran out.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return True
    return any(word.lower() in str(error).lower() for word in _WORDS)


class Snapshot:
    """A copy of the values of variables, in memory of the host.

    Args:
        variables: Keras variables. On JAX, include all variables of a model whose training may
            fail: a training step reuses the memory of all of them, also of frozen ones, so that
            after an error none has a value.
    """

    def __init__(self, variables: Iterable[Any]):
        # Copies: on some backends an array shares the variable's memory.
        self._values = [(v, np.array(keras.ops.convert_to_numpy(v))) for v in variables]

    def restore(self) -> None:
        """Assigns the copied values to the variables."""
        for variable, value in self._values:
            variable.assign(value)
