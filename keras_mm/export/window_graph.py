"""Sliding windows in an exported graph: texts are cut, and predictions joined, as in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras  # noqa: F401  (Keras' backend must be loaded before TensorFlow)
import tensorflow as tf

from keras_mm.data.text.packing import num_special
from keras_mm.data.text.text_format import TextFormat
from keras_mm.settings.heads import Head
from keras_mm.settings.sliding_window import SlidingWindow


def window_parts(
    texts: Sequence[Any], window: SlidingWindow, slot: int, text_format: TextFormat
) -> tuple[list, Any]:
    """Cuts texts into windows, with the same result as `keras_mm.data.windows.cut_windows`.

    Args:
        texts: A string tensor `(batch,)` for each text column.
        window: Settings of the windows.
        slot: Index of the text column that is cut, 0 or 1.
        text_format: Tokenizer and length of the sequences.

    Returns:
        The argument `parts` of `Tokenizer.graph`, by column; and the row index of each window,
        ascending, int64 `(num_windows,)`.
    """
    tokenizer, sequence_length = text_format.tokenizer, text_format.sequence_length
    specials = num_special(tokenizer.family, 1)
    lengths = [tf.cast(tokenizer.count_graph(text), tf.int64) for text in texts]
    # By row: how many tokens of the cut text fit into a window, beside the other text.
    capacity = tf.fill(tf.shape(lengths[slot]), tf.constant(0, tf.int64))
    others = None
    if len(texts) > 1 and text_format.text_pairing == "packed":
        capacity += sequence_length - num_special(tokenizer.family, 2)
        others = tf.minimum(lengths[1 - slot], capacity // 2)
        capacity -= others
    else:
        capacity += sequence_length - specials
    count = lengths[slot]
    if isinstance(window.stride, float):
        step = tf.cast(tf.cast(capacity + specials, tf.float64) * window.stride, tf.int64)
    else:
        step = tf.fill(tf.shape(count), tf.constant(window.stride, tf.int64))
    step = tf.maximum(tf.constant(1, tf.int64), tf.minimum(step, capacity))
    one = tf.ones_like(count)
    # A window starts at every step before the end of the text, as in `SlidingWindow.bounds`.
    num_windows = tf.where(count <= capacity, one, (count + step - 1) // step)
    rows = tf.range(tf.size(count, out_type=tf.int64))
    window_rows = tf.repeat(rows, num_windows)
    first = tf.cumsum(num_windows, exclusive=True)
    number = tf.range(tf.size(window_rows, out_type=tf.int64)) - tf.gather(first, window_rows)
    starts = number * tf.gather(step, window_rows)
    parts: list = [None] * len(texts)
    parts[slot] = window_rows, starts, tf.gather(capacity, window_rows)
    if len(texts) > 1:
        sizes = lengths[1 - slot] if others is None else others
        parts[1 - slot] = window_rows, tf.zeros_like(window_rows), tf.gather(sizes, window_rows)
    return parts, window_rows


def joined_logits(logits: Any, window_rows: Any, head: Head, window: SlidingWindow) -> tf.Tensor:
    """Joins the logits of windows, with the same result as `window_votes.join_windows`.

    Args:
        logits: float32 `(num_windows, num_logits)`.
        window_rows: The row index of each window, int64 `(num_windows,)`.
        head: The head.
        window: Settings of the windows.

    Returns:
        Logits of the rows, float32 `(num_rows, num_logits)`.
    """
    num_rows = tf.reduce_max(window_rows) + 1

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.math.unsorted_segment_mean(values, window_rows, num_rows)

    if head.kind == "regression":
        return mean(logits)
    if head.kind == "multilabel":
        return _log_odds(mean(tf.sigmoid(logits)))
    if head.kind == "binary":
        logits = tf.concat([tf.zeros_like(logits), logits], axis=-1)
    probabilities = tf.nn.softmax(logits)
    shares = mean(probabilities)
    if window.vote == "majority":
        votes = mean(tf.one_hot(tf.argmax(probabilities, axis=-1), len(head.names)))
        ones = tf.ones_like(window_rows)
        sizes = tf.math.unsorted_segment_sum(ones, window_rows, num_rows)[:, None]
        voted = _votes(votes, shares, sizes, window.tie_index(head.names))
        shares = tf.where(sizes > 1, voted, shares)
    logarithms = tf.math.log(tf.maximum(shares, 1e-12))
    return logarithms[:, 1:] - logarithms[:, :1] if head.kind == "binary" else logarithms


def _votes(shares: Any, means: Any, sizes: Any, tie: int | None) -> tf.Tensor:
    """Probabilities by majority: the winner's is the largest, also after a tie."""
    tied = tf.abs(shares - tf.reduce_max(shares, axis=-1, keepdims=True)) < 1e-6
    winner = tf.argmax(tf.where(tied, means, -1.0), axis=-1)
    if tie is not None:
        several = tf.reduce_sum(tf.cast(tied, tf.int32), axis=-1) > 1
        winner = tf.where(several, tf.constant(tie, winner.dtype), winner)
    chosen = tf.one_hot(winner, shares.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
    sizes = tf.cast(sizes, shares.dtype)
    shares = (sizes * shares + means) / (sizes + 1)
    raised = tf.where(chosen, tf.reduce_max(shares, axis=-1, keepdims=True) + 1e-4, shares)
    return raised / tf.reduce_sum(raised, axis=-1, keepdims=True)


def _log_odds(shares: Any) -> tf.Tensor:
    shares = tf.clip_by_value(shares, 1e-7, 1 - 1e-7)
    return tf.math.log(shares) - tf.math.log1p(-shares)


def at_rows(inputs: Mapping[str, Any], window_rows: Any) -> dict[str, Any]:
    """Repeats the inputs of each row for its windows.

    Args:
        inputs: Inputs by name, first axis the rows.
        window_rows: The row index of each window, int64 `(num_windows,)`.

    Returns:
        Inputs by name, first axis the windows.
    """
    return {name: tf.gather(value, window_rows) for name, value in inputs.items()}
