"""The knobs of a training, each declared once, and the objects that carry them. No backend.

`Training` is what a user of the estimator may set beside its keywords. `LossSettings`,
`Optimization` and `Stopping` are what the trainer takes. They inherit the same declarations.
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

LOSSES = tuple(dict.fromkeys(name for losses in HEAD_LOSSES.values() for name in losses))
CLASS_WEIGHTS = ("balanced", "effective_number")
OPTIMIZERS = one_of("adamw", "adam", "sgd", "adafactor")

_CLASS_WEIGHT = Rule(
    f"{quoted(CLASS_WEIGHTS)}, a dict by label, or a list in class order",
    lambda v: v in CLASS_WEIGHTS if isinstance(v, str) else hasattr(v, "__len__"),
)
# Which names a head takes hangs on its kind; `create_loss` knows.
_LOSS = Rule("the name of a loss, or a Keras loss", lambda v: isinstance(v, str) or callable(v))


@dataclass(frozen=True)
class LossKnobs:
    """The rarer knobs of what is minimised."""

    label_smoothing: float = knob(0.0, PART, "Share of the target that is spread over all classes.")
    gamma: float = knob(2.0, NOT_NEGATIVE, "Focusing exponent of the focal loss.")
    tau: float = knob(
        1.0, NOT_NEGATIVE, "Strength of the logit adjustment of the logit-adjusted loss."
    )
    beta: float = knob(
        0.999,
        PART,
        'Of `class_weight="effective_number"`: 0 weighs all rows alike, near 1 it is `"balanced"`.',
    )


@dataclass(frozen=True)
class OptimizationKnobs:
    """The rarer knobs of optimizer and learning rate."""

    layer_decay: float = knob(
        1.0,
        FACTOR_OR_ONE,
        "What the encoders' learning rate is multiplied by from one block of a backbone to the "
        "next below; the top block has the encoder's rate, and 1 is one rate for all.",
    )
    warmup: float = knob(
        0.1, PART, "Share of all steps in which the learning rate rises from 0 to its peak."
    )
    decay: str = knob(
        "cosine",
        one_of("cosine", "linear", "polynomial", "constant", "plateau"),
        'How the learning rate falls to 0 at the last step, or `"constant"`. With `"plateau"` '
        "there is no warm-up, and the rate is lowered, down to 1e-8, when `monitor` has not "
        "improved for some epochs; this needs validation data.",
    )
    decay_power: float = knob(1.0, POSITIVE, 'The power of `decay="polynomial"`.')
    plateau_factor: float = knob(0.2, FACTOR, 'What `decay="plateau"` multiplies the rate by.')
    plateau_patience: int = knob(
        3, whole(1), 'Epochs without improvement before `decay="plateau"` lowers the rate.'
    )
    momentum: float = knob(0.9, PART, 'Momentum of `optimizer="sgd"`.')
    adam_betas: Sequence[float] = knob(
        (0.9, 0.999), TWO_PARTS, 'Decay of the two moments of `"adamw"` and `"adam"`.'
    )
    adam_epsilon: float = knob(
        1e-7, POSITIVE, 'What keeps the denominator of `"adamw"` and `"adam"` from 0.'
    )
    weight_decay: float = knob(0.004, NOT_NEGATIVE, "AdamW's decoupled weight decay.")
    clipnorm: float | None = knob(
        1.0,
        POSITIVE,
        "Largest norm of the gradients of all weights; larger gradients are scaled down to it. "
        "`keras_mm.Trainer` scales them down only where it is given.",
        optional=True,
    )
    accumulation_steps: int = knob(
        1, whole(1), "Batches whose gradients are averaged into one step."
    )
    ema_momentum: float | None = knob(
        None,
        PART,
        "Momentum of a moving average of the weights over the steps, which is evaluated and kept; "
        "`None` takes the weights as they are.",
    )


@dataclass(frozen=True)
class StoppingKnobs:
    """The rarer knobs of when a training ends."""

    monitor: str = knob(
        "val_loss",
        instance("a metric's name, as 'val_loss'", str),
        'What early stopping watches: `"val_loss"`, `"val_accuracy"`, `"val_macro_f1"`, another '
        "number that `keras_mm.metrics.head_metrics.head_metrics` gives, with several heads as "
        '`"val_<head>_accuracy"`, or what a callback adds to the logs.',
    )
    patience: int = knob(5, whole(1), "Epochs without improvement before training stops.")
    min_epochs: int = knob(
        1,
        whole(1),
        "Early stopping begins with this epoch: before it, it neither stops nor takes weights.",
    )


@dataclass(frozen=True)
class ModelKnobs:
    """The rarer knobs of what is trained."""

    num_projection_layers: int = knob(1, whole(0), "Residual blocks of each projection head.")
    projection_dims: int = knob(
        256,
        whole(0),
        "Width of the vectors that images and texts are projected to before the fusion. 0 leaves "
        "the encoders' vectors as they are: for a model of images or texts alone, or with the "
        'fusions `"concat"` and `"mmbt"`.',
    )
    dropout_rate: float = knob(0.1, PART, "Dropout in the projections.")
    stages: Sequence[Stage | Mapping] | None = knob(
        None,
        Rule("a list of stages", lambda v: True),  # `stages_problems` says more
        "Stages of fine-tuning, in their order. Each is a `keras_mm.Stage` or a dict of its fields "
        "`blocks` (how many of the encoders' top blocks learn), `epochs`, `learning_rate` and "
        '`encoder_learning_rate`: `[{blocks=0}, {blocks="all"}]` trains with frozen encoders '
        "first. Stages replace `vision_trainable` and `text_trainable`. Each has its own schedule "
        "of the learning rate; `patience` counts within a stage. By default there is one stage.",
    )
    lora_rank: int | None = knob(
        None,
        whole(1),
        "Rank of low-rank adapters (LoRA) that learn in place of the weights of those encoders "
        "that are trained; transformers only. By default there are no adapters.",
    )
    lora_alpha: float | None = knob(
        None, POSITIVE, "Strength of the adapters; by default `lora_rank`."
    )
    auto_find_batch_size: bool = knob(
        False,
        TRUTH,
        "Whether to halve `batch_size` and go on, from the weights that the stage began with, when "
        "memory runs out.",
    )


@documented
@dataclass(frozen=True)
class LossSettings(LossKnobs):
    """What is minimised.

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
        "Weights of the classes, those that are named from the training labels. They go into the "
        "loss, so that they also count in `val_loss`. A head may have its own.",
    )

    def __post_init__(self):
        check_knobs(self)


