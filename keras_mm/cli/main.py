"""The entry point of `keras-mm`. Only the commands that need a backend load one."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress

from keras_mm.backend_logs import hide_python_logs, is_debugging
from keras_mm.cli.arguments import BACKENDS, create_parser
from keras_mm.cli.commands import COMMANDS
from keras_mm.cli.output import TRACE_NOTE, plain_warnings
from keras_mm.errors import ConfigError, KerasMMError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The arguments without the program's name; by default `sys.argv[1:]`.

    Returns:
        The exit status: 0 for success; 2 if arguments, settings, files or rows are wrong; 1 for any
        other error.

    Raises:
        SystemExit: from `argparse`, for unknown or missing arguments (status 2), `--help` and
            `--version` (status 0).
    """
    parser = create_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        hide_python_logs()
        choose_backend(options.backend)
        with plain_warnings(options.command):
            status = COMMANDS[options.command](options)
        sys.stdout.flush()  # raises here if the disk is full or the pipe is closed
        return status
    except KeyboardInterrupt:
        print("keras-mm: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of the pipe has finished, such as `head`
        return 1
    except Exception as error:
        return _report(options.command, error)
    finally:
        _check_stdout()


def _report(command: str, error: Exception) -> int:
    """Prints an error on stderr; returns the exit status."""
    own = isinstance(error, KerasMMError)
    if is_debugging():
        traceback.print_exc()
    kind = "" if own else f"{type(error).__name__}: "
    print(f"keras-mm {command}: {kind}{error}", file=sys.stderr)
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(TRACE_NOTE)]
    if not (own or notes or is_debugging()):
        notes = [_keep_trace(command, error)]
    for note in notes:
        print(note, file=sys.stderr)
    return 2 if own else 1


def _keep_trace(command: str, error: Exception) -> str:
    """Writes the traceback of an error to a temporary file; returns a sentence that names it."""
    try:
        handle, path = tempfile.mkstemp(prefix=f"keras-mm-{command}-", suffix=".log")
        with open(handle, "w", encoding="utf-8") as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return "KERAS_MM_DEBUG=1 shows where it was raised"
    return f"{TRACE_NOTE}{path}"


def _check_stdout() -> None:
    """Discards output that cannot be written; else Python reports the error again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def choose_backend(name: str | None) -> None:
    """Sets the environment variable `KERAS_BACKEND`, which Keras reads when it is imported.

    Args:
        name: One of `BACKENDS`. With `None`, the value of `KERAS_BACKEND` is checked; if that is
            not set either, Keras chooses.

    Raises:
        ConfigError: if the backend is unknown or not installed.
    """
    source = "`--backend`" if name else "the environment variable `KERAS_BACKEND`"
    name = name or os.environ.get("KERAS_BACKEND")
    if not name:
        return
    if name not in BACKENDS:
        raise ConfigError([f"{source} must be one of {', '.join(BACKENDS)}. Received: {name!r}"])
    if importlib.util.find_spec(name) is None:
        package = "'keras_mm[torch]'" if name == "torch" else name
        raise ConfigError([f"{source}: {name!r} is not installed: pip install {package}"])
    os.environ["KERAS_BACKEND"] = name
