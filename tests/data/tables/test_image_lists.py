"""Cells of several images: lists, texts with `|`, arrays; each image has its slot."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_mm.data.tables.image_lists import list_images
from keras_mm.data.tables.load import has_images
from keras_mm.data.tables.rows import check_table, read_rows

pytestmark = pytest.mark.backend_free


@pytest.fixture
def folder(tmp_path):
    for name in "abc":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    return tmp_path


def png():
    file = io.BytesIO()
    Image.new("RGB", (7, 5)).save(file, "PNG")
    return file.getvalue()


PIXELS = np.zeros((5, 7, 3), "uint8")


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("a.png", ["a.png"]),
        (" a|b.png ", ["a", "b.png"]),
        ("a||b|", ["a", None, "b"]),
        ('["a", "", "b"]', ["a", None, "b"]),
        ("['a', 'b']", ["a", "b"]),
        ("[a", ["[a"]),
        ("", []),
        (None, []),
        (float("nan"), []),
        ([], []),
        ([None, "", float("nan")], []),
        (("a", None, b"x", None), ["a", None, b"x"]),
        (np.array(["a", "b"]), ["a", "b"]),
        ({"path": "a", "bytes": None}, [{"path": "a", "bytes": None}]),
        ([{"path": None, "bytes": None}, "a"], [None, "a"]),
    ],
)
def test_the_images_of_a_cell(cell, found):
    assert list_images(cell) == found


def test_arrays_are_one_image_or_a_stack_of_them():
    assert len(list_images(PIXELS)) == 1 == len(list_images(PIXELS[..., 0]))
    assert [image.shape for image in list_images(np.stack([PIXELS] * 3))] == [(5, 7, 3)] * 3


def test_slots_keep_the_order_and_the_others_are_missing(folder):
    table = pd.DataFrame(
        {
            "photos": ["a.png|b.png", "c.png", "", "|a.png", [png(), "c.png", PIXELS]],
            "cover": ["c.png", "", "a.png", "", "b.png"],
            "text": list("vwxyz"),
        }
    )
    rows = read_rows(table, images={"photos": 3, "cover": 1}, texts=["text"], image_dir=folder)
    names = [[None if c is None else str(c)[-5:] for c in slot] for slot in rows.images]
    assert names[0][:4] == ["a.png", "c.png", None, None] and rows.images[0][4] == png()
    assert names[1] == ["b.png", None, None, "a.png", "c.png"]
    assert names[2][:4] == [None] * 4 and rows.images[2][4] is PIXELS
    assert names[3] == ["c.png", None, "a.png", None, "b.png"]


def test_a_broken_image_is_named_by_its_place(folder):
    table = [{"photos": "a.png|bad.png|nowhere.png"}, {"photos": ["a.png", 7]}, {"photos": "a.png"}]
    problems = check_table(table, images={"photos": 3}, image_dir=folder)
    found = [(problem.row, problem.column, problem.message[:24]) for problem in problems]
    assert found == [
        (0, "photos", "image 2 of the cell: '/t"),
        (0, "photos", "image 3 of the cell: '/t"),
        (1, "photos", "image 2 of the cell: an "),
    ]


def test_more_images_than_slots(folder):
    table = [{"photos": "a.png|b.png|c.png"}, {"photos": "a.png|b.png"}]
    (problem,) = check_table(table, images={"photos": 2}, image_dir=folder)
    assert problem.row == 0 and "holds 3 images, and at most 2" in problem.message
    assert "images={'photos': 3}" in problem.message
    with pytest.warns(UserWarning, match="1 of 2 rows left out"):
        rows = read_rows(table, images={"photos": 2}, image_dir=folder, on_error="skip")
    assert len(rows) == 1 and [len(slot) for slot in rows.images] == [1, 1]


def test_a_column_of_one_image_says_how_to_read_several(folder):
    table = [{"photos": "a.png|b.png"}, {"photos": ["a.png", "b.png"]}]
    problems = check_table(table, images=["photos"], image_dir=folder)
    assert all("images={'photos': 2}" in problem.message for problem in problems)
    assert "does not exist" in problems[0].message and "Received: list" in problems[1].message


def test_no_image_at_all_is_an_empty_row():
    table = [{"photos": [], "text": None}, {"photos": [], "text": "a"}]
    (problem,) = check_table(table, images={"photos": 2}, texts=["text"])
    assert problem.row == 0 and "the row is empty" in problem.message


def test_the_folder_of_a_table_is_found_by_the_images_of_its_lists(folder):
    for cell in ("x.png|a.png", ["x.png", "a.png"]):
        table = pd.DataFrame({"photos": [cell]})
        assert has_images(table, {"photos": 2}, folder)
        assert not has_images(table, {"photos": 2}, folder / "nowhere")
