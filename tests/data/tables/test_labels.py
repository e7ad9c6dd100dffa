"""Labels: the same values out as in, whatever held them."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from keras_mm.data.tables.labels import (
    encode_labels,
    find_classes,
    is_missing,
    label_problems,
    label_value,
)

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    "cell",
    [
        None,
        "",
        float("nan"),
        np.nan,
        np.float32("nan"),
        pd.NA,
        pd.NaT,
        {},
        {"bytes": None, "path": ""},
    ],
)
def test_missing(cell):
    assert is_missing(cell)


@pytest.mark.parametrize(
    "cell",
    ["NA", "None", "nan", " ", 0, False, np.int64(0), b"", [], np.zeros((2, 2)), {"a": 1},
     {"bytes": b"", "path": None}, {"bytes": None, "path": "a.png"}],
)  # fmt: skip
def test_not_missing(cell):
    assert not is_missing(cell)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (np.int64(3), 3),
        (np.float64(3.0), 3),
        (np.float32(2.5), 2.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        ("3", "3"),
        (-1.0, -1),
    ],
)
def test_label_values_are_plain(cell, value):
    found = label_value(cell)
    assert found == value and type(found) is type(value)


def test_classes_are_sorted_numbers_first():
    assert find_classes(["b", "a", None, "b", ""]) == ["a", "b"]
    assert find_classes(["x", 10, 9, np.nan, 2.5]) == [2.5, 9, 10, "x"]
    assert find_classes(pd.Series([1, None, 0])) == [0, 1]
    assert find_classes(pd.Series([True, False])) == [False, True]
    assert find_classes(pd.Series(["b", "a"], dtype="category")) == ["a", "b"]
    assert find_classes(pd.Series([1, pd.NA, -1], dtype="Int64")) == [-1, 1]
    assert find_classes([None, np.nan]) == []


@pytest.mark.parametrize("cell", [["a"], {"a": 1}, np.zeros(2), {1}, date(2026, 1, 1), b"a"])
def test_what_cannot_be_a_label_is_named(cell):
    with pytest.raises(ValueError, match="a label must be a string"):
        find_classes(["a", cell])
    assert encode_labels([cell], ["a", "b"]).tolist() == [-1]


@pytest.mark.parametrize(
    ("cells", "classes", "positions"),
    [
        (["b", "a", "c", None, "B"], ["a", "b"], [1, 0, -1, -1, -1]),
        (["2", "1", 2, 2.0, np.int8(1), "3", "01"], [1, 2], [1, 0, 1, 1, 0, -1, -1]),
        (["1", "2"], [1.0, 2.0], [0, 1]),
        (["1", "2"], np.array([1, 2]), [0, 1]),
        ([True, "False", np.bool_(False)], [False, True], [1, 0, 0]),
        ([1, "1"], [1, "1"], [0, 1]),
        ([-1, "-1", np.nan], [-1, 1], [0, 0, -1]),
        ([2.5, "2.5"], [2.5, 3], [0, 0]),
    ],
)
def test_encoding(cells, classes, positions):
    encoded = encode_labels(cells, classes)
    assert encoded.tolist() == positions and encoded.dtype == np.int32


def test_encoding_undoes_itself():
    cells = pd.Series([3, 1, None, 2, 1])
    classes = find_classes(cells)
    encoded = encode_labels(cells, classes)
    assert [None if i < 0 else classes[i] for i in encoded] == [3, 1, None, 2, 1]


ALIKE = {
    "text": ["0", "1"],
    "int": [0, 1],
    "float": [0.0, 1.0],
    "float as text": ["0.0", "1.0"],
    "bool": [False, True],
    "bool as text": ["False", "True"],
    "bool as JSON": ["false", "true"],
    "bool as Excel": ["FALSE", "TRUE"],
    "int8": np.array([0, 1], "int8"),
    "float32": np.array([0, 1], "float32"),
    "bool_": np.array([False, True]),
    "str_": np.array(["0", "1"]),
    "category": pd.Series([0, 1], dtype="category"),
    "string": pd.Series(["0", "1"], dtype="string"),
    "Int64": pd.Series([0, 1], dtype="Int64"),
    "boolean": pd.Series([False, True], dtype="boolean"),
}


@pytest.mark.parametrize("classes", ALIKE)
def test_labels_match_whatever_their_type(classes):
    known = find_classes(ALIKE[classes])
    for name, cells in ALIKE.items():
        assert encode_labels(cells, known).tolist() == [0, 1], name
        assert encode_labels(cells, ALIKE[classes]).tolist() == [0, 1], name
    assert encode_labels(["2", 2, "yes", "01", "+1", "1e0", " 1", None], known).tolist() == [-1] * 8


@pytest.mark.parametrize(
    ("cells", "classes", "positions"),
    [
        (["10.1", 10.1, "10.10"], ["10.10", "10.1"], [1, 1, 0]),  # numbers of chapters
        (["10.10", 10.1], ["10.1"], [-1, 0]),
        (["1", 1, 1.0, True], ["1", "1.0"], [0, -1, -1, -1]),  # it could be either
        ([1, "1", True, "true"], [1, "1"], [0, 1, -1, -1]),
        (["True", True, 1], ["True", "true"], [0, -1, -1]),
        ([10**16, 1e16, "1e+16"], [str(10**16)], [0, 0, 0]),
        (["9" * 5000, 9], ["9" * 5000], [0, -1]),
        (["inf", float("inf"), "nan"], ["inf", "nan"], [0, -1, 1]),
    ],
)
def test_a_label_matches_one_class_or_none(cells, classes, positions):
    assert encode_labels(cells, classes).tolist() == positions


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([1, 2, "1"], "'1' (str) and the label 1 (int)"),
        (["1", 1.0], "1 (int) and the label '1' (str)"),
        ([1, True], "True (bool) and the label 1 (int)"),
        ([False, 0.0], "0 (int) and the label False (bool)"),
        ([True, "True"], "'True' (str) and the label True (bool)"),
        (["1", "1.0"], "'1.0' (str) and the label '1' (str)"),
        (["true", "TRUE"], "'TRUE' (str) and the label 'true' (str)"),
        ([2.5, "2.5"], "'2.5' (str) and the label 2.5 (float)"),
        ([np.int64(3), None, np.str_("3")], "'3' (str) and the label 3 (int)"),
    ],
)
def test_labels_that_differ_only_in_type_are_refused(cells, words):
    for given in (cells, pd.Series(cells, dtype=object)):
        with pytest.raises(ValueError, match="mean the same value. Write all labels in one") as e:
            find_classes(given)
        assert words in str(e.value)
    ((position, message),) = label_problems(enumerate(cells))
    assert position == len(cells) - 1 and words in message


@pytest.mark.parametrize(
    "cells",
    [[1, 1.0, np.int8(1), 2], [1, "2"], ["1", "01"], ["10.1", "10.10"], [True, 2], ["Yes", "yes"]],
)
def test_labels_of_several_types_are_taken_where_none_is_alike(cells):
    assert encode_labels(cells, find_classes(cells)).min() == 0
