"""Images that are written into a cell, and what looks like one."""

import base64
import io

import pytest
from PIL import Image

from keras_mm.data.images.inline import inline_image
from keras_mm.data.tables.rows import check_table, read_rows
from keras_mm.errors import ImageError

pytestmark = pytest.mark.backend_free


def encoded(kind):
    file = io.BytesIO()
    Image.new("RGB", (7, 5), (1, 2, 3)).save(file, kind)
    return file.getvalue()


PNG = encoded("PNG")
TEXT = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "cell",
    [
        TEXT,
        TEXT.rstrip("="),
        "\n".join(TEXT[at : at + 60] for at in range(0, len(TEXT), 60)),
        f"data:image/png;base64,{TEXT}",
        f" DATA:image/png;charset=x;BASE64,{TEXT}",
        f"data:;base64,{TEXT.replace('+', '%2B').replace('=', '%3D')}",
    ],
)
def test_the_image_of_a_cell(cell, tmp_path):
    assert inline_image(cell) == PNG
    rows = read_rows([{"image": cell}, {"image": {"path": cell, "bytes": None}},
                      {"image": {"path": "a.png", "bytes": cell}}], images=["image"],
                     image_dir=tmp_path)  # fmt: skip
    assert rows.images == ([PNG, PNG, PNG],)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "WebP", "TIFF", "AVIF"])
def test_base64_of_every_format(kind):
    data = encoded(kind)
    assert inline_image(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize("path", ["a.png", "/9j/abc", "Qk" + "a" * 80, "a/b" * 30, "x" * 200])
def test_paths_are_no_images(path):
    assert inline_image(path) is None


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("data:image/svg+xml,<svg/>", "must be base64"),
        ("data:image/png;base64,%%", "the data: URI .* is truncated or damaged"),
        (TEXT[:-9] + "!", "the base64 text of .* is truncated or damaged"),
    ],
)
def test_what_cannot_be_decoded(cell, words):
    with pytest.raises(ImageError, match=words):
        inline_image(cell)


def test_a_cut_off_image_is_a_problem_of_its_row():
    rows = [{"image": f"data:image/png;base64,{TEXT[:40]}"}, {"image": "data:;base64,"}]
    first, second = check_table(rows, images=["image"])
    assert (first.row, first.column) == (0, "image") and "damaged or truncated PNG" in first.message
    assert second.row == 1 and "0 bytes" in second.message


def test_a_text_in_place_of_bytes_is_never_read_as_a_path(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    cell = {"bytes": str(tmp_path / "a.png"), "path": None}
    (problem,) = check_table([{"image": cell}], images=["image"])
    assert "base64" in problem.message
