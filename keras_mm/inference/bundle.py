"""Saved models: a folder with JSON, weights and vocabulary, from which the model is rebuilt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.errors import InvalidValueError
from keras_mm.files import new_folder
from keras_mm.forks import check_not_forked
from keras_mm.inference.manifest import check_manifest, write_manifest
from keras_mm.inference.model_json import FORMAT_VERSION, SPEC, read_spec
from keras_mm.load_order import load_keras_hub
from keras_mm.models.backbones.lookup import is_buildable
from keras_mm.models.ensemble import MemberWeights, average, member_backbones
from keras_mm.models.keras_settings import build_settings
from keras_mm.models.multimodal import create_multimodal_model, parts
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder
from keras_mm.settings.heads import Head
from keras_mm.settings.members import SIDE_OF
from keras_mm.version import __version__

_WEIGHTS = "model.weights.h5"

# Modules whose classes a saved model may contain. All other classes need `custom_objects`.
_ALLOWED = (
    "keras",
    "keras.layers",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.models",
    "keras.dtype_policies",
    "keras.src.models.functional",
    "keras.src.models.sequential",
)
_ALLOWED_ROOTS = ("keras_hub.", "keras.src.ops.")
_VALUES = ("__tuple__", "__tensor__", "__numpy__", "__keras_tensor__", "__ellipsis__", "__slice__")


def build_encoders(
    spec: Mapping[str, Any],
    *,
    vision_weights: str | PathLike | None = "random",
    text_weights: str | PathLike | None = "random",
    custom_objects: Mapping[str, Any] | None = None,
) -> dict[str, keras.Model]:
    """Builds the encoders that a spec describes.

    Args:
        spec: Has `vision_encoder` and `text_encoder` (keywords of the builders, or `None`) and
            `precision`.
        vision_weights: `"pretrained"`, `"random"` or a path; `None` only if there is no vision
            encoder.
        text_weights: The same for the text encoder.
        custom_objects: The user's classes in a saved backbone, by name.

    Returns:
        Encoders by side, `"vision"` and `"text"`; a side without an encoder is left out.

    Raises:
        ValueError: if a saved backbone contains classes that are not allowed.
    """
    check_not_forked()
    with build_settings("mixed_bfloat16" if spec["precision"] == "bfloat16" else "float32"):
        vision = _encoder(
            create_vision_encoder, spec["vision_encoder"], vision_weights, custom_objects
        )
        text = _encoder(create_text_encoder, spec["text_encoder"], text_weights, custom_objects)
    encoders = {"vision": vision, "text": text}
    return {side: encoder for side, encoder in encoders.items() if encoder is not None}


def build_model(
    spec: Mapping[str, Any], encoders: Mapping[str, keras.Model], kind: str = "trunk"
) -> keras.Model:
    """Builds the model that a spec describes, for training and for loading.

    Args:
        spec: Has `trunk` (keywords of `create_multimodal_model`) and `heads` (by name, the fields
            of `Head`).
        encoders: What `build_encoders` returned, or some of its sides.
        kind: Kind of the trunk, see `keras_mm.settings.members.Member`.

    Returns:
        The model, from raw inputs to logits.
    """
    heads = {name: Head(**head) for name, head in spec["heads"].items()}
    sides = encoders.get("vision"), encoders.get("text")
    trunk = dict(spec["trunk"])
    if kind == "linear":  # comparisons are many more features, and seldom help a linear model
        trunk |= {"fusion": "concat", "projection_dims": 0, "modality_dropout": 0.0}
        trunk |= {"compare": False, "standardize": True}
    elif kind == "linear_skip":
        trunk |= {"linear_skip": True, "standardize": True}
    if trunk["compare"]:
        pair = any(e.output["pooled_output"].shape[1] == 2 for e in encoders.values())
        trunk["compare"] = pair or len(encoders) > 1
    return create_multimodal_model(*sides, heads, **trunk)


def save_bundle(
    folder: str | PathLike,
    model: keras.Model,
    preprocessor: Preprocessor,
    spec: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Writes a saved model. After an error, no incomplete folder is left behind.

    Args:
        folder: Path of the folder to create.
        model: The trained model.
        preprocessor: The model's preprocessor.
        spec: What `build_encoders` and `build_model` take, and other JSON-serialisable values.
        overwrite: Whether to replace a folder that is not empty.

    Raises:
        FileExistsError: if `folder` is not empty, without `overwrite`.
    """
    stored = {
        "format_version": FORMAT_VERSION,
        "keras_mm_version": __version__,
        **_storable(spec, model),
        "preprocessor": preprocessor.get_config(),
    }
    with new_folder(folder, overwrite=overwrite) as temporary:
        text = json.dumps(stored, indent=2, ensure_ascii=False)
        (temporary / SPEC).write_text(text + "\n", encoding="utf-8")
        # A new model of the same layers: that of training would save its optimizer's state, too.
        bare = type(model)(model.input, model.output, name=model.name)
        bare.save_weights(temporary / _WEIGHTS)
        if preprocessor.tokenizer is not None:
            preprocessor.tokenizer.save(temporary)
        write_manifest(temporary)


