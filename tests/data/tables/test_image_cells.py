"""Image cells: a good file is decoded once, as long as it does not change."""

import io
import os

import pytest
from PIL import Image

from keras_mm.data.tables import image_cells
from keras_mm.data.tables.rows import check_table

pytestmark = pytest.mark.backend_free


def png():
    file = io.BytesIO()
    Image.new("RGB", (7, 5), (1, 2, 3)).save(file, "PNG")
    return file.getvalue()


def test_a_good_file_is_decoded_once_until_it_changes(tmp_path, monkeypatch):
    decoded, check = [], image_cells.check_image
    monkeypatch.setattr(image_cells, "check_image", lambda c: decoded.append(c) or check(c))
    path = tmp_path / "a.png"
    path.write_bytes(png())
    before = path.stat()
    table = [{"image": str(path)}]
    for _ in range(3):
        assert check_table(table, images="image") == []
    assert len(decoded) == 1
    # As long as before, and as old.
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):  # and a bad file is reported each time
        assert len(check_table(table, images="image")) == 1
    path.unlink()
    (problem,) = check_table(table, images="image")
    assert "does not exist" in problem.message


def test_no_more_files_are_remembered_than_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(image_cells, "_MOST_FILES", 2)
    monkeypatch.setattr(image_cells, "_sound_files", set())
    for name in "abc":
        (tmp_path / name).write_bytes(png())
    table = [{"image": str(tmp_path / name)} for name in "abc"]
    assert check_table(table, images="image") == []
    assert len(image_cells._sound_files) <= 2
