"""Progress bars and progress lines on stderr, for the whole package.

On a terminal and in a notebook, progress is shown as a bar of tqdm. If stderr is a file or a pipe,
it is one plain line every `INTERVAL` seconds, so that log files stay readable.
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

# Seconds of work before progress is shown.
DELAY = 2.0
# Seconds between two lines of the same work, if stderr is a file or a pipe.
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
    """Creates a progress bar on stderr, which appears if work takes longer than `DELAY` seconds.

    Args:
        steps: The iterable whose progress is shown. With `None`, the caller counts steps with
            `update`.
        description: The work, such as `"encoding images"`.
        unit: Unit of the steps in the singular, such as `"row"`.
        total: Number of steps, if known; by default the length of `steps`, if it has one.
        leave: Whether the completed bar stays on the screen.
        show: Whether to show the bar; without it, the steps are the same.

    Returns:
        A `tqdm.tqdm`, or a `LineBar`, which has the same `n`, `update` and `close`. Both are
        iterables over the steps and context managers.

    Example:
        >>> [step for step in progress_bar([1, 2], description="counting", unit="step")]
        [1, 2]
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
    """A progress bar that writes plain lines: one every `INTERVAL` seconds, and one at the end.

    Work that takes less than `DELAY` seconds has no line.

    Args:
        steps: As in `progress_bar`.
        description: As in `progress_bar`.
        unit: As in `progress_bar`.
        total: As in `progress_bar`; by default the length of `steps`, if it has one.
        leave: Whether to write a line at the end.

    Attributes:
        n: Number of steps done.
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
        """Counts steps as done.

        Args:
            n: Number of steps, >= 0.
        """
        self.n += n
        now = time.monotonic()
        if now - self._written >= INTERVAL and self.n != self._total:
            self._write(now)

    def close(self) -> None:
        """Writes the last line if the work took at least `DELAY` seconds; may be called again."""
        now = time.monotonic()
        if self._is_open and self._leave and self.n and now - self._begun >= DELAY:
            self._write(now)
        self._is_open = False

    def _write(self, now: float) -> None:
        share = f"{self.n / self._total:.0%}, " if self._total else ""
        of_total = f" of {self._total:,}" if self._total else ""
        unit = self._unit if max(self.n, self._total or 0) == 1 else f"{self._unit}s"
        duration = seconds(now - self._begun)
        progress_line(f"{self._description}: {share}{self.n:,}{of_total} {unit}, {duration}")
        self._written = now


def progress_line(text: str, *, show: bool = True) -> None:
    """Writes a line to stderr, and to the log file of a run if there is one.

    Args:
        text: The line.
        show: Whether to write the line to stderr; the log file always gets it.
    """
    _file_log.info(text)
    if show and shows_bars():
        tqdm.write(text, file=sys.stderr)  # above bars that are on the screen
    elif show:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def announced(text: str, *, show: bool = True) -> Iterator[None]:
    """Writes a line to stderr if the work inside takes longer than `DELAY` seconds.

    Args:
        text: The line.
        show: Whether to write it.

    Yields:
        Nothing.
    """
    stream = sys.stderr  # the current stream, because code inside may redirect stderr
    timer = threading.Timer(DELAY, lambda: print(text, file=stream))
    timer.daemon = True
    if show:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def counted(number: int, noun: str) -> str:
    """Formats a number with its noun.

    Args:
        number: The number, an integer >= 0.
        noun: The noun in the singular; `s` is added for the plural.

    Returns:
        The text, with commas between thousands.

    Example:
        >>> counted(1, "epoch"), counted(1200, "epoch")
        ('1 epoch', '1,200 epochs')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def seconds(number: float) -> str:
    """Formats a duration.

    Args:
        number: Duration in seconds, >= 0.

    Returns:
        The text, with one decimal below 10 s.

    Example:
        >>> seconds(1.234), seconds(75.2)
        ('1.2 s', '75 s')
    """
    return f"{number:.1f} s" if number < 9.95 else f"{number:.0f} s"


def shows_bars() -> bool:
    """Whether progress bars can be drawn.

    Returns:
        True if stderr is a terminal or the code runs in a notebook.
    """
    return _is_notebook() or bool(getattr(sys.stderr, "isatty", lambda: False)())


def _is_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


def _notebook_bar() -> Any:
    """The bar class for notebooks; tqdm's text bar if `ipywidgets` is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns if there are no widgets
        from tqdm.auto import tqdm as notebook_bar
    return notebook_bar


@contextmanager
def keras_output(*, show: bool) -> Iterator[None]:
    """Hides the output of Keras itself, such as progress bars of downloads, or leaves it on.

    Keras has this setting per thread. It is restored afterwards. If the output is off already, it
    stays off.

    Args:
        show: `False` hides the output; `True` changes nothing.

    Yields:
        Nothing.
    """
    import keras  # here, because checks of tables must not load Keras

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
    """Shows progress while files are loaded that may have to be downloaded.

    On a terminal and in a notebook the progress bars of the download are shown. Elsewhere they are
    hidden, and one line is written if loading takes longer than `DELAY` seconds. If the output of
    Keras is off, nothing is shown; see `keras_output`.

    Args:
        what: What is loaded; the line is `loading <what>`.

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
    """A stream without progress bars: it drops text with carriage returns."""

    def __init__(self, stream: Any):
        self._stream, self._in_bar = stream, False

    def write(self, text: str) -> int:
        if "\r" in text:
            self._in_bar = True
        elif not (self._in_bar and text == "\n"):  # a bar ends with a line break of its own
            self._stream.write(text)
            self._in_bar = False
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
