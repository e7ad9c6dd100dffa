"""The one table from Simple Transformers' names to those of `MultimodalClassifier`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from keras_mm.checks import unknown_name
from keras_mm.errors import ConfigError, InvalidValueError
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ModelArgs

# Settings that are one of the classifier's, or of `keras_mm.Training`, under another name.
NAMES = {
    "num_train_epochs": "epochs",
    "train_batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "max_seq_length": "sequence_length",
    "manual_seed": "seed",
    "special_tokens_list": "special_tokens",
    "image_size": "image_size",
    "image_encoder": "vision_backbone",
    "image_weights": "vision_weights",
    "fusion": "fusion",
    "text_pooling": "text_pooling",
    "optimizer": "optimizer",
    "loss_type": "loss",
    "gradient_accumulation_steps": "training.accumulation_steps",
    "max_grad_norm": "training.clipnorm",
    "weight_decay": "training.weight_decay",
    "adam_betas": "training.adam_betas",
    "adam_epsilon": "training.adam_epsilon",
    "warmup_ratio": "training.warmup",
    "scheduler": "training.decay",
    "polynomial_decay_schedule_power": "training.decay_power",
    "stride": "sliding_window.stride",
    "tie_value": "sliding_window.tie_value",
    "sliding_window_vote": "sliding_window.vote",
    "sliding_window_text": "sliding_window.text",
}
SCHEDULES = {
    "linear_schedule_with_warmup": "linear",
    "constant_schedule": "constant",
    "constant_schedule_with_warmup": "constant",
    "cosine_schedule_with_warmup": "cosine",
    "polynomial_decay_schedule_with_warmup": "polynomial",
}
OPTIMIZERS = {"AdamW": "adamw", "Adam": "adam", "Adafactor": "adafactor"}
LOSSES = {None: "cross_entropy", "focal": "focal"}
_PAIR = ("text_a", "text_b")
DROPOUT = 0.1  # of a classification head there


def training_settings(args: ModelArgs, num_rows: int) -> dict[str, Any]:
    """Keywords of `MultimodalClassifier` that say how a model is trained.

    Args:
        args: The settings.
        num_rows: Training rows.

    Raises:
        ValueError: for an unknown optimizer, schedule or loss; the nearest is offered.
    """
    # Rates are those of steps, as counted there.
    steps = math.ceil(num_rows / args.train_batch_size) * args.num_train_epochs
    steps = max(steps // args.gradient_accumulation_steps, 1)
    warmup = min(args.warmup_steps / steps, 1 - 1e-6) if args.warmup_steps else args.warmup_ratio
    training = {
        "decay": _chosen("scheduler", args.scheduler, SCHEDULES),
        "warmup": 0.0 if args.scheduler == "constant_schedule" else warmup,
        "decay_power": args.polynomial_decay_schedule_power,
        "clipnorm": args.max_grad_norm,
        "accumulation_steps": args.gradient_accumulation_steps,
        "weight_decay": args.weight_decay,
        "adam_betas": tuple(args.adam_betas),
        "adam_epsilon": args.adam_epsilon,
        "projection_dims": 0 if _is_plain(getattr(args, "fusion", None)) else None,
        "gamma": focal_gamma(args),
    }
    return {
        "epochs": args.num_train_epochs,
        "batch_size": args.train_batch_size,
        "learning_rate": args.learning_rate,
        "encoder_learning_rate": args.learning_rate,
        "optimizer": _chosen("optimizer", args.optimizer, OPTIMIZERS),
        "early_stopping": False,  # by the evaluations in training
        "cache": not args.no_cache,
        "seed": args.manual_seed or 0,
        "verbose": int(not args.silent),
        "training": training,
    }


def _is_plain(fusion: Any) -> bool:
    """Whether a fusion takes vectors of any width, as they are."""
    name = fusion.get("name") if isinstance(fusion, Mapping) else fusion
    return name in (None, "mmbt", "concat")


def loss_name(args: ModelArgs) -> str:
    """The loss of classes."""
    return _chosen("loss_type", args.loss_type, LOSSES)


def focal_gamma(args: ModelArgs) -> float:
    """The exponent of the focal loss.

    Raises:
        ValueError: for other `loss_args`.
    """
    for name in args.loss_args:
        if name != "gamma":
            raise InvalidValueError(unknown_name("argument in loss_args", name, ["gamma"]))
    return float(args.loss_args.get("gamma", 2.0))


def window_settings(args: Any, head: Head, pair: bool) -> dict[str, Any] | None:
    """How long texts are cut; `None` cuts them off.

    Args:
        args: The settings; `tie_value` is a label, or the place of one.
        head: What is answered.
        pair: Whether there are two texts.

    Raises:
        ValueError: if `tie_value` is neither, or there is no such text as `sliding_window_text`.
    """
    if not args.sliding_window:
        return None
    if pair and args.sliding_window_text not in _PAIR:
        raise InvalidValueError(
            f"`sliding_window_text` must be one of {list(_PAIR)}. "
            f"Received: sliding_window_text={args.sliding_window_text!r}"
        )
    return {
        "text": args.sliding_window_text if pair else None,
        "stride": args.stride,
        "vote": args.sliding_window_vote,
        "tie_value": _tie_value(args.tie_value, head),
        "weigh_by": "window",
    }


def _tie_value(value: Any, head: Head) -> Any:
    names = head.names
    if value is None or head.kind != "multiclass" or str(value) in {str(name) for name in names}:
        return value if head.kind == "multiclass" else None  # others are averaged
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    raise InvalidValueError(
        f"`tie_value` must be one of {list(names)}. Received: tie_value={value!r}"
    )


def in_their_names(error: ConfigError) -> ValueError:
    """The same problems, of settings as the user knows them."""
    problems = []
    for problem in error.problems:
        for theirs, ours in NAMES.items():
            problem = problem.replace(f"`{ours}`", f"`{theirs}`")
        problems.append(problem)
    return ConfigError(problems, "args")


def _chosen(name: str, value: Any, known: Mapping) -> str:
    if value not in known:
        raise InvalidValueError(
            unknown_name(name, value, [key for key in known if key is not None])
        )
    return known[value]
