"""Label columns of every kind: names, lists, multi-hot, columns of 0 and 1, numbers."""

import numpy as np
import pandas as pd
import pytest

from keras_mm.data.dataset import MultimodalDataset
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.load import load_table
from keras_mm.data.tables.rows import TableError, check_table, read_rows
from keras_mm.data.tables.targets import as_targets, encode_target, with_classes
from keras_mm.models.multimodal import create_multimodal_model
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.settings.heads import Head
from keras_mm.training.trainer import Trainer

COLOURS = ("blue", "green", "red")


def encode(cells, head, column="y"):
    table = pd.DataFrame({column: pd.Series(cells, dtype=object)})
    return encode_target(table, as_targets({column: head})[column])


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("red", [0, 0, 1]),
        ("red|blue", [1, 0, 1]),
        (" red | blue ", [1, 0, 1]),
        (["green"], [0, 1, 0]),
        (("red", "green"), [0, 1, 1]),
        ({"blue"}, [1, 0, 0]),
        (np.array(["blue", "red"]), [1, 0, 1]),
        ('["red", "green"]', [0, 1, 1]),
        ([], [0, 0, 0]),
        ("[]", [0, 0, 0]),
        ([1, 0, 1], [1, 0, 1]),
        ([0, 0, 0], [0, 0, 0]),
        ([True, False, False], [1, 0, 0]),
        ([1.0, 0.0, 0.0], [1, 0, 0]),
        (np.array([0, 1, 0]), [0, 1, 0]),
        ("[0, 1, 1]", [0, 1, 1]),
        ("['red', 'blue']", [1, 0, 1]),  # as pandas writes a list into a CSV
        ("('green',)", [0, 1, 0]),
        ("{'red'}", [0, 0, 1]),
        ("1|0|1", [1, 0, 1]),
        ('["0", "1", "0"]', [0, 1, 0]),
        (None, [-1, -1, -1]),
        ("", [-1, -1, -1]),
        (float("nan"), [-1, -1, -1]),
    ],
)
def test_several_labels(cell, expected):
    found = encode([cell], Head("multilabel", classes=COLOURS))
    assert found.problems == [] and found.labels.tolist() == [expected]
    assert found.missing == ([0] if expected[0] < 0 else [])


def test_a_name_may_hold_a_bracket():
    names = ("[draft", "final")
    assert encode(["[draft|final"], Head("multilabel", classes=names)).labels.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("read", "unknown label 'read'. The classes are 'blue', 'green', 'red'"),
        ("red|", "unknown label ''"),
        (["red", None], "each label must be a string, a number or a bool"),
        ([["red"]], "each label must be a string, a number or a bool"),
        ([1, 0], "0 or 1 for each of 3 labels. Received: 2"),
        ([1, 0, 2], "unknown label 1"),
        (7, "unknown label 7"),
        ("[1 0 1]", "write a list of labels as"),
        ("{red}", "write a list of labels as"),
        ("1|0", "0 or 1 for each of 3 labels. Received: 2"),
        ([{"a": 1}], "each label must be a string, a number or a bool"),
    ],
)
def test_bad_lists(cell, words):
    found = encode(["red", cell], Head("multilabel", classes=COLOURS))
    ((position, column, message),) = found.problems
    assert (position, column) == (1, "y") and words in message
    assert found.labels.tolist() == [[0, 0, 1], [-1, -1, -1]]


def test_zeros_and_ones_are_multi_hot_however_they_are_written(tmp_path):
    """A CSV is all text: what was a list of numbers, or a number, is read as before."""
    table = pd.DataFrame(
        {"text": ["a", "b", "c"], "hot": [[1, 0], [0, 1], [1, 1]], "piped": ["1|0", "0|1", "1|1"],
         "one": [1, 0, 1], "named": [["x", "y"], [], ["y"]]}
    )  # fmt: skip
    table.to_csv(tmp_path / "t.csv", index=False)
    heads = {
        "hot": Head("multilabel"),
        "piped": Head("multilabel"),
        "one": Head("multilabel"),
        "flag": Head("multilabel", column=["one"]),
        "named": Head("multilabel"),
    }
    for source in (table, tmp_path / "t.csv"):
        found = with_classes(heads, load_table(source))
        classes = {name: head.classes for name, head in found.items()}
        assert classes == {"hot": (0, 1), "piped": (0, 1), "one": (0,), "flag": ("one",),
                           "named": ("x", "y")}  # fmt: skip
        labels = read_rows(source, texts="text", labels=found).labels
        assert labels["hot"].tolist() == labels["piped"].tolist() == [[1, 0], [0, 1], [1, 1]]
        assert labels["one"].tolist() == labels["flag"].tolist() == [[1], [0], [1]]
        assert labels["named"].tolist() == [[1, 1], [0, 0], [0, 1]]