def load_bundle(
    folder: str | PathLike, *, custom_objects: Mapping[str, Any] | None = None
) -> tuple[keras.Model, Preprocessor, dict]:
    """Reads a saved model. No code from the folder is executed.

    Args:
        folder: What `save_bundle` wrote.
        custom_objects: The user's classes in the model, by name.

    Returns:
        The model, its preprocessor and its spec.

    Raises:
        FileNotFoundError: if `folder` holds no saved model.
        ValueError: if the model is from a newer version, contains classes that are not allowed, or
            its weights cannot be read.
    """
    folder = Path(folder)
    spec = read_spec(folder)
    if spec["format_version"] >= 4:
        check_manifest(folder)
    fusion = spec["trunk"]["fusion"]
    if isinstance(fusion, Mapping) and "class_name" in fusion:
        spec["trunk"]["fusion"] = _rebuild(fusion, custom_objects)
    model = _build_members(spec, custom_objects)
    try:
        model.load_weights(folder / _WEIGHTS)
    except (OSError, KeyError, ValueError) as error:
        raise InvalidValueError(
            f"{str(folder / _WEIGHTS)!r} is missing, damaged, or holds the weights of another "
            f"model: {error}. Copy the whole folder again from where `save` wrote it."
        ) from error
    return model, Preprocessor.from_config(spec["preprocessor"], folder), spec


def _build_members(
    spec: Mapping[str, Any], custom_objects: Mapping[str, Any] | None
) -> keras.Model:
    """Builds the model of a saved spec, which may average several trunks."""
    encoders = build_encoders(spec, custom_objects=custom_objects)
    sides = [side for side in encoders if spec[f"{side}_encoder"]["trainable"]]
    trunks = spec.get("trunks", [{}])
    models: list[keras.Model] = []
    in_trunk = False  # with MMBT, the text encoder is part of the trunk
    for trunk in trunks:
        if models and (sides or in_trunk):
            encoders = build_encoders(spec, custom_objects=custom_objects)
        read = {SIDE_OF[modality] for modality in trunk.get("modalities", SIDE_OF)}
        own = {side: encoder for side, encoder in encoders.items() if side in read}
        described = {**spec, "trunk": {**spec["trunk"], **trunk.get("trunk", {})}}
        models.append(build_model(described, own, trunk.get("kind", "trunk")))
        in_trunk = len(parts(models[-1]).encoders) < len(own)
    heads = {name: Head(**head) for name, head in spec["heads"].items()}
    return average(models, heads, weights=_weights(trunks, heads), own_sides=sides)


def _weights(trunks: Sequence[Mapping], heads: Iterable[str]) -> dict[str, MemberWeights]:
    """The weights of the trunks by head; until format 4, they are the same for all heads."""
    if "weights" not in trunks[0]:
        same = tuple(trunk.get("weight", 1.0) for trunk in trunks)
        return {name: MemberWeights(same) for name in heads}
    own = {name: [trunk["weights"][name] for trunk in trunks] for name in heads}
    return {
        name: MemberWeights(
            tuple(each["all"] for each in rows),
            {
                modality: tuple(each[f"without_{modality}"] for each in rows)
                for modality in SIDE_OF
                if f"without_{modality}" in rows[0]
            },
        )
        for name, rows in own.items()
    }


def _encoder(create, options: Mapping | None, weights, custom_objects):
    if options is None:
        return None
    backbone = options["backbone"]
    if isinstance(backbone, Mapping):
        backbone = _rebuild(backbone, custom_objects)
    elif isinstance(backbone, keras.Model) and options["trainable"]:
        # Train a copy, so that the user's model does not change.
        original, backbone = backbone, keras.models.clone_model(backbone)
        backbone.set_weights(original.get_weights())
    options = {**options, "backbone": backbone}
    if "image_size" in options:
        options["image_size"] = tuple(options["image_size"])
    return create(weights=weights, **options)


def _storable(spec: Mapping, model: keras.Model) -> dict:
    """The spec with the user's own backbones and fusion serialised."""
    stored = dict(spec)
    if isinstance(spec["trunk"]["fusion"], keras.layers.Layer):
        config = keras.saving.serialize_keras_object(spec["trunk"]["fusion"])
        stored["trunk"] = {**spec["trunk"], "fusion": config}
    for side, network in member_backbones(model).items():
        options = spec[f"{side}_encoder"]
        if not is_buildable(options["backbone"]):
            config = keras.saving.serialize_keras_object(network)
            stored[f"{side}_encoder"] = {**options, "backbone": config}
    return stored


def _rebuild(config: Mapping, custom_objects: Mapping | None) -> Any:
    load_keras_hub()  # registers its layers
    allowed = dict(custom_objects or {})
    refused = sorted(set(_refused(config, allowed)))
    if refused:
        raise InvalidValueError(
            f"The saved model contains classes that are not allowed: {', '.join(refused)}. If you "
            "trust them, pass them: load(folder, custom_objects={name: class})."
        )
    return keras.saving.deserialize_keras_object(
        deepcopy(config),  # Keras changes it in place
        custom_objects=allowed,
        safe_mode=True,
    )


def _refused(config: Any, custom_objects: Mapping) -> Iterator[str]:
    """Names of the classes in a config that neither the allow-list nor the user accepts."""
    if isinstance(config, Mapping):
        name = config.get("class_name")
        if isinstance(name, str) and not _is_allowed(config, name, custom_objects):
            yield str(config.get("registered_name") or name)
        for value in config.values():
            yield from _refused(value, custom_objects)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _refused(value, custom_objects)


def _is_allowed(config: Mapping, name: str, custom_objects: Mapping) -> bool:
    if name in custom_objects or config.get("registered_name") in custom_objects:
        return True
    if name in _VALUES:
        return True
    module = config.get("module")
    registered = str(config.get("registered_name") or "")
    if name in ("Lambda", "function", "__lambda__"):  # they may contain code
        return False
    if module is None:
        return registered.startswith(("keras_mm>", "keras_hub>"))
    return (
        module in _ALLOWED
        or str(module).startswith(_ALLOWED_ROOTS)
        or (str(module).startswith("keras_mm.") and registered.startswith("keras_mm>"))
    )
