"""Runs work that needs TensorFlow alone in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_mm.backend_logs import is_debugging, quiet_environment
from keras_mm.errors import ChildError
from keras_mm.progress import progress_line

# Python writes the traceback of a crash to stderr, for the error message.
FAULT_HANDLER = ("-X", "faulthandler")
_NUM_LINES = 12  # at most, of the end of a child's stderr
_NUM_BEFORE_CRASH = 3
_CRASH = "Fatal Python error"  # first words of the fault handler


def run_on_tensorflow(module: str, *arguments: str | os.PathLike, doing: str) -> None:
    """Runs a module of this package in a process of its own, on TensorFlow.

    Args:
        module: Name of the module, as for `python -m`.
        *arguments: Its command-line arguments.
        doing: What it does, for the error message.

    Raises:
        ChildError: if it fails.
    """
    # -P: no file in the working directory replaces a library.
    command = [sys.executable, *FAULT_HANDLER, "-P", "-m", module, *map(str, arguments)]
    # The child finds this package where this process found it.
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    run(command, doing, {"PYTHONPATH": path})


def run(command: Sequence[str], doing: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command without output, with TensorFlow as Keras' backend.

    Args:
        command: The command.
        doing: What it does, for the error message.
        environment: Environment variables that differ from this process's.

    Raises:
        ChildError: if it fails.
    """
    # Not the parent's backend: a process crashes if it loads PyTorch's CUDA build after TensorFlow.
    given = {"KERAS_BACKEND": "tensorflow", **quiet_environment()}
    done = subprocess.run(
        command,
        env={**os.environ, **given, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # does not depend on the locale
        check=False,
    )
    if is_debugging() and done.stderr:
        progress_line(done.stderr.rstrip())
    if done.returncode:
        words = _last_words(done.stderr) or "It wrote nothing to stderr."
        raise ChildError(f"{doing} failed: the process {_ending(done.returncode)}.\n{words}")


def _ending(returncode: int) -> str:
    """How a process ended that failed."""
    if returncode > 0:
        return f"ended with exit status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:  # a real-time signal has no name
        return f"died by signal {-returncode}"
    hint = ", which is how a machine that is out of memory ends one" if name == "SIGKILL" else ""
    return f"died by signal {-returncode} ({name}){hint}"


def _last_words(stderr: str) -> str:
    """The end of a process' stderr; of a crash the innermost calls, which come first."""
    before, crash, calls = stderr.partition(_CRASH)
    said, trace = before.strip().splitlines(), (crash + calls).strip().splitlines()
    lines = said[-_NUM_BEFORE_CRASH:] + trace[:_NUM_LINES] if crash else said[-_NUM_LINES:]
    return "\n".join(lines)
