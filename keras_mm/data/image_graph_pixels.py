"""Pixels inside a TensorFlow graph: the limit, transparency, and BMP files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_mm.data.image_files import MAX_PIXELS
from keras_mm.data.image_graph_headers import PADDING, read_uint

if TYPE_CHECKING:
    import tensorflow as tf

    Tensor = tf.Tensor

_BGR_MASKS = (0xFF0000, 0xFF00, 0xFF)


def check_pixels(value: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """`value`, once an image of `width` x `height` pixels is found to be within the limit."""
    import tensorflow as tf

    pixels = tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
    rule = f"an image must have 1 to {MAX_PIXELS:,} pixels; scale it down. Received (w, h):"
    check = tf.debugging.Assert((pixels >= 1) & (pixels <= MAX_PIXELS), [rule, width, height])
    with tf.control_dependencies([check]):
        return tf.identity(value)


def on_white(rgba: Tensor) -> Tensor:
    """Lays uint8 pixels `(H, W, 4)` on white, rounding as Pillow's `paste` does."""
    import tensorflow as tf

    levels = tf.cast(rgba, tf.int32)
    color, alpha = levels[..., :3], levels[..., 3:]
    mixed = (2 * (color * alpha + 255 * (255 - alpha)) + 255) // 510
    return tf.cast(mixed, tf.uint8)


def decode_bmp(data: Tensor) -> Tensor:
    """Decodes a BMP file of 8 (with its palette), 24 or 32 bits per pixel, uncompressed.

    TensorFlow's own op leaves palettes and masks out, and fails on a byte too many at the end.

    Args:
        data: The file's bytes from `image_graph_headers.file_bytes`.

    Returns: uint8 pixels `(H, W, 3)`, on white.
    """
    import tensorflow as tf

    start, header = read_uint(data, 10, 4, little=True), read_uint(data, 14, 4, little=True)
    width, height = read_uint(data, 18, 4, little=True), read_uint(data, 22, 4, little=True)
    bits, end = read_uint(data, 28, 2, little=True), tf.size(data, tf.int64) - PADDING
    downwards = height >= 2**31
    height = tf.where(downwards, 2**32 - height, height)
    line = (width * bits + 31) // 32 * 4
    check = tf.debugging.Assert(
        _is_plain_bmp(data, header, bits) & (start + line * height <= end),
        ["a BMP file must be whole, uncompressed, of 8, 24 or 32 bits; convert it to PNG"],
    )
    with tf.control_dependencies([check]):
        lines = check_pixels(data, width, height)[start : start + line * height]
    lines = tf.reshape(lines, [height, line])[:, : width * bits // 8]
    lines = tf.cond(downwards, lambda: lines, lambda: tf.reverse(lines, [0]))
    bgra = _to_bgra(tf.reshape(lines, [height, width, bits // 8]), data, header)
    return on_white(tf.concat([bgra[..., 2::-1], bgra[..., 3:]], -1))


def _has_masks(data: Tensor) -> Tensor:
    return read_uint(data, 30, 4, little=True) == 3


def _is_plain_bmp(data: Tensor, header: Tensor, bits: Tensor) -> Tensor:
    """Whether the pixels are plain bytes in the order blue, green, red (and alpha)."""
    import tensorflow as tf

    masks = [read_uint(data, 54 + 4 * i, 4, little=True) == m for i, m in enumerate(_BGR_MASKS)]
    alpha = read_uint(data, 66, 4, little=True)
    masks.append((header < 56) | (alpha == 0) | (alpha == 0xFF000000))
    plain = (read_uint(data, 30, 4, little=True) == 0) & tf.reduce_any(bits == (8, 24, 32))
    return (header >= 40) & (plain | (_has_masks(data) & (bits == 32) & tf.reduce_all(masks)))


def _to_bgra(pixels: Tensor, data: Tensor, header: Tensor) -> Tensor:
    import tensorflow as tf

    def from_palette() -> Tensor:
        table = data[14 + header : 14 + header + 1024]
        table = tf.pad(table, [[0, 1024 - tf.size(table)]])
        return tf.gather(tf.reshape(table, [256, 4]), tf.cast(pixels[..., 0], tf.int32))

    color = tf.cond(tf.shape(pixels)[2] == 1, from_palette, lambda: pixels)
    has_alpha = _has_masks(data) & (header >= 56) & (read_uint(data, 66, 4, little=True) > 0)
    alpha = tf.where(has_alpha, color[..., -1:], tf.constant(255, tf.uint8))
    return tf.concat([color[..., :3], alpha], -1)
