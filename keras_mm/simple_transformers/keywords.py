"""The keywords of constructors and calls beside their named arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidArgumentError, InvalidValueError

_DOWNLOADS = "files are loaded by KerasHub; give a folder to load others"
# Keywords of a constructor that do nothing here, with the reason.
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
    """The keywords of a constructor that were given and do nothing here, with the reason.

    Raises:
        TypeError: for an unknown one; the nearest argument of the class `kind` is offered.
    """
    for name in keywords:
        if name not in _UNUSED:
            known = [key for key in signature(kind).parameters if key != "keywords"]
            raise InvalidArgumentError(
                unknown_name("argument", name, [*known, "sweep_config", *_UNUSED])
            )
    return {name: _UNUSED[name] for name, value in keywords.items() if value is not None}


def sweep_settings(sweep_config: Any) -> dict[str, Any]:
    """The settings of one run of a sweep by name, as `wandb.config` holds them.

    Raises:
        TypeError: if it holds nothing by name.
        ValueError: if it describes a whole sweep, of many runs.
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
    """Refuses keywords of a call that are no functions.

    Raises:
        TypeError: for such a keyword; the nearest argument of the call is offered.
    """
    known = [name for name in signature(call).parameters if name != "metrics"]
    for name, metric in metrics.items():
        if not callable(metric):
            hint = unknown_name("argument", name, known)
            raise InvalidArgumentError(
                f"{hint} A metric is a function of labels and answers. Received: {name}={metric!r}"
            )
