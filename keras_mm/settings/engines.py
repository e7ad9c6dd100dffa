"""Names of the engines that run encoders. Loads no backend."""

from __future__ import annotations

import importlib.metadata
import importlib.util

ENGINES = ("auto", "keras", "openvino")


def engine_problem(engine: str) -> str:
    """Checks that an engine is installed.

    Args:
        engine: One of `ENGINES`.

    Returns:
        The reason why it cannot be used, as a sentence; empty if it can.
    """
    if engine == "openvino" and not _is_installed("openvino"):
        return (
            "engine='openvino' needs OpenVINO, which is not installed: pip install "
            "'keras_mm[openvino]', or use engine='keras'."
        )
    return ""


def _is_installed(name: str) -> bool:
    """Whether a package is installed; a folder of the same name does not count."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec(name) is not None
