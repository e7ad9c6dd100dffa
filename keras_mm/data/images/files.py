"""Encoded image files: which formats are accepted, and how Pillow decodes them.

`keras_mm.data.images.tf_graph` does the same in TensorFlow, so that exported models get the same
pixels. Change both together.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from keras_mm.checks import quote
from keras_mm.data.images.similar_files import similar_file
from keras_mm.errors import ImageError

# Pillow warns of larger images (a quarter of a GiB of RGB) as decompression bombs; here they raise.
MAX_PIXELS = 89_478_485
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if it then is at least 3/2 times as large as the
# final size; the resize follows. Pixels differ from those of a full decode by half a grey level on
# average. With a margin of 2 it would be a third of a level, but decoding takes a third longer.
DRAFT_MARGIN = (3, 2)


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Skips Pillow's search for the resolution, which warns of unusual EXIF blocks."""

    def _read_dpi_from_exif(self) -> None:
        pass


_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Not opened by `Image.open`, which warns, and obeys global limits that the user may have changed.
_FORMATS: dict[str, tuple[tuple[bytes, ...], type[ImageFile.ImageFile]]] = {
    "JPEG": ((b"\xff\xd8\xff",), _JpegFile),
    "PNG": ((_PNG_SIGNATURE,), PngImagePlugin.PngImageFile),
    "GIF": ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
    "BMP": ((b"BM",), BmpImagePlugin.BmpImageFile),
    "WebP": ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
}
# AVIF and HEIC files are the same container. It lists general brands, such as `mif1`, and specific
# ones, which tell the format.
_BRANDS = dict.fromkeys((b"avif", b"avis"), "AVIF") | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"
)
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _DataEnds(Exception):
    """Raised at the end of the data. Pillow would ignore an `OSError`, or warn, in some places."""


