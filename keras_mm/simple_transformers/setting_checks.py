"""Checks of the settings of a model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from keras_mm.checks import check_whole
from keras_mm.errors import InvalidValueError
from keras_mm.simple_transformers.plain import is_plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Settings that are integers, with the smallest allowed value of each.
_WHOLE = {
    "num_train_epochs": 1,
    "train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "early_stopping_patience": 1,
    "save_steps": -1,
    "evaluate_during_training_steps": -1,
}
# Settings that a model is built from, which cannot change after training.
_BUILT = (
    "special_tokens_list", "regression", "text_pooling", "num_image_embeds", "image_encoder",
    "image_size", "fusion",
)  # fmt: skip


def without_effect(args: DataclassInstance) -> dict[str, str]:
    """Finds settings that are not at their default but have no effect here.

    Args:
        args: The settings.

    Returns:
        For the name of each such setting the reason.
    """
    return _changed(args, "why")


def check_refused(args: DataclassInstance) -> None:
    """Checks that all settings which would change predictions are supported.

    Args:
        args: The settings.

    Raises:
        ValueError: if some are not supported, with an alternative for each.
    """
    refused = _changed(args, "instead")
    problems = [f"`{name}` is not supported: {instead}." for name, instead in refused.items()]
    if problems:
        raise InvalidValueError(" ".join(problems))


def check_savable(args: DataclassInstance) -> None:
    """Checks that `model_args.json` can hold all settings.

    Args:
        args: The settings.

    Raises:
        ValueError: if it cannot, with the names and values of such settings.
    """
    problems = [
        f"`{f.name}` must consist of numbers, texts, lists and dicts, so that it can be saved. "
        f"Received: {f.name}={getattr(args, f.name)!r}"
        for f in fields(args)
        if "why" not in f.metadata and not is_plain(getattr(args, f.name))
    ]
    if problems:
        raise InvalidValueError("\n".join(problems))


def check_integers(args: Any) -> None:
    """Checks the settings that count epochs, steps and rows.

    Args:
        args: The settings.

    Raises:
        ValueError: if one is not an integer, or too small.
    """
    for name, least in _WHOLE.items():
        check_whole(least, **{name: getattr(args, name)})


def built_settings(args: DataclassInstance) -> dict[str, Any]:
    """The settings that a model is built from, which cannot change after training.

    Args:
        args: The settings.

    Returns:
        Copies of their values by name.
    """
    return {name: copy(getattr(args, name)) for name in _BUILT if hasattr(args, name)}


def check_built(args: DataclassInstance, built: Mapping[str, Any]) -> None:
    """Checks that the settings that a trained model was built from have not changed.

    Args:
        args: The settings.
        built: The result of `built_settings` when the model was trained.

    Raises:
        ValueError: if they have changed.
    """
    now = {name: getattr(args, name) for name in built if getattr(args, name) != built[name]}
    if now:
        before = {name: built[name] for name in now}
        raise InvalidValueError(
            f"A trained model must keep the settings that it was built with: {before}. "
            f"Received: {now}. Create a new model for these settings."
        )


def _changed(args: DataclassInstance, what: str) -> dict[str, str]:
    """The metadata `what` of those fields that have it and are not at their default."""
    defaults = type(args)()
    return {
        f.name: f.metadata[what]
        for f in fields(args)
        if what in f.metadata and getattr(args, f.name) != getattr(defaults, f.name)
    }
