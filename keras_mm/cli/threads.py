"""How many threads an operation of TensorFlow runs in. Loads no backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from keras_mm.presets.backbones import BACKBONES

_SMALL_NETWORK = 150_000  # weights


def use_threads(backbones: Iterable[Any]) -> None:
    """Runs each TensorFlow operation of a small network in one thread.

    TensorFlow splits operations among threads. In small networks the split costs more than it
    saves: half a thousand waits a step for `tiny`. Operations still run side by side. It is an
    environment variable because TensorFlow reads it once, when it is loaded.

    Args:
        backbones: The backbones of the model; `None` for a side that it does not have.
    """
    used = [backbone for backbone in backbones if backbone is not None]
    small = bool(used) and all(
        isinstance(name, str) and name in BACKBONES and BACKBONES[name].parameters <= _SMALL_NETWORK
        for name in used
    )
    if small and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
