"""`keras-mm`: the command line. Loads a backend only in commands that need one."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from keras_mm.cli.arguments import BACKENDS, create_parser
from keras_mm.cli.commands import COMMANDS
from keras_mm.cli.output import plain_warnings
from keras_mm.errors import ConfigError, KerasMMError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The arguments without the program's name; by default those of the process.

    Returns:
        The exit status: 0 if the command succeeded, 1 if it failed, 2 if the request was wrong.
    """
    parser = create_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        choose_backend(options.backend)
        with plain_warnings(options.command):
            return COMMANDS[options.command](options)
    except KeyboardInterrupt:
        print("keras-mm: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        if os.environ.get("KERAS_MM_DEBUG"):
            traceback.print_exc()
        if isinstance(error, KerasMMError):
            print(f"keras-mm {options.command}: {error}", file=sys.stderr)
            return 2
        print(
            f"keras-mm {options.command}: {type(error).__name__}: {error}\n"
            "(KERAS_MM_DEBUG=1 shows where)",
            file=sys.stderr,
        )
        return 1


def choose_backend(name: str | None) -> None:
    """Chooses the backend and silences its start-up messages, before anything imports Keras.

    Args:
        name: One of `BACKENDS`; by default `KERAS_BACKEND` of the environment, else Keras' choice.

    Raises:
        ConfigError: if there is no such backend, or it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    name = name or os.environ.get("KERAS_BACKEND")
    if name is None:
        return
    if name not in BACKENDS:
        raise ConfigError([f"`backend` must be one of {BACKENDS}. Received: {name!r}"])
    if importlib.util.find_spec(name) is None:
        raise ConfigError(
            [f"the backend {name!r} is not installed: pip install 'keras_mm[{name}]'"]
        )
    os.environ["KERAS_BACKEND"] = name
