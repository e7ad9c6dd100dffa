"""Models as plain data: what a model is built from, and what is saved of a trained model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.run_columns import has_pair
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.trained import Trained
from keras_mm.settings.augmentation import as_augmentation
from keras_mm.settings.heads import Head
from keras_mm.settings.image_columns import image_slots
from keras_mm.settings.settings import Settings

_SIDES = ("vision", "text")


def model_spec(
    settings: Settings, heads: Mapping[str, Head], preprocessor: Preprocessor
) -> dict[str, Any]:
    """The description of a model; see `keras_mm.inference.bundle.build_model`.

    Args:
        settings: Resolved settings.
        heads: Heads by name, with their classes.
        preprocessor: The model's preprocessor; with special tokens, the size of its vocabulary is
            that of the text encoder's embedding.

    Returns:
        Values by name that are JSON-serialisable, except for the user's own backbones and fusion.
    """
    vision: dict[str, Any] | None = None
    if settings.images:
        vision = {
            "backbone": settings.vision_backbone,
            "image_size": list(settings.image_size),
            "num_images": len(image_slots(settings.images)),
            "pooling": settings.vision_pooling or "mean",
            "trainable": settings.trains("vision"),
            "augmentation": asdict(as_augmentation(settings.augmentation)),
        }
    text = settings.texts and {
        "backbone": settings.text_backbone,
        "sequence_length": settings.sequence_length,
        "text_pairing": settings.text_pairing if len(settings.texts) > 1 else "packed",
        "pooling": settings.text_pooling,
        "trainable": settings.trains("text"),
    }
    if text and settings.special_tokens and preprocessor.tokenizer is not None:
        text["vocabulary_size"] = preprocessor.tokenizer.vocabulary_size
    training = settings.training
    return {
        "precision": settings.precision,
        "vision_encoder": vision,
        "text_encoder": text or None,
        "trunk": {
            "fusion": settings.fusion,
            "compare": settings.compare and has_pair(settings),
            "num_projection_layers": training.num_projection_layers,
            "projection_dims": training.projection_dims,
            "dropout_rate": training.dropout_rate,
            "modality_dropout": settings.modality_dropout,
        },
        "heads": {name: plain_values(asdict(head)) for name, head in heads.items()},
    }


def changed_parts(former: Trained, settings: Settings, heads: Mapping[str, Head]) -> list[str]:
    """Parts of the model, besides the heads, that other settings would build differently.

    Args:
        former: The trained model.
        settings: The other settings, resolved.
        heads: Heads by name; they are not compared.

    Returns:
        Names of the parts.
    """
    before, after = (
        model_spec(one, heads, former.preprocessor) for one in (former.settings, settings)
    )
    changed = [name for name in before if before[name] != after[name]]
    if former.settings.special_tokens != settings.special_tokens:
        changed.append("special_tokens")
    return changed


def saved_spec(trained: Trained, declared: Mapping[str, Head]) -> dict[str, Any]:
    """The description of a trained model that is saved beside its weights.

    Args:
        trained: The trained model.
        declared: The heads of `add_head` by name, trained or not.

    Returns:
        Values by name, as in `model_spec`, with settings, history and priors.
    """
    # The fusion is saved in the part `trunk`; `asdict` would copy it, which a layer cannot be.
    settings = asdict(replace(trained.settings, fusion=None))
    if settings["classes"] is not None:
        settings["classes"] = next(iter(trained.heads.values())).names
    spec = model_spec(trained.settings, trained.heads, trained.preprocessor)
    # A preset may compare pairs where there is none; as a setting of the user's that is an error.
    settings["compare"] = spec["trunk"]["compare"]
    # A cache folder of this machine is of no use elsewhere.
    settings["cache"] = bool(settings["cache"])
    for side in _SIDES:
        # The initial weights may not be there any more, and are in the saved model.
        settings[f"{side}_weights"] = None
        if not isinstance(settings[f"{side}_backbone"], str):
            settings[f"{side}_backbone"] = None
    return {
        **spec,
        "settings": plain_values(settings),
        "history": trained.history,
        "num_rows": trained.num_rows,
        "priors": trained.priors,
        "added_heads": {name: plain_values(asdict(head)) for name, head in declared.items()},
    }


def trained_from(
    spec: Mapping[str, Any], settings: Settings, model: keras.Model, preprocessor: Preprocessor
) -> Trained:
    """The trained model that `saved_spec` describes.

    Args:
        spec: The description in a saved model, of any format version.
        settings: Its settings.
        model: The model with its weights.
        preprocessor: The model's preprocessor.

    Returns:
        The trained model.
    """
    heads = heads_of(spec["heads"])
    if spec["format_version"] == 1:  # one head, whose column was saved among the settings
        heads = {"label": replace(heads["label"], column=spec["settings"]["labels"])}
    num_rows, priors = _known_of_training(spec)
    return Trained(settings, heads, model, preprocessor, priors, spec["history"], num_rows)


def heads_of(values: Mapping[str, Mapping]) -> dict[str, Head]:
    """Heads from dicts of their fields.

    Args:
        values: Fields by name of the head.

    Returns:
        Heads by name.
    """
    return {name: Head(**head) for name, head in values.items()}


def own_backbones(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Backbones of a saved model that were a `keras.Model` of the user's.

    Args:
        spec: The description in a saved model.

    Returns:
        Names of the settings.
    """
    return tuple(
        f"{side}_backbone"
        for side in _SIDES
        if isinstance((spec[f"{side}_encoder"] or {}).get("backbone"), Mapping)
        and spec["settings"][f"{side}_backbone"] is None
    )


def check_own_backbones(names: Iterable[str], parameters: Mapping[str, Any]) -> None:
    """Refuses to train a loaded classifier anew without the user's own backbones.

    Args:
        names: What `own_backbones` returned.
        parameters: The classifier's parameters by name.

    Raises:
        ValueError: naming a backbone that has to be given again.
    """
    for name in names:
        if parameters[name] is None:
            raise InvalidValueError(
                f"this classifier was trained with a keras.Model of your own as `{name}`, and "
                "a saved model holds it as it was trained. To train anew, give it again: "
                f"set_params({name}=...)."
            )


def _known_of_training(spec: Mapping[str, Any]) -> tuple[int, dict[str, list]]:
    """Training rows, and each head's prior, of a saved model."""
    counts = spec.get("train_counts")  # of the first saved models
    if counts is None:
        return spec["num_rows"], spec["priors"]
    return sum(counts), {"label": [count / sum(counts) for count in counts]}


def plain_values(value: Any) -> Any:
    """A JSON-serialisable copy of a value.

    Args:
        value: NumPy values, paths and plain values, in mappings and sequences.

    Returns:
        The value as dicts, lists, numbers and strings.
    """
    if isinstance(value, Mapping):
        return {str(k): plain_values(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain_values(v) for v in value]
    if isinstance(value, os.PathLike):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value
