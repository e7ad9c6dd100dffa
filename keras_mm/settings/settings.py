"""The settings of the estimator and of training runs: flat dataclasses from keywords or TOML.

All problems of the settings are reported at once. Loads no backend.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Number
from os import PathLike
from typing import Any, TypeVar

from keras_mm.errors import ConfigError
from keras_mm.presets.image_sizes import trained_image_size
from keras_mm.presets.presets import FUSIONS, get_preset, list_presets
from keras_mm.settings.augmentation import as_augmentation
from keras_mm.settings.baselines import BASELINES_RULE
from keras_mm.settings.documentation import documented
from keras_mm.settings.engines import ENGINES
from keras_mm.settings.heads import HEAD_KINDS, as_labels
from keras_mm.settings.image_columns import IMAGES, as_images
from keras_mm.settings.knobs import knob, like
from keras_mm.settings.members import MEMBERS_RULE, canonical
from keras_mm.settings.problems import all_problems, is_trained, unknown_keys
from keras_mm.settings.rules import (
    BACKBONE,
    BIT,
    COLUMN,
    DIFFERENT_NAMES,
    PART,
    PATH,
    SEED,
    SIDES,
    SIZE,
    TOKENS,
    TRUTH,
    TWO_COLUMNS,
    WEIGHTS,
    Rule,
    as_names,
    as_size,
    instance,
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
from keras_mm.settings.training import Training as Training  # pickled settings name it here

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
# A setting with fields of its own; the dataclass of these fields has the rules.
_TABLE = Rule("a dict of its fields", lambda v: True)

Kind = TypeVar("Kind", bound="Settings")


@documented
@dataclass(frozen=True)
class Settings:
    """The keywords of `MultimodalClassifier`; `None` takes the value of the preset."""

    images: Sequence[str] | Mapping[str, int] = knob(
        (),
        IMAGES,
        "Image columns; by default the columns with the usual names (`image_1`, ...). A dict maps "
        "each column to the largest number of images in its cells; a cell then is a list of images "
        "or a text such as a.jpg|b.jpg.",
    )
    texts: Sequence[str] = knob(
        (),
        TWO_COLUMNS,
        "Text columns; by default the columns with the usual names (`text_1`, ...).",
    )
    labels: Any = knob("label", _LABELS, "Label column, several label columns, or heads by name.")
    preset: str = knob("mobilenet_v2_minilm", _PRESET, "Preset; see `keras-mm presets`.")
    fusion: Any = knob(None, _FUSION, "Layer that combines the modalities.")
    compare: bool | None = knob(
        None, TRUTH, "Whether to compare image pairs, and text pairs that are encoded separately."
    )
    text_pairing: str | None = knob(
        None,
        one_of("packed", "separate"),
        "Whether two texts are encoded as one sequence or separately.",
    )
    vision_pooling: str | None = knob(
        None, POOLINGS, "How an image's features are reduced to one vector."
    )
    text_pooling: str | None = knob(
        None, POOLINGS, "How a text's features are reduced to one vector."
    )
    vision_backbone: Any = knob(None, BACKBONE, "Network that encodes images.")
    vision_weights: str | None = knob(None, WEIGHTS, "Weights of the vision backbone.")
    text_backbone: Any = knob(None, BACKBONE, "Network that encodes texts.")
    text_weights: str | None = knob(None, WEIGHTS, "Weights of the text backbone.")
    image_size: Any = knob(
        None, SIZE, "Size of the images in pixels; by default what the backbone was trained with."
    )
    sequence_length: int | None = knob(
        None, whole(4), "Largest number of tokens per sequence, special tokens included."
    )
    vision_trainable: bool | None = knob(None, TRUTH, "Whether the vision backbone is trained.")
    text_trainable: bool | None = knob(None, TRUTH, "Whether the text backbone is trained.")
    head: str = knob("multiclass", one_of(*HEAD_KINDS), "Kind of the labels.")
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
        None, DIFFERENT_NAMES, "Label names in a fixed order; by default the sorted labels."
    )
    modality_dropout: float | None = knob(
        None,
        PART,
        "Probability of hiding all images of a row in training, and of hiding all its texts.",
    )
    augmentation: Any = knob(None, _TABLE, "Random changes of the images in training.")
    sliding_window: Any = knob(
        None, _TABLE, "How to read texts that are longer than `sequence_length`."
    )
    special_tokens: Sequence[str] | None = knob(
        None, TOKENS, "Texts that become one token each, with a new embedding that is trained."
    )
    epochs: int | None = like(Stopping, "epochs", default=None)
    batch_size: int | None = knob(None, whole(1), "Rows per batch.")
    learning_rate: float | None = like(Optimization, "learning_rate", default=None)
    encoder_learning_rate: Any = like(Optimization, "encoder_learning_rate")
    optimizer: str = like(Optimization, "optimizer", rule=OPTIMIZERS, description="The optimizer.")
    early_stopping: bool = like(Stopping, "early_stopping")
    cache: bool | str | PathLike = knob(
        True,
        _CACHE,
        "Whether to cache features of frozen encoders on disk; or the folder of the cache.",
    )
    engine: str = knob("auto", one_of(*ENGINES), "Library that runs the frozen encoders.")
    precision: str = knob("float32", one_of("float32", "bfloat16"), "Precision of the encoders.")
    folds: int | None = knob(
        None,
        whole(1),
        "Number of folds. The model averages one trunk per fold; each row is also predicted by the "
        "trunk not trained on it. By default 5 with pretrained frozen encoders, else 1.",
    )
    members: Any = knob(
        None,
        MEMBERS_RULE,
        "Members of the model, weighted by their out-of-fold predictions: `trunk`, `linear`, "
        "`linear_skip` (both), on one modality `linear:text` and so on; or `auto`, or `all`.",
    )
    blend_metric: str | None = knob(
        None,
        instance("a metric's name, such as 'macro_f1', or 'loss'", str),
        "Metric that the members' weights make best; by default loss, and macro-F1 of classes.",
    )
    seed: int = knob(0, SEED, "Seed of weights, row order, folds and dropout.")
    warm_start: bool = knob(False, TRUTH, "Whether `fit` continues with the trained model.")
    verbose: int = knob(1, BIT, "0 is silent, 1 shows progress on stderr.")
    training: Any = knob(None, _TABLE, "Less common settings of the training.")

    def trains(self, side: str) -> bool:
        """Whether any part of a side's encoder is trained at some time.

        Args:
            side: `"vision"` or `"text"`.

        Returns:
            True if it is trained.
        """
        return bool(is_trained(side, self.training, getattr(self, f"{side}_trainable")))

    def one_side(self: Kind, side: str) -> Kind:
        """These settings for a model of the images alone, or of the texts alone.

        Args:
            side: `"vision"` or `"text"`.

        Returns:
            Settings without the columns of the other side; without texts, no sliding window.
        """
        if side == "text":
            return replace(self, images=())
        return replace(self, texts=(), sliding_window=None)

    @property
    def trains_encoders(self) -> bool:
        """Whether any part of an encoder is trained; with `mmbt` the text encoder always is."""
        fusion = self.fusion.get("name") if isinstance(self.fusion, Mapping) else self.fusion
        return fusion == "mmbt" or any(self.trains(side) for side in SIDES)

    def resolved(self) -> Settings:
        """Checks these settings and replaces every `None` by the preset's value.

        Returns:
            The resolved settings.

        Raises:
            ConfigError: if there are problems; it lists all of them.
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
        resolved = _canonical(replace(self, **values))
        if resolved.image_size is None:
            size = trained_image_size(resolved.vision_backbone)
            resolved = replace(resolved, image_size=size)
        # Folds and members of a preset are for frozen encoders; folds cannot be continued.
        if self.folds is None and (self.warm_start or resolved.trains_encoders):
            resolved = replace(resolved, folds=1)
        if self.members is None and (resolved.folds == 1 or resolved.trains_encoders):
            resolved = replace(resolved, members=("trunk",))
        return resolved


