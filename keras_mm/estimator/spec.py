"""Descriptions of models: what a model is built from, and what is saved of a trained model."""

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
from keras_mm.estimator.trained import FoldMember, Trained
from keras_mm.inference.decisions.head_decisions import decisions_of
from keras_mm.models.ensemble import MemberWeights, member_weights
from keras_mm.settings.augmentation import as_augmentation
from keras_mm.settings.heads import Head
from keras_mm.settings.image_columns import image_slots
from keras_mm.settings.members import Member, modalities_of, with_own
from keras_mm.settings.settings import Settings

_SIDES = ("vision", "text")


def model_spec(
    settings: Settings, heads: Mapping[str, Head], preprocessor: Preprocessor
) -> dict[str, Any]:
    """The description of a model; see `keras_mm.inference.bundle.build_model`.

    Args:
        settings: Resolved settings.
        heads: Heads by name, with their classes.
        preprocessor: The preprocessor of the model. With special tokens, the text encoder has an
            embedding for each token of its vocabulary.

    Returns:
        Values by name. They are JSON-serialisable, except backbones and a fusion that are the
        user's own networks or layers.
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
    return {
        "precision": settings.precision,
        "vision_encoder": vision,
        "text_encoder": text or None,
        "trunk": _trunk(settings),
        "heads": {name: plain_values(asdict(head)) for name, head in heads.items()},
    }


def _trunk(settings: Settings) -> dict[str, Any]:
    """Keywords of `create_multimodal_model`."""
    training = settings.training
    return {
        "fusion": settings.fusion,
        "compare": settings.compare and has_pair(settings),
        "num_projection_layers": training.num_projection_layers,
        "projection_dims": training.projection_dims,
        "dropout_rate": training.dropout_rate,
        "standardize": training.standardize,
        "modality_dropout": settings.modality_dropout,
    }


def changed_parts(former: Trained, settings: Settings, heads: Mapping[str, Head]) -> list[str]:
    """Compares the model that settings describe with a trained model; heads are not compared.

    Args:
        former: The trained model.
        settings: Resolved settings.
        heads: Heads by name; any, as they are not compared.

    Returns:
        Names of the parts that differ.
    """
    before, after = (
        model_spec(one, heads, former.preprocessor) for one in (former.settings, settings)
    )
    changed = [name for name in before if before[name] != after[name]]
    if former.settings.special_tokens != settings.special_tokens:
        changed.append("special_tokens")
    return changed


def saved_spec(trained: Trained, declared: Mapping[str, Head]) -> dict[str, Any]:
    """The description of a trained model that is saved with its weights.

    Args:
        trained: The trained model.
        declared: The heads of `add_head` by name, trained or not.

    Returns:
        JSON-serialisable values by name: those of `model_spec`, settings, history and priors.
    """
    # Without the fusion, which is saved in `trunk`: `asdict` copies values, but not layers.
    settings = asdict(replace(trained.settings, fusion=None))
    if settings["classes"] is not None:
        settings["classes"] = next(iter(trained.heads.values())).names
    spec = model_spec(trained.settings, trained.heads, trained.preprocessor)
    # A preset may set `compare` although there is no pair. In a loaded classifier it would be a
    # setting of the user's, for which that is an error.
    settings["compare"] = spec["trunk"]["compare"]
    # The model may be loaded on a machine without this cache folder.
    settings["cache"] = bool(settings["cache"])
    for side in _SIDES:
        # The model is saved with its weights; a path of the initial ones may not exist later.
        settings[f"{side}_weights"] = None
        if not isinstance(settings[f"{side}_backbone"], str):
            settings[f"{side}_backbone"] = None
    return {
        **spec,
        "trunks": _trunks(trained),
        "settings": plain_values(settings),
        "history": trained.history,
        "num_rows": trained.num_rows,
        "priors": trained.priors,
        "added_heads": {name: plain_values(asdict(head)) for name, head in declared.items()},
        "trials": plain_values(list(trained.trials)),
        "remarks": list(trained.remarks),
        "decisions": {name: one.to_dict() for name, one in trained.decisions.items()},
    }


def _trunks(trained: Trained) -> list[dict[str, Any]]:
    """A description of each trunk that the model averages."""
    found, single = member_weights(trained.model), MemberWeights((1.0,))
    weights = {name: found.get(name, single) for name in trained.heads}
    return [
        {
            "fold": member.fold,
            "modalities": list(member.member.modalities),
            "kind": member.member.kind,
            **_own_parts(trained.settings, dict(member.member.own)),
            "weights": {name: _own_weights(one, number) for name, one in weights.items()},
        }
        for number, member in enumerate(trained.members)
    ]


def _own_parts(settings: Settings, own: dict[str, Any]) -> dict[str, Any]:
    """The settings of a member's own, and what they change in the trunk's keywords."""
    if not own:
        return {}
    before, after = _trunk(settings), _trunk(with_own(settings, own))
    return {"own": own, "trunk": {n: v for n, v in after.items() if v != before[n]}}


def _own_weights(weights: MemberWeights, number: int) -> dict[str, float]:
    """The weights of a trunk in the prediction of a head."""
    without = {f"without_{modality}": row[number] for modality, row in weights.without.items()}
    return {"all": weights.everywhere[number], **without}


def _members(spec: Mapping[str, Any], settings: Settings) -> tuple[FoldMember, ...]:
    """The members of a saved model; it has one in formats without `trunks`."""
    everything = modalities_of(vars(settings))
    return tuple(
        FoldMember(
            Member(
                trunk["kind"],
                tuple(trunk["modalities"]),
                tuple(sorted(trunk.get("own", {}).items())),
            ),
            trunk["fold"],
        )
        for trunk in spec.get("trunks", [{"kind": "trunk", "modalities": everything, "fold": None}])
    )


def trained_from(
    spec: Mapping[str, Any], settings: Settings, model: keras.Model, preprocessor: Preprocessor
) -> Trained:
    """Creates the trained model that `saved_spec` describes.

    Args:
        spec: The description in a saved model, of any format version.
        settings: The settings of the saved model.
        model: The model with its weights.
        preprocessor: The preprocessor of the model.

    Returns:
        The trained model.
    """
    heads = heads_of(spec["heads"])
    if spec["format_version"] == 1:  # a single head; its column is among the settings
        heads = {"label": replace(heads["label"], column=spec["settings"]["labels"])}
    num_rows, priors = _training_facts(spec)
    return Trained(
        settings,
        heads,
        model,
        preprocessor,
        priors,
        spec["history"],
        num_rows,
        members=_members(spec, settings),
        trials=spec.get("trials", ()),
        remarks=spec.get("remarks", ()),
        decisions=decisions_of(spec),
    )


def heads_of(values: Mapping[str, Mapping]) -> dict[str, Head]:
    """Creates heads from dicts of their fields.

    Args:
        values: A dict of fields for each head, by name of the head.

    Returns:
        Heads by name.
    """
    return {name: Head(**head) for name, head in values.items()}


def own_backbones(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Finds the backbones of a saved model that were a `keras.Model` of the user's.

    Args:
        spec: The description in a saved model.

    Returns:
        Names of the settings: `"vision_backbone"`, `"text_backbone"`, both or none.
    """
    return tuple(
        f"{side}_backbone"
        for side in _SIDES
        if isinstance((spec[f"{side}_encoder"] or {}).get("backbone"), Mapping)
        and spec["settings"][f"{side}_backbone"] is None
    )


