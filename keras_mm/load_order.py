"""The order in which a process loads Keras' backend and TensorFlow.

Keras' PyTorch backend loads Triton where it is installed, as with PyTorch's CUDA build. Triton
loaded before TensorFlow works; loaded after it, Triton ends the process with SIGSEGV. TensorFlow
itself loads Keras, after its own libraries: Keras has to be loaded before TensorFlow.
"""

from __future__ import annotations

import importlib
from types import ModuleType


def load_tensorflow() -> ModuleType:
    """Loads Keras with its backend, then TensorFlow.

    Modules that do not import Keras call this function to import TensorFlow.

    Returns:
        The module `tensorflow`.

    Example:
        >>> load_tensorflow().constant([1, 2]).shape.as_list()
        [2]
    """
    importlib.import_module("keras")
    return importlib.import_module("tensorflow")
