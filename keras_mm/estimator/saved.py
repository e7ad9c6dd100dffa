"""Saves and loads classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

from keras_mm.estimator.spec import heads_of, own_backbones, saved_spec, trained_from
from keras_mm.estimator.trained import Trained
from keras_mm.inference.bundle import load_bundle, save_bundle
from keras_mm.random_state import unseeded
from keras_mm.settings.heads import Head, as_labels
from keras_mm.settings.settings import Settings
from keras_mm.settings.training import as_training


@dataclass(frozen=True)
class Saved:
    """A classifier that was saved.

    Attributes:
        parameters: Parameters of the classifier by name.
        trained: The trained model.
        declared: The heads of `add_head` by name, trained or not.
        own_networks: Parameters whose value was a `keras.Model` of the user's.
    """

    parameters: dict[str, Any]
    trained: Trained
    declared: Mapping[str, Head]
    own_networks: tuple[str, ...]


def save_trained(
    folder: str | PathLike,
    trained: Trained,
    declared: Mapping[str, Head],
    *,
    overwrite: bool = False,
) -> None:
    """Saves a trained model as a folder, whole or not at all.

    Args:
        folder: The folder to write.
        trained: The trained model.
        declared: The heads of `add_head` by name, trained or not.
        overwrite: Whether to replace a folder that is not empty.

    Raises:
        FileExistsError: if `folder` is not empty, without `overwrite`.
    """
    spec = saved_spec(trained, declared)
    save_bundle(folder, trained.model, trained.preprocessor, spec, overwrite=overwrite)


def load_trained(
    folder: str | PathLike, *, custom_objects: Mapping[str, Any] | None = None
) -> Saved:
    """Loads what `save_trained` saved. No code of the folder is executed.

    Args:
        folder: A folder that `save_trained` wrote.
        custom_objects: The user's own layer classes by name, if the model has any.

    Returns:
        Parameters, trained model and heads of the classifier.

    Raises:
        FileNotFoundError: if `folder` has no saved model.
        ValueError: if the model is from a newer version, or has classes that are not allowed.
    """
    with unseeded():
        model, preprocessor, spec = load_bundle(folder, custom_objects=custom_objects)
    stored = {"members": ("trunk",), **spec["settings"]}  # without `members` until format 4
    parameters = {
        **stored,
        "labels": as_labels(stored["labels"]),
        "fusion": spec["trunk"]["fusion"],
        "training": as_training(stored["training"]),
    }
    return Saved(
        parameters,
        trained_from(spec, Settings(**parameters), model, preprocessor),
        heads_of(spec.get("added_heads", {})),
        own_backbones(spec),
    )