def check_own_backbones(names: Iterable[str], parameters: Mapping[str, Any]) -> None:
    """Checks that a loaded classifier has the user's own backbones, to train a new model.

    Args:
        names: The result of `own_backbones`.
        parameters: Parameters of the classifier by name.

    Raises:
        ValueError: with the name of a backbone that must be set again.
    """
    for name in names:
        if parameters[name] is None:
            raise InvalidValueError(
                f"`{name}` must be set to train a new model: it was a keras.Model of your own, and "
                f"the saved model only has its trained weights. Use set_params({name}=...), or "
                "set_params(warm_start=True) to continue with the loaded model."
            )


def _training_facts(spec: Mapping[str, Any]) -> tuple[int, dict[str, list]]:
    """Number of training rows, and the prior of each head, of a saved model."""
    counts = spec.get("train_counts")  # in models of the first version
    if counts is None:
        return spec["num_rows"], spec["priors"]
    return sum(counts), {"label": [count / sum(counts) for count in counts]}


def plain_values(value: Any) -> Any:
    """Copies a value as plain Python values, which JSON can hold.

    Args:
        value: A NumPy value, a path or a plain value; or mappings and sequences of these.

    Returns:
        Dicts with strings as keys, lists, numbers and strings.

    Example:
        >>> plain_values({"size": (np.int64(2), np.float32(0.5))})
        {'size': [2, 0.5]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain_values(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain_values(v) for v in value]
    if isinstance(value, os.PathLike):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value
