"""Token ids of texts to sequences of one length, as TensorFlow operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_mm.data.text.families import TokenFamily
from keras_mm.errors import InvalidValueError
from keras_mm.load_order import load_keras_hub, load_tensorflow


def num_special(family: TokenFamily, num_texts: int) -> int:
    """How many special tokens surround and separate the texts of a sequence.

    Args:
        family: How texts are packed.
        num_texts: Texts of the sequence, 1 or 2.

    Returns:
        Their number.
    """
    between = (num_texts - 1) * len(family.separator or ())
    return len(family.start) + between + len(family.end)


def check_packing(
    family: TokenFamily, num_texts: int, sequence_length: int, text_pairing: str
) -> None:
    """Checks that a row's texts can be packed.

    Args:
        family: How texts are packed.
        num_texts: Texts of a row, >= 1.
        sequence_length: Tokens of a sequence, padding included.
        text_pairing: `"packed"` or `"separate"`.

    Raises:
        ValueError: if the family packs no pairs, or a sequence holds only special tokens.
    """
    pair = num_texts > 1 and text_pairing == "packed"
    if pair and family.separator is None:
        raise InvalidValueError(
            f"The family {family.name!r} reads one text at a time. Use text_pairing='separate' for "
            "two. Received: text_pairing='packed'"
        )
    specials = num_special(family, 2 if pair else 1)
    if sequence_length <= specials:
        raise InvalidValueError(
            f"`sequence_length` must be > {specials}, the special tokens of a sequence. "
            f"Received: {sequence_length!r}"
        )


def pack_ids(
    tokens: Sequence[Any], sequence_length: int, family: TokenFamily, special: Mapping[str, int]
) -> dict[str, Any]:
    """Packs one text, or a pair, into sequences with special tokens and padding.

    Args:
        tokens: Ragged ids `(batch, None)` of each text.
        sequence_length: Tokens of a sequence, padding included. Longer ones are truncated
            round-robin.
        family: How texts are packed.
        special: Ids of the family's special tokens.

    Returns:
        `token_ids`, `segment_ids` (int32; 0 in families without segments) and `padding_mask`
        (bool), each `(batch, sequence_length)`.
    """
    keras_hub, tf = load_keras_hub(), load_tensorflow()

    packer = keras_hub.layers.MultiSegmentPacker(
        sequence_length=sequence_length,
        start_value=[special[token] for token in family.start],
        sep_value=[special[token] for token in family.separator or family.end],
        end_value=[special[token] for token in family.end],
        pad_value=0 if family.pad is None else special[family.pad],
        truncate="round_robin",
    )
    ids, segments = packer(tuple(tokens))
    lengths = tf.add_n([token.row_lengths() for token in tokens])
    # Not from the padding's id, which may be that of a token: "!" in CLIP.
    mask = tf.sequence_mask(lengths + num_special(family, len(tokens)), sequence_length)
    segments = tf.cast(segments, "int32")
    return {
        "token_ids": tf.cast(ids, "int32"),
        "segment_ids": segments if family.segments else tf.zeros_like(segments),
        "padding_mask": mask,
    }


def part_of(tokens: Any, starts: Any, counts: Any) -> Any:
    """A stretch of each row of a ragged tensor, cut off at the row's end.

    Args:
        tokens: Ragged ids `(batch, None)`.
        starts: Position of the first token, int64 `(batch,)`.
        counts: Most tokens, int64 `(batch,)`.

    Returns:
        Ragged ids `(batch, None)`.
    """
    tf = load_tensorflow()

    lengths = tf.cast(tokens.row_lengths(), tf.int64)
    starts = tf.minimum(starts, lengths)
    wanted = tf.ragged.range(starts, tf.minimum(starts + counts, lengths))
    return tf.gather(tokens, wanted, batch_dims=1)
