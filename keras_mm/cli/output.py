"""What a command prints: its result on stdout, notes on stderr."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_mm.progress import progress_line

# How a sentence begins that says where the traceback of an unexpected error is.
TRACE_NOTE = "the traceback is in "


def note(options: argparse.Namespace, text: str) -> None:
    """Prints a line on stderr about what was done, unless `--quiet` is set.

    Args:
        options: The command's arguments.
        text: The line.
    """
    if not options.quiet:
        progress_line(text)


def print_result(options: argparse.Namespace, found: dict[str, Any]) -> int:
    """Prints a command's result on stdout: its summary, or with `--json` everything else.

    Args:
        options: The command's arguments.
        found: The result, JSON-serialisable, with its `summary` as text.

    Returns:
        The exit status, 0.
    """
    summary = found.pop("summary", None)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False, default=str))
    elif summary:
        print(summary)
    return 0


@contextmanager
def plain_warnings(command: str) -> Iterator[None]:
    """Shows each `UserWarning` as one line on stderr, without the line of code that issued it.

    Args:
        command: The command that runs, for the line's beginning.

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
