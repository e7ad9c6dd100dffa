"""The TensorFlow version of `keras_mm.data.images.cells.load_image`, for exported models.

The graph runs with TensorFlow alone. Its pixels are those of Pillow: of 152 million values of real
files 10 differ, by one level. `tests/data/images/test_tf_graph.py` compares both.
"""

from __future__ import annotations

from typing import Any

from keras_mm.data.images.files import DRAFT_MARGIN
from keras_mm.data.images.tf_graph.graph_pixels import check_pixels, decode_bmp, on_white, squash
from keras_mm.data.images.tf_graph.headers import (
    Tensor,
    exif_orientation,
    file_bytes,
    gif_first_frame,
    gif_palette_size,
    jpeg_exif,
    png_chunks,
    read_uint,
)
from keras_mm.load_order import load_tensorflow

# Not WebP, although TensorFlow 2.21 can decode it: a server whose TensorFlow lacks the op cannot
# load a saved model that contains it.
_ACCEPTED = "JPEG, PNG, GIF or BMP"
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
_REFUSED = ((b"RIFF", "WebP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"))


def decode_images(encoded: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Decodes encoded image files as `keras_mm.data.images.cells.load_image` does.

    Can be traced: a `tf.function` with it can be saved, and served with TensorFlow alone.

    Args:
        encoded: The bytes of JPEG, PNG, GIF or BMP files, a string tensor of shape `(batch,)`. An
            empty string is a missing image.
        image_size: `(height, width)` in pixels, Python integers.

    Returns:
        Images, whole numbers from 0 to 255 as float32, shape `(batch, height, width, 3)`, zeros
        where an image is missing; and a mask, bool, shape `(batch,)`, False where it is missing.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for another format, a damaged file, or
            an image of more than `MAX_PIXELS` pixels.
    """
    tf = load_tensorflow()

    with tf.device("CPU:0"):  # a GPU's resize may round differently
        present = tf.strings.length(encoded) > 0
        kinds = _kinds(encoded)
        known = tf.debugging.Assert(
            tf.reduce_all((kinds < len(_SIGNATURES)) | ~present), [_complaint(encoded, kinds)]
        )
        with tf.control_dependencies([] if known is None else [known]):
            images = tf.map_fn(
                lambda pair: _decode(pair[0], pair[1], image_size),
                (encoded, tf.where(present, kinds, len(_SIGNATURES))),
                fn_output_signature=tf.TensorSpec((*image_size, 3), tf.float32),
            )
    return images, present


def _kinds(encoded: Tensor) -> Tensor:
    """Index in `_SIGNATURES` of each file's format, int32 `(batch,)`; unknown formats come last."""
    tf = load_tensorflow()

    matches = [tf.strings.substr(encoded, 0, len(s)) == tf.constant(s) for s in _SIGNATURES]
    matches.append(tf.ones_like(matches[0]))
    return tf.argmax(tf.cast(tf.stack(matches, -1), tf.int8), -1, tf.int32)


def _complaint(encoded: Tensor, kinds: Tensor) -> Tensor:
    tf = load_tensorflow()

    is_unknown = (kinds == len(_SIGNATURES)) & (tf.strings.length(encoded) > 0)
    position = tf.argmax(tf.concat([tf.cast(is_unknown, tf.int8), [1]], 0), output_type=tf.int32)
    padded = tf.strings.join([tf.concat([encoded, [""]], 0)[position], " " * 8])
    start = tf.strings.substr(padded, 0, 4)
    is_container = tf.strings.substr(padded, 4, 4) == tf.constant("ftyp")
    name = tf.where(is_container, "an AVIF or HEIC file", "of an unknown format")
    for signature, known in _REFUSED:
        name = tf.where(start == tf.constant(signature), f"a {known} file", name)
    return tf.strings.join(
        ["image ", tf.strings.as_string(position), f" of the batch must be {_ACCEPTED}, but is ",
         name, "; convert it, or send an empty string for no image"]
    )  # fmt: skip


def _decode(encoded: Tensor, kind: Tensor, image_size: tuple[int, int]) -> Tensor:
    """One image, float32, shape `(height, width, 3)`."""
    tf = load_tensorflow()

    def gif() -> Tensor:
        return _decode_gif(encoded, data)

    data = file_bytes(encoded)
    branches = [
        lambda: _decode_jpeg(encoded, data, image_size),
        lambda: _decode_png(encoded, data),
        gif,
        gif,
        lambda: decode_bmp(data),
        lambda: tf.zeros([1, 1, 3], tf.uint8),
    ]
    return squash(tf.ensure_shape(tf.switch_case(kind, branches), [None, None, 3]), image_size)


def _decode_jpeg(encoded: Tensor, data: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Upright pixels, reduced by `keras_mm.data.images.files.draft_ratio`."""
    tf = load_tensorflow()

    def at(ratio: int) -> Any:
        return lambda: tf.io.decode_jpeg(
            checked, 3, ratio, fancy_upscaling=True, dct_method="INTEGER_ACCURATE"
        )

    orientation = exif_orientation(jpeg_exif(data))
    size = tf.io.extract_jpeg_shape(encoded)[:2]
    checked = check_pixels(encoded, size[1], size[0])
    margin, divisor = DRAFT_MARGIN
    smallest = tf.where(orientation > 4, image_size[::-1], image_size) * margin
    is_large_enough = [tf.reduce_all(size * divisor >= smallest * ratio) for ratio in (2, 4, 8)]
    step = tf.reduce_sum(tf.cast(tf.stack(is_large_enough), tf.int32))
    return _upright(tf.switch_case(step, [at(1), at(2), at(4), at(8)]), orientation)


def _decode_png(encoded: Tensor, data: Tensor) -> Tensor:
    """Upright pixels on a white background."""
    tf = load_tensorflow()

    depth, color_type = data[24], data[25]
    transparent, exif = png_chunks(data)
    checked = check_pixels(encoded, read_uint(data, 16, 4), read_uint(data, 20, 4))
    # Ask for 4 channels only if the image has transparency: without it, TensorFlow makes pixels of
    # less than 8 bits nearly transparent. A transparent colour of 16 bits is ignored, as in
    # `keras_mm.data.images.files`.
    plain = tf.where(transparent, (depth == 16) & (color_type == 2), color_type & 4 == 0)
    image = tf.cond(
        plain,
        lambda: tf.io.decode_png(checked, channels=3),
        lambda: on_white(tf.io.decode_png(checked, channels=4)),
    )
    return _upright(image, exif_orientation(exif))


def _decode_gif(encoded: Tensor, data: Tensor) -> Tensor:
    """The first frame on its canvas, with a white background."""
    tf = load_tensorflow()

    frame, control = gif_first_frame(data)
    left, top, width, height = (read_uint(data, frame + at, 2, little=True) for at in (1, 3, 5, 7))
    right = tf.maximum(read_uint(data, 6, 2, little=True) - left - width, 0)
    below = tf.maximum(read_uint(data, 8, 2, little=True) - top - height, 0)
    checked = check_pixels(encoded, left + width + right, top + height + below)
    # TensorFlow decodes the frame without its canvas, but applies the offset: set it to 0.
    alone = _patch(checked, frame + 1, bytes(4))
    painted = tf.cond(control > 0, lambda: _paint_white(alone, data, frame, control), lambda: alone)
    image = tf.io.decode_image(painted, expand_animations=False)
    margins = [[top, below], [left, right], [0, 0]]
    return tf.pad(tf.ensure_shape(image, [None, None, 3]), margins, constant_values=255)


def _paint_white(encoded: Tensor, data: Tensor, frame: Tensor, control: Tensor) -> Tensor:
    """Makes the transparent colour of a GIF white in its palette; TensorFlow decodes it black."""
    tf = load_tensorflow()

    palette = tf.where(gif_palette_size(data, frame + 9) > 0, frame + 10, tf.cast(13, tf.int64))
    color = palette + 3 * read_uint(data, control + 3, 1)
    every_byte = tf.constant([bytes([value]) for value in range(256)])
    flags = every_byte[tf.cast(data[control] & 0xFE, tf.int32)]
    return _patch(_patch(encoded, control, flags), color, b"\xff\xff\xff")


def _patch(encoded: Tensor, at: Tensor, piece: bytes | Tensor) -> Tensor:
    """Overwrites the bytes of a string with `piece`, from position `at` on."""
    tf = load_tensorflow()

    size = tf.strings.length(encoded)
    at = tf.cast(at, tf.int32)
    rest = tf.strings.substr(encoded, at + tf.strings.length(piece), size)
    return tf.strings.join([tf.strings.substr(encoded, 0, at), piece, rest])


def _upright(image: Tensor, orientation: Tensor) -> Tensor:
    tf = load_tensorflow()

    def turned() -> Tensor:
        straight = tf.cond(orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        flips = [tf.reduce_any(orientation == turns) for turns in ((3, 4, 7, 8), (2, 3, 6, 7))]
        return tf.raw_ops.Reverse(tensor=straight, dims=tf.stack([*flips, False]))

    image = tf.ensure_shape(image, [None, None, 3])
    return tf.cond(orientation > 1, turned, lambda: image)
