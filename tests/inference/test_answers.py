"""From logits to what a user reads, for each kind of head."""

import numpy as np
import pandas as pd
import pytest

import keras_mm.inference.answers as module
from keras_mm.data.tables.row_parts import SkippedRows
from keras_mm.errors import Problem
from keras_mm.inference.answers import (
    answer_frame,
    label_cells,
    names_array,
    predictions,
    whole_frame,
    with_skipped,
    written_frame,
)
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

KIND = Head(classes=("no", "yes"))
TAGS = Head("multilabel", ("old", "red", 7), threshold=(0.25, 0.9, 0.6))
SIZE = Head("regression", ("height", "width"))


def logit(p):
    return np.log(p / (1 - np.asarray(p)))


def test_each_kind_answers():
    assert predictions(KIND, np.array([[0.0, 1.0], [1.0, 0.0]])).tolist() == ["yes", "no"]
    binary = Head("binary", (3, 4))
    assert predictions(binary, np.array([[-1.0], [1.0]])).tolist() == [3, 4]
    assert predictions(SIZE, np.array([[1.0, 2.0]])).tolist() == [[1.0, 2.0]]
    assert predictions(Head("regression"), np.array([[1.5], [2.0]])).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("threshold", "answers"),
    [((0.25, 0.9, 0.6), [1, 0, 1]), (0.5, [0, 1, 1]), (0, [1, 1, 1]), ({7: 0.7}, [0, 1, 0])],
)
def test_thresholds(threshold, answers):
    head = Head("multilabel", ("old", "red", 7), threshold=threshold)
    assert predictions(head, logit([[0.30, 0.80, 0.61]])).tolist() == [answers]


def test_labels_as_cells():
    assert label_cells(KIND, np.array([1, 0])).tolist() == ["yes", "no"]
    assert label_cells(KIND, np.array([1, -1])).tolist() == ["yes", None]
    cells = label_cells(TAGS, np.array([[1, 0, 1], [0, 0, 0], [-1, -1, -1]]))
    assert cells.tolist() == [["old", 7], [], None]


def test_names_of_two_kinds_keep_theirs():
    assert names_array([1, 2]).dtype.kind == "i"
    assert names_array(["a", 1]).tolist() == ["a", 1]


def test_a_table_of_one_head_and_of_several():
    logits = {"kind": np.zeros((2, 2)), "tags": np.zeros((2, 3)), "size": np.ones((2, 2))}
    labels = {
        "kind": np.array([1, -1]),
        "tags": np.array([[0, 1, 0], [1, 1, 1]]),
        "size": np.array([[2.0, np.nan], [3.0, 4.0]]),
    }
    heads = {"kind": KIND, "tags": TAGS, "size": SIZE}
    frame = answer_frame(heads, logits, [10, 11], labels)
    assert list(frame.index) == [10, 11]
    assert list(frame) == [
        "kind_label", "kind_prediction", "kind_probability_no", "kind_probability_yes",
        "tags_label", "tags_prediction", "tags_probability_old", "tags_probability_red",
        "tags_probability_7",
        "size_label_height", "size_label_width", "size_prediction_height", "size_prediction_width",
    ]  # fmt: skip
    assert frame["tags_label"].tolist() == [["red"], ["old", "red", 7]]
    assert frame["tags_prediction"].tolist() == [["old"], ["old"]]
    alone = answer_frame({"kind": KIND}, {"kind": logits["kind"]}, [10, 11])
    assert list(alone) == ["prediction", "probability_no", "probability_yes"]
    assert alone["prediction"].tolist() == ["no", "no"]


