"""What decides an encoder's answers, besides its input, as one digest."""

from __future__ import annotations

import inspect
import json
import logging
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import keras
import numpy as np

# Counted up whenever this package changes what an encoder is fed, or how its answers are kept.
_VERSION = 1
_PACKAGES = {"jax": ("jax", "jaxlib"), "tensorflow": ("tensorflow",), "torch": ("torch",)}
_REFERENCES = ("keras_history", "input_layers", "output_layers")
_KNOWN_ROOTS = ("keras", "keras_hub", "keras_mm")

_log = logging.getLogger("keras_mm")

# What a model is made of does not change; its weights may.
_described: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def fingerprint(encoder: keras.Model, **about: Any) -> str | None:
    """A digest that is equal only for encoders that give the same features, bit for bit.

    It holds the architecture (names of layers do not count), all weights, the precision, the
    backend, its device, and the versions of all that computes.

    Args:
        encoder: A functional model.
        **about: What else decides, as the shape of its batches; JSON-serialisable.

    Returns:
        Hexadecimal digits; `None` where the model holds what cannot be told apart, as a layer
        without a config or without source code.
    """
    try:
        text = _described.get(encoder) or _architecture(encoder)
    except Exception as error:  # whatever a layer of the user's own raises
        _log.info("features are not kept: %s cannot be described (%s)", encoder.name, error)
        return None
    _described[encoder] = text
    device = str(getattr(encoder.weights[0].value, "device", "")) if encoder.weights else ""
    code = json.dumps([_VERSION, device, *_versions()])
    parts = [text, code, json.dumps(about, sort_keys=True)]
    digest = blake2b("\0".join(parts).encode(), digest_size=20)
    with ThreadPoolExecutor() as pool:
        for part in pool.map(_weight, encoder.weights):
            digest.update(part)
    return digest.hexdigest()


def _architecture(encoder: keras.Model) -> str:
    custom = sorted(set(_sources(encoder)))
    return json.dumps([_unnamed(encoder.get_config()), custom], sort_keys=True, default=_plain)


def _weight(variable) -> bytes:
    value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
    digest = blake2b(f"{value.dtype} {value.shape} ".encode())
    digest.update(value.reshape(-1).view("uint8").data)
    return digest.digest()


def _versions() -> list[str]:
    backend = keras.backend.backend()
    names = ("keras", "keras_hub", "keras_mm", *_PACKAGES.get(backend, ()))
    return [backend, *(f"{name} {_version(name)}" for name in names)]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _sources(encoder: keras.Model) -> Iterator[str]:
    """Source code of the classes that no package's version stands for."""
    for layer in encoder._flatten_layers():
        kind = type(layer)
        if kind.__module__.split(".")[0] not in _KNOWN_ROOTS:
            yield f"{kind.__module__}.{kind.__qualname__}: {inspect.getsource(kind)}"


def _unnamed(config: Mapping) -> dict:
    """A model's config with its layers' names, which Keras counts up, replaced by their number."""
    names = {config["name"]: "model"} if "name" in config else {}

    def collect(value: Any) -> None:
        if isinstance(value, Mapping):
            if "inbound_nodes" in value:
                names.setdefault(value["name"], f"layer {len(names)}")
            value = list(value.values())
        if isinstance(value, list | tuple):
            for one in value:
                collect(one)

    def replaced(value: Any, here: bool = False) -> Any:
        """`here`: a string is a layer's name, and not a word that happens to be the same."""
        if isinstance(value, Mapping):
            is_layer = "inbound_nodes" in value
            found = {
                key: replaced(one, here or key in _REFERENCES)
                for key, one in value.items()
                if key != "trainable"  # features are inference's
            }
            if is_layer:
                found["name"] = names[value["name"]]
                if isinstance(found["config"], dict):
                    found["config"].pop("name", None)
            return found
        if isinstance(value, list | tuple):
            return [replaced(one, here) for one in value]
        return names.get(value, value) if here and isinstance(value, str) else value

    collect(config)
    return {**replaced(config), "name": "model"}


def _plain(value: Any) -> Any:
    """What JSON has no word for, in words that say all of it."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, keras.KerasTensor):
        return [value.dtype, list(value.shape)]
    if hasattr(value, "get_config"):
        return [type(value).__name__, value.get_config()]
    raise TypeError(f"{type(value).__name__} has no config")
