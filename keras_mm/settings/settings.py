"""Settings: one flat dataclass, from keywords or TOML, checked all at once. Loads no backend."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Number
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from keras_mm.checks import is_number, is_whole, unknown_name
from keras_mm.errors import ConfigError, InvalidValueError
from keras_mm.presets.presets import FUSIONS, get_preset, list_presets
from keras_mm.settings.augmentation import RULES as AUGMENTATION_RULES
from keras_mm.settings.augmentation import Augmentation, as_augmentation
from keras_mm.settings.engines import ENGINES, engine_problem
from keras_mm.settings.heads import HEAD_KINDS, HEAD_LOSSES, Head, as_heads
from keras_mm.settings.sliding_window import RULES as SLIDING_RULES
from keras_mm.settings.sliding_window import SlidingWindow, as_sliding_window
from keras_mm.settings.stages import RATE_RULE, SIDES, as_stages, fill_sides, stages_problems

LOSSES = tuple(dict.fromkeys(name for losses in HEAD_LOSSES.values() for name in losses))
CLASS_WEIGHTS = ("balanced", "effective_number")
OPTIMIZERS = ("adamw", "adam", "sgd", "adafactor")
POOLINGS = ("mean", "max", "cls", "pooler")


Kind = TypeVar("Kind", bound="Settings")


@dataclass(frozen=True)
class Training:
    """The rarer knobs of a training run; `None` means as the preset says, else the default.

    Args:
        warmup: Part of all steps in which the learning rate rises from 0, in [0, 1). Default 0.1.
        decay: `"cosine"`, `"linear"` or `"polynomial"` (to 0 at the last step), `"constant"`, or
            `"plateau"`: without warm-up, and lowered when `monitor` has not improved for some
            epochs. Default `"cosine"`.
        decay_power: The power of `"polynomial"`, > 0. Default 1.
        plateau_factor: What `"plateau"` multiplies the rate by, in (0, 1). Default 0.2.
        plateau_patience: Epochs without improvement before it does, >= 1. Default 3.
        momentum: Of `optimizer="sgd"`, in [0, 1). Default 0.9.
        adam_betas: Decay of the two moments of `"adamw"` and `"adam"`, in [0, 1). Default
            (0.9, 0.999).
        adam_epsilon: What keeps the denominator of `"adamw"` and `"adam"` from 0, > 0. Default
            1e-7.
        weight_decay: AdamW's decoupled weight decay, >= 0. Default 0.004.
        clipnorm: Largest global norm of the gradient, > 0. Default 1.0.
        accumulation_steps: Batches whose gradients are averaged into one step, >= 1. Default 1.
        label_smoothing: Part of the target spread over all classes, in [0, 1). Default 0.
        gamma: Focusing exponent of the focal loss, >= 0. Default 2.
        tau: Strength of the logit adjustment of the logit-adjusted loss, >= 0. Default 1.
        beta: Of `class_weight="effective_number"`, in [0, 1): 0 weighs all rows alike, near 1 it
            is `"balanced"`. Default 0.999.
        monitor: What early stopping watches: `"val_loss"`, `"val_accuracy"`, `"val_macro_f1"`,
            another number that `keras_mm.metrics.head_metrics.head_metrics` gives for the head,
            with several heads as `"val_<head>_accuracy"`. Default `"val_loss"`.
        patience: Epochs without improvement before training stops, >= 1. Default 5.
        num_projection_layers: Residual blocks of each projection head, >= 0. Default 1.
        projection_dims: Width of the projections, >= 1; 0 for none, of one side or with
            `"concat"` or `"mmbt"`. Default 256.
        dropout_rate: Dropout in the projections, in [0, 1). Default 0.1.
        stages: Stages of fine-tuning, one after the other: a list of `keras_mm.Stage` or dicts of
            its fields. They take the place of `vision_trainable` and `text_trainable`. Each has its
            own learning-rate schedule; `patience` counts within a stage. Default: one stage.
        layer_decay: What the encoders' learning rate is multiplied by from one block of a backbone
            to the next below, in (0, 1]. Default 1.
        lora_rank: Rank of low-rank adapters (LoRA) that learn in place of the weights of those
            encoders that are trained, >= 1; transformers only. Default: no adapters.
        lora_alpha: Strength of the adapters, > 0. Default: `lora_rank`.
        ema_momentum: Momentum of a moving average of the weights, which is evaluated and kept, in
            [0, 1). Default: no average.
        auto_find_batch_size: Whether to halve `batch_size` and go on, from the weights that the
            stage began with, when memory runs out. Default False.

    Example:
        >>> Training(clipnorm=0.5).clipnorm
        0.5
    """

    warmup: float | None = None
    decay: str | None = None
    decay_power: float | None = None
    plateau_factor: float | None = None
    plateau_patience: int | None = None
    momentum: float | None = None
    adam_betas: Sequence[float] | None = None
    adam_epsilon: float | None = None
    weight_decay: float | None = None
    clipnorm: float | None = None
    accumulation_steps: int | None = None
    label_smoothing: float | None = None
    gamma: float | None = None
    tau: float | None = None
    beta: float | None = None
    monitor: str | None = None
    patience: int | None = None
    num_projection_layers: int | None = None
    projection_dims: int | None = None
    dropout_rate: float | None = None
    stages: Sequence | None = None
    layer_decay: float | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None
    ema_momentum: float | None = None
    auto_find_batch_size: bool | None = None


TRAINING_DEFAULTS = Training(
    warmup=0.1,
    decay="cosine",
    decay_power=1.0,
    plateau_factor=0.2,
    plateau_patience=3,
    momentum=0.9,
    adam_betas=(0.9, 0.999),
    adam_epsilon=1e-7,
    weight_decay=0.004,
    clipnorm=1.0,
    accumulation_steps=1,
    label_smoothing=0.0,
    gamma=2.0,
    tau=1.0,
    beta=0.999,
    monitor="val_loss",
    patience=5,
    num_projection_layers=1,
    projection_dims=256,
    dropout_rate=0.1,
    layer_decay=1.0,
    auto_find_batch_size=False,
)


@dataclass(frozen=True)
class Settings:
    """The keywords of `MultimodalClassifier`; its docstring says what each means."""

    images: Sequence[str] = ()
    texts: Sequence[str] = ()
    labels: Any = "label"
    preset: str = "mobilenet_v2_minilm"
    fusion: Any = None
    compare: bool | None = None
    text_pairing: str | None = None
    vision_pooling: str | None = None
    text_pooling: str | None = None
    vision_backbone: Any = None
    vision_weights: str | None = None
    text_backbone: Any = None
    text_weights: str | None = None
    image_size: Any = None
    sequence_length: int | None = None
    vision_trainable: bool | None = None
    text_trainable: bool | None = None
    head: str = "multiclass"
    loss: str = "cross_entropy"
    class_weight: Any = None
    classes: Sequence | None = None
    modality_dropout: float | None = None
    augmentation: Any = None
    sliding_window: Any = None
    special_tokens: Sequence[str] | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    encoder_learning_rate: Any = None
    optimizer: str = "adamw"
    early_stopping: bool = True
    cache: bool | str | PathLike = True
    engine: str = "auto"
    precision: str = "float32"
    seed: int = 0
    warm_start: bool = False
    verbose: int = 1
    training: Any = None

    def trains(self, side: str) -> bool:
        """Whether anything of the encoder of a side, `"vision"` or `"text"`, is ever trained."""
        stages = as_training(self.training).stages
        if stages:
            return any(stage.depth(side) != 0 for stage in stages)
        return bool(getattr(self, f"{side}_trainable"))

    def resolved(self) -> Settings:
        """These settings with every `None` replaced by the preset's value, and checked.

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
        values["training"] = _resolved_training(self.training, preset.training)
        if self.encoder_learning_rate is not None:
            values["encoder_learning_rate"] = fill_sides(
                self.encoder_learning_rate, preset.encoder_learning_rate
            )
        return _canonical(replace(self, **values))


