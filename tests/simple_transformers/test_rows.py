"""Checked rows: all problems of a call at once, by the names that the user knows."""

import pandas as pd
import pytest
from PIL import Image

from keras_mm.data.tables.rows import Problem, TableError
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import MultiModalClassificationArgs
from keras_mm.simple_transformers.rows import checked_rows, named, with_images
from keras_mm.simple_transformers.tables import image_table, text_table

pytestmark = pytest.mark.backend_free

HEAD = Head("multiclass", ("a", "b"))


def texts(*cells, labels=None):
    table, _ = text_table(pd.DataFrame({"text": cells, "labels": labels or ["a"] * len(cells)}))
    return table


def test_an_empty_text_is_a_text():
    rows = checked_rows({"train_df": texts("", "one", " ")}, ["text"], head=HEAD)["train_df"]
    assert rows.texts == (["", "one", " "],) and rows.labels["label"].tolist() == [0, 0, 0]
    pair = pd.DataFrame({"text_a": ["", "", "a"], "text_b": ["", "b", None]})
    rows = checked_rows({"to_predict": pair}, ["text_a", "text_b"])["to_predict"]
    assert rows.texts == (["", "", "a"], ["", "b", None])


def test_a_missing_text_is_reported_once():
    with pytest.raises(
        TableError, match="row 1, column 'text': there is no text; write an empty"
    ) as told:
        checked_rows({"train_df": texts("a", None, float("nan"))}, ["text"], head=HEAD)
    assert [problem.row for problem in told.value.problems] == [1, 2]


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    return tmp_path


def images(folder, argument, **columns):
    args = MultiModalClassificationArgs(
        text_label="caption", labels_label="answer", images_label="file"
    )
    rows = {"caption": ["x"] * 3, "answer": ["a"] * 3, "file": ["good.png"] * 3, **columns}
    table, path = image_table(pd.DataFrame(rows, dtype=object), args, image_path=folder)
    return with_images(named(table, argument), path, "eval_image_path")


def test_all_tables_are_reported_at_once(folder):
    tables = {
        "train_data": images(folder, "train_data", file=["good.png", None, "bad.png"]),
        "eval_data": images(
            folder, "eval_data", answer=["a", "c", None], file=["../x", "good.png", "good.png"]
        ),
    }
    before = [Problem(1, "labels", "<eval_data>", "found before")]
    with pytest.raises(TableError) as told:
        checked_rows(tables, ["text"], images=True, head=HEAD, problems=before)
    places = [(p.file, p.row, p.column) for p in told.value.problems]
    assert places == [
        ("<train_data>", 1, "file"), ("<train_data>", 2, "file"), ("<eval_data>", 0, "file"),
        ("<eval_data>", 1, "answer"), ("<eval_data>", 2, "answer"),
    ]  # fmt: skip
    messages = [problem.message for problem in told.value.problems]
    assert "there is no image" in messages[0] and messages[3] == "found before"
    assert "is outside eval_image_path=" in messages[2]
    assert "try again" in str(told.value) and "on_error" not in str(told.value)


def test_a_file_keeps_its_name(tmp_path):
    (tmp_path / "rows.csv").write_text("sentence,answer\na,c\n")
    with pytest.warns(UserWarning, match="'sentence' is used as the text"):
        table, columns = text_table(tmp_path / "rows.csv")
    with pytest.raises(TableError, match="rows.csv, row 0, column 'answer': unknown label 'c'"):
        checked_rows({"train_df": named(table, "train_df")}, columns, head=HEAD)


def test_the_folder_of_images_must_be_there(tmp_path):
    with pytest.raises(NotADirectoryError, match="`image_path` must be a folder that exists"):
        with_images(texts("a"), str(tmp_path / "nowhere"))
