"""Tables from every source: nothing is guessed at, and a bad file says which and where."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import (
    guess_columns,
    load_table,
    read_folder,
    table_name,
    table_parts,
)
from keras_mm.data.tables.rows import check_table

pytestmark = pytest.mark.backend_free


@pytest.fixture
def write(tmp_path):
    def write_file(name, text, encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write_file


def test_csv_cells_stay_strings_and_only_the_empty_one_is_missing(write):
    words = ["NA", "None", "null", "nan", "N/A", "-", " ", "TRUE", "007", "1.50", "1e5"]
    path = write("t.csv", "id,text\n" + "".join(f"{i:03},{word}\n" for i, word in enumerate(words)))
    table = load_table(path)
    assert table["text"].tolist() == words
    assert table["id"].tolist() == [f"{i:03}" for i in range(len(words))]
    empty = load_table(write("e.csv", 'a,b\n"",x\n,y\nz,\n'))
    assert empty["a"].map(is_missing).tolist() == [True, True, False]
    assert empty["b"].map(is_missing).tolist() == [False, False, True]


def test_csv_with_bom_quoted_newlines_and_separators(write):
    text = 'text,label\n"two\nlines, ""quoted""",yes\r\nnaïve 🎉,no\n'
    for encoding in ("utf-8", "utf-8-sig"):
        table = load_table(write("t.csv", text, encoding))
        assert list(table.columns) == ["text", "label"]
        assert table["text"].tolist() == ['two\nlines, "quoted"', "naïve 🎉"]
    tabs = load_table(write("t.tsv", "text\tlabel\na, b\tyes\n"))
    assert tabs.to_dict("list") == {"text": ["a, b"], "label": ["yes"]}


def test_csv_keeps_its_first_column_and_refuses_cells_beyond_the_header(write):
    trailing = load_table(write("t.csv", "a,b\n1,2,\n3,4,\n"))
    assert trailing.to_dict("list") == {"a": ["1", "3"], "b": ["2", "4"]}
    for rows in ("1,2,3\n4,5,6\n", "1,2\n3,4,5\n"):
        with pytest.raises(ValueError, match="t.csv"):
            load_table(write("t.csv", "a,b\n" + rows))


def test_source_image_dir_and_row_numbers_come_with_the_table(write, tmp_path):
    path = write("t.csv", "text\na\nb\nc\n")
    table = load_table(path)
    assert table_name(table) == str(path)
    assert table.attrs["keras_mm"] == {"source": str(path), "image_dir": str(tmp_path)}
    for part in (table[1:], table[table["text"] != "a"], table.sample(2, random_state=0)):
        again = load_table(part)
        assert again.attrs["keras_mm"] == table.attrs["keras_mm"]
        assert [table["text"][i] for i in again.index] == again["text"].tolist()
    confined = load_table(table, image_dir=tmp_path)
    assert confined.attrs["keras_mm"]["confined"] is True
    assert "confined" not in table.attrs["keras_mm"]
    assert table_name(load_table({"a": 1})) == "<table>"


def test_parquet_with_paths_bytes_and_hugging_face_structs(tmp_path):
    images = [{"bytes": b"ab", "path": None}, None, {"bytes": None, "path": "x.png"}]
    source = pd.DataFrame(
        {
            "path": ["a.png", None, "b.png"],
            "raw": [b"1", None, b""],
            "image": images,
            "n": [1, 2, 3],
        }
    )
    source.to_parquet(tmp_path / "t.parquet")
    table = load_table(tmp_path / "t.parquet")
    assert table["image"].tolist() == images
    assert table["raw"][0] == b"1" and table["raw"][2] == b""
    assert table["path"].map(is_missing).tolist() == [False, True, False]
    assert table["raw"].map(is_missing).tolist() == [False, True, False]
    assert table["image"].map(is_missing).tolist() == [False, True, False]
    assert table["n"].tolist() == [1, 2, 3]


def test_json_lines(write):
    rows = '{"text": "NA", "n": 1}\n\n{"text": null, "n": 2}\r\n{"n": 3, "more": [1]}\n'
    table = load_table(write("t.jsonl", rows, "utf-8-sig"))
    assert table["n"].tolist() == [1, 2, 3]
    assert [is_missing(text) for text in table["text"]] == [False, True, True]
    separators = "line\u2028separator\x85next\x0cform"
    table = load_table(write("t.ndjson", f'{{"text": "{separators}"}}'.replace("\x0c", "\\f")))
    assert table["text"].tolist() == [separators]