@dataclass(frozen=True)
class RunSettings(Settings):
    """What `keras-mm train` takes: the estimator's settings and where the rows are."""

    data: str | None = None
    validation_data: str | None = None
    test_data: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    image_dir: str | None = None
    validation_size: float = 0.1
    test_size: float = 0.1
    on_error: str = "raise"
    output: str | None = None

    def estimator(self) -> Settings:
        """The part of these settings that the estimator takes."""
        return Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})


def as_names(value) -> tuple[str, ...]:
    """Column names as a tuple; one name is a tuple of one."""
    return (value,) if isinstance(value, str) else tuple(value)


def as_labels(value: Any) -> str | tuple[str, ...] | dict[str, Head]:
    """What `labels` holds: a column, several as a tuple, or heads by name.

    Raises:
        ValueError: listing what is wrong with the heads; see `keras_mm.Head`.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return tuple(value)
    return as_heads({name: _as_head(name, head) for name, head in value.items()})


def _as_head(name: str, head: Any) -> Head:
    if isinstance(head, Head):
        return head
    if not isinstance(head, Mapping):
        raise InvalidValueError(
            f"the head {name!r} must be a keras_mm.Head or a dict. Received: {head!r}"
        )
    known = [f.name for f in fields(Head)]
    mistakes = [unknown_name("setting", str(key), known) for key in head if key not in known]
    if not mistakes:
        try:
            return Head(**head)
        except ValueError as error:
            mistakes = str(error).splitlines()
    raise InvalidValueError("\n".join(f"the head {name!r}: {mistake}" for mistake in mistakes))


def as_size(value) -> tuple[int, int]:
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


def _resolved_training(training, preset_defaults: Mapping) -> Training:
    given = as_training(training)
    chosen = {k: v for k, v in asdict(given).items() if v is not None}
    return Training(**{**asdict(TRAINING_DEFAULTS), **preset_defaults, **chosen})


def as_training(training: Training | Mapping | None) -> Training:
    """A `Training` from itself, a mapping of its fields, or `None`."""
    if training is None:
        return Training()
    found = training if isinstance(training, Training) else Training(**training)
    betas = None if found.adam_betas is None else tuple(found.adam_betas)
    return replace(found, stages=as_stages(found.stages) or None, adam_betas=betas)


# --- rules: name -> (what is allowed, in words; the test) ---------------------------------------


def _whole(low: int) -> tuple[str, Callable]:
    return f"an integer >= {low}", lambda v: is_whole(v, low)


def _part() -> tuple[str, Callable]:
    return "a number in [0, 1)", lambda v: is_number(v) and 0 <= v < 1


def _positive(zero: bool = False) -> tuple[str, Callable]:
    return (
        f"a number {'>=' if zero else '>'} 0",
        lambda v: is_number(v) and (v > 0 or (zero and v == 0)),
    )


def _one_of(*names: str) -> tuple[str, Callable]:
    return f"one of {', '.join(map(repr, names))}", lambda v: isinstance(v, str) and v in names


def _is(kind: type, words: str) -> tuple[str, Callable]:
    return words, lambda v: isinstance(v, kind)


def _names(value) -> bool:
    return isinstance(value, str) or (
        hasattr(value, "__len__") and all(isinstance(v, str) for v in value)
    )


def _size(value) -> bool:
    if isinstance(value, Sequence):
        return len(value) == 2 and all(is_whole(v) and v > 0 for v in value)
    return is_whole(value) and value > 0


def _betas(value) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(map(_part()[1], value))


def _special(value) -> bool:
    if not (_names(value) and not isinstance(value, str)):
        return False
    return all(v and "\0" not in v for v in value) and (not value or _different(value))


def _different(value) -> bool:
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return False
    return 0 < len(value) == len({repr(v) for v in value})


def _is_text(value) -> bool:
    return isinstance(value, str) and bool(value)


def _is_preset(value) -> bool:
    return isinstance(value, str) and value in list_presets()


_TRUTH = _is(bool, "True or False")
_PATH = _is((str, PathLike), "a path")  # type: ignore[arg-type]
_COLUMN = _is(str, "a column name")
_WEIGHTS = _is((str, PathLike), "'pretrained', 'random' or a path")  # type: ignore[arg-type]
_BACKBONE = (
    "a backbone's name, a folder, or a keras.Model",
    lambda v: not isinstance(v, bool | int | float),
)

_FUSION = (
    f"one of {', '.join(map(repr, FUSIONS))}, a dict of `name` and that layer's arguments, or a "
    "Keras layer",
    lambda v: (
        (v.get("name") if isinstance(v, Mapping) else v) in FUSIONS
        if isinstance(v, str | Mapping)
        else hasattr(v, "get_config") and callable(v) and not isinstance(v, type)
    ),
)

_CHOICES = {"preset": tuple(list_presets()), "fusion": FUSIONS}  # where the nearest is offered

_RULES: dict[str, tuple[str, Callable]] = {
    "images": ("column names", _names),
    "texts": ("at most two column names", lambda v: _names(v) and len(as_names(v)) <= 2),
    "labels": (
        "a column name, a list of them, or a dict of name to keras_mm.Head",
        lambda v: isinstance(v, Mapping) or (bool(v) and _names(v)),
    ),
    "preset": (f"one of {', '.join(map(repr, list_presets()))}", _is_preset),
    "fusion": _FUSION,
    "compare": _TRUTH,
    "text_pairing": _one_of("packed", "separate"),
    "vision_pooling": _one_of(*POOLINGS),
    "text_pooling": _one_of(*POOLINGS),
    "vision_backbone": _BACKBONE,
    "text_backbone": _BACKBONE,
    "vision_weights": _WEIGHTS,
    "text_weights": _WEIGHTS,
    "image_size": ("a positive integer or a pair (height, width) of them", _size),
    "sequence_length": _whole(4),
    "vision_trainable": _TRUTH,
    "text_trainable": _TRUTH,
    "head": _one_of(*HEAD_KINDS),
    "loss": _one_of(*LOSSES),
    "class_weight": (
        f"{', '.join(map(repr, CLASS_WEIGHTS))}, a dict by label, or a list in class order",
        lambda v: v in CLASS_WEIGHTS if isinstance(v, str) else hasattr(v, "__len__"),
    ),
    "classes": (
        "a list of label names, all different",
        _different,
    ),
    "special_tokens": ("a list of texts, all different, none of them empty or with NUL", _special),
    "modality_dropout": _part(),
    "epochs": _whole(1),
    "batch_size": _whole(1),
    "learning_rate": _positive(),
    "encoder_learning_rate": RATE_RULE,
    "optimizer": _one_of(*OPTIMIZERS),
    "early_stopping": _TRUTH,
    "cache": ("true, false or a folder", lambda v: isinstance(v, bool | PathLike) or _is_text(v)),
    "engine": _one_of(*ENGINES),
    "precision": _one_of("float32", "bfloat16"),
    "seed": ("an integer in [0, 2**32)", lambda v: is_whole(v) and 0 <= v < 2**32),
    "warm_start": _TRUTH,
    "verbose": ("0 or 1", lambda v: isinstance(v, bool | int) and v in (0, 1)),
    "data": _PATH,
    "validation_data": _PATH,
    "test_data": _PATH,
    "split_column": _COLUMN,
    "group_column": _COLUMN,
    "image_dir": _PATH,
    "validation_size": _part(),
    "test_size": _part(),
    "on_error": _one_of("raise", "skip"),
    "output": _PATH,
    "training.warmup": _part(),
    "training.decay": _one_of("cosine", "linear", "polynomial", "constant", "plateau"),
    "training.decay_power": _positive(),
    "training.plateau_factor": ("a number in (0, 1)", lambda v: is_number(v) and 0 < v < 1),
    "training.plateau_patience": _whole(1),
    "training.momentum": _part(),
    "training.adam_betas": ("two numbers in [0, 1)", _betas),
    "training.adam_epsilon": _positive(),
    "training.weight_decay": _positive(zero=True),
    "training.clipnorm": _positive(),
    "training.accumulation_steps": _whole(1),
    "training.label_smoothing": _part(),
    "training.gamma": _positive(zero=True),
    "training.tau": _positive(zero=True),
    "training.beta": _part(),
    "training.monitor": _is(str, "a metric's name, as 'val_loss'"),
    "training.patience": _whole(1),
    "training.num_projection_layers": _whole(0),
    "training.projection_dims": _whole(0),
    "training.dropout_rate": _part(),
    "training.stages": ("a list of stages", lambda v: True),  # `stages_problems` says more
    "training.layer_decay": ("a number in (0, 1]", lambda v: is_number(v) and 0 < v <= 1),
    "training.lora_rank": _whole(1),
    "training.lora_alpha": _positive(),
    "training.ema_momentum": _part(),
    "training.auto_find_batch_size": _TRUTH,
    **{f"augmentation.{name}": rule for name, rule in AUGMENTATION_RULES.items()},
    **{f"sliding_window.{name}": rule for name, rule in SLIDING_RULES.items()},
}
# Settings that are tables of their own; in TOML a `[table]`.
_TABLES: dict[str, type] = {
    "training": Training,
    "augmentation": Augmentation,
    "sliding_window": SlidingWindow,
}


def find_problems(settings: Settings) -> list[str]:
    """Every rule that `settings` break, a sentence each."""
    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    tables = {name: values.pop(name) for name in _TABLES}
    problems = _broken_rules(values, RunSettings)
    for name, table in tables.items():
        problems += _table_problems(name, table)
    problems += _two_splits(values)
    problems += _head_problems(settings)
    problems += [problem] if (problem := engine_problem(settings.engine)) else []
    if not any("training.stages" in problem for problem in problems):
        problems += _frozen_augmentation(settings) + _frozen_lora(settings)
        problems += _frozen_tokens(settings)
    return problems


def _table_problems(name: str, table: Any) -> list[str]:
    kind, prefix = _TABLES[name], f"{name}."
    if kind is SlidingWindow and isinstance(table, bool):
        return []
    if isinstance(table, kind):
        table = vars(table)
    if isinstance(table, Mapping):
        stages = table.get("stages")
        return [
            *_unknown_keys(table, kind, prefix),
            *_broken_rules(_known(table, kind), kind, prefix),
            *([] if stages is None else stages_problems(stages)),
        ]
    if table is None:
        return []
    return [f"`{name}` must be a keras_mm.{kind.__name__} or a dict. Received: {table!r}"]


def _head_problems(settings: Settings) -> list[str]:
    """What is wrong with the heads, and settings that do not suit them."""
    try:
        labels, kind = as_labels(settings.labels), settings.head
    except ValueError as error:
        return str(error).splitlines()
    except TypeError:  # told already
        return []
    if kind not in HEAD_KINDS:
        return []
    one_by_one = isinstance(labels, tuple) and kind in ("multiclass", "binary")
    several = len(labels) > 1 if isinstance(labels, dict) else one_by_one and len(labels) > 1
    problems = []
    if isinstance(labels, dict):
        kinds = [head.kind for head in labels.values()]
        for name, default in (("head", "multiclass"), ("classes", None)):
            if getattr(settings, name) != default:
                problems.append(
                    f"`{name}` is for a label column; `labels` names its heads, which "
                    f"have their own: Head({'kind' if name == 'head' else name}=...)"
                )
    else:
        kinds = [kind]
        if one_by_one and settings.classes is not None and several:
            problems.append(
                "`classes` are those of one head; give each its own: "
                "labels={name: Head(classes=...)}"
            )
        if settings.classes is None or _different(settings.classes):
            try:
                classes: Any = settings.classes
                Head(kind, classes=classes, column=None if one_by_one else labels)
            except ValueError as error:
                problems += str(error).splitlines()
    allowed = {name for one in kinds for name in HEAD_LOSSES[one]}
    # The default is read by each kind as its own.
    if settings.loss in LOSSES and settings.loss not in allowed | {Settings.loss}:
        problems.append(
            f"`loss` of a {kinds[0]} head must be one of "
            f"{', '.join(map(repr, HEAD_LOSSES[kinds[0]]))}. "
            f"Received: {settings.loss!r}"
        )
    if settings.class_weight is not None and set(kinds) == {"regression"}:
        problems.append("`class_weight`: a regression head has no classes to weigh")
    if several and not isinstance(settings.class_weight, str | None):
        problems.append(
            "`class_weight` of several heads must be one of "
            f"{', '.join(map(repr, CLASS_WEIGHTS))}, or be given to each: "
            "labels={name: Head(class_weight=...)}"
        )
    return problems


def _two_splits(values: Mapping) -> list[str]:
    """The problem with a run's column of parts beside tables of their own."""
    tables = values.get("validation_data") or values.get("test_data")
    if not (values.get("split_column") and tables):
        return []
    return [
        "`split_column` says which rows are for validation and test; give it without "
        "`validation_data` and `test_data`, or leave it out"
    ]


