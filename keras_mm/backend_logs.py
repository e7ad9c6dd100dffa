"""Hides the log lines of TensorFlow, CUDA, oneDNN, XLA and JAX, which say nothing to a user.

`TF_CPP_MIN_LOG_LEVEL` hides most of them. Some are written to stderr before TensorFlow reads it:
while backends are loaded, what C++ writes goes through a process that leaves log lines out. Errors
are not lost: TensorFlow raises them, and fatal ones are written, also if the process dies of them.

The environment variable `KERAS_MM_DEBUG=1` shows all lines, and a `TF_CPP_MIN_LOG_LEVEL` of the
user's own stays as it is.
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
_LOGGERS = ("tensorflow", "jax")
# Log lines of absl and TensorFlow that are not fatal ("F"), and what follows them.
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
    """Whether the environment variable `KERAS_MM_DEBUG` asks for tracebacks and foreign logs.

    Returns:
        True if it is set, and neither empty nor 0.
    """
    return os.environ.get("KERAS_MM_DEBUG", "") not in ("", "0")


def quiet_environment() -> dict[str, str]:
    """Environment variables with which a process hides the lines that C++ writes.

    Returns:
        Variables that the environment lacks; none while debugging.
    """
    return {} if is_debugging() or _LEVEL in os.environ else {_LEVEL: _ONLY_FATAL}


def hide_python_logs() -> None:
    """Hides warnings that backends log in Python; for a program that is all ours."""
    if not is_debugging():
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def hidden_backend_logs() -> Iterator[None]:
    """Hides log lines that C++ writes while backends are loaded, and from then on.

    Everything else that is written to stderr stays, with a short delay.

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
        os.dup2(stderr, 2)  # which closes the pipe: the filter ends
        os.close(stderr)
        with suppress(subprocess.TimeoutExpired):  # a process that was started inside lives on
            filtering.wait(timeout=2)


def _start_filter(source: int) -> subprocess.Popen | None:
    """Starts the process that passes on what is no log line; `None` if there can be none.

    Args:
        source: The file descriptor that it reads.
    """
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    try:
        return subprocess.Popen(command, stdin=source, stdout=2, stderr=2)
    except (OSError, ValueError):  # as where Python is part of another program
        return None


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
