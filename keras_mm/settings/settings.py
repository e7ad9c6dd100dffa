"""Settings: one flat dataclass, from keywords or TOML, checked all at once. Loads no backend."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Number
from os import PathLike
from typing import Any, TypeVar

from keras_mm.errors import ConfigError
from keras_mm.presets.presets import FUSIONS, get_preset, list_presets
from keras_mm.settings.augmentation import as_augmentation
from keras_mm.settings.documentation import documented
from keras_mm.settings.engines import ENGINES
from keras_mm.settings.heads import HEAD_KINDS, as_labels
from keras_mm.settings.knobs import knob, like
from keras_mm.settings.problems import all_problems, is_trained, unknown_keys
from keras_mm.settings.rules import (
    BACKBONE,
    BIT,
    COLUMN,
    COLUMNS,
    DIFFERENT_NAMES,
    PART,
    PATH,
    SEED,
    SIZE,
    TOKENS,
    TRUTH,
    TWO_COLUMNS,
    WEIGHTS,
    Rule,
    as_names,
    is_names,
    one_of,
    quoted,
    whole,
)
from keras_mm.settings.sliding_window import as_sliding_window
from keras_mm.settings.stages import fill_sides
from keras_mm.settings.training import (
    LOSSES,
    OPTIMIZERS,
    LossSettings,
    Optimization,
    Stopping,
    as_training,
    resolved_training,
)
from keras_mm.settings.training import Training as Training  # where pickled settings look for it

POOLINGS = one_of("mean", "max", "cls", "pooler")

_LABELS = Rule(
    "a column name, a list of them, or a dict of name to keras_mm.Head",
    lambda v: isinstance(v, Mapping) or (bool(v) and is_names(v)),
)
_PRESET = Rule(
    f"one of {quoted(tuple(list_presets()))}",
    lambda v: isinstance(v, str) and v in list_presets(),
    tuple(list_presets()),
    is_open=True,
)
_FUSION = Rule(
    f"one of {quoted(FUSIONS)}, a dict of `name` and that layer's arguments, or a Keras layer",
    lambda v: (
        (v.get("name") if isinstance(v, Mapping) else v) in FUSIONS
        if isinstance(v, str | Mapping)
        else hasattr(v, "get_config") and callable(v) and not isinstance(v, type)
    ),
    FUSIONS,
    is_open=True,
)
_CACHE = Rule(
    "true, false or a folder",
    lambda v: isinstance(v, bool | PathLike) or (isinstance(v, str) and bool(v)),
)
# A setting that is a table of its own; its class has the rules.
_TABLE = Rule("a dict of its fields", lambda v: True)

Kind = TypeVar("Kind", bound="Settings")


@documented
@dataclass(frozen=True)
class Settings:
    """The keywords of `MultimodalClassifier`; `None` means as the preset says."""

    images: Sequence[str] = knob((), COLUMNS, "Image columns; by default by their usual names.")
    texts: Sequence[str] = knob((), TWO_COLUMNS, "Text columns; by default by their usual names.")
    labels: Any = knob("label", _LABELS, "Label column, or several, or heads by name.")
    preset: str = knob("mobilenet_v2_minilm", _PRESET, "Preset; see `keras-mm presets`.")
    fusion: Any = knob(None, _FUSION, "How the modalities are joined.")
    compare: bool | None = knob(
        None, TRUTH, "Compare image pairs, and text pairs that are encoded separately."
    )
    text_pairing: str | None = knob(
        None, one_of("packed", "separate"), "How two texts are encoded."
    )
    vision_pooling: str | None = knob(None, POOLINGS, "How an image's features become one vector.")
    text_pooling: str | None = knob(None, POOLINGS, "How a text's features become one vector.")
    vision_backbone: Any = knob(None, BACKBONE, "Network of the images.")
    vision_weights: str | None = knob(None, WEIGHTS, "Weights of the vision backbone.")
    text_backbone: Any = knob(None, BACKBONE, "Network of the texts.")
    text_weights: str | None = knob(None, WEIGHTS, "Weights of the text backbone.")
    image_size: Any = knob(None, SIZE, "Size of the images in pixels.")
    sequence_length: int | None = knob(None, whole(4), "Tokens of a sequence.")
    vision_trainable: bool | None = knob(None, TRUTH, "Whether the vision backbone is trained.")
    text_trainable: bool | None = knob(None, TRUTH, "Whether the text backbone is trained.")
    head: str = knob("multiclass", one_of(*HEAD_KINDS), "What the label column holds.")
    loss: str = like(
        LossSettings,
        "loss",
        rule=one_of(*LOSSES),
        description="What training minimises. For classes and labels: cross_entropy, focal, and "
        "for classes logit_adjusted. For numbers: the other three; cross_entropy is "
        "mean_squared_error there.",
    )
    class_weight: Any = like(LossSettings, "class_weight")
    classes: Sequence | None = knob(
        None, DIFFERENT_NAMES, "Label names in a fixed order; by default as they are sorted."
    )
    modality_dropout: float | None = knob(
        None,
        PART,
        "Probability with which training hides all images of a row, and with which all its texts.",
    )
    augmentation: Any = knob(None, _TABLE, "How training changes the images at random.")
    sliding_window: Any = knob(
        None, _TABLE, "How texts are read that are longer than `sequence_length`."
    )
    special_tokens: Sequence[str] | None = knob(
        None, TOKENS, "Texts that become one token each, with an embedding that is learned."
    )
    epochs: int | None = like(Stopping, "epochs", default=None)
    batch_size: int | None = knob(None, whole(1), "Rows of a batch.")
    learning_rate: float | None = like(Optimization, "learning_rate", default=None)
    encoder_learning_rate: Any = like(Optimization, "encoder_learning_rate")
    optimizer: str = like(Optimization, "optimizer", rule=OPTIMIZERS, description="The optimizer.")
    early_stopping: bool = like(Stopping, "early_stopping")
    cache: bool | str | PathLike = knob(
        True, _CACHE, "Whether features of frozen encoders are kept on disk, or the folder."
    )
    engine: str = knob("auto", one_of(*ENGINES), "What runs encoders that are not being trained.")
    precision: str = knob("float32", one_of("float32", "bfloat16"), "Precision of the encoders.")
    seed: int = knob(0, SEED, "Seed of everything random.")
    warm_start: bool = knob(False, TRUTH, "Whether `fit` goes on with the model that there is.")
    verbose: int = knob(1, BIT, "0 is silent, 1 shows progress on stderr.")
    training: Any = knob(None, _TABLE, "The rarer knobs of a training.")

    def trains(self, side: str) -> bool:
        """Whether anything of the encoder of a side, `"vision"` or `"text"`, is ever trained."""
        return bool(is_trained(side, self.training, getattr(self, f"{side}_trainable")))

    def resolved(self) -> Settings:
        """These settings with every `None` replaced by the preset's value, and checked.

        Returns:
            The settings.

        Raises:
            ConfigError: listing every problem.
        """
        problems = find_problems(self)
        if problems:
            raise ConfigError(problems)
        preset = get_preset(self.preset)
        values = {
            name: getattr(preset, name)
            for name in (f.name for f in fields(preset))
            if name not in ("name", "description", "training") and getattr(self, name) is None
        }
        values["training"] = resolved_training(self.training, preset.training)
        if self.encoder_learning_rate is not None:
            values["encoder_learning_rate"] = fill_sides(
                self.encoder_learning_rate, preset.encoder_learning_rate
            )
        return _canonical(replace(self, **values))


@documented
@dataclass(frozen=True)
class RunSettings(Settings):
    """What `keras-mm train` takes: the estimator's settings and where the rows are."""

    data: str | None = knob(
        None, PATH, "Table of rows: .csv, .tsv, .parquet or .jsonl; by default the sample data."
    )
    validation_data: str | None = knob(
        None, PATH, "Rows for early stopping; by default a part of `data`."
    )
    test_data: str | None = knob(
        None, PATH, "Rows for the evaluation; by default a part of `data`."
    )
    split_column: str | None = knob(None, COLUMN, "Column of `data` that says train, val or test.")
    group_column: str | None = knob(
        None, COLUMN, "Rows with the same value stay on the same side of a split."
    )
    id_column: str | None = knob(
        None, COLUMN, "Column of ids, for predictions and report; by default one called `id`."
    )
    image_dir: str | None = knob(
        None, PATH, "Folder that image paths are relative to; by default the table's."
    )
    validation_size: float = knob(0.1, PART, "Share of the rows for early stopping.")
    test_size: float = knob(0.1, PART, "Share of the rows for the evaluation.")
    on_error: str = knob(
        "raise", one_of("raise", "skip"), "Whether to skip rows that cannot be used."
    )
    output: str | None = knob(None, PATH, "Run folder to write; by default runs/<time>-<preset>.")

    def estimator(self) -> Settings:
        """The part of these settings that the estimator takes."""
        return Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})