@documented
@dataclass(frozen=True)
class Optimization(OptimizationKnobs):
    """How it is minimised: the optimizer and its learning rate.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> Optimization(decay="linear").warmup
        0.1
    """

    optimizer: str | keras.optimizers.Optimizer = knob(
        "adamw",
        or_object(OPTIMIZERS, "a Keras optimizer"),
        "The optimizer; the rate of a Keras optimizer of your own is left as it is.",
    )
    learning_rate: float = knob(1e-3, POSITIVE, "Peak learning rate of the trunk.")
    encoder_learning_rate: float | Mapping[str, float] | None = knob(
        None,
        RATE_BY_SIDE,
        "Peak learning rate of the encoders where they are trainable: the layers `vision_encoder` "
        "and `text_encoder`, and the BERT of an `mmbt` fusion. `None`, or a side that is left out, "
        "is `learning_rate`.",
    )

    def __post_init__(self):
        check_knobs(self)


@documented
@dataclass(frozen=True)
class Stopping(StoppingKnobs):
    """When a training ends.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> Stopping(epochs=3).monitor
        'val_loss'
    """

    epochs: int = knob(20, whole(1), "Most epochs.")
    early_stopping: bool = knob(
        True,
        TRUTH,
        "Whether to stop when `monitor` no longer improves, and put the best weights back; needs "
        "validation data.",
    )

    def __post_init__(self):
        check_knobs(self)


@documented
@unset_by_default
class Training(ModelKnobs, LossKnobs, StoppingKnobs, OptimizationKnobs):
    """The rarer knobs of a training run; `None` means as the preset says, else the default.

    Example:
        >>> Training(clipnorm=0.5).clipnorm
        0.5
    """


TRAINING_DEFAULTS = Training(**{f.name: default_of(f) for f in fields(Training)})


def as_training(training: Training | Mapping | None) -> Training:
    """A `Training` from itself, a mapping of its fields, or `None`.

    Args:
        training: What was given.

    Returns:
        The knobs, with `stages` as `keras_mm.Stage`.
    """
    if training is None:
        return Training()
    found = training if isinstance(training, Training) else Training(**training)
    betas = None if found.adam_betas is None else tuple(found.adam_betas)
    return replace(found, stages=as_stages(found.stages) or None, adam_betas=betas)


def resolved_training(training: Training | Mapping | None, preset: Mapping[str, Any]) -> Training:
    """The knobs with every `None` replaced by the preset's value, else by the default.

    Args:
        training: What was given.
        preset: The preset's values by field.

    Returns:
        The knobs.
    """
    chosen = {k: v for k, v in vars(as_training(training)).items() if v is not None}
    return Training(**{**vars(TRAINING_DEFAULTS), **preset, **chosen})
