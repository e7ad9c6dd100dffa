"""Runs work that needs TensorFlow, without another backend, in a separate process."""

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
_NUM_LINES = 12  # largest number of lines of a child's stderr in the error message
_NUM_BEFORE_CRASH = 3  # lines of output before the traceback of a crash
_CRASH = "Fatal Python error"  # the fault handler's traceback begins with these words


def run_on_tensorflow(module: str, *arguments: str | os.PathLike, doing: str) -> None:
    """Runs a module of this package in a separate process, on TensorFlow.

    Args:
        module: Name of the module, as for `python -m`.
        *arguments: Its command-line arguments.
        doing: What the process does, as the subject of the error message.

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
        command: The program and its arguments.
        doing: What the process does, as the subject of the error message.
        environment: Environment variables that are added to those of this process.

    Raises:
        ChildError: if it fails.
    """
    # Not the parent's backend: a process crashes if it loads PyTorch's CUDA build after TensorFlow.
    defaults = {"KERAS_BACKEND": "tensorflow", **quiet_environment()}
    done = subprocess.run(
        command,
        env={**os.environ, **defaults, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # a library may write bytes that are not UTF-8
        check=False,
    )
    if is_debugging() and done.stderr:
        progress_line(done.stderr.rstrip())
    if done.returncode:
        details = _end_of(done.stderr) or "It wrote nothing to stderr."
        raise ChildError(f"{doing} failed: the process {_ending(done.returncode)}.\n{details}")


def _ending(returncode: int) -> str:
    """How a failed process ended, as a phrase."""
    if returncode > 0:
        return f"ended with exit status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:  # a real-time signal has no name
        return f"died by signal {-returncode}"
    hint = ": the machine may have run out of memory" if name == "SIGKILL" else ""
    return f"died by signal {-returncode} ({name}){hint}"


def _end_of(stderr: str) -> str:
    """The last lines of stderr; after a crash, the innermost calls, which the trace has first."""
    before, crash, calls = stderr.partition(_CRASH)
    output, trace = before.strip().splitlines(), (crash + calls).strip().splitlines()
    lines = output[-_NUM_BEFORE_CRASH:] + trace[:_NUM_LINES] if crash else output[-_NUM_LINES:]
    return "\n".join(lines)