class _WholeFile(BytesIO):
    """A file that raises at its end, so that truncated images fail with any settings of Pillow."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and size != 0:
            raise _DataEnds("the data ends early")
        return data


def read_file(path: str | os.PathLike) -> bytes:
    """Reads a file.

    Args:
        path: Path of an image file.

    Returns:
        The bytes of the file.

    Raises:
        ImageError: for a missing file, a folder, a device, or a file without read permission.
    """
    name = quote(os.fspath(path))
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{name} is a folder; give the path of one image file.")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{name} is not a regular file; give the path of an image file.")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        hint = similar_file(path)
        raise ImageError(
            f"{name} does not exist{f', but {hint}' if hint else ''}; correct the path, or leave "
            "the cell empty for no image."
        ) from None
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name} cannot be read ({reason(error)}); check the path and its permissions."
        ) from None


def reason(error: Exception) -> str:
    """The reason why a file cannot be read, without the name of the file.

    Args:
        error: The error that reading raised.

    Returns:
        The message of the operating system if there is one, otherwise that of the error.
    """
    return getattr(error, "strerror", None) or str(error)


def image_format(data: bytes) -> str | None:
    """Recognises the format of an encoded image by its first bytes.

    Args:
        data: The bytes of the file.

    Returns:
        `"JPEG"`, `"PNG"`, `"GIF"`, `"BMP"`, `"WebP"`, `"TIFF"`, `"AVIF"` or `"HEIC"`; `None` for
        another format.

    Example:
        >>> image_format(b"GIF89a")
        'GIF'
    """
    if data[4:8] == b"ftyp":
        return _container_format(data)
    for name, (signatures, _) in _FORMATS.items():
        if data.startswith(signatures):
            return name if name != "WebP" or data[8:12] == b"WEBP" else None
    return None


def _container_format(data: bytes) -> str | None:
    """The format of a file whose first box lists brands (ISO 14496-12)."""
    size = min(int.from_bytes(data[:4]), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size, 4))]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)


def check_pixels(width: int, height: int, name: str) -> None:
    """Checks the number of pixels: too many would take too much memory.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        name: What the message calls the image.

    Raises:
        ImageError: unless `1 <= width * height <= MAX_PIXELS`.
    """
    if not 1 <= width * height <= MAX_PIXELS:
        raise ImageError(
            f"{name} has {width} x {height} pixels (width x height); between 1 and "
            f"{MAX_PIXELS:,} in all are accepted. Scale the image down first."
        )


def decode_file(data: bytes, name: str, image_size: tuple[int, int] | None = None) -> Image.Image:
    """Decodes the first frame of an encoded image and turns it upright; keeps its colour mode.

    Args:
        data: The bytes of the file.
        name: What messages call the image.
        image_size: `(height, width)` in pixels that the image will be resized to. A JPEG may then
            be decoded at a reduced size, see `draft_ratio`. `None` decodes at full size.

    Returns:
        A Pillow image whose pixels are loaded.

    Raises:
        ImageError: for an empty, unknown, damaged or truncated file, or one of too many pixels.
    """
    kind = _known_format(data, name)
    try:
        image = _file_class(kind, name)(_WholeFile(data))
        check_pixels(*image.size, name)
        orientation = exif_orientation(image.info.get("exif") or b"")
        if kind == "PNG":
            _prepare_png(image, data)
        if kind == "JPEG" and image_size is not None:
            _draft(image, image_size[::-1] if orientation > 4 else image_size)
        return upright(_loaded(image, kind), orientation)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow raises many types of errors for damaged files
        details = " ".join(str(error).split())
        raise ImageError(
            f"{name} is a damaged or truncated {kind} file ({details}); download or save it again."
        ) from error


def draft_ratio(width: int, height: int, image_size: tuple[int, int]) -> int:
    """How much a JPEG is reduced while it is decoded, before it is resized.

    It is the largest reduction that leaves both sides at least 3/2 times as long as their final
    length. libjpeg does the reduction, with the same result in Pillow and in TensorFlow.

    Args:
        width: Width of the file in pixels.
        height: Height of the file in pixels.
        image_size: Final `(height, width)` in pixels.

    Returns:
        1, 2, 4 or 8: the image is decoded at 1/1, 1/2, 1/4 or 1/8 of its size.

    Example:
        >>> draft_ratio(1000, 1000, (128, 128))
        4
    """
    margin, divisor = DRAFT_MARGIN
    height, width = height * divisor, width * divisor
    is_large_enough = [
        width >= margin * ratio * image_size[1] and height >= margin * ratio * image_size[0]
        for ratio in (2, 4, 8)
    ]
    return 1 << sum(is_large_enough)


def exif_orientation(exif: bytes) -> int:
    r"""Reads the orientation (tag 0x0112) from an EXIF block.

    Args:
        exif: A TIFF-structured EXIF block, with or without `b"Exif\0\0"` before it; may be empty.

    Returns:
        1 to 8; 1 if the block has no valid orientation.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        for tag, kind, count, value in _exif_entries(tiff, order) if order else ():
            if (tag, kind, count) == (0x0112, 3, 1):
                return value if value in _TRANSPOSES else 1
    except struct.error:  # the block is truncated
        pass
    return 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Rotates or flips an image according to its EXIF orientation.

    Args:
        image: The decoded image.
        orientation: 1 to 8; 1 means that the image is upright.

    Returns:
        The upright image.
    """
    return image.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else image


def _exif_entries(tiff: bytes, order: str) -> Iterator[tuple[int, int, int, int]]:
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for index in range(count):
        yield struct.unpack_from(order + "HHIHxx", tiff, start + 2 + 12 * index)


def _known_format(data: bytes, name: str) -> str:
    if not data:
        raise ImageError(
            f"{name} is empty (0 bytes); restore it, or leave the cell empty for no image."
        )
    kind = image_format(data)
    if kind is None:
        raise ImageError(
            f"{name} is not an image of a known format ({', '.join(_FORMATS)}, AVIF, HEIC); "
            "convert it to PNG or JPEG."
        )
    return kind


def _file_class(kind: str, name: str) -> type[ImageFile.ImageFile]:
    """The class that opens files of a format.

    Raises:
        ImageError: if no installed library can open them; the message says what to install.
    """
    if kind in _FORMATS:
        return _FORMATS[kind][1]
    if kind == "AVIF":
        if not features.check("avif"):
            raise ImageError(
                f"{name} is an AVIF file, and this Pillow was built without AVIF; install Pillow's "
                "own wheel (pip install --force-reinstall pillow), or convert the file to PNG."
            )
        return AvifImagePlugin.AvifImageFile
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ImageError(
            f"{name} is a HEIC file, which needs pillow-heif: pip install 'keras_mm[heif]'; or "
            "convert the file to PNG or JPEG."
        ) from None
    return HeifImageFile


def _prepare_png(image: Image.Image, data: bytes) -> None:
    """Raises for damaged chunks, and corrects the transparent colour."""
    at = len(_PNG_SIGNATURE)
    chunk = b""
    while chunk != b"IEND":
        (size,) = struct.unpack_from(">I", data, at)
        chunk = data[at + 4 : at + 8]
        end = at + 8 + size
        if struct.pack(">I", zlib.crc32(data[at + 4 : end])) != data[end : end + 4]:
            raise OSError(f"the {chunk!r} chunk is broken")
        at = end + 4
    depth, color_type = data[24], data[25]
    # Pillow scales grey levels of 2 and 4 bits to 8 bits, but not the transparent level.
    if "transparency" in image.info and color_type == 0 and 1 < depth < 8:
        image.info["transparency"] *= 255 // (2**depth - 1)
    # Pillow keeps only the high bytes of 16-bit pixels: not enough to find the transparent colour.
    if color_type == 2 and depth == 16:
        image.info.pop("transparency", None)


def _draft(image: Image.Image, image_size: tuple[int, int]) -> None:
    ratio = draft_ratio(*image.size, image_size)
    if ratio > 1:
        image.draft(None, (image.width // ratio, image.height // ratio))


def _loaded(image: ImageFile.ImageFile, kind: str) -> Image.Image:
    box = image.tile[0][1] if kind == "GIF" else None
    image.load()
    if kind == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
        # Pillow inverts every CMYK JPEG, but only those of Adobe are stored inverted: undo it.
        return image.point(lambda ink: 255 - ink)
    if box not in (None, (0, 0, *image.size)):
        canvas = Image.new("RGBA", image.size)
        canvas.paste(image.convert("RGBA").crop(box), box)
        return canvas
    return image