def test_of_labels_called_0_and_1_no_list_is_guessed_at():
    table = pd.DataFrame({"text": ["a", "b"], "y": [[0, 1], [1]]})
    heads = with_classes({"y": Head("multilabel")}, table)
    (problem,) = check_table(table, texts="text", labels=heads)
    assert problem.row == 1 and "0 or 1 for each of 2 labels" in problem.message


def test_numbers_in_one_column_of_several_targets_are_refused():
    with pytest.raises(ValueError, match="'size' need a column each"):
        as_targets({"size": Head("regression", classes=("x", "y"))})


def test_labels_in_columns_of_their_own():
    table = pd.DataFrame({"a": ["0", "1", "", "true", 1.0], "b": [1, 0, None, True, "perhaps"]})
    found = encode_target(table, as_targets({"y": Head("multilabel", column=["a", "b"])})["y"])
    assert found.labels.tolist() == [[0, 1], [1, 0], [-1, -1], [1, 1], [-1, -1]]
    assert found.missing == [2]
    ((position, column, message),) = found.problems
    assert (position, column) == (4, "b") and "'perhaps'" in message


@pytest.mark.parametrize("cell", ["2.5", 2.5, np.float32(2.5), " 2.5 "])
def test_numbers(cell):
    found = encode([cell, None, -3], Head("regression"))
    assert found.labels.dtype == "float64" and found.missing == [1]
    np.testing.assert_array_equal(found.labels, [[2.5], [np.nan], [-3]])


@pytest.mark.parametrize("cell", ["many", "inf", "nan", True, [1.0], 1e39, b"1"])
def test_bad_numbers(cell):
    ((position, _, message),) = encode([1, cell], Head("regression")).problems
    assert position == 1 and "must be a finite number" in message and repr(cell) in message


def test_classes_are_found():
    table = pd.DataFrame(
        {"tags": ["red|old", "[]", None], "hot": [[0, 1], [1, 1], None], "mood": ["b", "a", "b"],
         "x": [1.0, 2, 3], "y": [0, 1, 1]}
    )  # fmt: skip
    heads = {
        "tags": Head("multilabel"),
        "hot": Head("multilabel"),
        "mood": Head(),
        "own": Head(column="mood", classes=("b", "a", "c")),
        "size": Head("regression", column=("x", "y")),
        "flags": Head("multilabel", column=("x", "y")),
        "absent": Head(),
    }
    found = with_classes(heads, table)
    assert {name: head.classes for name, head in found.items()} == {
        "tags": ("old", "red"),
        "hot": (0, 1),
        "mood": ("a", "b"),
        "own": ("b", "a", "c"),
        "size": ("x", "y"),
        "flags": ("x", "y"),
        "absent": None,
    }
    with pytest.raises(ValueError, match="one class only"):
        with_classes({"mood": Head()}, table[:1])


HEADS = {
    "mood": Head(classes=("bad", "good")),
    "tags": Head("multilabel", classes=COLOURS),
    "stars": Head("regression", column="rating"),
}
TABLE = [
    {"text": "a b", "mood": "good", "tags": "red", "rating": "4"},
    {"text": "c", "mood": None, "tags": "[]", "rating": "1.5"},
    {"text": "d e f", "mood": "bad", "tags": None, "rating": None},
]


