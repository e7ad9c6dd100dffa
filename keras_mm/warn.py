"""Issues warnings at the user's line of code, not at a line of this package."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from types import FrameType

_FOLDER = str(Path(__file__).parent)


def warn(message: str) -> None:
    """Issues a `UserWarning` at the line outside this package that called into it.

    Args:
        message: Text of the warning.

    Warns:
        UserWarning: always.
    """
    frame: FrameType | None = inspect.currentframe()
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(_FOLDER):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
