"""Raises an error where a forked process would hang: backends do not survive `os.fork`."""

from __future__ import annotations

import os

from keras_mm.errors import ForkError

_backend_process: int | None = None


def check_not_forked() -> None:
    """Records that this process uses a backend; to be called before each use.

    Raises:
        ForkError: in a child of `os.fork` whose parent had used a backend before. The backend's
            threads exist only in the parent, and the child would wait for them for ever.
    """
    global _backend_process
    process = os.getpid()
    if _backend_process is None:
        _backend_process = process
    if _backend_process != process:
        raise ForkError(
            f"This process ({process}) was forked from one ({_backend_process}) whose backend was "
            "running already; it would hang here. Load the model in each worker, and start the "
            "workers before the parent loads or trains one, or by "
            'multiprocessing.get_context("spawn").'
        )
