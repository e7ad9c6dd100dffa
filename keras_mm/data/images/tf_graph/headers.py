"""Reads the headers of image files inside a TensorFlow graph.

A file is a `uint8` vector `data` that ends in `PADDING` zeros. Reading beyond the end of a short
file yields zeros, without an error; the decoder then raises an error with the reason.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from keras_mm.load_order import load_tensorflow

# A `tf.Tensor`; TensorFlow is imported only when a function runs.
Tensor: TypeAlias = Any

PADDING = 16
# Most steps through a header, so that no malicious file can keep a server busy.
_SEGMENTS, _SUB_BLOCKS = 1_000, 100_000


def file_bytes(encoded: Tensor) -> Tensor:
    """The bytes of one encoded file, followed by `PADDING` zeros.

    Args:
        encoded: A scalar string.

    Returns:
        A `uint8` vector.
    """
    tf = load_tensorflow()

    data = tf.io.decode_raw(encoded, tf.uint8)
    return tf.concat([data, tf.zeros([PADDING], tf.uint8)], 0)


def read_uint(data: Tensor, at: Any, size: int, *, little: Any = False) -> Tensor:
    """Reads an unsigned integer.

    Args:
        data: A file's bytes from `file_bytes`.
        at: Position of the first byte.
        size: Number of bytes, 1 to 4.
        little: Whether the least significant byte comes first; a bool or a scalar tensor.

    Returns:
        An int64 scalar; 0 if `at` is beyond the end of the file.
    """
    tf = load_tensorflow()

    at = tf.minimum(tf.cast(at, tf.int64), tf.size(data, tf.int64) - PADDING)
    part = tf.cast(data[at : at + size], tf.int64)
    part = tf.where(little, part, tf.reverse(part, [0]))
    return tf.reduce_sum(part * tf.constant([256**i for i in range(size)], tf.int64))


def jpeg_exif(data: Tensor) -> Tensor:
    """Finds the EXIF block of a JPEG file.

    Args:
        data: The bytes of the file, from `file_bytes`.

    Returns:
        The TIFF-structured block, a `uint8` vector; empty if there is none.
    """
    tf = load_tensorflow()

    exif = tf.constant(list(b"Exif\0\0"), tf.uint8)

    def step(at: Tensor, start: Tensor, stop: Tensor) -> tuple[Tensor, ...]:
        filled, marker = data[at] == 0xFF, tf.cast(data[at + 1], tf.int64)
        size = read_uint(data, at + 2, 2)
        bare = (marker == 0) | ((marker >= 0xD0) & (marker <= 0xD9))
        is_exif = filled & (marker == 0xE1) & tf.reduce_all(data[at + 4 : at + 10] == exif)
        last = filled & (marker == 0xDA)
        ahead = tf.where(bare, tf.constant(2, tf.int64), 2 + size)
        ahead = tf.where(filled & (marker != 0xFF), ahead, tf.constant(1, tf.int64))
        start = tf.where(is_exif, at + 10, start)
        stop = tf.where(is_exif, at + 2 + size, stop)
        return tf.where(is_exif | last, end, at + ahead), start, stop

    end = tf.size(data, tf.int64) - PADDING
    zero = tf.constant(0, tf.int64)
    state = (zero + 2, zero, zero)
    _, start, stop = tf.while_loop(
        lambda at, *_: at < end, step, state, maximum_iterations=_SEGMENTS
    )
    return data[start:stop]


def exif_orientation(tiff: Tensor) -> Tensor:
    """Reads the orientation (tag 0x0112) from an EXIF block, in either byte order.

    Args:
        tiff: A TIFF-structured EXIF block, a `uint8` vector; may be empty.

    Returns:
        An int32 scalar, 1 to 8; 1 if the block has no valid orientation.
    """
    tf = load_tensorflow()

    data = tf.concat([tiff, tf.zeros([PADDING], tf.uint8)], 0)
    little = tf.reduce_all(data[:4] == tf.constant(list(b"II*\0"), tf.uint8))
    big = tf.reduce_all(data[:4] == tf.constant(list(b"MM\0*"), tf.uint8))
    start = tf.minimum(read_uint(data, 4, 4, little=little), tf.size(tiff, tf.int64))
    count = read_uint(data, start, 2, little=little)
    entries = tiff[start + 2 : start + 2 + 12 * count]
    entries = tf.reshape(entries[: tf.size(entries) // 12 * 12], [-1, 12])
    entries = tf.cast(entries, tf.int32)
    pairs = tf.where(little, entries[:, 0::2] + 256 * entries[:, 1::2],
                     256 * entries[:, 0::2] + entries[:, 1::2])  # fmt: skip
    count = tf.where(little, pairs[:, 2] + 65536 * pairs[:, 3], 65536 * pairs[:, 2] + pairs[:, 3])
    hit = (pairs[:, 0] == 0x0112) & (pairs[:, 1] == 3) & (count == 1) & (little | big)
    value = tf.concat([tf.boolean_mask(pairs[:, 4], hit), [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


def png_chunks(data: Tensor) -> tuple[Tensor, Tensor]:
    """Reads the chunks of a PNG file that precede the pixels.

    Args:
        data: The bytes of the file, from `file_bytes`.

    Returns:
        Whether there is a tRNS chunk, a bool scalar; and the EXIF block, a `uint8` vector, empty if
        there is none.
    """
    tf = load_tensorflow()

    names = {name: int.from_bytes(name) for name in (b"tRNS", b"eXIf", b"IDAT")}

    def step(at: Tensor, transparent: Tensor, start: Tensor, stop: Tensor) -> tuple[Tensor, ...]:
        size, name = read_uint(data, at, 4), read_uint(data, at + 4, 4)
        is_exif = name == names[b"eXIf"]
        start, stop = tf.where(is_exif, at + 8, start), tf.where(is_exif, at + 8 + size, stop)
        transparent |= name == names[b"tRNS"]
        return tf.where(name == names[b"IDAT"], end, at + 12 + size), transparent, start, stop

    end = tf.size(data, tf.int64) - PADDING
    zero = tf.constant(0, tf.int64)
    state = (zero + 8, tf.constant(False), zero, zero)
    _, transparent, start, stop = tf.while_loop(
        lambda at, *_: at < end, step, state, maximum_iterations=_SEGMENTS
    )
    return transparent, data[start:stop]


def gif_first_frame(data: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the first frame of a GIF file, and the declaration of its transparent colour.

    Args:
        data: The bytes of the file, from `file_bytes`.

    Returns:
        Two positions, int64 scalars: that of the image descriptor; and that of the flags of the
        last graphic control extension before it that has a transparent colour, 0 if there is none.
    """
    tf = load_tensorflow()

    def step(at: Tensor, control: Tensor, inside: Tensor) -> tuple[Tensor, ...]:
        head, label = data[at], data[at + 1]
        size = tf.cast(head, tf.int64)
        opens = ~inside & (head == 0x21)
        clear = (data[at + 3] & 1) == 1
        control = tf.where(opens & (label == 0xF9) & clear, at + 3, control)
        ahead = tf.where(opens, tf.constant(2, tf.int64), tf.constant(1, tf.int64))
        return at + tf.where(inside, size + 1, ahead), control, opens | (inside & (size > 0))

    def goes_on(at: Tensor, control: Tensor, inside: Tensor) -> Tensor:
        return (at < end) & (inside | (data[tf.minimum(at, end)] != 0x2C))

    end = tf.size(data, tf.int64) - PADDING
    state = (13 + gif_palette_size(data, 10), tf.constant(0, tf.int64), tf.constant(False))
    at, control, _ = tf.while_loop(goes_on, step, state, maximum_iterations=_SUB_BLOCKS)
    return at, control


def gif_palette_size(data: Tensor, at: Any) -> Tensor:
    """The size of a GIF palette in bytes.

    Args:
        data: The bytes of the file, from `file_bytes`.
        at: Position of the flags that declare the palette.

    Returns:
        An int64 scalar; 0 if there is no palette.
    """
    tf = load_tensorflow()

    flags = read_uint(data, at, 1)
    size = 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), flags & 7)
    return tf.where(flags >= 128, size, tf.constant(0, tf.int64))
