"""The order in which Keras' backend and TensorFlow are loaded into one process.

Keras' PyTorch backend loads Triton where it is installed, as PyTorch's CUDA build brings it. Triton
loaded after TensorFlow ends the process with SIGSEGV; before TensorFlow it works.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType


def load_tensorflow() -> ModuleType:
    """Loads Keras with its backend, then TensorFlow.

    Modules that do not import Keras themselves take TensorFlow from here.

    Returns:
        The module `tensorflow`.

    Raises:
        ImportError: if the caller's program has loaded them in the wrong order.
    """
    check_load_order()
    importlib.import_module("keras")
    return importlib.import_module("tensorflow")


def check_load_order() -> None:
    """Refuses to load Keras where that would end the process without a message.

    Raises:
        ImportError: if TensorFlow is loaded, Keras' PyTorch backend is yet to be loaded, and Triton
            is installed.
    """
    if "tensorflow" not in sys.modules or "keras" in sys.modules or "triton" in sys.modules:
        return
    if importlib.util.find_spec("triton") is None or _chosen_backend() != "torch":
        return
    raise ImportError(
        "TensorFlow is imported, and Keras with its PyTorch backend is not yet. In this order "
        "PyTorch's CUDA build ends the process with SIGSEGV (in Triton). Put `import keras` before "
        "`import tensorflow`, or set KERAS_BACKEND to 'tensorflow' or 'jax'."
    )


def _chosen_backend() -> str:
    """The backend that Keras will take: of `KERAS_BACKEND`, else of the user's `keras.json`."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME") or Path("~").expanduser() / ".keras")
    try:
        config = json.loads((home / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "tensorflow"
    return str(config.get("backend", "tensorflow"))
