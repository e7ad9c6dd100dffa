"""What decides an encoder's answers, besides its input, as one digest."""

from __future__ import annotations

import importlib
import json
import logging
import math
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import keras
import numpy as np
import PIL.features

import keras_mm

_REFERENCES = ("keras_history", "input_layers", "output_layers")
_OURS = ("keras", "keras_hub", "keras_mm")
_PACKAGES = {"jax": ("jax", "jaxlib"), "tensorflow": ("tensorflow",), "torch": ("torch",)}

_log = logging.getLogger("keras_mm")

# What a model is made of does not change; its weights may.
_described: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_samplers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_weighed: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def fingerprint(encoder: keras.Model, **about: Any) -> str | None:
    """A digest that is equal only for encoders that give the same features.

    It holds the architecture (names of layers do not count), all weights, the precision, the
    backend and its device, this package's code, and the versions of all that computes.

    Args:
        encoder: A functional model.
        **about: What else decides, as the shape of its batches; JSON-serialisable.

    Returns:
        40 hexadecimal digits; `None` where the model has code of its user's own, a layer or a
        function, which nothing here could tell from another of the same name.
    """
    text = described(encoder)
    if not text:
        return None
    policies = [str(layer.dtype_policy.name) for layer in encoder._flatten_layers()]
    versions = _versions(keras.backend.backend())
    code = json.dumps([device_of(encoder), policies, _code(), *versions])
    parts = [text, code, json.dumps(about, sort_keys=True)]
    digest = blake2b("\0".join(parts).encode(), digest_size=20)
    digest.update(_weights(encoder))
    return digest.hexdigest()


def _weights(encoder: keras.Model) -> bytes:
    """A digest of all weights, from before where a sample of them shows no change."""
    sample = weights_sample(encoder)
    known = _weighed.get(encoder)
    if known is None or known[0] != sample:
        digest = blake2b()
        with ThreadPoolExecutor() as pool:
            for part in pool.map(_weight, encoder.weights):
                digest.update(part)
        known = _weighed[encoder] = sample, digest.digest()
    return known[1]


def described(encoder: keras.Model) -> str:
    """An encoder's architecture as text; empty where it has code of its user's own."""
    if encoder not in _described:
        try:
            _described[encoder] = _architecture(encoder)
        except Exception as error:  # whatever a layer of the user's own raises
            _log.info("features are not kept: %s cannot be described (%s)", encoder.name, error)
            _described[encoder] = ""
    return _described[encoder]


def device_of(encoder: keras.Model) -> str:
    """Where an encoder's weights are, in the backend's words."""
    return str(getattr(encoder.weights[0].value, "device", "")) if encoder.weights else ""


def weights_sample(encoder: keras.Model) -> bytes:
    """A few values of each weight: enough to see that an encoder was trained, or loaded into."""
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_sample(encoder)
    found = []
    for variable in encoder.weights:
        value = variable.value
        if keras.backend.backend() == "torch":
            value = value.detach().cpu()
        flat = np.asarray(value).reshape(-1)
        found.append(flat[_places(len(flat))].tobytes())
    return b"".join(found)


def _places(size: int) -> list[int]:
    return [0, size // 2, size - 1] if size else []


def _tensorflow_sample(encoder: keras.Model) -> bytes:
    """The same in one call: reading hundreds of variables takes longer than a small answer."""
    import tensorflow as tf

    if encoder not in _samplers:
        values = [variable.value for variable in encoder.weights]

        def sample():
            flat = [tf.reshape(value, [-1]) for value in values]
            found = [tf.gather(x, _places(math.prod(x.shape))) for x in flat]
            return tf.concat([tf.cast(x, "float32") for x in found], axis=0)

        _samplers[encoder] = tf.function(sample, autograph=False)
    return _samplers[encoder]().numpy().tobytes() if encoder.weights else b""


def _architecture(encoder: keras.Model) -> str:
    """The model's config as text.

    Raises:
        ValueError: if a config does not say what is computed.
    """
    for layer in encoder._flatten_layers():
        if type(layer).__module__.split(".")[0] not in _OURS:
            raise ValueError(f"{type(layer).__name__} is a layer of its user's own")
    config = encoder.get_config()
    _refuse_functions(config)
    return json.dumps(_unnamed(config), sort_keys=True, default=_plain)


def _refuse_functions(config: Any) -> None:
    if isinstance(config, Mapping):
        if config.get("class_name") in ("function", "__lambda__", "Lambda"):
            raise ValueError("it has a function of its user's own")
        config = list(config.values())
    if isinstance(config, list | tuple):
        for one in config:
            _refuse_functions(one)


def _weight(variable) -> bytes:
    value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
    digest = blake2b(f"{value.dtype} {value.shape} ".encode())
    digest.update(value.reshape(-1).view("uint8").data)
    return digest.digest()


def _versions(backend: str) -> list[str]:
    modules = ("keras", "keras_hub", "keras_mm", "numpy", "PIL", "skimage", *_PACKAGES[backend])
    found = [f"{name} {importlib.import_module(name).__version__}" for name in modules]
    return [backend, *found, *(f"{name} {PIL.features.version(name)}" for name in ("jpg", "zlib"))]


@lru_cache
def _code() -> str:
    """A digest of this package's code from a row to its features."""
    digest = blake2b(digest_size=8)
    for room in ("data", "models", "features"):
        for file in sorted((Path(keras_mm.__file__).parent / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


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
