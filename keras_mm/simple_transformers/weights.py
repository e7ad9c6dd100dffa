"""Finds the text network for a `model_type` and a `model_name`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keras_mm.checks import nearest_name
from keras_mm.errors import InvalidValueError
from keras_mm.presets.backbones import BACKBONES

# For each model type of Simple Transformers, the family in `keras_mm.presets.backbones`.
MODEL_TYPES = {
    "albert": "albert",
    "bert": "bert",
    "debertav2": "deberta_v3",
    "distilbert": "distil_bert",
    "electra": "electra",
    "roberta": "roberta",
    "xlmroberta": "xlm_roberta",
}
_WITH_POOLER = ("albert", "bert", "electra")  # types whose networks have a pooled output
# Pooling modes of Sentence Transformers.
_MODES = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}


def text_backbone(model_type: str, model_name: str | os.PathLike) -> str:
    """Finds the backbone for `create_text_encoder`.

    Args:
        model_type: A key of `MODEL_TYPES`, or `"auto"` for the type in the config of the folder.
        model_name: A local folder in Hugging Face or KerasHub format, a name in
            `keras_mm.presets.backbones`, a KerasHub preset, a handle such as `hf://...`, or a name
            on the Hugging Face hub.

    Returns:
        A folder, a name or a handle.

    Raises:
        ValueError: if the type is unknown, the folder does not exist, or the network is of another
            type, as far as this is known.
    """
    if model_type not in (*MODEL_TYPES, "auto"):
        raise InvalidValueError(_unknown(model_type))
    name = os.fspath(model_name)
    path = Path(name).expanduser()
    if path.is_dir():
        _check_type(model_type, _stated_type(path), f"the config.json of {name!r} says")
        return str(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.endswith(("/", os.sep)):
        raise InvalidValueError(f"`model_name` must be a folder that exists. Received: {name!r}")
    if name in BACKBONES:
        families = {family: kind for kind, family in MODEL_TYPES.items()}
        family = families.get(BACKBONES[name].family, BACKBONES[name].family)
        _check_type(model_type, family, f"{name!r} is")
        return name
    if "://" in name or ("/" not in name and "-" not in name):
        return name
    return f"hf://{name}"


def stated_type(model_type: str, backbone: str) -> str:
    """Finds the model type if it is `"auto"`.

    Args:
        model_type: As in `text_backbone`.
        backbone: The result of `text_backbone`.

    Returns:
        The type; `"auto"` if it cannot be found.
    """
    if model_type != "auto":
        return model_type
    families = {family: kind for kind, family in MODEL_TYPES.items()}
    if backbone in BACKBONES:
        return families.get(BACKBONES[backbone].family, "auto")
    return _stated_type(Path(backbone)) or "auto"


def text_pooling(model_type: str, backbone: str) -> str:
    """Finds how the token features of a network become one vector.

    Args:
        model_type: As in `text_backbone`.
        backbone: The result of `text_backbone`.

    Returns:
        `"pooler"`, `"cls"`, `"mean"` or `"max"`: the pooling in the folder of the network, else
        that of its preset or type.
    """
    stated = Path(backbone) / "1_Pooling" / "config.json"
    if stated.is_file():
        modes = json.loads(stated.read_text(encoding="utf-8"))
        for mode, pooling in _MODES.items():
            if modes.get(f"pooling_mode_{mode}"):
                return pooling
    known = BACKBONES.get(backbone)
    if known is not None:
        return known.pooling
    kind = (_stated_type(Path(backbone)) if model_type == "auto" else None) or model_type
    return "pooler" if kind in _WITH_POOLER else "cls"


def _stated_type(folder: Path) -> str | None:
    """The model type in the config.json of a folder, as Simple Transformers spells it."""
    file = folder / "config.json"
    if not file.is_file():
        return None
    config = json.loads(file.read_text(encoding="utf-8"))
    stated = config.get("model_type") or str(config.get("class_name", "")).removesuffix("Backbone")
    return stated.lower().replace("-", "").replace("_", "") or None


def _unknown(model_type: str) -> str:
    """The error message for an unknown model type."""
    near = nearest_name(model_type, MODEL_TYPES, cutoff=0.8)
    hint = f" Did you mean {near!r}?" if near else ""
    return (
        f"Unknown model_type {model_type!r}.{hint} KerasHub converts "
        f"{', '.join(map(repr, MODEL_TYPES))}; 'auto' reads the type from the folder's config.json."
    )


def _check_type(model_type: str, stated: str | None, where: str) -> None:
    """Raises ValueError if the network is of another type."""
    # KerasHub names the class DebertaV3Backbone; Hugging Face and Simple Transformers say V2.
    same = stated == model_type or (stated, model_type) == ("debertav3", "debertav2")
    if stated is not None and model_type != "auto" and not same:
        raise InvalidValueError(
            f"`model_type` must be the type of the network. Received: model_type={model_type!r}, "
            f"but {where} {stated!r}"
        )