def test_files_of_many_classes_have_one_probability(monkeypatch):
    heads = {"kind": Head(classes=("a", "b", "c")), "tags": TAGS, "few": KIND, "size": SIZE}
    logits = {"kind": logit([[0.1, 0.2, 0.7]]), "tags": np.ones((1, 3)), "few": np.zeros((1, 2)),
              "size": np.ones((1, 2))}  # fmt: skip
    frame = answer_frame(heads, logits, pd.RangeIndex(1))
    assert written_frame(frame, heads) is frame
    monkeypatch.setattr(module, "MOST_COLUMNS", 2)
    found = written_frame(frame, heads)
    assert list(found) == [
        "kind_prediction", "kind_probability", "tags_prediction",
        "few_prediction", "few_probability_no", "few_probability_yes",
        "size_prediction_height", "size_prediction_width",
    ]  # fmt: skip
    assert found["kind_probability"].item() == frame["kind_probability_c"].item()
    assert "kind_probability_a" in frame
    some = frame[[name for name in frame if not name.startswith("tags_")]]
    assert "kind_probability" in written_frame(some, heads)


SKIPPED = SkippedRows(
    {
        0: [Problem("x", "text", "a.csv", "a text must be a string.")],
        2: [Problem("x", None, "a.csv", "the row is empty.")],
    },
    num_rows=4,
    _indexes=[pd.Index(["x", "x", "x"]), pd.Index(["z"])],
)


@pytest.mark.parametrize(
    ("values", "found", "dtype"),
    [
        (np.array(["yes", "no"]), [None, "yes", None, "no"], "object"),
        (np.array([3, 4]), [None, 3, None, 4], "object"),
        (np.array([True, False]), [None, True, None, False], "object"),
        (np.array(["a", 1], dtype=object), [None, "a", None, 1], "object"),
        (np.array([0.5, 1.5]), [np.nan, 0.5, np.nan, 1.5], "float64"),
        (np.float32([[1, 2], [3, 4]]), [[np.nan] * 2, [1, 2], [np.nan] * 2, [3, 4]], "float32"),
        (np.int8([[1, 0], [0, 1]]), [[np.nan] * 2, [1, 0], [np.nan] * 2, [0, 1]], "float64"),
    ],
)
def test_skipped_rows_have_missing_values(values, found, dtype):
    whole = with_skipped(values, SKIPPED)
    assert whole.dtype == dtype
    np.testing.assert_array_equal(whole, np.array(found, dtype=dtype))
    assert [type(value) for value in whole.tolist()] == [type(value) for value in found]
    assert with_skipped(values, None) is with_skipped(values, SkippedRows()) is values


def test_a_table_with_skipped_rows_has_their_errors():
    heads = {"kind": KIND, "tags": TAGS, "size": SIZE, "number": Head(classes=(3, 4))}
    logits = {"kind": np.eye(2), "tags": np.ones((2, 3)), "size": np.ones((2, 2))}
    frame = answer_frame(heads, {**logits, "number": np.eye(2)}, [7, 8])
    whole = whole_frame(frame, SKIPPED)
    assert whole.index.tolist() == ["x", "x", "x", "z"] and list(whole) == [*frame, "error"]
    assert whole["error"].tolist() == [
        "column 'text': a text must be a string.", None, "the row is empty.", None,
    ]  # fmt: skip
    assert whole["kind_prediction"].tolist() == [None, "no", None, "yes"]
    assert whole["number_prediction"].tolist() == [None, 3, None, 4]
    tags = frame["tags_prediction"].tolist()
    assert whole["tags_prediction"].tolist() == [None, tags[0], None, tags[1]]
    numbers = [name for name in whole if "probability" in name or name.startswith("size")]
    assert whole[numbers].dtypes.eq("float64").all()
    assert whole[numbers].isna().all(axis=1).tolist() == [True, False, True, False]
    pd.testing.assert_frame_equal(
        whole[[*frame]].iloc[[1, 3]].reset_index(drop=True).astype(frame.dtypes),
        frame.reset_index(drop=True),
    )
    nothing = whole_frame(frame, SkippedRows(num_rows=2, _indexes=[pd.RangeIndex(2)]))
    pd.testing.assert_frame_equal(nothing.drop(columns="error"), frame.reset_index(drop=True))
    assert nothing["error"].tolist() == [None, None]
