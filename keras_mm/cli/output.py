"""The output of a command: its result on stdout, notes and warnings on stderr."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_mm.progress import progress_line

# Beginning of the note on an unexpected error that names the file with its traceback.
TRACE_NOTE = "the traceback is in "


def note(options: argparse.Namespace, text: str) -> None:
    """Prints a line on stderr, unless `--quiet` is set.

    Args:
        options: The command's arguments; `quiet` is read.
        text: The line.
    """
    if not options.quiet:
        progress_line(text)


def print_result(options: argparse.Namespace, result: dict[str, Any]) -> int:
    """Prints a command's result on stdout: its summary, or with `--json` all other values.

    Args:
        options: The command's arguments; `json` is read.
        result: The result. `summary`, a text, is removed from it. `json.dumps` writes the other
            values; a value of an unknown type is written as its `str`.

    Returns:
        The exit status, 0.
    """
    summary = result.pop("summary", None)
    if options.json:
        print(json.dumps(result, indent=2, ensure_ascii=False, default=str))
    elif summary:
        print(summary)
    return 0


@contextmanager
def plain_warnings(command: str) -> Iterator[None]:
    """Prints each `UserWarning` as one line on stderr, without the code that issued it.

    Other warnings are shown in Python's format.

    Args:
        command: The name of the command; the line begins with `keras-mm` and this name.

    Yields:
        Nothing.
    """
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_plain(message, category, *place, **more) -> None:
            if category is UserWarning:
                progress_line(f"keras-mm {command}: warning: {message}")
            else:
                show(message, category, *place, **more)

        warnings.showwarning = show_plain
        yield
