"""Sets the number of threads of a TensorFlow operation. Loads no backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from keras_mm.presets.backbones import BACKBONES

_SMALL_NETWORK = 150_000  # weights


def use_threads(backbones: Iterable[Any]) -> None:
    """Makes each TensorFlow operation run in one thread if the networks are small.

    By default TensorFlow splits an operation among threads. In a small network this takes more time
    than it saves: with the preset `tiny`, threads wait for each other about 500 times per training
    step. Different operations still run in parallel. The function sets an environment variable,
    because TensorFlow reads this number only once, when it is loaded; it has no effect if
    TensorFlow is already loaded or the variable is already set.

    Args:
        backbones: The backbones of the model; `None` for a side that the model lacks.
    """
    used = [backbone for backbone in backbones if backbone is not None]
    small = bool(used) and all(
        isinstance(name, str) and name in BACKBONES and BACKBONES[name].parameters <= _SMALL_NETWORK
        for name in used
    )
    if small and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
