"""Progress bars and lines on stderr, for the whole package.

On a terminal and in a notebook these are bars of tqdm. Where stderr is a file or a pipe, a bar is
one plain line every `INTERVAL` seconds, so that a log file stays readable.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, redirect_stderr
from typing import Any

from tqdm import tqdm

# Seconds until progress appears; shorter work shows none.
DELAY = 2.0
# Seconds between two lines of one bar, where stderr is a file or a pipe.
INTERVAL = 30.0

_file_log = logging.getLogger("keras_mm.file")  # the log file of a run; does not reach stderr


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
        A `tqdm.tqdm`, or an object with the same `n`, `update` and `close`: an iterator over the
        steps, and a context manager.
    """
    if show and not shows_bars():
        return LineBar(steps, description=description, unit=unit, total=total, leave=leave)
    create = _notebook_bar() if show and _is_notebook() else tqdm
    return create(
        steps,
        desc=description,
        unit=unit,
        total=total,
        leave=leave,
        delay=DELAY,
        disable=not show,
    )


class LineBar:
    """A progress bar as plain lines: one every `INTERVAL` seconds, and one at the end.

    Args:
        steps: As in `progress_bar`.
        description: As in `progress_bar`.
        unit: As in `progress_bar`.
        total: As in `progress_bar`; by default the length of `steps`, if it has one.
        leave: Whether there is a line at the end.

    Attributes:
        n: The steps that are done.
    """

    def __init__(
        self,
        steps: Iterable | None = None,
        *,
        description: str,
        unit: str,
        total: int | None = None,
        leave: bool = True,
    ):
        self.n = 0
        self._steps, self._description, self._unit, self._leave = steps, description, unit, leave
        self._total = len(steps) if total is None and isinstance(steps, Sized) else total
        self._begun = self._written = time.monotonic()
        self._is_open = True

    def __iter__(self) -> Iterator:
        with self:
            for step in () if self._steps is None else self._steps:
                yield step
                self.update()

    def __enter__(self) -> LineBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """Counts steps that are done.

        Args:
            n: How many.
        """
        self.n += n
        now = time.monotonic()
        if now - self._written >= INTERVAL and self.n != self._total:
            self._write(now)

    def close(self) -> None:
        """Writes the last line, if the work took longer than `DELAY` seconds."""
        now = time.monotonic()
        if self._is_open and self._leave and self.n and now - self._begun >= DELAY:
            self._write(now)
        self._is_open = False

    def _write(self, now: float) -> None:
        share = f"{self.n / self._total:.0%}, " if self._total else ""
        whole = f" of {self._total:,}" if self._total else ""
        name = self._unit if max(self.n, self._total or 0) == 1 else f"{self._unit}s"
        took = seconds(now - self._begun)
        progress_line(f"{self._description}: {share}{self.n:,}{whole} {name}, {took}")
        self._written = now


def progress_line(text: str, *, show: bool = True) -> None:
    """Writes a line to stderr, and to the log file of a run where there is one.

    Args:
        text: The line.
        show: Whether stderr gets it; the log file always does.
    """
    _file_log.info(text)
    if show and shows_bars():
        tqdm.write(text, file=sys.stderr)  # above the bars that are there
    elif show:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def announced(text: str, *, show: bool = True) -> Iterator[None]:
    """Writes a line to stderr if the work inside takes longer than `DELAY` seconds.

    Args:
        text: The line.
        show: Whether it is written.

    Yields:
        Nothing.
    """
    stream = sys.stderr  # as it is now: it may be redirected inside
    timer = threading.Timer(DELAY, lambda: print(text, file=stream))
    timer.daemon = True
    if show:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Args:
        number: The number.
        noun: What is counted, in the singular.

    Returns:
        The words.

    Example:
        >>> counted(1, "epoch"), counted(1200, "epoch")
        ('1 epoch', '1,200 epochs')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def seconds(number: float) -> str:
    """A duration in words.

    Args:
        number: Seconds, >= 0.

    Returns:
        The words, with one decimal below 10 s.

    Example:
        >>> seconds(1.234), seconds(75.2)
        ('1.2 s', '75 s')
    """
    return f"{number:.1f} s" if number < 9.95 else f"{number:.0f} s"


def shows_bars() -> bool:
    """Whether bars can be drawn: stderr is a terminal, or this is a notebook.

    Returns:
        True if so.
    """
    return _is_notebook() or bool(getattr(sys.stderr, "isatty", lambda: False)())


def _is_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


def _notebook_bar() -> Any:
    """The notebook's own bar; tqdm's text bar where the notebook has no widgets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no widgets
        from tqdm.auto import tqdm as notebook_bar
    return notebook_bar


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


@contextmanager
def loading_output(what: str) -> Iterator[None]:
    """Output while files are loaded that may be downloaded first.

    On a terminal and in a notebook the download's own bars are shown. Elsewhere there is one line
    if it takes longer than `DELAY` seconds. Where Keras' own output is off, nothing is shown; see
    `keras_output`.

    Args:
        what: What is loaded, for the line.

    Yields:
        Nothing.
    """
    import keras

    show = keras.config.is_interactive_logging_enabled()
    if show and shows_bars():
        yield
        return
    log = logging.getLogger("kagglehub")
    level = log.level
    with announced(f"loading {what}", show=show), keras_output(show=False):
        log.setLevel(logging.WARNING)
        try:
            with redirect_stderr(_WithoutBars(sys.stderr)):
                yield
        finally:
            log.setLevel(level)


class _WithoutBars:
    """A stream that leaves out progress bars: what rewrites its line with carriage returns."""

    def __init__(self, stream: Any):
        self._stream, self._in_bar = stream, False

    def write(self, text: str) -> int:
        if "\r" in text:
            self._in_bar = True
        elif not (self._in_bar and text == "\n"):  # the end of a bar
            self._stream.write(text)
            self._in_bar = False
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
