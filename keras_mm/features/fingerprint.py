"""A digest of everything that an encoder's features depend on, except its inputs."""

from __future__ import annotations

import importlib
import json
import logging
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zlib import crc32

import keras
import numpy as np
import PIL.features

from keras_mm.errors import InvalidArgumentError, InvalidValueError
from keras_mm.keras_internals import all_layers

# Keys of a config whose strings are names of layers.
_REFERENCES = ("keras_history", "input_layers", "output_layers")
# Packages whose code is identified by their version, or for this one by its source.
_KNOWN_PACKAGES = ("keras", "keras_hub", "keras_mm")
_PACKAGES = {"jax": ("jax", "jaxlib"), "tensorflow": ("tensorflow",), "torch": ("torch",)}

_log = logging.getLogger("keras_mm")

# Descriptions by encoder: the weights of an encoder may change, but not its architecture.
_described: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
# Digests of weights by their quick checks, for a process that uses the same weights several times.
_digests: dict[tuple, bytes] = {}
_MOST_DIGESTS = 64


def fingerprint(encoder: keras.Model, **about: Any) -> str | None:
    """A digest that is equal only for encoders that compute the same features.

    It covers the architecture (without layer names), all weights, the precision, the backend and
    its device, this package's code, and the versions of the libraries that compute features.

    Args:
        encoder: A functional model.
        **about: Other values that features depend on, such as the batch size; JSON-serialisable.

    Returns:
        40 hexadecimal digits; `None` if the model has a custom layer or function, whose code cannot
        be identified by its name.
    """
    text = described(encoder)
    if not text:
        return None
    policies = [str(layer.dtype_policy.name) for layer in all_layers(encoder)]
    versions = _versions(keras.backend.backend())
    code = json.dumps([device_of(encoder), policies, _code(), *versions])
    parts = [text, code, json.dumps(about, sort_keys=True)]
    digest = blake2b("\0".join(parts).encode(), digest_size=20)
    digest.update(_weights(encoder))
    return digest.hexdigest()


def described(encoder: keras.Model) -> str:
    """Describes an encoder's architecture as text.

    Args:
        encoder: A functional model.

    Returns:
        JSON; empty if the model has a custom layer or function.
    """
    if encoder not in _described:
        try:
            _described[encoder] = _architecture(encoder)
        except Exception as error:  # a custom layer may raise anything
            _log.info("features are not cached: %s cannot be described (%s)", encoder.name, error)
            _described[encoder] = ""
    return _described[encoder]


def device_of(encoder: keras.Model) -> str:
    """The device that holds an encoder's weights.

    Args:
        encoder: A functional model.

    Returns:
        The backend's name of the device; empty for an encoder without weights.
    """
    return str(getattr(encoder.weights[0].value, "device", "")) if encoder.weights else ""


def weights_check(encoder: keras.Model) -> tuple[tuple, ...]:
    """A quick check of whether weights have changed.

    Args:
        encoder: A functional model.

    Returns:
        Data type, shape and CRC-32 of each weight.
    """
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(_check, encoder.weights))


def _check(variable: keras.Variable) -> tuple:
    value = _values(variable)
    return str(value.dtype), value.shape, crc32(value.reshape(-1).view("uint8").data)


def _weights(encoder: keras.Model) -> bytes:
    """A digest of all weights, computed only if their quick check is new."""
    check = weights_check(encoder)
    digest = _digests.get(check)
    if digest is None:
        with ThreadPoolExecutor() as pool:
            digest = b"".join(pool.map(_weight, encoder.weights))
        if len(_digests) >= _MOST_DIGESTS:
            _digests.clear()
        _digests[check] = digest
    return digest


def _architecture(encoder: keras.Model) -> str:
    """The model's config as text.

    Raises:
        ValueError: for a custom layer or function, which a config does not describe.
    """
    for layer in all_layers(encoder):
        if type(layer).__module__.split(".")[0] not in _KNOWN_PACKAGES:
            raise InvalidValueError(f"{type(layer).__name__} is a custom layer")
    config = encoder.get_config()
    _refuse_functions(config)
    return json.dumps(_unnamed(config), sort_keys=True, default=_plain)


def _refuse_functions(config: Any) -> None:
    if isinstance(config, Mapping):
        if config.get("class_name") in ("function", "__lambda__", "Lambda"):
            raise InvalidValueError("it has a custom function")
        config = list(config.values())
    if isinstance(config, list | tuple):
        for one in config:
            _refuse_functions(one)


def _values(variable: keras.Variable) -> np.ndarray:
    if keras.backend.backend() == "tensorflow" and variable.dtype != "bfloat16":
        import tensorflow as tf  # its `numpy()` would copy the values; a memoryview does not

        return np.asarray(memoryview(tf.convert_to_tensor(variable.value)))
    return np.ascontiguousarray(keras.ops.convert_to_numpy(variable))


def _weight(variable: keras.Variable) -> bytes:
    value = _values(variable)
    digest = blake2b(f"{value.dtype} {value.shape} ".encode())
    digest.update(value.reshape(-1).view("uint8").data)
    return digest.digest()


def _versions(backend: str) -> list[str]:
    modules = ("keras", "keras_hub", "keras_mm", "numpy", "PIL", "skimage", *_PACKAGES[backend])
    versions = [f"{name} {importlib.import_module(name).__version__}" for name in modules]
    return [
        backend,
        *versions,
        *(f"{name} {PIL.features.version(name)}" for name in ("jpg", "zlib")),  # they decode images
    ]


@lru_cache
def _code() -> str:
    """A digest of those parts of this package that turn a row into features."""
    digest = blake2b(digest_size=8)
    for room in ("data", "models", "features"):
        for file in sorted((Path(__file__).parents[1] / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _unnamed(config: Mapping) -> dict:
    """Replaces layer names in a model's config by numbers: Keras counts names up per process."""
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
        """`here`: whether strings are names of layers."""
        if isinstance(value, Mapping):
            is_layer = "inbound_nodes" in value
            result = {
                key: replaced(one, here or key in _REFERENCES)
                for key, one in value.items()
                if key != "trainable"  # features are computed in inference mode
            }
            if is_layer:
                result["name"] = names[value["name"]]
                if isinstance(result["config"], dict):
                    result["config"].pop("name", None)
            return result
        if isinstance(value, list | tuple):
            return [replaced(one, here) for one in value]
        return names.get(value, value) if here and isinstance(value, str) else value

    collect(config)
    return {**replaced(config), "name": "model"}


def _plain(value: Any) -> Any:
    """Plain values for objects that JSON cannot represent."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, keras.KerasTensor):
        return [value.dtype, list(value.shape)]
    if hasattr(value, "get_config"):
        return [type(value).__name__, value.get_config()]
    raise InvalidArgumentError(f"{type(value).__name__} has no config")
