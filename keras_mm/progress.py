"""Progress bars and lines on stderr, for the whole package."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

# Seconds until a bar appears; shorter work shows none.
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
    """A progress bar on stderr for work that takes longer than `DELAY` seconds.

    Args:
        steps: The iterable to follow; `None` for a bar that the caller moves with `update`.
        description: The work, such as `"encoding images"`.
        unit: Unit of the steps, such as `"row"`.
        total: Number of steps, if it is known.
        leave: Whether the completed bar stays on the screen.
        show: Whether to show a bar; the steps are the same without one.

    Returns:
        A `tqdm.tqdm`: an iterator over the steps, and a context manager.
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
    """Writes a line to stderr.

    Args:
        text: The line.
    """
    print(text, file=sys.stderr)


@contextmanager
def keras_output(*, show: bool) -> Iterator[None]:
    """Shows or hides the output of Keras itself, such as progress bars of downloads.

    Keras holds this setting per thread. It is restored afterwards.

    Args:
        show: Whether the output is shown.

    Yields:
        Nothing.
    """
    import keras  # here, because tables are checked without loading Keras

    was_shown = keras.config.is_interactive_logging_enabled()
    if not show:
        keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if was_shown:
            keras.config.enable_interactive_logging()
