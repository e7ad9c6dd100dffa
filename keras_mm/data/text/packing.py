"""Packs token ids into sequences of one length, as TensorFlow operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_mm.data.text.families import TokenFamily
from keras_mm.errors import InvalidValueError
from keras_mm.load_order import load_tensorflow


def num_special(family: TokenFamily, num_texts: int) -> int:
    """Counts the special tokens that surround and separate the texts of a sequence.

    Args:
        family: The family of the tokenizer.
        num_texts: Number of texts in the sequence, 1 or 2.

    Returns:
        The number of special tokens.
    """
    between = (num_texts - 1) * len(family.separator or ())
    return len(family.start) + between + len(family.end)


def check_packing(
    family: TokenFamily, num_texts: int, sequence_length: int, text_pairing: str
) -> None:
    """Checks that a row's texts can be packed.

    Args:
        family: The family of the tokenizer.
        num_texts: Number of texts per row, >= 1.
        sequence_length: Tokens per sequence, padding included.
        text_pairing: `"packed"` or `"separate"`.

    Raises:
        ValueError: if the family does not pack pairs, or the sequence has no room for text.
    """
    pair = num_texts > 1 and text_pairing == "packed"
    if pair and family.separator is None:
        raise InvalidValueError(
            f"The text encoders of the family {family.name!r} cannot read two texts in one "
            "sequence. Use text_pairing='separate'. Received: text_pairing='packed'"
        )
    specials = num_special(family, 2 if pair else 1)
    if sequence_length <= specials:
        raise InvalidValueError(
            f"`sequence_length` must be > {specials}, the number of special tokens in a sequence. "
            f"Received: sequence_length={sequence_length!r}"
        )


def pack_ids(
    tokens: Sequence[Any], sequence_length: int, family: TokenFamily, special: Mapping[str, int]
) -> dict[str, Any]:
    """Packs one text, or a pair, into sequences with special tokens and padding.

    Args:
        tokens: For each text of a row, ragged ids `(batch, None)`.
        sequence_length: Tokens per sequence, padding included. If texts are too long, the longer
            one loses tokens first (round-robin).
        family: The family of the tokenizer.
        special: Ids of the family's special tokens, by token.

    Returns:
        `token_ids`, `segment_ids` (int32; 0 in families without segments) and `padding_mask`
        (bool), each `(batch, sequence_length)`.
    """
    tf = load_tensorflow()

    position = tf.range(sequence_length)[tf.newaxis]
    kept = _kept(tokens, sequence_length - num_special(family, len(tokens)))
    start, end = ([special[token] for token in some] for some in (family.start, family.end))
    between = [special[token] for token in family.separator or ()]
    # `at` is the position of each row's next token.
    at = tf.zeros_like(kept[0])[:, tf.newaxis]
    ids = tf.zeros_like(at + position) + (0 if family.pad is None else special[family.pad])
    ids, at = _put_special(ids, at, start)
    second = at
    for number, (token, count) in enumerate(zip(tokens, kept, strict=True)):
        values = tf.concat([tf.cast(token.flat_values, tf.int32), [0]], axis=0)
        begins = tf.cast(token.row_starts(), tf.int32)[:, tf.newaxis]
        source = tf.clip_by_value(begins + position - at, 0, tf.size(values) - 1)
        stop = at + count[:, tf.newaxis]
        ids = tf.where((position >= at) & (position < stop), tf.gather(values, source), ids)
        is_last = number == len(tokens) - 1
        ids, at = _put_special(ids, stop, end if is_last else between)
        second = second if is_last else at
    # Not from the padding's id, which may be that of a token: "!" in CLIP.
    mask = position < at
    has_segments = family.segments and len(tokens) > 1
    segments = tf.cast(mask & (position >= second), tf.int32) if has_segments else 0 * ids
    return {"token_ids": ids, "segment_ids": segments, "padding_mask": mask}


def _kept(tokens: Sequence[Any], room: int) -> list[Any]:
    """How many tokens of each text are kept, int32 `(batch,)`; the longer one of a pair is cut."""
    tf = load_tensorflow()
    lengths = [tf.cast(token.row_lengths(), tf.int32) for token in tokens]
    if len(lengths) == 1:
        return [tf.minimum(lengths[0], room)]
    first, second = lengths
    # What the second text leaves, or half, where an odd token goes to the first.
    first = tf.minimum(first, tf.maximum(room - second, (room + 1) // 2))
    return [first, tf.minimum(second, room - first)]


def _put_special(ids: Any, at: Any, special: Sequence[int]) -> tuple[Any, Any]:
    """Writes special tokens into `ids`; also returns the position behind them."""
    tf = load_tensorflow()
    position = tf.range(ids.shape[1])[tf.newaxis]
    for token in special:
        ids = tf.where(position == at, token, ids)
        at = at + 1
    return ids, at


def pack_rows(
    tokens: Sequence[Any],
    sequence_length: int,
    text_pairing: str,
    parts: Sequence | None,
    family: TokenFamily,
    special: Mapping[str, int],
) -> dict[str, Any]:
    """Packs the texts of rows into one sequence, or into one for each.

    Args:
        tokens: Ragged ids `(batch, None)` of each text column.
        sequence_length: As in `pack_ids`.
        text_pairing: `"packed"` or `"separate"`.
        parts: As in `keras_mm.data.text.tokenizer.Tokenizer.graph`.
        family: As in `pack_ids`.
        special: As in `pack_ids`.

    Returns:
        As `pack_ids`; for two separate texts each `(batch, 2, sequence_length)`.
    """
    tf = load_tensorflow()

    tokens = list(tokens)
    for i, part in enumerate(parts or ()):
        if part is not None:
            tokens[i] = part_of(tf.gather(tokens[i], part[0]), *part[1:])
    if text_pairing == "packed" or len(tokens) == 1:
        return pack_ids(tokens, sequence_length, family, special)
    packed = [pack_ids([token], sequence_length, family, special) for token in tokens]
    return {name: tf.stack([part[name] for part in packed], axis=1) for name in packed[0]}


def part_of(tokens: Any, starts: Any, counts: Any) -> Any:
    """Selects a range of tokens of each row; it ends at the end of the row at the latest.

    Args:
        tokens: Ragged ids `(batch, None)`.
        starts: Position of each row's first selected token, int64 `(batch,)`.
        counts: Largest number of tokens of each row, int64 `(batch,)`.

    Returns:
        Ragged ids `(batch, None)`.
    """
    tf = load_tensorflow()

    lengths = tf.cast(tokens.row_lengths(), tf.int64)
    starts = tf.minimum(starts, lengths)
    positions = tf.ragged.range(starts, tf.minimum(starts + counts, lengths))
    return tf.gather(tokens, positions, batch_dims=1)