def test_a_row_may_lack_labels_of_some_heads():
    rows = read_rows(TABLE, texts="text", labels=HEADS)
    assert rows.labels["mood"].tolist() == [1, -1, 0]
    assert rows.labels["tags"].tolist() == [[0, 0, 1], [0, 0, 0], [-1, -1, -1]]
    np.testing.assert_array_equal(rows.labels["stars"], [[4], [1.5], [np.nan]])
    part = rows.take([2, 0])
    assert part.labels["mood"].tolist() == [0, 1] and len(part.labels["tags"]) == 2


def test_problems_of_all_heads_are_told_together():
    bad = [*TABLE, {"text": "g", "mood": "so-so", "tags": "pink", "rating": "five"}, {"text": "h"}]
    problems = check_table(bad, texts="text", labels=HEADS)
    assert [(p.row, p.column) for p in problems] == [
        (3, "mood"),
        (3, "tags"),
        (3, "rating"),
        (4, None),
    ]
    assert "all labels are missing ('mood', 'tags', 'rating')" in problems[-1].message
    with pytest.warns(UserWarning, match="2 of 5"):
        rows = read_rows(bad, texts="text", labels=HEADS, on_error="skip")
    assert len(rows) == 3 and len(rows.labels["stars"]) == 3


def test_one_head_needs_its_label():
    one = {"tags": HEADS["tags"]}
    (problem,) = check_table(TABLE, texts="text", labels=one)
    assert (problem.row, problem.column) == (2, "tags") and "label is missing" in problem.message
    rows = read_rows(TABLE[:2], texts="text", labels=one)
    assert rows.labels["tags"].tolist() == [[0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a", "b"], "a dict of name to keras_mm.Head"),
        ({"a": "b"}, "a dict of name to keras_mm.Head"),
        ({"a": Head(column=["x", "y"])}, "must have one column"),
        ({"a": Head("multilabel", column="mood")}, "`classes` are required"),
    ],
)
def test_wrong_requests(labels, words):
    with pytest.raises(ValueError, match=words):
        read_rows(TABLE, texts="text", labels=labels)


def test_absent_columns_are_told_together():
    heads = {"mood": Head(column="moood"), "stars": HEADS["stars"]}
    with pytest.raises(TableError, match=r"'moood'(.|\n)*Did you mean 'mood'"):
        MultimodalDataset(TABLE, preprocessor(), texts="text", labels=heads)


def preprocessor():
    return Preprocessor(tokenizer="tiny_bert", sequence_length=8, num_texts=1)


@pytest.mark.slow
@pytest.mark.backend_free  # each backend trains heads of all kinds in `test_heads.py`
def test_from_a_table_to_a_trained_model():
    """The way of a user of the builders: dataset, model and trainer from the same heads."""
    words = {"red": (1, 4.0), "blue": (0, -2.0)}
    table = [
        {"text": f"{word} {other}", "mood": ("bad", "good")[good], "tags": f"{word}|{other}",
         "rating": stars}
        for word, (good, stars) in words.items()
        for other in ("old", "new", "odd") * 8
    ]  # fmt: skip
    table[5]["mood"] = table[7]["rating"] = None
    wanted = {"mood": Head(), "tags": Head("multilabel"), "stars": HEADS["stars"]}
    data = MultimodalDataset(table, preprocessor(), texts="text", labels=wanted, batch_size=16)
    assert data.classes == {"mood": ["bad", "good"], "tags": ["blue", "new", "odd", "old", "red"],
                            "stars": ["rating"]}  # fmt: skip
    validation = MultimodalDataset(
        table[::-2], preprocessor(), texts="text", labels=data.heads, shuffle=False
    )
    text = create_text_encoder("tiny_bert", weights="random", sequence_length=8, trainable=True)
    model = create_multimodal_model(None, text, data.heads)
    rates = {"learning_rate": 1e-2, "encoder_learning_rate": 1e-3, "warmup": 0.1}
    trainer = Trainer(model, heads=data.heads, epochs=50, patience=50, **rates, verbose=0)
    history = trainer.fit(data, validation)
    assert history["val_mood_accuracy"][-1] == 1
    assert history["val_tags_micro_f1"][-1] > 0.9 and history["val_stars_r2"][-1] > 0.8


