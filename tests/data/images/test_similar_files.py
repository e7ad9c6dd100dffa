"""Files that a path may mean which does not exist."""

import unicodedata

import pytest

from keras_mm.data.images.similar_files import similar_file
from keras_mm.data.tables.rows import check_table

pytestmark = pytest.mark.backend_free

COMPOSED, SPLIT = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Images").mkdir()
    for name in ("a.png", SPLIT):
        (tmp_path / "Images" / name).write_bytes(b"")
    if (tmp_path / "images").exists() or (tmp_path / "Images" / COMPOSED).exists():
        pytest.skip("this file system does not tell such names apart")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "words", "found"),
    [
        ("Images\\a.png", ["the separator (/ instead of \\)"], "a.png"),
        ("images/A.PNG", ["upper and lower case"], "a.png"),
        (f"Images/{COMPOSED}", ["the Unicode form"], SPLIT),
        (f"images\\{COMPOSED}", ["/ instead", "upper and lower case", "Unicode form"], SPLIT),
    ],
)
def test_names_that_differ_in_how_they_are_written(folder, path, words, found):
    hint = similar_file(folder / path)
    assert all(part in hint for part in words) and f"Images/{found}" in hint
    assert hint.count(" and ") == len(words) - 1 + hint.count("upper and lower")
    (problem,) = check_table([{"image": path}], images=["image"], image_dir=folder)
    assert problem.row == 0 and f"does not exist, but {hint}" in problem.message


@pytest.mark.parametrize(
    "path", ["Images/b.png", "Images\\..\\..\\a", "Images/a.png/b", "\0", "x" * 5000, ""]
)
def test_no_similar_file(folder, path):
    assert similar_file(f"{folder}/{path}") is None


def test_a_file_that_came_since_is_found(folder):
    assert similar_file(folder / "Images" / "NEW.png") is None
    (folder / "Images" / "new.png").write_bytes(b"")
    assert "new.png" in similar_file(folder / "Images" / "NEW.png")
