"""The settings of a training, each declared once, and the dataclasses that hold them.

`Training` holds those that users of the estimator set beside its keywords. `LossSettings`,
`Optimization` and `Stopping` are passed to the trainer. They inherit the same declarations. Loads
no backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from keras_mm.settings.documentation import documented
from keras_mm.settings.heads import HEAD_LOSSES
from keras_mm.settings.knobs import check_knobs, default_of, knob, unset_by_default
from keras_mm.settings.rules import (
    FACTOR,
    FACTOR_OR_ONE,
    NOT_NEGATIVE,
    PART,
    POSITIVE,
    RATE_BY_SIDE,
    TRUTH,
    TWO_PARTS,
    Rule,
    instance,
    one_of,
    or_object,
    quoted,
    whole,
)
from keras_mm.settings.stages import Stage, as_stages

if TYPE_CHECKING:
    import keras

# Each name once; the first is the default.
LOSSES = tuple(dict.fromkeys(name for losses in HEAD_LOSSES.values() for name in losses))
CLASS_WEIGHTS = ("balanced", "effective_number")
OPTIMIZERS = one_of("adamw", "adam", "sgd", "adafactor")

_CLASS_WEIGHT = Rule(
    f"{quoted(CLASS_WEIGHTS)}, a dict by label, or a list in class order",
    lambda v: v in CLASS_WEIGHTS if isinstance(v, str) else hasattr(v, "__len__"),
)
# `create_loss` checks the name: which losses are allowed depends on the kind of the head.
_LOSS = Rule("the name of a loss, or a Keras loss", lambda v: isinstance(v, str) or callable(v))


@dataclass(frozen=True)
class LossKnobs:
    """Less common settings of the loss."""

    label_smoothing: float = knob(
        0.0, PART, "Share of the target that is spread evenly over all classes."
    )
    gamma: float = knob(2.0, NOT_NEGATIVE, "Focusing exponent of the focal loss.")
    tau: float = knob(
        1.0, NOT_NEGATIVE, "Strength of the logit adjustment of the logit-adjusted loss."
    )
    beta: float = knob(
        0.999,
        PART,
        'The `beta` of `class_weight="effective_number"`: 0 gives all rows equal weight, and near '
        '1 the weights approach those of `"balanced"`.',
    )


@dataclass(frozen=True)
class OptimizationKnobs:
    """Less common settings of the optimizer and the learning rate."""

    layer_decay: float = knob(
        1.0,
        FACTOR_OR_ONE,
        "Factor of the learning rate from each block of an encoder to the block below it; the top "
        "block has the encoder's learning rate. 1 gives all blocks the same rate.",
    )
    warmup: float = knob(
        0.1, PART, "Share of all steps during which the learning rate rises from 0 to its peak."
    )
    decay: str = knob(
        "cosine",
        one_of("cosine", "linear", "polynomial", "constant", "plateau"),
        "Schedule by which the learning rate falls from its peak to 0 at the last step; "
        '`"constant"` keeps the peak. `"plateau"` has no warm-up and lowers the rate when '
        "`monitor` has not improved for `plateau_patience` epochs; it needs validation data.",
    )
    decay_power: float = knob(1.0, POSITIVE, 'Exponent of `decay="polynomial"`.')
    plateau_factor: float = knob(
        0.2, FACTOR, 'Factor by which `decay="plateau"` lowers the learning rate.'
    )
    plateau_patience: int = knob(
        3, whole(1), 'Epochs without improvement before `decay="plateau"` lowers the learning rate.'
    )
    plateau_min_lr: float = knob(1e-8, NOT_NEGATIVE, 'Lowest learning rate of `decay="plateau"`.')
    momentum: float = knob(0.9, PART, 'Momentum of `optimizer="sgd"`.')
    adam_betas: Sequence[float] = knob(
        (0.9, 0.999), TWO_PARTS, 'Decay rates of the two moments of `"adamw"` and `"adam"`.'
    )
    adam_epsilon: float = knob(
        1e-7,
        POSITIVE,
        'Constant added to the denominator of `"adamw"` and `"adam"`, so that it is not 0.',
    )
    weight_decay: float = knob(0.004, NOT_NEGATIVE, "Decoupled weight decay of AdamW.")
    clipnorm: float | None = knob(
        1.0,
        POSITIVE,
        "Largest norm of the gradients of all weights; larger gradients are scaled down to it. "
        "`Trainer(clipnorm=None)` does not clip.",
        optional=True,
    )
    accumulation_steps: int = knob(
        1, whole(1), "Number of batches whose gradients are averaged for one optimizer step."
    )
    ema_momentum: float | None = knob(
        None,
        PART,
        "Momentum of an exponential moving average of the weights over the steps. The averaged "
        "weights are evaluated and kept; with `None`, there is no average.",
    )


@dataclass(frozen=True)
class StoppingKnobs:
    """Less common settings of early stopping."""

    monitor: str = knob(
        "val_loss",
        instance("a metric's name, such as 'val_loss'", str),
        'Metric that early stopping watches: `"val_loss"`, `"val_accuracy"`, `"val_macro_f1"`, or '
        "any other number of `keras_mm.metrics.head_metrics.head_metrics` after `val_`; with "
        'several heads `"val_<head>_accuracy"`. Metrics that a callback adds to the logs are '
        "possible, too.",
    )
    patience: int = knob(5, whole(1), "Epochs without improvement before training stops.")
    min_epochs: int = knob(
        1,
        whole(1),
        "First epoch that early stopping considers. Earlier ones neither stop the training nor "
        "count as the best.",
    )


@dataclass(frozen=True)
class ModelKnobs:
    """Less common settings of the trained parts of the model."""

    num_projection_layers: int = knob(1, whole(0), "Residual blocks of each projection.")
    projection_dims: int = knob(
        256,
        whole(0),
        "Width of the vectors that images and texts are projected to before the fusion. 0 leaves "
        "the encoders' vectors as they are: for a model of images or texts alone, or with the "
        'fusions `"concat"` and `"mmbt"`.',
    )
    dropout_rate: float = knob(0.1, PART, "Dropout in the projections.")
    standardize: bool = knob(
        False,
        TRUTH,
        "Whether the vectors of frozen encoders are standardised first, by mean and deviation of "
        "the training rows.",
    )
    stages: Sequence[Stage | Mapping] | None = knob(
        None,
        Rule("a list of stages", lambda v: True),  # `stages_problems` reports more precisely
        "Stages of fine-tuning, in their order. Each is a `keras_mm.Stage` or a dict of its fields "
        "`blocks` (how many of the encoders' top blocks learn), `epochs`, `learning_rate` and "
        '`encoder_learning_rate`: `[{blocks=0}, {blocks="all"}]` trains with frozen encoders '
        "first. Stages replace `vision_trainable` and `text_trainable`. Each has its own schedule "
        "of the learning rate; `patience` counts within a stage. By default there is one stage.",
    )
    lora_rank: int | None = knob(
        None,
        whole(1),
        "Rank of low-rank adapters (LoRA), which are trained instead of the weights of trainable "
        "encoders; for transformers only. By default there are no adapters.",
    )
    lora_alpha: float | None = knob(
        None, POSITIVE, "Scale of the adapters' contribution; by default `lora_rank`."
    )
    time_limit: float = knob(
        60.0,
        POSITIVE,
        'Seconds of `members="search"`, after the rows are encoded. At least one member is '
        "trained, however long it takes.",
    )
    auto_find_batch_size: bool = knob(
        False,
        TRUTH,
        "Whether to halve `batch_size` when memory runs out, and to restart the stage from the "
        "weights that it began with.",
    )


@documented
@dataclass(frozen=True)
class LossSettings(LossKnobs):
    """Settings of the loss.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> LossSettings(loss="focal").gamma
        2.0
    """

    loss: str | keras.losses.Loss = knob(
        "cross_entropy",
        _LOSS,
        'What training minimises. `"logit_adjusted"` is cross-entropy with the logits adjusted by '
        "the classes' shares of the training labels. See `keras_mm.create_loss` for all names. A "
        "head may name its own. `val_loss` is the same loss over the validation rows, with the "
        "training rows' shares.",
    )
    class_weight: str | Mapping | Sequence[float] | None = knob(
        None,
        _CLASS_WEIGHT,
        "Class weights; a name computes them from the training labels. They are part of the loss, "
        "so `val_loss` uses them, too. A head may have its own class weights.",
    )

    def __post_init__(self):
        check_knobs(self)


@documented
@dataclass(frozen=True)
class Optimization(OptimizationKnobs):
    """Settings of the optimizer and its learning rate.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> Optimization(decay="linear").warmup
        0.1
    """

    optimizer: str | keras.optimizers.Optimizer = knob(
        "adamw",
        or_object(OPTIMIZERS, "a Keras optimizer"),
        "Name of an optimizer, or a Keras optimizer, whose learning rate is not changed.",
    )
    learning_rate: float = knob(1e-3, POSITIVE, "Peak learning rate of the trunk.")
    encoder_learning_rate: float | Mapping[str, float] | None = knob(
        None,
        RATE_BY_SIDE,
        "Peak learning rate of trainable encoders: the layers `vision_encoder` and `text_encoder`, "
        "and the BERT of an `mmbt` fusion. `None`, or a side that is missing in a dict, takes "
        "`learning_rate`.",
    )

    def __post_init__(self):
        check_knobs(self)


@documented
@dataclass(frozen=True)
class Stopping(StoppingKnobs):
    """Settings of the end of a training.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> Stopping(epochs=3).monitor
        'val_loss'
    """

    epochs: int = knob(20, whole(1), "Largest number of epochs.")
    early_stopping: bool = knob(
        True,
        TRUTH,
        "Whether to stop when `monitor` no longer improves, and to restore the best weights; needs "
        "validation data.",
    )

    def __post_init__(self):
        check_knobs(self)


@documented
@unset_by_default
class Training(ModelKnobs, LossKnobs, StoppingKnobs, OptimizationKnobs):
    """Less common settings of a training; `None` takes the preset's value, else the default.

    Example:
        >>> Training(clipnorm=0.5).clipnorm
        0.5
    """


TRAINING_DEFAULTS = Training(**{f.name: default_of(f) for f in fields(Training)})


def as_training(training: Training | Mapping | None) -> Training:
    """Converts the forms that users may pass to a `Training`.

    Args:
        training: A `Training`, a mapping of its fields, or `None` for the defaults.

    Returns:
        The settings, with `stages` as `keras_mm.Stage`.
    """
    if training is None:
        return Training()
    knobs = training if isinstance(training, Training) else Training(**training)
    betas = None if knobs.adam_betas is None else tuple(knobs.adam_betas)
    return replace(knobs, stages=as_stages(knobs.stages) or None, adam_betas=betas)


def resolved_training(training: Training | Mapping | None, preset: Mapping[str, Any]) -> Training:
    """Replaces every `None` by the preset's value, or else by the default.

    Args:
        training: A `Training`, a mapping of its fields, or `None`.
        preset: The preset's values by field.

    Returns:
        The settings; fields whose default is `None` may still be `None`.
    """
    chosen = {k: v for k, v in vars(as_training(training)).items() if v is not None}
    return Training(**{**vars(TRAINING_DEFAULTS), **preset, **chosen})
