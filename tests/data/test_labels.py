"""Labels: the same values out as in, whatever held them."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from keras_mm.data.labels import encode_labels, find_classes, is_missing, label_value


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
