"""Rows: everything that is wrong is found, named with its place and its mend, and told at once."""

import io
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_mm.data.tables.load import load_table
from keras_mm.data.tables.rows import Problem, TableError, check_table, read_rows
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free


def encoded(kind="PNG", size=(7, 5), color=(10, 200, 30)):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


def chunk(name, content):
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def bomb():
    """A PNG of 40,000 x 40,000 pixels in a few bytes."""
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.fixture
def folder(tmp_path):
    """Images good and bad in `images/`, and a secret beside it."""
    images = tmp_path / "images"
    images.mkdir()
    (images / "good.png").write_bytes(encoded())
    (images / "cut.jpg").write_bytes(encoded("JPEG", (97, 89))[:600])
    (images / "empty.png").write_bytes(b"")
    (images / "text.png").write_text("no image")
    (images / "bomb.png").write_bytes(bomb())
    (images / "folder.png").mkdir()
    (tmp_path / "secret.png").write_bytes(encoded())
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    (images / "inner.png").symlink_to(images / "good.png")
    return images


def image_problem(cell, **options):
    """The one problem of a table with this image cell."""
    (problem,) = check_table(
        [{"image": cell, "text": "a"}], images=["image"], texts=["text"], **options
    )
    assert (problem.row, problem.column) == (0, "image")
    return problem.message


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("nowhere.png", "does not exist; correct the path, or leave the cell empty"),
        ("folder.png", "is a folder"),
        ("empty.png", "is empty"),
        ("text.png", "text.png"),
        ("cut.jpg", "cut.jpg"),
        ("bomb.png", "pixels"),
        ("http://a.b/c.png", "is a URL; download"),
        ("HTTPS://a.b/c.png", "is a URL; download"),
        ("s3://bucket/c.png", "is a URL; download"),
        ("a\0b.png", "a\\x00b.png"),
        ("a\ud800b.png", "a\\ud800b.png"),
        ("a" * 5000, "cannot be read"),
        (b"", "is empty"),
        (b"no image", "bytes"),
        ({"bytes": b"", "path": "good.png"}, "is empty"),
        ({"bytes": None, "path": "nowhere.png"}, "does not exist"),
        ({"url": "good.png"}, "a dict with `bytes` or `path`"),
        (7, "Received: int"),
        (["good.png"], "Received: list"),
        (np.zeros((5, 3, 2)), "array"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("confined", [False, True])
def test_bad_images(folder, monkeypatch, cell, words, confined):
    monkeypatch.chdir(folder)
    assert words in image_problem(cell, **({"image_dir": folder} if confined else {}))


def test_good_images(folder, tmp_path):
    cells = ["good.png", "sub/../good.png", "inner.png", encoded(), bytearray(encoded("JPEG")),
             {"bytes": encoded(), "path": "nowhere.png"}, {"bytes": None, "path": "good.png"},
             Image.new("L", (3, 5)), np.zeros((5, 3, 3), "uint8")]  # fmt: skip
    (folder / "sub").mkdir()
    rows = read_rows([{"image": cell} for cell in cells], images=["image"], image_dir=folder)
    assert rows.images[0][0] == str(folder / "good.png")
    assert rows.images[0][6] == str(folder / "good.png")
    assert rows.images[0][5] is cells[5]


def test_nothing_outside_image_dir_is_read(folder, tmp_path):
    (folder / "loop").symlink_to(folder / "loop")
    absolute = str(folder / "good.png")
    for cell in ("../secret.png", "link.png", "sub/../../secret.png", {"path": "../secret.png"}):
        assert "outside image_dir" in image_problem(cell, image_dir=folder)
    assert "symbolic link" in image_problem("link.png", image_dir=folder)
    assert "symbolic link" not in image_problem("../secret.png", image_dir=folder)
    for cell in (absolute, folder / "good.png", str(tmp_path / "secret.png")):
        assert "absolute" in image_problem(cell, image_dir=folder)
    assert "loop" in image_problem("loop/a.png", image_dir=folder)
    free = [
        {"image": cell} for cell in (absolute, folder / "link.png", folder / ".." / "secret.png")
    ]
    assert check_table(free, images=["image"]) == []


def test_a_file_s_folder_is_where_its_paths_start(folder, tmp_path):
    (tmp_path / "t.csv").write_text("image\nimages/good.png\nsecret.png\n")
    rows = read_rows(tmp_path / "t.csv", images="image")
    assert rows.images[0] == [str(folder / "good.png"), str(tmp_path / "secret.png")]
    table = load_table(tmp_path / "t.csv")[1:]
    assert read_rows(table, images="image").images[0] == [str(tmp_path / "secret.png")]


def test_all_problems_are_told_together(folder, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "image_1,image_2,text,label\n"
        "good.png,nowhere.png,fine,yes\n"
        "good.png,,fine,no\n"
        "cut.jpg,folder.png,,maybe\n"
        ",,,yes\n"
        "good.png,,,\n"
    )
    options = {"images": ["image_1", "image_2"], "texts": ["text"], "labels": "label",
               "classes": ["no", "yes"], "image_dir": folder}  # fmt: skip
    with pytest.raises(TableError) as error:
        read_rows(path, **options)
    places = [(problem.row, problem.column) for problem in error.value.problems]
    assert places == [(0, "image_2"), (2, "image_1"), (2, "image_2"), (2, "label"), (3, None),
                      (4, "label")]  # fmt: skip
    message = str(error.value)
    assert message.startswith("6 problems in the table:")
    assert (
        f"{path}, row 2, column 'label': unknown label 'maybe'. The classes are 'no', 'yes'"
        in message
    )
    assert f"{path}, row 3: the row is empty" in message
    assert "row 4, column 'label': the label is missing" in message
    assert 'on_error="skip"' in message
    assert check_table(path, **options) == error.value.problems


def test_skip_leaves_out_warns_and_lists():
    table = pd.DataFrame({"text": ["a", 7, "c", None], "label": [1, 2, 1, 1]}, index=[5, 5, 8, 9])
    with pytest.warns(
        UserWarning, match="2 of 4 rows left out: .*row 5, column 'text'.*row 9"
    ) as found:
        rows = read_rows(table, texts=["text"], labels="label", classes=[1, 2], on_error="skip")
    assert found[0].filename == __file__
    assert rows.texts == (["a", "c"],) and rows.labels["label"].tolist() == [0, 0]
    assert rows.numbers.tolist() == [5, 8] and len(rows) == rows.num_skipped == 2
    assert [(problem.row, problem.column) for problem in rows.skipped] == [(5, "text"), (9, None)]
    nothing = table[["label"]].rename(columns={"label": "text"})[:2]
    with pytest.raises(TableError, match="(?s)2 problems.*so no row is left. Fix some rows"):
        read_rows(nothing, texts=["text"], on_error="skip")


def test_skip_does_not_hide_a_wrong_column():
    with pytest.raises(TableError, match="Did you mean 'text_1'"):
        read_rows([{"text_1": "a"}], texts=["text1"], on_error="skip")


def test_misspelt_columns_are_all_named_with_the_nearest():
    table = [{"image_1": "a.png", "text_1": "b", "label": "c"}]
    problems = check_table(table, images=["img_1"], texts=["text1", "zzzzzz"], labels="lable")
    assert [problem.message for problem in problems] == [
        "no column 'img_1'. Did you mean 'image_1'?",
        "no column 'text1'. Did you mean 'text_1'?",
        "no column 'zzzzzz'. The columns are: image_1, text_1, label.",
        "no column 'lable'. Did you mean 'label'?",
    ]
    assert "Fix them and try again" in str(TableError(problems))


def test_a_column_that_stands_twice_is_refused():
    table = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    (problem,) = check_table(table, texts=["text"])
    assert problem.message == "2 columns are named 'text'. Rename all but one."


def test_one_column_may_be_a_string():
    assert read_rows([{"text": "a"}], texts="text").texts == (["a"],)


@pytest.mark.parametrize(
    "cell", [7, 1.5, True, b"bytes", ["a"], np.zeros(2), pd.Timestamp("2020-01-01")]
)
def test_texts_that_are_no_strings(cell):
    (problem,) = check_table([{"text": "a"}, {"text": cell}], texts=["text"])
    assert problem.row == 1 and type(cell).__name__ in problem.message
    assert "astype(str)" in problem.message


def test_lone_surrogates_and_long_cells():
    problems = check_table(
        [{"text": "a\ud800"}, {"text": b"x" * 10**6}, {"text": "🎉\0\u0378"}], texts=["text"]
    )
    assert [problem.row for problem in problems] == [0, 1, 2]
    assert [problem.severity for problem in problems] == ["error", "error", "warning"]
    assert "surrogate" in problems[0].message
    assert len(str(problems[1])) < 200


def test_empty_cells_are_missing_modalities():
    table = pd.DataFrame(
        {
            "image": [None, np.nan, "", {"bytes": None, "path": None}, encoded()],
            "text": pd.array(["a", "NA", "None", " ", None], dtype="string"),
        }
    )
    rows = read_rows(table, images=["image"], texts=["text"])
    assert [cell is None for cell in rows.images[0]] == [True, True, True, True, False]
    assert rows.texts[0] == ["a", "NA", "None", " ", None]
    assert rows.labels == {}


@pytest.mark.parametrize(
    ("labels", "classes", "positions"),
    [
        (pd.Series([1, 0]), [0, 1], [1, 0]),
        (pd.Series([1.0, 0.0]), [0, 1], [1, 0]),
        (pd.Series(["1", "0"]), [0, 1], [1, 0]),
        (pd.Series(["1", "0"], dtype="string"), [0, 1], [1, 0]),
        (pd.Series([True, False]), [False, True], [1, 0]),
        (pd.Series(["b", "a"], dtype="category"), np.array(["a", "b"]), [1, 0]),
        (pd.Series([1, 0], dtype="Int64"), np.array([0, 1]), [1, 0]),
    ],
)
def test_labels(labels, classes, positions):
    table = pd.DataFrame({"text": ["a", "b"], "label": labels})
    rows = read_rows(table, texts=["text"], labels="label", classes=classes)
    assert rows.labels["label"].tolist() == positions


LONG = "".join(f"{number:x}" for number in range(30_000))  # no part of it occurs twice


@pytest.mark.parametrize(
    ("cell", "labels", "options"),
    [
        (LONG, "image", {}),
        ([LONG], "image", {}),
        ({"path": LONG}, "image", {}),
        (f"http://{LONG}", "image", {}),
        (f"/{LONG}", "image", {"image_dir": "."}),
        (f"../{LONG}", "image", {"image_dir": "."}),
        (f"a/{LONG[:90]}/b.png", "image", {}),
        (f"data:image/png,{LONG}", "image", {}),
        (LONG.encode(), "image", {}),
        ([LONG], "text", {}),
        (LONG.encode(), "text", {}),
        (LONG, "label", {"classes": ["a", "b"]}),
        ("a", "label", {"classes": [f"{place}{LONG}" for place in range(3)]}),
        ([LONG], "label", {}),
        (LONG, Head("regression"), {}),
        (f"[{LONG}]", Head("multilabel", ["a", "b"]), {}),
        ([LONG], Head("multilabel", ["a", "b"]), {}),
        (LONG, Head("multilabel", column=["label", "text"]), {}),
    ],
    ids=range(18),
)
def test_no_message_quotes_more_than_80_characters_of_a_cell(cell, labels, options):
    row = {"image": "", "text": "1", "label": 0}
    columns = {"texts": ["text"]}
    if labels == "image":
        row, columns = {**row, "image": cell}, {"images": ["image"], "texts": ["text"]}
    elif labels == "text":
        row = {**row, "text": cell}
    else:
        row = {**row, "label": cell}
        columns["labels"] = {"label": labels} if isinstance(labels, Head) else labels
    problems = check_table([row], **columns, **options)
    assert problems
    for problem in problems:
        parts = (problem.message[at : at + 81] for at in range(len(problem.message)))
        assert not any(len(part) == 81 and part in LONG for part in parts)
        assert len(problem.message) < 700


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (Head("multilabel", ["a", "b"]), "write []"),
        (Head("multilabel", column=["label"]), "Write 0 for each"),
        (Head("multiclass", ["a", "b"]), "Fill it in"),
    ],
)
def test_an_empty_label_says_what_to_write(head, words, tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nx,\n")
    (problem,) = check_table(tmp_path / "t.csv", texts=["text"], labels={"label": head})
    assert problem.row == 0 and words in problem.message
    if "[]" in words:  # and this is read, from a file and from a frame
        (tmp_path / "t.csv").write_text("text,label\nx,[]\n")
        for table in (tmp_path / "t.csv", pd.DataFrame({"text": ["x"], "label": [[]]})):
            rows = read_rows(table, texts=["text"], labels={"label": head})
            assert rows.labels["label"].tolist() == [[0, 0]]


def test_float_labels_beside_nan():
    table = pd.DataFrame({"text": ["a", "b", "c"], "label": [2, None, 1]})
    (problem,) = check_table(table, texts=["text"], labels="label", classes=[1, 2])
    assert problem.row == 1 and "label is missing" in problem.message
    with pytest.warns(UserWarning, match="1 of 3"):
        rows = read_rows(table, texts="text", labels="label", classes=[1, 2], on_error="skip")
    assert rows.labels["label"].tolist() == [1, 0]


def test_without_classes_any_label_is_good_but_a_missing_one():
    table = [{"text": "a", "label": "new"}, {"text": "a", "label": ""}]
    assert [problem.row for problem in check_table(table, texts="text", labels="label")] == [1]


def test_many_problems_are_counted_not_printed():
    error = TableError([Problem(i, f"text_{i}", "<table>", "bad") for i in range(50)])
    assert str(error).count("bad") == 20 and "... and more (see `.problems`)" in str(error)
    assert len(error.problems) == 50


def test_of_many_problems_that_are_alike_three_are_shown():
    alike = [Problem(i, "text", "<table>", f"'{i}.png' has {i} pixels") for i in range(50)]
    other = Problem(2, "label", "<table>", "the cell is empty")
    lines = str(TableError([*alike[:3], other, *alike[3:]])).splitlines()
    assert lines[0] == "51 problems in the table:" and len(lines) == 7
    assert "row 2, column 'text'" in lines[3] and "'label'" in lines[4]
    assert lines[5].startswith("  - <table>, column 'text': 47 more like this, in the rows 3, 4, 5")
    assert lines[5].endswith("22, ...")
    missing = [Problem(None, None, "<table>", f"no column '{name}'") for name in "abcdef"]
    assert all(f"no column '{name}'" in str(TableError(missing)) for name in "abcdef")
    four = TableError(alike[:4])
    assert str(four).count("pixels") == 4 and "more" not in str(four)


def test_wrong_requests():
    with pytest.raises(ValueError, match="on_error='drop'"):
        read_rows([{"text": "a"}], texts="text", on_error="drop")
    with pytest.raises(ValueError, match="`classes` are required"):
        read_rows([{"text": "a", "label": "b"}], texts="text", labels="label")


def test_take():
    table = [{"text": f"t{i}", "image": encoded(color=(i, 0, 0)), "label": i % 2} for i in range(5)]
    rows = read_rows(table, images="image", texts="text", labels="label", classes=[0, 1])
    part = rows.take([3, 0])
    assert part.texts == (["t3", "t0"],) and part.labels["label"].tolist() == [1, 0]
    assert part.numbers.tolist() == [3, 0] and part.images[0] == [
        table[3]["image"],
        table[0]["image"],
    ]
    assert len(rows.take([])) == 0
