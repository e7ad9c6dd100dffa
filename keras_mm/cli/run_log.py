"""The log of a run: a file in the run folder, and lines on stderr."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_mm.cli.output import TRACE_NOTE

_log = logging.getLogger("keras_mm")
_file_log = logging.getLogger("keras_mm.file")  # does not reach stderr


@contextmanager
def run_log(path: Path, quiet: bool, output: Path) -> Iterator[None]:
    """Writes the package's log to a file and, unless quiet, to stderr.

    If the run fails, the log is copied to `<output>-failed.log`, with the traceback, and a note on
    the exception names this file.

    Args:
        path: The log file, in a temporary folder that is removed if the run fails.
        quiet: Whether the log is written to the file only.
        output: The run folder.

    Yields:
        Nothing.

    Raises:
        OSError: if the log cannot be written, for example because the disk is full.
    """
    file = _LogFile(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handlers: list[logging.Handler] = [file]
    if not quiet:
        handlers.append(logging.StreamHandler(sys.stderr))
        # Progress lines, logged as keras_mm.file, are already on stderr.
        handlers[-1].addFilter(lambda record: record.name == _log.name)
    level = _log.level
    _log.setLevel(logging.INFO)
    for handler in handlers:
        _log.addHandler(handler)
    try:
        yield
    except Exception as error:
        with suppress(OSError):  # the disk may be full
            _file_log.exception("the run failed")
            shutil.copyfile(path, f"{output}-failed.log")
            error.add_note(f"{TRACE_NOTE}{output}-failed.log")
        raise
    finally:
        for handler in handlers:
            _log.removeHandler(handler)
            with suppress(OSError):
                handler.close()
        _log.setLevel(level)


class _LogFile(logging.FileHandler):
    """A log file that raises write errors; `logging` would print a traceback for each line."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Raises the error that `logging` is handling."""
        raise  # noqa: PLE0704
