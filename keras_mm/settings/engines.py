"""The engines that run encoders, by name. Loads no backend."""

from __future__ import annotations

import importlib.metadata
import importlib.util

ENGINES = ("auto", "keras", "openvino")


def engine_problem(engine: str) -> str:
    """Why an engine cannot be used here, in words; empty where it can."""
    if engine == "openvino" and not _is_installed("openvino"):
        return (
            "engine='openvino' needs OpenVINO, which is not installed: pip install "
            "'keras_mm[openvino]', or use engine='keras'."
        )
    return ""


def _is_installed(name: str) -> bool:
    """Whether a package is there, and not only a folder of its name."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec(name) is not None
