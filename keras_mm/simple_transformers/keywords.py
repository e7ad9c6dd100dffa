"""Checks the additional keywords of constructors and calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidArgumentError, InvalidValueError

_DOWNLOADS = "KerasHub loads the files; to load others, use a folder"
# Keywords of constructors without effect here, with the reasons.
_UNUSED = {
    "onnx_execution_provider": "see MultimodalClassifier.export",
    "global_attention_fn": "no model here has global attention",
    **dict.fromkeys(("tokenizer_type", "tokenizer_name"), "a vocabulary belongs to its model"),
    **dict.fromkeys(
        ("cache_dir", "force_download", "local_files_only", "proxies", "resume_download",
         "revision", "token", "use_auth_token"), _DOWNLOADS,
    ),
}  # fmt: skip


def unused_keywords(keywords: Mapping[str, Any], kind: type) -> dict[str, str]:
    """Finds the keywords of a constructor call that have no effect here.

    Args:
        keywords: The keywords of the call, with their values.
        kind: The class.

    Returns:
        For each such keyword the reason.

    Raises:
        TypeError: for an unknown keyword, with the nearest argument of the class.
    """
    for name in keywords:
        if name not in _UNUSED:
            known = [key for key in signature(kind).parameters if key != "keywords"]
            raise InvalidArgumentError(
                unknown_name("argument", name, [*known, "sweep_config", *_UNUSED])
            )
    return {name: _UNUSED[name] for name, value in keywords.items() if value is not None}


def sweep_settings(sweep_config: Any) -> dict[str, Any]:
    """Reads the settings of one run of a sweep, such as `wandb.config`.

    Args:
        sweep_config: The argument of the same name: any object with `keys` and items.

    Returns:
        The settings by name.

    Raises:
        TypeError: if it has no keys.
        ValueError: if it describes a whole sweep instead of one run.
    """
    if not callable(getattr(sweep_config, "keys", None)):
        raise InvalidArgumentError(
            "`sweep_config` must hold settings by name, as `wandb.config` does. "
            f"Received: {sweep_config!r}"
        )
    names = list(sweep_config.keys())
    if {"method", "parameters"} <= {*names}:
        raise InvalidValueError(
            "`sweep_config` must be the settings of one run, `wandb.config`. Received the "
            f"description of a whole sweep, with the keys {names}"
        )
    return {name: sweep_config[name] for name in names}


def check_metrics(metrics: Mapping[str, Any], call: Callable) -> None:
    """Checks that the additional keywords of a call are functions.

    Args:
        metrics: The keywords.
        call: The method.

    Raises:
        TypeError: for another value, with the nearest argument of the method.
    """
    known = [name for name in signature(call).parameters if name != "metrics"]
    for name, metric in metrics.items():
        if not callable(metric):
            hint = unknown_name("argument", name, known)
            raise InvalidArgumentError(
                f"{hint} A metric is a function of labels and predictions. "
                f"Received: {name}={metric!r}"
            )