def _frozen_augmentation(settings: Settings) -> list[str]:
    """The problem with an augmentation of images that are encoded only once."""
    asked = settings.augmentation
    if _is_preset(settings.preset) and asked is None:
        asked = get_preset(settings.preset).augmentation
    try:
        is_on = as_augmentation(asked).is_on
    except ValueError:  # told already
        return []
    if not is_on or _trains(settings, "vision") is not False:
        return []
    return [
        "`augmentation` needs a vision encoder that is trained: vision_trainable=True, or stages. "
        "A frozen one sees each image once only, unchanged."
    ]


def _frozen_lora(settings: Settings) -> list[str]:
    """The problem with adapters of encoders of which nothing is trained."""
    if _field(settings.training, "lora_rank") is None or any(
        _trains(settings, side) is not False for side in SIDES
    ):
        return []
    return [
        "`training.lora_rank` needs an encoder that is trained: text_trainable=True, "
        "vision_trainable=True, or stages."
    ]


def _frozen_tokens(settings: Settings) -> list[str]:
    """The problem with tokens that begin with nothing and never learn."""
    if not settings.special_tokens or _trains(settings, "text") is not False:
        return []
    return [
        "`special_tokens` have no embedding yet, and need a text encoder that is trained: "
        "text_trainable=True, or stages."
    ]


