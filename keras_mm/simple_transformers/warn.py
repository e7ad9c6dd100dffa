"""Warnings that point at the user's line, however many of our calls lie between."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

_FOLDER = str(Path(__file__).parent)


def warn(message: str) -> None:
    """Issues a UserWarning at the nearest line outside of this folder."""
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_code.co_filename.startswith(_FOLDER):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