# --- one form a column ----------------------------------------------------------------------------

HOT = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]]


def hot_table(*cells, rows=HOT):
    cells = [*rows, *cells]
    return pd.DataFrame({"text": ["a"] * len(cells), "y": pd.Series(cells, dtype=object)})


@pytest.mark.parametrize(
    "cell",
    [[2, 0, 0], [1, 2], 1, "1", 1.0, True, [1, 0], [1, 0, 0, 0], [0.9, 0.1, 0], [1, None, 0], [],
     [1, float("nan"), 0], "[2, 0, 0]", "2|0|0", "1|0", "red", ["red"], [[1, 0, 0]], {0, 1}, "[]",
     np.array([2, 0, 0]), np.array([[1, 0, 0]]), "100", "1,0,0", "1 0 0", "[1 0 0]", {"a": 1}],
)  # fmt: skip
def test_what_does_not_fit_a_multi_hot_column_is_refused_with_its_row(cell):
    table = hot_table(cell)
    (head,) = with_classes({"y": Head("multilabel")}, table).values()
    assert (head.classes, head.multi_hot) == ((0, 1, 2), True)
    # A table alone, without classes, and a table of nothing else.
    for rows, one in ((table, head), (table, Head("multilabel")), (hot_table(cell, rows=[]), head)):
        (problem,) = check_table(rows, texts="text", labels={"y": one})
        assert (problem.row, problem.column) == (len(rows) - 1, "y")
    named = Head("multilabel", classes=COLOURS)
    (problem,) = check_table(table, texts="text", labels=with_classes({"y": named}, table))
    assert problem.row == 4


@pytest.mark.parametrize(
    "cell",
    [(1, 0, 1), [True, False, True], [1.0, 0.0, 1.0], ["1", "0", "1"], "[1, 0, 1]", "1|0|1",
     np.array([1, 0, 1], "int8"), np.array([True, False, True]), np.array(["1", "0", "1"]),
     pd.Series([1, 0, 1]), "[true, false, true]", "[True, False, True]", "(1.0, 0.0, 1.0)",
     '["1.0", "0.0", "1.0"]', ["True", "False", "True"]],
)  # fmt: skip
def test_zeros_and_ones_of_every_type_fit(cell):
    table = hot_table(cell)
    heads = with_classes({"y": Head("multilabel")}, table)
    rows = read_rows(table, texts="text", labels=heads)
    assert rows.labels["y"].tolist() == [*HOT, [1, 0, 1]]


def test_other_tables_are_of_the_training_table_s_form():
    """Labels called 0, 1 and 2 look like places: the head knows which they are."""
    names = pd.DataFrame({"text": ["a"] * 4, "y": [[0, 2], [1], [2, 1], [0]]})
    hot, named = (with_classes({"y": Head("multilabel")}, t)["y"] for t in (hot_table(), names))
    assert hot.classes == named.classes == (0, 1, 2)
    assert (hot.multi_hot, named.multi_hot) == (True, False)
    labels = read_rows(names, texts="text", labels={"y": named}).labels["y"]
    assert labels.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert [p.row for p in check_table(names, texts="text", labels={"y": hot})] == [0, 1, 2, 3]
    # [0, 0, 0] names no label thrice, [1, 1, 0] ...; a list of names holds each once
    problems = check_table(hot_table(), texts="text", labels={"y": named})
    assert [p.row for p in problems] == [0, 1, 2, 3] and "number may occur only once" in str(
        problems[0]
    )
    one = read_rows([{"text": "a", "y": [1, 0]}], texts="text", labels={"y": named}).labels["y"]
    assert one[0].tolist() == [1, 1, 0]


@pytest.mark.parametrize("classes", [(0, 1, 2), 3, ("0", "1", "2"), (2, 1, 0)])
def test_classes_that_are_places_are_multi_hot_or_names_as_the_table_is(classes):
    head = Head("multilabel", classes=classes)
    for table, form in ((hot_table(), True), (hot_table(rows=[[0, 2], ["1"], "2|1"]), False)):
        found = with_classes({"y": head}, table)["y"]
        assert (found.classes, found.multi_hot) == (classes, form)
        assert check_table(table, texts="text", labels={"y": found}) == []
    named = with_classes({"y": head}, hot_table(rows=[[0, 2], ["1"]]))
    label = read_rows([{"text": "a", "y": [True]}], texts="text", labels=named).labels["y"]
    assert label[0].tolist() == [int(str(name) == "1") for name in named["y"].names]


