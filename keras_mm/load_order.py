"""The order in which a process loads Keras' backend and TensorFlow.

Keras' PyTorch backend loads Triton where it is installed, as with PyTorch's CUDA build. Triton
loaded before TensorFlow works; loaded after it, Triton ends the process with SIGSEGV. TensorFlow
itself loads Keras, after its own libraries: Keras has to be loaded before TensorFlow.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from keras_mm.backend_logs import hidden_backend_logs


def load_tensorflow() -> ModuleType:
    """Loads Keras with its backend, then TensorFlow.

    Modules that do not import Keras call this function to import TensorFlow.

    Returns:
        The module `tensorflow`.

    Example:
        >>> load_tensorflow().constant([1, 2]).shape.as_list()
        [2]
    """
    return _load("tensorflow")


def load_keras_hub() -> ModuleType:
    """Loads Keras with its backend, then KerasHub, which loads TensorFlow.

    Returns:
        The module `keras_hub`.
    """
    return _load("keras_hub")


def _load(name: str) -> ModuleType:
    importlib.import_module("keras")
    if name in sys.modules:
        return importlib.import_module(name)
    with hidden_backend_logs():
        return importlib.import_module(name)
