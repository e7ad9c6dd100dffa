"""Operations on pixels in a TensorFlow graph: size check, transparency, resizing, BMP files."""

from __future__ import annotations

from keras_mm.data.images.files import MAX_PIXELS
from keras_mm.data.images.tf_graph.headers import PADDING, Tensor, read_uint
from keras_mm.load_order import load_tensorflow

_BGR_MASKS = (0xFF0000, 0xFF00, 0xFF)
# Most values, of 8 bytes each, in one step of a resize; without steps a huge PNG takes gigabytes.
_BLOCK = 4_000_000


def check_pixels(value: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Makes the graph fail for an image that is too large or has no pixels.

    Args:
        value: Any tensor.
        width: Width in pixels, a scalar.
        height: Height in pixels, a scalar.

    Returns:
        `value`, with a control dependency on the check.
    """
    tf = load_tensorflow()

    pixels = tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
    rule = f"an image must have 1 to {MAX_PIXELS:,} pixels; scale it down. Received (w, h):"
    check = tf.debugging.Assert((pixels >= 1) & (pixels <= MAX_PIXELS), [rule, width, height])
    with tf.control_dependencies([check]):
        return tf.identity(value)


def on_white(rgba: Tensor) -> Tensor:
    """Composites pixels onto white, with the rounding of Pillow's `paste`.

    Args:
        rgba: uint8 pixels `(H, W, 4)`.

    Returns:
        uint8 pixels `(H, W, 3)`.
    """
    tf = load_tensorflow()

    levels = tf.cast(rgba, tf.uint16)
    color, alpha = levels[..., :3], levels[..., 3:]
    mixed = color * alpha + 255 * (255 - alpha) + 128
    shift = tf.bitwise.right_shift
    return tf.cast(shift(mixed + shift(mixed, 8), 8), tf.uint8)


def squash(image: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Resizes bilinearly with antialiasing, with the same arithmetic as Pillow.

    `tf.image.resize` computes its weights in 32 bits, so that up to 4 values in 10,000 are rounded
    to another level. Here, as in Pillow, sums are computed in 64 bits, along the width first, and
    rounded to 32 bits before the second pass.

    Args:
        image: uint8 pixels, shape `(H, W, 3)`.
        image_size: `(height, width)` in pixels, Python integers.

    Returns:
        Whole numbers from 0 to 255 as float32, shape `(height, width, 3)`.
    """
    tf = load_tensorflow()

    columns = _resample(tf.transpose(image, [1, 0, 2]), image_size[1])
    levels = _resample(tf.transpose(columns, [1, 0, 2]), image_size[0])
    return tf.floor(tf.ensure_shape(levels, [*image_size, 3]) + 0.5)


def _resample(image: Tensor, size: int) -> Tensor:
    """Resizes the first axis to `size` lines; returns float32."""
    tf = load_tensorflow()

    def resampled() -> Tensor:
        index, weight = _weights(shape[0], size)
        lines = tf.reshape(image, [shape[0], -1])
        step = 1 + _BLOCK // (tf.shape(index)[1] * tf.shape(lines)[1])

        def block(at: Tensor, done: Tensor) -> tuple[Tensor, Tensor]:
            near = tf.cast(tf.gather(lines, index[at : at + step]), tf.float64)
            sums = tf.matmul(weight[at : at + step, None], near)[:, 0]
            return at + step, tf.concat([done, tf.cast(sums, tf.float32)], 0)

        start = (tf.constant(0), tf.zeros([0, tf.shape(lines)[1]]))
        invariants = (tf.TensorShape([]), tf.TensorShape([None, None]))
        _, done = tf.while_loop(lambda at, _: at < size, block, start, invariants)
        return tf.reshape(done, tf.concat([[size], shape[1:]], 0))

    shape = tf.shape(image)
    return tf.cond(shape[0] == size, lambda: tf.cast(image, tf.float32), resampled)


def _weights(old: Tensor, new: int) -> tuple[Tensor, Tensor]:
    """For each of `new` lines: the indices of the old lines that it averages, and their weights."""
    tf = load_tensorflow()

    scale = tf.cast(old, tf.float64) / new
    reach = tf.maximum(scale, 1.0)
    center = (tf.range(new, dtype=tf.float64) + 0.5) * scale
    first = tf.maximum(tf.floor(center - reach + 0.5), 0.0)
    line = first[:, None] + tf.range(2 * tf.math.ceil(reach) + 1)
    weight = 1 - tf.abs((line - center[:, None] + 0.5) * (1 / reach))
    weight = tf.where(line < tf.cast(old, tf.float64), tf.maximum(weight, 0.0), 0.0)
    index = tf.minimum(tf.cast(line, tf.int32), old - 1)
    return index, weight / tf.reduce_sum(weight, 1, keepdims=True)


def decode_bmp(data: Tensor) -> Tensor:
    """Decodes a BMP file of 8 (with its palette), 24 or 32 bits per pixel, uncompressed.

    TensorFlow's own op supports neither palettes nor masks, and fails for an extra byte at the end.

    Args:
        data: The bytes of the file, from `headers.file_bytes`.

    Returns:
        uint8 pixels `(H, W, 3)` on a white background.
    """
    tf = load_tensorflow()

    start, header = read_uint(data, 10, 4, little=True), read_uint(data, 14, 4, little=True)
    width, height = read_uint(data, 18, 4, little=True), read_uint(data, 22, 4, little=True)
    bits, end = read_uint(data, 28, 2, little=True), tf.size(data, tf.int64) - PADDING
    downwards = height >= 2**31
    height = tf.where(downwards, 2**32 - height, height)
    line = (width * bits + 31) // 32 * 4
    check = tf.debugging.Assert(
        _is_plain_bmp(data, header, bits) & (start + line * height <= end),
        ["a BMP file must be complete and uncompressed, with 8, 24 or 32 bits; save it as PNG"],
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
    """Whether each pixel is bytes in the order blue, green, red (and alpha), or a palette index."""
    tf = load_tensorflow()

    masks = [read_uint(data, 54 + 4 * i, 4, little=True) == m for i, m in enumerate(_BGR_MASKS)]
    alpha = read_uint(data, 66, 4, little=True)
    masks.append((header < 56) | (alpha == 0) | (alpha == 0xFF000000))
    plain = (read_uint(data, 30, 4, little=True) == 0) & tf.reduce_any(bits == (8, 24, 32))
    return (header >= 40) & (plain | (_has_masks(data) & (bits == 32) & tf.reduce_all(masks)))


def _to_bgra(pixels: Tensor, data: Tensor, header: Tensor) -> Tensor:
    tf = load_tensorflow()

    def from_palette() -> Tensor:
        table = data[14 + header : 14 + header + 1024]
        table = tf.pad(table, [[0, 1024 - tf.size(table)]])
        return tf.gather(tf.reshape(table, [256, 4]), tf.cast(pixels[..., 0], tf.int32))

    color = tf.cond(tf.shape(pixels)[2] == 1, from_palette, lambda: pixels)
    has_alpha = _has_masks(data) & (header >= 56) & (read_uint(data, 66, 4, little=True) > 0)
    alpha = tf.where(has_alpha, color[..., -1:], tf.constant(255, tf.uint8))
    return tf.concat([color[..., :3], alpha], -1)
