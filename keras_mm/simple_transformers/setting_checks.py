"""Checks of all settings of a model at once."""

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

# Settings that are integers, and the least value of each.
_WHOLE = {
    "num_train_epochs": 1,
    "train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "early_stopping_patience": 1,
    "save_steps": -1,
    "evaluate_during_training_steps": -1,
}
# Settings that a trained model is built from.
_BUILT = (
    "special_tokens_list", "regression", "text_pooling", "num_image_embeds", "image_encoder",
    "image_size", "fusion",
)  # fmt: skip


def without_effect(args: DataclassInstance) -> dict[str, str]:
    """The settings that differ from their defaults and have no effect here.

    Args:
        args: The settings.

    Returns:
        The reasons by name.
    """
    return _changed(args, "why")


def check_refused(args: DataclassInstance) -> None:
    """Checks that no setting is given that would change predictions and is not supported.

    Args:
        args: The settings.

    Raises:
        ValueError: if there are such settings, with what to use instead of each.
    """
    given = _changed(args, "instead")
    problems = [f"`{name}` is not supported: {instead}." for name, instead in given.items()]
    if problems:
        raise InvalidValueError(" ".join(problems))


def check_savable(args: DataclassInstance) -> None:
    """Checks that `model_args.json` can hold all settings.

    Args:
        args: The settings.

    Raises:
        ValueError: if it cannot, naming the settings.
    """
    problems = [
        f"`{f.name}` must be made of numbers, texts, lists and dicts, so that it can be saved. "
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
    """The settings that a model is built from, which cannot change once it is trained.

    Args:
        args: The settings.

    Returns:
        Copies of their values by name.
    """
    return {name: copy(getattr(args, name)) for name in _BUILT if hasattr(args, name)}


def check_built(args: DataclassInstance, built: Mapping[str, Any]) -> None:
    """Checks that the settings still are those that a trained model was built from.

    Args:
        args: The settings.
        built: What `built_settings` gave when the model was trained.

    Raises:
        ValueError: if they differ.
    """
    now = {name: getattr(args, name) for name in built if getattr(args, name) != built[name]}
    if now:
        was = {name: built[name] for name in now}
        raise InvalidValueError(
            f"The trained model was built with other settings: {was}. Received: {now}. Create a "
            "new model for these settings."
        )


def _changed(args: DataclassInstance, what: str) -> dict[str, str]:
    """Of the fields with the metadata `what`, that metadata where the value is not the default."""
    defaults = type(args)()
    return {
        f.name: f.metadata[what]
        for f in fields(args)
        if what in f.metadata and getattr(args, f.name) != getattr(defaults, f.name)
    }
