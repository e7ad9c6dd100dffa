"""Text encoders: one backbone for a packed sequence, or for each text separately."""

from __future__ import annotations

from os import PathLike
from typing import Any

import keras
from keras import ops

from keras_mm.errors import InvalidValueError
from keras_mm.models.backbones.keras_hub import with_vocabulary
from keras_mm.models.backbones.lookup import text_backbone
from keras_mm.models.encoder import Encoder, pool
from keras_mm.models.keras_settings import build_settings, encoder_policy
from keras_mm.models.layers.slots import JoinSlots, SlotsToRows
from keras_mm.presets.backbones import BACKBONES

_NUM_SEPARATE = 2


def create_text_encoder(
    backbone: Any = "bert_base_en_uncased",
    *,
    weights: str | PathLike = "pretrained",
    sequence_length: int = 256,
    text_pairing: str = "packed",
    pooling: str | None = None,
    trainable: bool = False,
    vocabulary_size: int | None = None,
) -> Encoder:
    """Builds an encoder of texts: one vector per sequence, and the vectors of its tokens.

    Args:
        backbone: A name of `keras_mm.presets.backbones.BACKBONES`, a KerasHub handle (BERT,
            DistilBERT, RoBERTa, XLM-RoBERTa, DeBERTa-v3, ALBERT, ELECTRA, the text tower of CLIP or
            SigLIP), a local Hugging Face or KerasHub folder, or a `keras.Model` from `token_ids`,
            `segment_ids` and `padding_mask` (a dict) to `sequence_output` (and `pooled_output`), or
            to one `(batch, tokens, width)` tensor.
        weights: `"pretrained"`, `"random"`, or a path (folder or weights file).
        sequence_length: Largest number of tokens per sequence, >= 1; shorter sequences are allowed
            and give the same results. SigLIP reads sequences of one length only.
        text_pairing: `"packed"` (one sequence `[CLS] a [SEP] b [SEP]`) or `"separate"` (two texts
            that are encoded separately, so that they can be compared).
        pooling: `"mean"`, `"max"`, `"cls"` or `"pooler"` (BERT, ALBERT, ELECTRA, CLIP, SigLIP);
            `None` is the pooling that the weights were trained with (`"pooler"` for BERT).
        trainable: Whether the backbone is trained.
        vocabulary_size: Number of tokens that must have an embedding. Tokens beyond the backbone's
            vocabulary get a random embedding.

    Returns:
        A model from `token_ids`, `segment_ids`, `padding_mask`, `(batch, L)` or `(batch, 2, L)`,
        to `pooled_output` `(batch, S, width)`, `sequence_output` `(batch, S * L, width)` and
        `sequence_mask`, with S = 1 (packed) or 2 (separate).

    Raises:
        ValueError: for an unknown backbone, pooling or pairing, or a `sequence_length` beyond the
            backbone's positions.
        keras_mm.errors.PretrainedError: if the weights cannot be loaded.

    Example:
        >>> encoder = create_text_encoder("tiny_bert", weights="random", sequence_length=16)
        >>> encoder.output["pooled_output"].shape
        (None, 1, 64)
    """
    if text_pairing not in ("packed", "separate"):
        raise InvalidValueError(
            f"`text_pairing` must be 'packed' or 'separate'. Received: {text_pairing!r}"
        )
    with build_settings(encoder_policy(trainable=trainable)):
        network = text_backbone(backbone, weights)
        if vocabulary_size is not None:
            network = with_vocabulary(network, vocabulary_size)
        network.trainable = trainable
        has_class_token = getattr(network, "has_class_token", True)
        pooling = pooling or _natural_pooling(backbone, has_class_token)
        length = input_length(network, sequence_length)
        encoder = _encoder(network, length, text_pairing == "separate", pooling)
    encoder.trainable = trainable
    if pooling != "pooler" and hasattr(network, "pooled_dense"):
        network.pooled_dense.trainable = False  # unused weights have no gradients
    return encoder


def _encoder(network: keras.Model, length: int | None, separate: bool, pooling: str) -> Encoder:
    """Builds the encoder from a backbone."""
    slots = _NUM_SEPARATE if separate else 1
    shape = (slots, length) if separate else (length,)
    inputs = {
        "token_ids": keras.Input(shape, dtype="int32", name="token_ids"),
        "segment_ids": keras.Input(shape, dtype="int32", name="segment_ids"),
        "padding_mask": keras.Input(shape, dtype="bool", name="padding_mask"),
    }
    flat = inputs
    if separate:
        flat = {name: SlotsToRows()(x) for name, x in inputs.items()}
    sequence, pooler_output = _run(network, flat)  # one row per text
    pooled = pool(
        sequence,
        flat["padding_mask"],
        pooling,
        pooler_output,
        has_class_token=getattr(network, "has_class_token", True),
    )

    outputs = {
        "pooled_output": ops.reshape(pooled, (-1, slots, pooled.shape[-1])),
        "sequence_output": JoinSlots(slots, dtype="float32")(sequence),
        "sequence_mask": JoinSlots(slots)(flat["padding_mask"]),
    }
    return Encoder(inputs=inputs, outputs=outputs, name="text_encoder")


def input_length(network: keras.Model, sequence_length: int) -> int | None:
    """The length of the encoder's inputs.

    Args:
        network: A text network.
        sequence_length: Largest number of tokens per sequence.

    Returns:
        The only length that the network reads; `None` if it reads any length, so that batches of
        short texts need less padding.

    Raises:
        ValueError: if the network cannot read sequences of `sequence_length`.
    """
    inputs = getattr(network, "input", None)
    tokens = inputs.get("token_ids") if isinstance(inputs, dict) else None
    fixed = None if tokens is None else tokens.shape[1]
    if fixed is not None and sequence_length != fixed:
        raise InvalidValueError(
            f"`sequence_length` must be {fixed}, the only length that {network.name!r} reads. "
            f"Received: sequence_length={sequence_length}"
        )
    limits = [getattr(layer, "max_sequence_length", None) for layer in (network, *network.layers)]
    positions = min((limit for limit in limits if limit is not None), default=None)
    if positions is not None and sequence_length > positions:
        raise InvalidValueError(
            f"`sequence_length` must be <= {positions}, the longest that {network.name!r} reads. "
            f"Received: sequence_length={sequence_length}"
        )
    return fixed


def _natural_pooling(backbone: Any, has_class_token: bool) -> str:
    """The pooling that a backbone was trained with, if it is known; else a possible one."""
    known = BACKBONES.get(backbone) if isinstance(backbone, str) else None
    if known:
        return known.pooling
    return "cls" if has_class_token else "pooler"


def _run(network: keras.Model, inputs: dict) -> tuple:
    """Calls a network with those inputs that it has: `(sequence, pooled output or None)`."""
    names = getattr(network, "input", inputs)
    names = names if isinstance(names, dict) else inputs
    outputs = network({name: inputs[name] for name in names})
    if isinstance(outputs, dict):
        return outputs["sequence_output"], outputs.get("pooled_output")
    return outputs, None
