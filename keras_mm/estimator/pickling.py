"""Converts classifiers, models and layers to values that pickle, joblib and deepcopy accept."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.estimator.spec import saved_spec, trained_from
from keras_mm.estimator.trained import Trained
from keras_mm.inference.bundle import load_bundle, save_bundle
from keras_mm.keras_internals import all_layers
from keras_mm.random_state import unseeded
from keras_mm.settings.heads import Head

_PACKED = ("_packed", "_used", "_skipped", "_held_out")


@dataclass(frozen=True)
class PackedBundle:
    """A saved model in memory.

    Attributes:
        archive: The files of the bundle, as a ZIP archive.
        classes: The user's own layer classes that the model needs, by name.
    """

    archive: bytes
    classes: dict[str, type]


def pack_bundle(
    model: keras.Model, preprocessor: Preprocessor, spec: Mapping[str, Any]
) -> PackedBundle:
    """Saves a model and its preprocessor into memory.

    Args:
        model: As in `save_bundle`.
        preprocessor: As in `save_bundle`.
        spec: As in `save_bundle`.

    Returns:
        The saved model, for `unpack_bundle`.
    """
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        save_bundle(folder, model, preprocessor, spec)
        with zipfile.ZipFile(buffer, "w") as archive:  # not compressed: weights hardly get smaller
            for file in sorted(folder.iterdir()):
                archive.write(file, file.name)
    return PackedBundle(buffer.getvalue(), own_classes(model))


def unpack_bundle(packed: PackedBundle) -> tuple[keras.Model, Preprocessor, dict]:
    """Loads a model from memory.

    Args:
        packed: The result of `pack_bundle`.

    Returns:
        The model, its preprocessor and its spec, as `load_bundle` returns them.
    """
    with tempfile.TemporaryDirectory() as temporary:
        with zipfile.ZipFile(io.BytesIO(packed.archive)) as archive:
            archive.extractall(temporary)
        return load_bundle(temporary, custom_objects=packed.classes)


class PackedLayer:
    """The config, weights and classes of a Keras layer or model of the user's.

    Args:
        layer: The layer or model.
    """

    def __init__(self, layer: keras.layers.Layer):
        self.config = keras.saving.serialize_keras_object(layer)
        self.weights = [np.array(keras.ops.convert_to_numpy(v)) for v in layer.weights]
        self.classes = own_classes(layer)

    def layer(self) -> keras.layers.Layer:
        """Builds the layer.

        Returns:
            A new layer with the same weights.
        """
        layer = keras.saving.deserialize_keras_object(
            self.config, custom_objects=self.classes, safe_mode=False
        )
        if layer.built:
            layer.set_weights(self.weights)
        return layer


def pack_layers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Packs the Keras layers among a classifier's attributes and settings.

    Args:
        state: Attributes by name.

    Returns:
        The attributes, with a `PackedLayer` instead of each layer. A layer that occurs twice is
        the same `PackedLayer` twice.
    """
    known: dict[int, PackedLayer] = {}

    def pack(value: Any) -> Any:
        if not isinstance(value, keras.layers.Layer):
            return value
        if id(value) not in known:
            known[id(value)] = PackedLayer(value)
        return known[id(value)]

    return _mapped(state, pack)


def unpack_layers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Builds the layers that `pack_layers` packed.

    Args:
        state: The result of `pack_layers`.

    Returns:
        The attributes, with layers.
    """
    known: dict[int, Any] = {}

    def unpack(value: Any) -> Any:
        if not isinstance(value, PackedLayer):
            return value
        if id(value) not in known:
            known[id(value)] = value.layer()
        return known[id(value)]

    return _mapped(state, unpack)


def pack_state(
    state: Mapping[str, Any], trained: Trained | None, declared: Mapping[str, Head]
) -> dict[str, Any]:
    """Converts the state of a classifier to values that can be pickled.

    Args:
        state: Attributes of the classifier by name.
        trained: The trained model, if there is one.
        declared: The heads of `add_head` by name.

    Returns:
        The state for `unpack_state`, with a saved model instead of the trained one.
    """
    packed = {}
    if trained is not None:
        spec = saved_spec(trained, declared)
        packed = {
            "_packed": pack_bundle(trained.model, trained.preprocessor, spec),
            "_used": trained.settings,
            "_skipped": trained.skipped,
            "_held_out": trained.held_out,
        }
    return pack_layers({**state, **packed})


def unpack_state(state: Mapping[str, Any]) -> tuple[dict[str, Any], Trained | None]:
    """Restores the attributes and the trained model of a classifier.

    Args:
        state: The result of `pack_state`.

    Returns:
        The attributes by name; and the trained model, if there is one.
    """
    with unseeded():
        state = unpack_layers(state)
        packed, used, skipped, held_out = (state.pop(name, None) for name in _PACKED)
        if packed is None:
            return state, None
        model, preprocessor, spec = unpack_bundle(packed)
        trained = trained_from(spec, used, model, preprocessor)
        return state, replace(trained, skipped=skipped, held_out=held_out)


def own_classes(layer: keras.layers.Layer) -> dict[str, type]:
    """The user's own classes among those of a layer and the layers inside it.

    Args:
        layer: A layer or model.

    Returns:
        Classes by name that are not from Keras, KerasHub or this package.
    """
    kinds = {type(part) for part in all_layers(layer)}
    return {
        kind.__name__: kind
        for kind in kinds
        if kind.__module__.partition(".")[0] not in ("keras", "keras_hub", "keras_mm")
    }


def _mapped(state: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """Applies `change` to all values, and to the fields of those that are dataclasses."""
    mapped = {}
    for name, value in state.items():
        changed = dict(_changes(value, change)) if is_dataclass(value) else {}
        mapped[name] = replace(value, **changed) if changed else change(value)
    return mapped


def _changes(settings: Any, change: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass that `change` changes, with their new values."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        changed = change(value)
        if changed is not value:
            yield field.name, changed
