"""Warnings that point at the user's line, however many calls of this package lie between."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from types import FrameType

_FOLDER = str(Path(__file__).parent)


def warn(message: str) -> None:
    """Issues a UserWarning at the nearest line outside of this package.

    Args:
        message: The warning.

    Warns:
        UserWarning: always.
    """
    frame: FrameType | None = inspect.currentframe()
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(_FOLDER):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
