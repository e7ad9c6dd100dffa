"""Images that are stored in a cell as text: `data:` URIs and plain base64."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote

from keras_mm.data.images.files import image_format
from keras_mm.errors import ImageError

_DATA = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
# The shortest image files have about 40 bytes. Only the first characters of a text are decoded to
# decide whether it is an image, so that paths cost little.
_SHORTEST, _BEGINNING = 40, 32
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")


def inline_image(cell: str) -> bytes | None:
    r"""Decodes an image that is stored in a cell as text.

    A `data:` URI must be base64, such as `data:image/png;base64,iVBORw0KGgo...`. Any other text is
    an image if it is base64 and decodes to the beginning of an image file.

    Args:
        cell: The text of an image cell.

    Returns:
        The bytes of the image file; `None` for any other text, such as a path.

    Raises:
        ImageError: for a `data:` URI that is not base64, and for truncated or damaged base64.

    Example:
        >>> inline_image("images/a.png") is None, inline_image("data:image/png;base64,iVBORw0K")
        (True, b'\x89PNG\r\n')
    """
    uri = _DATA.match(cell)
    if uri is None:
        return _decoded(cell, "the base64 text") if _begins_an_image(cell) else None
    if not uri.group(1).rstrip().lower().endswith(";base64"):
        raise ImageError(
            "a data: URI of an image must be base64, such as data:image/png;base64,...; encode the "
            "image again, or save it as a file."
        )
    return _decoded(unquote(cell[uri.end() :]), "the data: URI")


def _begins_an_image(cell: str) -> bool:
    beginning = "".join(cell[: 2 * _BEGINNING].split())[:_BEGINNING]
    if len(cell) < _SHORTEST or not _BASE64.fullmatch(beginning):
        return False
    try:
        data = base64.b64decode(beginning, validate=True)
    except binascii.Error:
        return False
    # The signature of a BMP file is two letters only, which many texts begin with. So its reserved
    # bytes, which are 0, are checked too.
    return image_format(data) is not None and (data[:2] != b"BM" or data[6:10] == bytes(4))


def _decoded(text: str, name: str) -> bytes:
    text = "".join(text.split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            f"{name} of {len(text):,} characters is truncated or damaged ({error}); encode the "
            "image again, or save it as a file."
        ) from None
