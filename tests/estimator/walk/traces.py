"""What no call may change: random states, global settings, its arguments, the folder of temporary
files."""

from __future__ import annotations

import copy
import logging
import os
import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pandas as pd


def global_state() -> dict[str, Any]:
    """Everything global that the user may have set, by name."""
    numpy = np.random.get_state(legacy=False)
    found = {
        "Python's random state": random.getstate(),
        "NumPy's random state": [numpy["state"]["key"].tobytes(), *_plain(numpy)],
        "Keras' random state": _keras_draws(),
        "Keras' settings": [
            keras.config.floatx(),
            keras.config.epsilon(),
            keras.config.image_data_format(),
            keras.config.dtype_policy().name,
            keras.config.is_interactive_logging_enabled(),
            keras.config.is_traceback_filtering_enabled(),
        ],
        "the environment": dict(os.environ),
        "the working directory": os.getcwd(),
        "warning filters": list(warnings.filters),
        "logging": [logging.getLogger().level, list(logging.getLogger().handlers)],
        "signals": [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)],
        "NumPy's error handling": np.geterr(),
        "temporary files": sorted(os.listdir(tempfile.gettempdir())),
    }
    if "tensorflow" in sys.modules:
        tensorflow = sys.modules["tensorflow"]
        context = sys.modules["tensorflow.python.eager.context"].context()
        drawn = None if context._seed is None else context._rng.getstate()
        found["TensorFlow's random state"] = [context._seed, drawn]
        found["TensorFlow's eager switch"] = tensorflow.config.functions_run_eagerly()
    if keras.backend.backend() == "torch":
        torch = sys.modules["torch"]
        found["PyTorch's random state"] = torch.get_rng_state().numpy().tobytes()
        found["PyTorch's settings"] = [
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        ]
    return found


def _plain(numpy: dict) -> list:
    return [numpy["state"]["pos"], numpy["has_gauss"], numpy["gauss"]]


def _keras_draws() -> bytes:
    generator = keras.src.random.seed_generator.global_seed_generator()
    return np.array(keras.ops.convert_to_numpy(generator.state)).tobytes()


@contextmanager
def unchanged(*arguments: Any) -> Iterator[None]:
    """Fails where a call inside changes something global, or what it is given.

    Args:
        *arguments: Tables, and other things that can be copied and compared.
    """
    before, given = global_state(), copy.deepcopy(arguments)
    try:
        yield
    finally:
        after = global_state()
        changed = [name for name in before if after[name] != before[name]]
        assert not changed, f"changed: {', '.join(changed)}"
        for one, former in zip(arguments, given, strict=True):
            if isinstance(one, pd.DataFrame):
                pd.testing.assert_frame_equal(one, former, check_exact=True)
            else:
                assert one == former


def draw_and_seed(seed: int) -> None:
    """Moves the global random states, as a user's own code does."""
    keras.utils.set_random_seed(seed)
    random.random(), np.random.rand(), keras.random.normal((1,))