def find_problems(settings: Settings) -> list[str]:
    """Every rule that `settings` break, a sentence each."""
    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    return all_problems(values, type(settings))


def settings_from(values: Mapping, kind: type[Kind], where: str = "settings") -> Kind:
    """Settings of `kind` from a mapping, every problem reported at once.

    Args:
        values: Values by name; tables as mappings, heads also as the tables `heads`.
        kind: `Settings` or `RunSettings`.
        where: What the values are, for the error.

    Returns:
        The settings.

    Raises:
        ConfigError: for unknown names (the nearest is offered) and broken rules.
    """
    values, problems = _with_heads(values)
    problems += unknown_keys(values, kind)
    names = {f.name for f in fields(kind)}
    settings = kind(**{name: value for name, value in values.items() if name in names})
    problems += find_problems(settings)
    if problems:
        raise ConfigError(problems, where)
    return _canonical(settings)


def _with_heads(values: Mapping) -> tuple[dict, list[str]]:
    """The values with the tables `[heads.NAME]` of a TOML file as `labels`."""
    values = dict(values)
    if "heads" not in values:
        return values, []
    heads = values.pop("heads")
    if "labels" in values:
        return values, ["give `labels` or tables [heads.NAME], not both"]
    if not (isinstance(heads, Mapping) and heads):
        return values, [f"`heads` must be tables [heads.NAME]. Received: {heads!r}"]
    return {**values, "labels": heads}, []


def as_size(value: Any) -> tuple[int, int]:
    """`(height, width)` from one number or a pair."""
    height, width = (value, value) if isinstance(value, Integral) else value
    return int(height), int(width)


def _canonical(settings: Kind) -> Kind:
    """Equal settings for equal meanings: tuples for lists, Python's numbers for NumPy's."""
    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    for name, value in values.items():
        if isinstance(value, Number) and hasattr(value, "item"):
            values[name] = value.item()
        elif isinstance(value, PathLike):
            values[name] = os.fspath(value)
    values["images"], values["texts"] = as_names(settings.images), as_names(settings.texts)
    values["labels"] = as_labels(settings.labels)
    values["classes"] = None if settings.classes is None else tuple(settings.classes)
    values["special_tokens"] = tuple(settings.special_tokens or ()) or None
    values["image_size"] = None if settings.image_size is None else as_size(settings.image_size)
    values["training"] = as_training(settings.training)
    if settings.augmentation is not None:
        values["augmentation"] = as_augmentation(settings.augmentation)
    values["sliding_window"] = as_sliding_window(settings.sliding_window)
    return replace(settings, **values)