@documented
@dataclass(frozen=True)
class RunSettings(Settings):
    """The settings of `keras-mm train`: those of the estimator, and the tables of rows."""

    data: str | None = knob(
        None,
        PATH,
        "Table of training rows: .csv, .tsv, .parquet or .jsonl; by default the sample data.",
    )
    validation_data: str | None = knob(
        None, PATH, "Table of rows for early stopping; by default a share of `data`."
    )
    test_data: str | None = knob(
        None, PATH, "Table of rows for the evaluation; by default a share of `data`."
    )
    split_column: str | None = knob(
        None, COLUMN, "Column of `data` that holds train, val or test for each row."
    )
    group_column: str | None = knob(
        None, COLUMN, "Column of groups. Rows of one group stay in the same split."
    )
    id_column: str | None = knob(
        None, COLUMN, "Column of ids, for predictions and report; by default one called `id`."
    )
    weight_column: str | None = knob(
        None,
        COLUMN,
        "Column of numbers >= 0: what each row counts in the loss, in early stopping and in all "
        "metrics. Rows of `validation_data` or `test_data` without it count 1.",
    )
    image_dir: str | None = knob(
        None, PATH, "Folder that image paths are relative to; by default the table's folder."
    )
    validation_size: float = knob(0.1, PART, "Share of the rows for early stopping.")
    test_size: float = knob(0.1, PART, "Share of the rows for the evaluation.")
    on_error: str = knob(
        "raise", one_of("raise", "skip"), "What to do with rows that cannot be used."
    )
    baselines: Any = knob(
        "auto",
        BASELINES_RULE,
        "Baselines to train and to compare with: auto for all, none, or names: lexical (words of "
        "the texts), linear (a linear model on the encoders), image_only, text_only.",
    )
    output: str | None = knob(
        None, PATH, "Run folder to write to; by default runs/<time>-<preset>."
    )

    def estimator(self) -> Settings:
        """The part of these settings that the estimator takes.

        Returns:
            The estimator's settings.
        """
        return Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})


