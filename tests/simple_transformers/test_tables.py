"""What users hand over, as tables. Loads no backend."""

import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from keras_mm.data.tables.load import load_table
from keras_mm.simple_transformers.args import MultiModalClassificationArgs
from keras_mm.simple_transformers.tables import (
    COLUMNS,
    image_table,
    images_to_predict,
    text_table,
    texts_to_predict,
)

pytestmark = pytest.mark.backend_free


def test_texts_and_pairs_by_their_names():
    single = pd.DataFrame({"id": [7], "labels": [1], "text": ["a"]})
    pair = pd.DataFrame({"text_b": ["b"], "text_a": ["a"], "labels": [1]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table, texts = text_table(single)
        assert texts == ("text",) and table["text"].tolist() == ["a"]
        assert text_table(pair)[1] == ("text_a", "text_b")


@pytest.mark.parametrize("rows", [[["a", 1], ["b", 0]], [("a", 1, 5), ("b", 0, 5)]])
def test_the_first_two_columns_with_a_warning(rows):
    for data in (pd.DataFrame(rows), rows):
        with pytest.warns(UserWarning, match="'text' and 'labels': 0 is used as the text"):
            table, texts = text_table(data)
        assert texts == ("text",)
        assert table["text"].tolist() == ["a", "b"] and table["labels"].tolist() == [1, 0]


def test_tables_of_other_libraries(tmp_path):
    frame = pl.DataFrame({"text": ["a", "b"], "images": ["a.png", None], "labels": [1, 0]})
    table, texts = text_table(frame)
    assert texts == ("text",) and table["text"].tolist() == ["a", "b"]
    table, folder = image_table(frame, MultiModalClassificationArgs(), image_path=tmp_path)
    assert table["labels"].tolist() == [1, 0] and folder == str(tmp_path)
    assert texts_to_predict(frame["text"], ("text",))["text"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="a list of texts.*polars"):
        texts_to_predict(frame, ("text",))


def test_numbers_are_read_as_text():
    table, _ = text_table(pd.DataFrame({"text": [7, 0.5, None], "labels": [1, 0, 1]}, dtype=object))
    assert table["text"].tolist()[:2] == ["7", "0.5"] and pd.isna(table["text"][2])


def test_a_path(tmp_path):
    (tmp_path / "a.csv").write_text("text,labels\nNA,1\n")
    table, _ = text_table(tmp_path / "a.csv")
    assert table["text"].tolist() == ["NA"]


def test_half_of_the_columns_is_an_error():
    with pytest.raises(ValueError, match=r"Received: \['text', 'answer'\]"):
        text_table(pd.DataFrame({"text": ["a"], "answer": [1]}))
    with pytest.raises(ValueError, match="a column of texts and one of labels"):
        text_table(pd.DataFrame({"a": ["a"]}))


@pytest.mark.parametrize("texts", [("text",), ("text_a", "text_b")])
def test_a_column_label_is_taken_for_labels(texts):
    given = pd.DataFrame({"label": [1, 0], **{name: ["a", "b"] for name in texts}})
    with pytest.warns(UserWarning, match="no column 'labels': 'label' is used"):
        table, found = text_table(given)
    assert found == texts and table["labels"].tolist() == [1, 0]
    assert table.attrs[COLUMNS] == {"labels": "label"}
    assert list(given) == ["label", *texts]


def test_what_is_predicted():
    assert texts_to_predict(["a", "b"], ("text",))["text"].tolist() == ["a", "b"]
    assert texts_to_predict(np.array(["a", "b"]), ("text",))["text"].tolist() == ["a", "b"]
    pairs = texts_to_predict([["a", "b"], ("c", "d")], ("text_a", "text_b"))
    assert pairs["text_b"].tolist() == ["b", "d"]
    for wrong in ("a text", "", None, 3, {"text": ["a"]}, {"a", "b"}, pd.DataFrame({"a": ["b"]})):
        with pytest.raises(ValueError, match="must be a list of texts"):
            texts_to_predict(wrong, ("text",))
    with pytest.raises(ValueError, match="texts, not empty"):
        texts_to_predict([], ("text",))
    with pytest.raises(ValueError, match=r"pairs of texts. Received: to_predict\[1\]='b'"):
        texts_to_predict([["a", "b"], "b"], ("text_a", "text_b"))
    with pytest.raises(ValueError, match="trained on texts"):
        texts_to_predict([["a", "b"]], ("text",))


@pytest.fixture
def folder(tmp_path):
    """Three rows: one that names its image, two whose image has their name."""
    rows = {
        "1": {"text": "one", "labels": "a", "images": "other"},
        "2": {"text": "two", "labels": "b"},
        "3": {"text": "three", "labels": "a"},
    }
    for name, row in rows.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(row))
        (tmp_path / f"{name}.jpeg").write_bytes(b"")
    (tmp_path / "2.bmp").write_bytes(b"")
    return tmp_path


def args(**values):
    return MultiModalClassificationArgs(**values)


def test_a_folder_of_files(folder):
    table, images = image_table(folder, args(image_type_extension=".jpeg"))
    assert images == str(folder) and table.index.tolist() == ["1.json", "2.json", "3.json"]
    assert table["images"].tolist() == ["other.jpeg", "2.jpeg", "3.jpeg"]
    assert table["text"].tolist() == ["one", "two", "three"]
    table, _ = image_table(f"{folder}/", args())
    assert table["images"].tolist() == ["other", "2.bmp", "3.jpeg"]


@pytest.mark.parametrize("extension", ["", ".json", "json"])
@pytest.mark.parametrize("names", [["3", "1"], ["3.json", "1"]])
@pytest.mark.parametrize("listed", [True, False])
def test_a_list_of_files(folder, tmp_path_factory, extension, names, listed):
    files = names
    if not listed:
        files = tmp_path_factory.mktemp("list") / "files.json"
        files.write_text(json.dumps(names))
    table, _ = image_table(folder, args(data_type_extension=extension), files_list=files)
    assert table["text"].tolist() == ["three", "one"]


def test_bad_lists_of_files(folder):
    for wrong in (folder / "nowhere.json", folder / "1.json", 7):
        with pytest.raises(ValueError, match="`files_list` must be a list"):
            image_table(folder, args(), files_list=wrong)
    (folder / "2.json").write_text("{")
    with pytest.raises(ValueError, match=r"Cannot read 2 files .*\n.*2.json.*\n.*5.json"):
        image_table(folder, args(), files_list=["1", "2", "5"])


def test_an_image_of_the_row_s_own_folder(folder):
    (folder / "sub").mkdir()
    for name in ("1", "2"):
        (folder / "sub" / f"{name}.json").write_text('{"text": "below", "labels": "a"}')
        (folder / "sub" / f"{name}.JPEG").write_bytes(b"")
    for extension in ("", ".jpeg"):
        table, _ = image_table(
            folder, args(image_type_extension=extension), files_list=["sub/2", "3"]
        )
        assert table["images"].tolist() == ["sub/2.JPEG", "3.jpeg"]


def test_there_is_no_such_folder(folder):
    with pytest.raises(ValueError, match="a path that exists"):
        image_table(folder / "elsewhere", args())


def test_a_frame_needs_the_folder_of_its_images():
    frame = pd.DataFrame({"text": ["a"], "labels": ["b"], "images": ["c"]})
    with pytest.raises(ValueError, match="`image_path` must be given"):
        image_table(frame, args())
    with pytest.raises(ValueError, match="only be used with a folder"):
        image_table(frame, args(), files_list=["a"], image_path=".")
    table, path = image_table(frame, args(image_type_extension="png"), image_path="there")
    assert path == "there" and table["images"].tolist() == ["c.png"]


@pytest.fixture
def others(tmp_path_factory):
    """Another folder, with the image `1.jpeg` too, and a table of it."""
    path = tmp_path_factory.mktemp("others")
    (path / "1.jpeg").write_bytes(b"")
    (path / "rows.csv").write_text("text,labels,images\none,a,1.jpeg\n")
    return path


def test_evaluation_rows_have_a_folder_of_their_own(folder, others):
    frame = pd.read_csv(others / "rows.csv")
    (others / "1.json").write_text('{"text": "one", "labels": "a"}')
    for data in (others, others / "rows.csv", load_table(frame, image_dir=others)):
        assert image_table(data, args(), beside=folder)[1] == str(others)
        assert image_table(data, args(), image_path=folder)[1] == str(folder)
    assert image_table(frame, args(), beside=folder)[1] == str(folder)
    # A folder without images is read beside those of the training rows.
    (others / "1.jpeg").unlink()
    (others / "1.json").write_text('{"text": "one", "labels": "a", "images": "1.jpeg"}')
    for data in (others, others / "rows.csv"):
        assert image_table(data, args(), beside=folder)[1] == str(folder)
    with pytest.raises(ValueError, match="`eval_image_path` must be given"):
        image_table(frame, args(), argument="eval_image_path")


@pytest.mark.parametrize("name", ["text", "labels", "images"])
def test_each_column_has_a_name_of_its_own(name):
    frame = pd.DataFrame({"text": ["a"], "labels": ["b"], "images": ["c"]}, index=[41])
    renamed = frame.rename(columns={name: "mine"})
    with pytest.raises(ValueError, match=f"Missing: '{name}'"):
        image_table(renamed, args(), image_path=".")
    table, _ = image_table(renamed, args(**{f"{name}_label": "mine"}), image_path=".")
    assert table[list(frame)].to_dict() == frame.to_dict()


def test_images_to_predict():
    given = {"text": ["a", "b"], "images": ["1", "2.png"]}
    table = images_to_predict(given, args(), image_type_extension=".png")
    assert table["images"].tolist() == ["1.png", "2.png"]
    assert given == {"text": ["a", "b"], "images": ["1", "2.png"]}
    frame = pd.DataFrame({**given, "author": ["x", "y"]}, index=[7, 9])
    pd.testing.assert_frame_equal(
        images_to_predict(frame, args(), image_type_extension=".png"), table.set_index(frame.index)
    )
    named = args(text_label="caption", images_label="file")
    for keys in (("caption", "file"), ("text", "images"), ("caption", "images")):
        table = images_to_predict(dict(zip(keys, (["a"], ["1"]), strict=True)), named)
        assert table[["text", "images"]].to_numpy().tolist() == [["a", "1"]]
    # The model's own columns are looked for first.
    both = {"caption": ["a"], "text": ["b"], "images": ["1"]}
    assert images_to_predict(both, named)["text"].tolist() == ["a"]
    with pytest.raises(ValueError, match=r"{'caption': .*} or {'text': \[...\], 'images': "):
        images_to_predict({"words": ["a"], "images": ["1"]}, named)
    for wrong, words in (
        ("a", "must be a dict of lists"),
        ({"text": ["a"]}, "must be a dict of lists"),
        ({"text": "a", "images": ["1"]}, r"to_predict\['text'\]` must be a list"),
        ({"text": ["a"], "images": []}, "1 texts and 0 images"),
        ({"text": [], "images": []}, "at least one"),
    ):
        with pytest.raises(ValueError, match=words):
            images_to_predict(wrong, args())
