"""Weights of rows in a table: read and checked once, with every problem at once."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from keras_mm.data.tables.partition import read_parts
from keras_mm.data.tables.rows import check_table, read_rows
from keras_mm.data.tables.weights import read_weights, weight_columns, with_weights
from keras_mm.errors import TableError

pytestmark = pytest.mark.backend_free

COLUMNS = {"texts": ["text"], "labels": "label", "classes": ["a", "b"]}


def table_of(weights, **more):
    count = len(weights)
    rows = {"text": [f"words {i}" for i in range(count)], "label": list("ab" * count)[:count]}
    return pd.DataFrame({**rows, "weight": weights, **more})


@pytest.mark.parametrize(
    "cells, weights",
    [
        (["1", "0.5", "0", "1e3", " 2 "], [1, 0.5, 0, 1000, 2]),
        ([1, 2.5, np.float32(0.25), np.int8(3), True], [1, 2.5, 0.25, 3, 1]),
        (np.array([True, False]), [1, 0]),
        (np.array([3, 4], "uint8"), [3, 4]),
    ],
)
def test_cells_that_are_weights(cells, weights):
    found, problems = read_weights(pd.Series(cells))
    assert problems == [] and found.dtype == "float64"
    np.testing.assert_array_equal(found, weights)


@pytest.mark.parametrize("cell", ["", None, np.nan, pd.NA])
def test_an_empty_cell_is_a_missing_weight(cell):
    _, problems = read_weights(pd.Series([1, cell], dtype=object))
    assert [(place, "the weight is missing" in words) for place, words in problems] == [(1, True)]


@pytest.mark.parametrize(
    "cell", ["-1", -0.5, np.inf, "inf", 1e39, "heavy", "1,5", [1], b"1", Decimal(1), 1j, 10**400]
)
def test_cells_that_are_no_weights(cell):
    _, [(place, words)] = read_weights(pd.Series([1, cell], dtype=object))
    assert place == 1 and "finite number >= 0" in words and len(words) < 150


def test_every_problem_is_reported_with_row_and_file(tmp_path):
    rows = ["red,a,1", "blue,a,", "grey,c,-2", ",b,x", "pink,b,nan", "mint,b,0"]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["text,label,weight", *rows]))
    with pytest.raises(TableError) as error:
        read_rows(path, **COLUMNS, sample_weight="weight")
    found = error.value.problems
    assert [(p.row, p.column) for p in found] == [
        (1, "weight"), (2, "label"), (2, "weight"), (3, "weight"), (4, "weight"),
    ]  # fmt: skip
    assert all(p.file == str(path) for p in found)
    assert check_table(path, **COLUMNS, sample_weight="weight") == found
    with pytest.warns(UserWarning, match="4 of 6 rows left out"):
        left = read_rows(path, **COLUMNS, sample_weight="weight", on_error="skip")
    assert left.sample_weight.tolist() == [1, 0] and left.skipped == found


def test_weights_follow_their_rows():
    rows = read_rows(table_of([1, 2, 3]), **COLUMNS, sample_weight="weight")
    assert rows.take([2, 0]).sample_weight.tolist() == [3, 1]
    assert read_rows(table_of([1, 2, 3]), **COLUMNS).sample_weight is None


def test_weights_that_are_all_0():
    for on_error in ("raise", "skip"):
        with pytest.raises(TableError, match="column 'weight': all weights are 0"):
            read_rows(table_of([0, 0]), **COLUMNS, sample_weight="weight", on_error=on_error)
    with pytest.raises(TableError, match="all weights are 0"):
        read_rows(table_of([0, -1]), **COLUMNS, sample_weight="weight", on_error="skip")


def test_the_nearest_name_of_a_column_that_is_not_there():
    with pytest.raises(TableError, match="no column 'wieght'. Did you mean 'weight'"):
        read_rows(table_of([1, 2]), **COLUMNS, sample_weight="wieght")


def test_an_array_becomes_a_column():
    table = table_of([1, 2]).drop(columns="weight")
    table.index = [7, 5]
    for given in ([3, 4], (3, 4), np.array([3, 4]), pd.Series([3, 4], index=[5, 7])):
        found, column = with_weights(table, given)
        assert found[column].tolist() == [3, 4] and column not in table
    assert with_weights(table, None) == (table, None)
    assert with_weights(table, "weight")[1] == "weight"


@pytest.mark.parametrize(
    "given, received",
    [
        ([1, 2, 3], r"shape \(3,\)"),
        (2.0, r"shape \(\)"),
        ([[1], [2]], r"shape \(2, 1\)"),
        ([[1], [2, 3]], "lists of several lengths"),
        ({"weight": 1}, r"shape \(\)"),
    ],
)
def test_arrays_of_another_shape(given, received):
    with pytest.raises(ValueError, match=f"one weight per row, 2 in all. Received: {received}"):
        with_weights(table_of([1, 2]), given)


def test_rows_of_weight_0_are_checked_but_not_trained_on():
    weights = np.resize([1, 0, 2, 1], 40)
    table = table_of(weights)
    options = {**COLUMNS, "val_size": 0.25, "test_size": 0.2, "seed": 3}
    parts = read_parts({"train": table}, weights={"train": "weight"}, **options)
    assert all((rows.sample_weight > 0).all() for rows in parts.values())
    assert sum(map(len, parts.values())) == 30
    # The rows that count are split as if the others were not there.
    without = read_parts({"train": table[weights > 0]}, **options)
    for name, rows in parts.items():
        assert rows.numbers.tolist() == without[name].numbers.tolist()
        np.testing.assert_array_equal(rows.sample_weight, weights[rows.numbers])
    table.loc[1, "label"] = "c"
    with pytest.raises(TableError, match="row 1, column 'label'"):
        read_parts({"train": table}, weights={"train": "weight"}, **options)


def test_skipped_rows_and_rows_of_weight_0():
    table = table_of([1, 0, 2, "x", 3, 1])
    tables = {"train": table, "val": table[["text", "label"]], "test": table[:2]}
    given = {"train": "weight", "test": "weight"}
    with pytest.warns(UserWarning, match="1 of 6 rows left out"):
        parts = read_parts(tables, weights=given, **COLUMNS, on_error="skip")
    assert parts["train"].numbers.tolist() == [0, 2, 4, 5]
    assert [p.row for p in parts["train"].skipped] == [3]
    assert parts["val"].sample_weight is None and len(parts["val"]) == 6
    assert parts["test"].sample_weight.tolist() == [1, 0]  # its predictions are of interest


def test_which_tables_are_weighted():
    tables = {"train": table_of([1]), "val": table_of([1]), "test": pd.DataFrame({"text": ["a"]})}
    assert weight_columns("weight", tables) == {"train": "weight", "val": "weight"}
    assert weight_columns("other", tables) == {"train": "other"}  # reported as missing
    assert weight_columns(None, tables) == {}


def test_an_array_of_weights_replaces_no_column():
    table = pd.DataFrame({"sample_weight": ["a text", "another"]})
    weighted, column = with_weights(table, [1, 2])
    assert weighted[column].tolist() == [1, 2]
    assert weighted["sample_weight"].tolist() == ["a text", "another"]
