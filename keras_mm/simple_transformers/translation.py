"""Translates the settings of Simple Transformers to those of `MultimodalClassifier`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from keras_mm.checks import unknown_name
from keras_mm.errors import ConfigError, InvalidValueError, PretrainedError
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ClassificationArgs, ModelArgs
from keras_mm.simple_transformers.weights import text_backbone, text_pooling

# Names of settings in the classifier, or in one of the objects among its parameters.
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
DROPOUT = 0.1  # before a classification head, as in Simple Transformers


def training_settings(args: ModelArgs, num_rows: int) -> dict[str, Any]:
    """Keywords of `MultimodalClassifier` for the training.

    Args:
        args: The settings.
        num_rows: Number of training rows.

    Returns:
        The keywords.

    Raises:
        ValueError: for an unknown optimizer, schedule or loss, with the nearest name.
    """
    # The warm-up is a share of the optimizer steps, which are counted as in Simple Transformers. It
    # must be below 1, also if `warmup_steps` are more than all steps.
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
        "early_stopping": False,  # `Progress` stops training
        "cache": not args.no_cache,
        "seed": args.manual_seed or 0,
        "verbose": int(not args.silent),
        "training": training,
    }


def _is_plain(fusion: Any) -> bool:
    """Whether a fusion accepts vectors of any width, so that it needs no projection."""
    name = fusion.get("name") if isinstance(fusion, Mapping) else fusion
    return name in (None, "mmbt", "concat")


def loss_name(args: ModelArgs) -> str:
    """The loss for classes or labels.

    Args:
        args: The settings.

    Returns:
        A value for `loss` of `MultimodalClassifier`.

    Raises:
        ValueError: for an unknown `loss_type`, with the nearest name.
    """
    return _chosen("loss_type", args.loss_type, LOSSES)


def focal_gamma(args: ModelArgs) -> float:
    """The exponent of the focal loss.

    Args:
        args: The settings.

    Returns:
        The exponent; by default 2.

    Raises:
        ValueError: for unknown names in `loss_args`.
    """
    for name in args.loss_args:
        if name != "gamma":
            raise InvalidValueError(unknown_name("argument in loss_args", name, ["gamma"]))
    return float(args.loss_args.get("gamma", 2.0))


def text_settings(args: ModelArgs) -> dict[str, Any]:
    """Keywords of `MultimodalClassifier` for its text encoder.

    Args:
        args: The settings.

    Returns:
        The keywords.

    Raises:
        ValueError: if the settings name no text network, or an unknown one.
    """
    if args.model_type is None or args.model_name is None:
        raise InvalidValueError(
            "`model_type` and `model_name` must name a text network. Received: "
            f"model_type={args.model_type!r}, model_name={args.model_name!r}"
        )
    backbone = text_backbone(args.model_type, args.model_name)
    return {
        "text_backbone": backbone,
        "text_weights": "pretrained",
        "text_pairing": "packed",
        "text_pooling": args.text_pooling or text_pooling(args.model_type, backbone),
        "text_trainable": True,
        "sequence_length": args.max_seq_length,
        "special_tokens": args.special_tokens_list or None,
        "compare": False,
        "modality_dropout": 0.0,
    }


def window_settings(args: ClassificationArgs, head: Head, pair: bool) -> dict[str, Any] | None:
    """Creates the sliding window for texts longer than `max_seq_length`.

    Args:
        args: The settings. `tie_value` is a label or an index.
        head: The head.
        pair: Whether a row has two texts.

    Returns:
        Fields of `keras_mm.SlidingWindow`; `None` to truncate the texts.

    Raises:
        ValueError: if `tie_value` is not a label, or `sliding_window_text` is not a text column.
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
    """The label for `tie_value`; `None` for heads without classes, whose windows are averaged."""
    names = head.names
    if value is None or head.kind != "multiclass" or str(value) in {str(name) for name in names}:
        return value if head.kind == "multiclass" else None
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    raise InvalidValueError(
        f"`tie_value` must be one of {list(names)}. Received: tie_value={value!r}"
    )


@contextmanager
def errors_in_their_names() -> Iterator[None]:
    """Replaces names of the classifier in its errors by those of Simple Transformers.

    Yields:
        Nothing.

    Raises:
        ConfigError: listing every setting that is wrong.
        PretrainedError: if the text network could not be loaded.
    """
    try:
        yield
    except ConfigError as error:
        raise ConfigError([_with_their_names(p) for p in error.problems], "args") from None
    except PretrainedError as error:
        raise PretrainedError(str(error).replace("`text_weights`", "`model_name`")) from error


def _with_their_names(problem: str) -> str:
    for theirs, ours in NAMES.items():
        problem = problem.replace(f"`{ours}`", f"`{theirs}`")
    return problem


def _chosen(name: str, value: Any, known: Mapping) -> str:
    """The translation of a value; raises ValueError for an unknown one."""
    if value not in known:
        raise InvalidValueError(
            unknown_name(name, value, [key for key in known if key is not None])
        )
    return known[value]
