"""Progress on stderr: all bars and lines of the package are made here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

# Seconds until a bar appears: what is done sooner needs none.
DELAY = 2.0


def progress_bar(
    steps: Iterable | None = None,
    *,
    description: str,
    unit: str,
    total: int | None = None,
    leave: bool = True,
    show: bool = True,
) -> Any:
    """A bar on stderr for what takes longer than `DELAY` seconds.

    Args:
        steps: What is iterated over; `None` for a bar that is moved by its `update`.
        description: What is done, as `"encoding images"`.
        unit: What is counted, as `"row"`.
        total: How many of them there are, where it is known.
        leave: Whether the bar stays when it is full.
        show: Whether there is a bar at all; without one the steps are the same.

    Returns:
        A `tqdm.tqdm`: the steps in turn, and a context manager.
    """
    return tqdm(
        steps,
        desc=description,
        unit=unit,
        total=total,
        leave=leave,
        delay=DELAY,
        disable=not show,
    )


def progress_line(text: str) -> None:
    """Writes a line to stderr."""
    print(text, file=sys.stderr)


@contextmanager
def keras_output(*, show: bool) -> Iterator[None]:
    """Shows or hides what Keras itself prints, such as the bars of downloads.

    Keras' setting is of this thread; afterwards it is as it was.
    """
    import keras  # a table is checked without it

    was_shown = keras.config.is_interactive_logging_enabled()
    if not show:
        keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if was_shown:
            keras.config.enable_interactive_logging()
