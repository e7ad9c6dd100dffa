"""Classifiers on disk: what `save` writes and `load` reads."""

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
        parameters: The classifier's parameters by name.
        trained: Its trained model.
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
    """Writes a trained model as a folder, whole or not at all.

    Args:
        folder: Where to write.
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
    """Reads what `save_trained` wrote. Executes nothing from the folder.

    Args:
        folder: What `save_trained` wrote.
        custom_objects: The user's layer classes by name.

    Returns:
        The classifier's parameters, trained model and heads.

    Raises:
        FileNotFoundError: if `folder` holds no saved model.
        ValueError: if it is from a newer version, or has classes that are not allowed.
    """
    with unseeded():
        model, preprocessor, spec = load_bundle(folder, custom_objects=custom_objects)
    parameters = {
        **spec["settings"],
        "labels": as_labels(spec["settings"]["labels"]),
        "fusion": spec["trunk"]["fusion"],
        "training": as_training(spec["settings"]["training"]),
    }
    return Saved(
        parameters,
        trained_from(spec, Settings(**parameters), model, preprocessor),
        heads_of(spec.get("added_heads", {})),
        own_backbones(spec),
    )