def test_names_that_are_no_places_come_in_either_form():
    """As scikit-learn scores: trained on names, asked with a matrix of 0 and 1; but never mixed."""
    head = with_classes({"y": Head("multilabel")}, hot_table(rows=["red|blue", ["green"]]))
    assert head["y"].multi_hot is None
    assert read_rows(hot_table(), texts="text", labels=head).labels["y"].tolist() == HOT
    for rows, bad in (([*HOT, "red"], 4), ([["red"], "blue", [1, 0, 0]], 2)):
        (problem,) = check_table(hot_table(rows=rows), texts="text", labels=head)
        assert problem.row == bad


def test_the_form_may_be_told():
    """Of [0, 1] and [1] nobody can tell; the user can."""
    table = hot_table(rows=[[0, 1], [1], [1, 0]])
    named = with_classes({"y": Head("multilabel", multi_hot=False)}, table)
    rows = read_rows(table, texts="text", labels=named)
    assert named["y"].classes == (0, 1) and rows.labels["y"].tolist() == [[1, 1], [0, 1], [1, 1]]
    told = Head("multilabel", multi_hot=True)
    table = hot_table([3, 0], [5], [0, 1], rows=[])
    head = with_classes({"y": told}, table)
    assert head["y"].classes == (0, 1)
    assert [p.row for p in check_table(table, texts="text", labels=head)] == [0, 1]
    with pytest.raises(ValueError, match="has no labels"):
        with_classes({"y": told}, hot_table(rows=["red"]))
    with pytest.raises(ValueError, match="has no labels"):
        with_classes({"y": Head("multilabel")}, hot_table(rows=[[0.5, 0.25], [0.125, 0.5]]))
    for options in ({"kind": "binary", "multi_hot": True}, {"multi_hot": 1, "kind": "multilabel"},
                    {"kind": "multilabel", "column": ["a", "b"], "multi_hot": False}):  # fmt: skip
        with pytest.raises(ValueError, match="`multi_hot` "):
            Head(**options)


# --- labels of several types ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["multiclass", "binary", "multilabel"])
def test_a_mixed_column_is_refused_with_its_row(kind):
    cells = ["0", "1", "0", 1, 0]
    table = pd.DataFrame({"text": ["a"] * 5, "y": cells}, index=[*"vwxyz"])
    if kind == "multilabel":
        table["y"] = [[f"{cell}2" if isinstance(cell, str) else cell + 2] for cell in cells]
        table["y"] = pd.Series([["02", "3"], ["12"], ["02"], [3], [2]], index=table.index)
    with pytest.raises(ValueError, match=r"<table>, row y, column 'y': the label [13] \(int\) and"):
        with_classes({"y": Head(kind)}, table)
    (problem,) = check_table(table, texts="text", labels={"y": Head(kind)})
    assert problem.row == "y" and "mean the same value" in problem.message
    told = Head(kind, classes=("02", "12", "2", "3") if kind == "multilabel" else ("0", "1"))
    heads = with_classes({"y": told}, table)
    assert check_table(table, texts="text", labels=heads) == []
    with pytest.raises(ValueError, match="'y' has 1 and '1', which differ only in their type"):
        with_classes({"y": Head("multilabel", classes=(1, "1"))}, table)


def test_names_of_several_labels_match_whatever_their_type():
    table = pd.DataFrame({"text": ["a"] * 3, "y": ["1|2", "2", "3"]})
    head = with_classes({"y": Head("multilabel")}, table)
    assert head["y"].classes == ("1", "2", "3")
    other = table.assign(y=[[1, 2.0], np.array([2]), 3])
    for rows in (table, other):
        found = read_rows(rows, texts="text", labels=head).labels["y"]
        assert found.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