@pytest.mark.parametrize(
    "bad", ['{"a": 1', "nothing", "[1, 2]", '"text"', '{"a": ' + "9" * 5000 + "}"]
)
def test_json_lines_names_the_bad_line(write, bad):
    path = write("t.jsonl", f'{{"a": 1}}\n\n{bad}\n')
    with pytest.raises(ValueError, match="line 3") as error:
        load_table(path)
    assert str(path) in str(error.value)


def test_dataframes_are_taken_as_they_are():
    source = pd.DataFrame(
        {
            "text": pd.array(["NA", None, "b"], dtype="string"),
            "label": pd.Categorical(["yes", "no", "yes"]),
        },
        index=[7, 7, 9],
    )
    table = load_table(source)
    pd.testing.assert_frame_equal(table, source)
    assert "keras_mm" not in source.attrs
    table["text"] = "changed"
    assert source["text"].tolist()[0] == "NA"


def test_dicts_keep_their_values():
    image, array = Image.new("RGB", (3, 5)), np.zeros((5, 3, 3), "uint8")
    rows = [
        {"n": 1, "image": image, "array": array},
        {"n": None, "image": image, "array": array},
        {"extra": "007", "image": {"bytes": b"a", "path": None}},
    ]
    table = load_table(rows)
    assert list(table.columns) == ["n", "image", "array", "extra"]
    assert table["n"].tolist() == [1, None, None] and isinstance(table["n"][0], int)
    assert table["image"][0] is image and table["array"][1] is array
    assert table["extra"].tolist() == [None, None, "007"]
    assert len(load_table({"text": "one row"})) == 1
    assert len(load_table(tuple(rows))) == 3
    assert len(load_table([{}])) == 1


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("nowhere.csv", FileNotFoundError, "No such table: 'nowhere.csv'"),
        ([], ValueError, "has no rows"),
        (pd.DataFrame({"a": []}), ValueError, "has no rows"),
        (7, ValueError, "Received: int"),
        ([{"a": 1}, "b"], ValueError, "must have a dict for each row"),
        (b"t.csv", ValueError, "Received: bytes"),
    ],
)
def test_what_is_no_table(source, kind, words):
    with pytest.raises(kind, match=words):
        load_table(source)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "", "is empty"),
        ("t.csv", "a,b\n", "has no rows"),
        ("t.csv", 'a,b\n"open,2\n', "Cannot read"),
        ("t.jsonl", "\n\n", "has no rows"),
        ("t.parquet", "no parquet", "Cannot read"),
        ("t.parquet", "", "Cannot read"),
        ("t.xlsx", "x", "ends in one of .csv, .tsv"),
        ("t", "x", "ends in one of .csv, .tsv"),
    ],
)
def test_files_that_hold_no_table(write, name, content, words):
    path = write(name, content)
    with pytest.raises(ValueError, match=words) as error:
        load_table(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_refused_with_the_mend(write, name, encoding):
    with pytest.raises(ValueError, match="Save it as UTF-8"):
        load_table(write(name, '{"text": "é"}\n', encoding))


@pytest.fixture
def folder(tmp_path):
    for name, cells in (
        ("b", {"text": "NA", "label": ["x", "y"]}),
        ("a", {"text": "one", "images": "other.png", "label": 1}),
        ("c", {"text": None, "images": ""}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(cells), encoding="utf-8-sig")
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "other.png")
    return tmp_path


def test_a_folder_of_json_files_and_images(folder):
    table = load_table(folder)
    assert list(table.index) == ["a.json", "b.json", "c.json"]
    assert table["text"].tolist() == ["one", "NA", None]
    assert table["label"].tolist() == [1, ["x", "y"], None]
    # The image that is named, else the one of the same name beside it.
    assert table["images"].tolist() == ["other.png", None, "c.png"]
    assert table["image"].tolist() == [None, "b.png", None]
    assert table.attrs["keras_mm"]["image_dir"] == str(folder)
    one = read_folder(folder, ["c.json", "b.json"], images="images")
    assert one["images"].tolist() == ["c.png", "b.png"] and list(one.index) == ["c.json", "b.json"]


def test_rows_of_a_folder_are_told_by_their_file(folder):
    (folder / "b.png").write_bytes(b"no image")
    (problem,) = check_table(folder, images=["images", "image"], texts=["text"])
    assert problem.row == "b.json" and problem.column == "image"


def test_all_broken_files_of_a_folder_are_named(folder):
    (folder / "a.json").write_text("{")
    (folder / "d.json").write_text("[1]")
    with pytest.raises(ValueError, match="2 files") as error:
        load_table(folder)
    assert "a.json: Expecting" in str(error.value)
    assert "d.json: it must be a JSON object. Received: list" in str(error.value)
    with pytest.raises(ValueError, match="e.json: No such file"):
        read_folder(folder, ["b.json", "e.json"])


def test_a_folder_and_a_missing_image_dir(tmp_path):
    with pytest.raises(ValueError, match="has no .json file"):
        load_table(tmp_path)
    with pytest.raises(NotADirectoryError, match="image_dir='nowhere'"):
        load_table({"a": 1}, image_dir="nowhere")


@pytest.mark.parametrize(
    ("columns", "images", "texts"),
    [
        (
            ["id_1", "text_1", "image_1", "id_2", "text_2", "image_2", "label"],
            ("image_1", "image_2"),
            ("text_1", "text_2"),
        ),
        (["text_1", "image_1", "image_1_path", "label_idx"], ("image_1_path",), ("text_1",)),
        (["photo", "caption", "label"], ("photo",), ("caption",)),
        (["premise", "hypothesis", "gold"], (), ("premise", "hypothesis")),
        (["Image", "question", "answer"], ("Image",), ("question",)),
        (["sentence1", "sentence2"], (), ("sentence1", "sentence2")),
        (["text_a", "text_b"], (), ("text_a", "text_b")),
        (["context", "texture", "imagery", "image_id", "text_length"], (), ()),
        ([0, 1], (), ()),
    ],
)
def test_guess_columns(columns, images, texts):
    assert guess_columns(pd.DataFrame([range(len(columns))], columns=columns)) == (images, texts)


def test_the_official_files_of_the_example(shared):
    table = load_table(shared / "data" / "entailment" / "val_df.csv")
    assert guess_columns(table)[1] == ("text_1", "text_2")
    assert set(table["label"]) == {"Contradictory", "Implies", "NoEntailment"}
    assert all(isinstance(value, str) and len(value) == 19 for value in table["id_1"])


def test_parts_are_the_table(tmp_path):
    rows = [
        {"text": f"row {i}", "id": f"00{i}", "label": "NA" if i % 2 else None} for i in range(7)
    ]
    file = tmp_path / "table.csv"
    load_table(rows).to_csv(file, index=False)
    for source in (file, rows, load_table(file)):
        whole = load_table(source)
        parts = list(table_parts(source, 3))
        assert [len(part) for part in parts] == [3, 3, 1]
        pd.testing.assert_frame_equal(pd.concat(parts), whole)
        assert all(part.attrs == whole.attrs for part in parts)


@pytest.mark.parametrize("index", [np.arange(7) * 1000.5, np.arange(7.0), list("gfedcba")])
def test_parts_are_by_position(index):
    table = pd.DataFrame({"text": [f"row {i}" for i in range(7)]}, index=index)
    parts = list(table_parts(table, 3))
    pd.testing.assert_frame_equal(pd.concat(parts), load_table(table))


def test_parts_of_what_is_no_table(tmp_path):
    header = tmp_path / "header.csv"
    header.write_text("text,label\n")
    with pytest.raises(ValueError, match="has no rows"):
        list(table_parts(header, 3))
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        list(table_parts(empty, 3))
    wide = tmp_path / "wide.csv"
    wide.write_text("text,label\na,b\nc,d\ne,f,g\n")
    with pytest.raises(ValueError, match="wide.csv"):
        list(table_parts(wide, 1))
    with pytest.raises(NotADirectoryError, match="image_dir"):
        list(table_parts(wide, 1, image_dir=tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="nothing.csv"):
        list(table_parts(tmp_path / "nothing.csv", 1))
