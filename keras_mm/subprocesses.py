"""Work that needs TensorFlow alone: done in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_mm.errors import ChildError

# The traceback of a crash on stderr, so that its reason can be told.
FAULT_HANDLER = ("-X", "faulthandler")
_NUM_LINES = 12  # of a child's last words
_NUM_BEFORE_CRASH = 3
_CRASH = "Fatal Python error"  # how the fault handler begins


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
    command = [sys.executable, *FAULT_HANDLER, "-P", "-m", module, *map(str, arguments)]
    # The child finds this package where this process found it.
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    run(command, doing, {"PYTHONPATH": path})


def run(command: Sequence[str], doing: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command in silence, with TensorFlow as Keras' backend.

    Args:
        command: The command.
        doing: What it does, for the message.
        environment: Environment variables that differ from this process's.

    Raises:
        ChildError: if it fails.
    """
    # Not the parent's backend: PyTorch's CUDA build loaded after TensorFlow ends a process.
    given = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command,
        env={**os.environ, **given, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # whatever the machine's locale is
        check=False,
    )
    if done.returncode:
        words = _last_words(done.stderr) or "It wrote nothing to stderr."
        raise ChildError(f"{doing} failed: the process {_ending(done.returncode)}.\n{words}")


def _ending(returncode: int) -> str:
    """How a process ended that did not end well, in words."""
    if returncode > 0:
        return f"ended with exit status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:  # a real-time signal has no name
        return f"died by signal {-returncode}"
    hint = ", which is how a machine that is out of memory ends one" if name == "SIGKILL" else ""
    return f"died by signal {-returncode} ({name}){hint}"


def _last_words(stderr: str) -> str:
    """The end of what a process said; of a crash the innermost calls, which come first."""
    before, crash, calls = stderr.partition(_CRASH)
    said, trace = before.strip().splitlines(), (crash + calls).strip().splitlines()
    lines = said[-_NUM_BEFORE_CRASH:] + trace[:_NUM_LINES] if crash else said[-_NUM_LINES:]
    return "\n".join(lines)
