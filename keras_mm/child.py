"""Work that needs another backend, or none: done in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class ChildError(RuntimeError):
    """A child process that failed; the message ends with its last words."""


def run_on_tensorflow(module: str, *arguments: str | os.PathLike, doing: str) -> None:
    """Runs a module of this package in a process of its own, on TensorFlow.

    Args:
        module: Its name, as for `python -m`.
        *arguments: What it is called with.
        doing: What it does, for the message.

    Raises:
        ChildError: if it fails.
    """
    # -P: nothing in the working folder stands in for a library.
    command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
    # The child finds this package where this process found it.
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    run(command, doing, {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": path})


def run(command: Sequence[str], doing: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command in silence.

    Args:
        command: The command.
        doing: What it does, for the message.
        environment: Environment variables that differ from this process's.

    Raises:
        ChildError: if it fails.
    """
    done = subprocess.run(
        command,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise ChildError(f"{doing} failed:\n{last}")
