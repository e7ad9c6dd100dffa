"""Hides the log lines of TensorFlow, CUDA, oneDNN, XLA and JAX, which do not help users.

`TF_CPP_MIN_LOG_LEVEL` hides most of these lines. C++ code writes some others to stderr before
TensorFlow reads this variable. Therefore, while backends are loaded, stderr goes through a filter
process that leaves out log lines. Errors are not lost: TensorFlow raises them as exceptions, and
fatal errors pass the filter, even if the process dies of them.

`KERAS_MM_DEBUG=1` in the environment shows all lines. A value of `TF_CPP_MIN_LOG_LEVEL` that the
user has set is not changed.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # read by C++ when TensorFlow or JAX is loaded
_ONLY_FATAL = "3"
_LOGGERS = ("tensorflow", "jax", "huggingface_hub", "kagglehub")
# The filter process. It drops log lines of absl and TensorFlow of the levels I, W and E, but not F
# (fatal), and two lines of text that belong to them.
_FILTER = r"""
import re, sys
log = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|[IWE]\d{4} \d\d:\d\d:\d"
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    rb"|To enable the following instructions: "
)
for line in sys.stdin.buffer:
    if not log.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def is_debugging() -> bool:
    """Whether to show tracebacks and the logs of other libraries.

    Returns:
        True if the environment variable `KERAS_MM_DEBUG` is set, and neither empty nor `0`.
    """
    return os.environ.get("KERAS_MM_DEBUG", "") not in ("", "0")


def quiet_environment() -> dict[str, str]:
    """Returns environment variables that hide the log lines of C++ code in a process.

    Returns:
        The variables to add to the environment; empty if the user has set the log level, or
        `is_debugging()`.
    """
    return {} if is_debugging() or _LEVEL in os.environ else {_LEVEL: _ONLY_FATAL}


def hide_python_logs() -> None:
    """Hides warnings that backends, and the libraries that download weights, log in Python.

    Only for the command line: in a user's program, these loggers are the user's to set.
    """
    if not is_debugging():
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def hidden_backend_logs() -> Iterator[None]:
    """Hides the log lines of C++ code while backends are loaded inside, and afterwards.

    Inside, everything else that is written to stderr passes through the filter process, with a
    short delay. If that process cannot be started, or stderr is closed, lines are not filtered.

    Yields:
        Nothing.
    """
    os.environ.update(quiet_environment())
    if is_debugging() or os.environ[_LEVEL] != _ONLY_FATAL or not _is_open(2):
        yield
        return
    reading, writing = os.pipe()
    filtering = _start_filter(reading)
    os.close(reading)
    if filtering is None:
        os.close(writing)
        yield
        return
    stderr = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(stderr, 2)  # closes the last end of the pipe, which ends the filter
        os.close(stderr)
        with suppress(subprocess.TimeoutExpired):  # a process started inside may keep the pipe open
            filtering.wait(timeout=2)


def _start_filter(source: int) -> subprocess.Popen | None:
    """Starts the filter process; returns `None` if that is impossible.

    Args:
        source: The file descriptor from which the process reads.
    """
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    try:
        return subprocess.Popen(command, stdin=source, stdout=2, stderr=2)
    except (OSError, ValueError):  # such as in a program that embeds Python
        return None


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