def find_problems(settings: Settings) -> list[str]:
    """Checks settings against all rules.

    Args:
        settings: The settings.

    Returns:
        A sentence for each problem.
    """
    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    return all_problems(values, type(settings))


def settings_from(values: Mapping, kind: type[Kind], where: str = "settings") -> Kind:
    """Creates settings from a mapping.

    Args:
        values: Values by name; tables as mappings. Heads may also be given as tables `heads`.
        kind: `Settings` or `RunSettings`.
        where: Source of the values, for the error message.

    Returns:
        The checked settings.

    Raises:
        ConfigError: for unknown names (it suggests the nearest) and broken rules; it lists all
            problems.
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
    """Moves the tables `[heads.NAME]` of a TOML file to `labels`; also returns the problems."""
    values = dict(values)
    if "heads" not in values:
        return values, []
    heads = values.pop("heads")
    if "labels" in values:
        return values, ["set either `labels` or tables [heads.NAME], not both"]
    if not (isinstance(heads, Mapping) and heads):
        return values, [f"`heads` must be tables [heads.NAME]. Received: {heads!r}"]
    return {**values, "labels": heads}, []


def _canonical(settings: Kind) -> Kind:
    """Gives settings of equal meaning one form: tuples for lists, Python numbers for NumPy's."""
    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    for name, value in values.items():
        if isinstance(value, Number) and hasattr(value, "item"):
            values[name] = value.item()
        elif isinstance(value, PathLike):
            values[name] = os.fspath(value)
    values["images"], values["texts"] = as_images(settings.images), as_names(settings.texts)
    values["labels"] = as_labels(settings.labels)
    values["classes"] = None if settings.classes is None else tuple(settings.classes)
    values["members"] = canonical(settings.members)
    values["special_tokens"] = tuple(settings.special_tokens or ()) or None
    values["image_size"] = None if settings.image_size is None else as_size(settings.image_size)
    values["training"] = as_training(settings.training)
    if settings.augmentation is not None:
        values["augmentation"] = as_augmentation(settings.augmentation)
    values["sliding_window"] = as_sliding_window(settings.sliding_window)
    return replace(settings, **values)
