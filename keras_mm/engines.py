"""The engines that run encoders, by name. Loads no backend."""

from __future__ import annotations

import importlib.util

ENGINES = ("auto", "keras", "openvino")


def engine_problem(engine: str) -> str:
    """Why an engine cannot be used here, in words; empty where it can."""
    if engine == "openvino" and importlib.util.find_spec("openvino") is None:
        return (
            "engine='openvino' needs OpenVINO, which is not installed: pip install "
            "'keras_mm[openvino]', or use engine='keras'."
        )
    return ""
