"""The log of a run: a file in the run folder, and stderr."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger("keras_mm")
_file_log = logging.getLogger("keras_mm.file")  # does not reach stderr


@contextmanager
def run_log(path: Path, quiet: bool, output: Path) -> Iterator[None]:
    """Sends the package's log to a file and, unless quiet, to stderr.

    Args:
        path: The log file, in a folder that is removed if the run fails.
        quiet: Whether stderr gets warnings only.
        output: The run folder; the log of a failed run is kept beside it, with the traceback.
    """
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handlers: list[logging.Handler] = [file]
    if not quiet:
        handlers.append(logging.StreamHandler(sys.stderr))
        # The progress bar has already shown the epochs there.
        handlers[-1].addFilter(lambda record: record.name == _log.name)
    level = _log.level
    _log.setLevel(logging.INFO)
    for handler in handlers:
        _log.addHandler(handler)
    try:
        yield
    except Exception:
        _file_log.exception("the run failed")
        shutil.copyfile(path, f"{output}-failed.log")
        _log.warning("the log, with the traceback, is in %s", f"{output}-failed.log")
        raise
    finally:
        for handler in handlers:
            _log.removeHandler(handler)
            handler.close()
        _log.setLevel(level)


def log_epoch(epoch: int, logs: Mapping[str, float] | None = None) -> None:
    """Writes an epoch's metrics to the log file; stderr has them from the progress bar.

    Args:
        epoch: The epoch, counted from 0.
        logs: Metrics by name.
    """
    words = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
    _file_log.info("epoch %d  %s", epoch + 1, words)