def _trains(settings: Settings, side: str) -> bool | None:
    """`Settings.trains` with the preset's value; `None` where nothing can be said yet."""
    name = f"{side}_trainable"
    if getattr(settings, name) is None:
        if not _is_preset(settings.preset):
            return None
        settings = replace(settings, **{name: getattr(get_preset(settings.preset), name)})
    stages = _field(settings.training, "stages")
    return replace(settings, training=Training(stages=stages)).trains(side)


def _field(training: Any, name: str) -> Any:
    """A field of a `Training`, of a mapping of its fields, or of nothing."""
    return training.get(name) if isinstance(training, Mapping) else getattr(training, name, None)


def _broken_rules(values: Mapping, kind: type, prefix: str = "") -> list[str]:
    problems = []
    optional = {f.name for f in fields(kind) if f.default is None}
    for name, value in values.items():
        words, test = _RULES[prefix + name]
        if value is None and name in optional:
            continue
        if name in _CHOICES and isinstance(value, str) and not test(value):
            problems.append(unknown_name(name, value, _CHOICES[name]))
        elif not test(value):
            problems.append(f"`{prefix}{name}` must be {words}. Received: {value!r}")
    return problems


def _known(values: Mapping, kind: type) -> dict:
    names = {f.name for f in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def _unknown_keys(values: Mapping, kind: type, prefix: str = "") -> list[str]:
    names = [f.name for f in fields(kind)]
    known = [prefix + name for name in names]
    if not prefix:
        known += [f"{table}.{f.name}" for table, kind in _TABLES.items() for f in fields(kind)]
    return [
        unknown_name("setting", f"{prefix}{name}", known) for name in values if name not in names
    ]


def settings_from(values: Mapping, kind: type[Kind], where: str = "settings") -> Kind:
    """Settings of `kind` from a mapping, every problem told at once.

    Raises:
        ConfigError: for unknown names (the nearest is offered) and broken rules.
    """
    values, problems = _with_heads(values)
    problems += _unknown_keys(values, kind)
    settings = kind(**_known(values, kind))
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


def read_toml(path: str | PathLike) -> dict:
    """The mapping that a TOML file holds.

    Raises:
        ConfigError: if the file is not there or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"cannot read {str(path)!r}: {error.strerror}"], "config file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{str(path)!r} is not TOML: {error}"], "config file") from None


def to_toml(settings: Settings) -> str:
    """The settings as TOML, without the unset ones; `read_toml` gives the same settings back."""
    import tomli_w

    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    values["training"] = asdict(as_training(settings.training))
    if isinstance(settings.labels, Mapping):
        del values["labels"]
        values["heads"] = {name: _changed(head) for name, head in settings.labels.items()}
    if settings.augmentation is not None:
        values["augmentation"] = asdict(as_augmentation(settings.augmentation))
    window = as_sliding_window(settings.sliding_window)
    values["sliding_window"] = None if window is None else asdict(window)
    values = _as_toml(values)
    return tomli_w.dumps({name: v for name, v in values.items() if v not in ([], {})})


def _changed(head: Head) -> dict:
    """The kind of a head, and its fields that are not the defaults."""
    values = {f.name: getattr(head, f.name) for f in fields(Head)}
    defaults = {f.name: f.default for f in fields(Head)}
    return {n: v for n, v in values.items() if n == "kind" or v is not defaults[n]}


def _as_toml(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _as_toml(v) for name, v in value.items() if v is not None}
    if isinstance(value, PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy's
        return value.tolist()
    return [_as_toml(v) for v in value] if isinstance(value, tuple | list) else value
