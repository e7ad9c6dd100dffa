"""The index of a table comes back with its predictions, whatever its kind."""

import json

import numpy as np
import pandas as pd
import pytest

import keras_mm.inference.predictor as module
from keras_mm.cli import main as cli

pytestmark = pytest.mark.backend_free

N = 11
LETTERS = list("abcdefghijk")
INDEXES = {
    "range": pd.RangeIndex(0, 2 * N, 2, name="id"),
    "named": pd.Index(LETTERS, name="id"),
    "datetime": pd.date_range("2020-01-01", periods=N, freq="D", name="day", tz="UTC"),
    "period": pd.period_range("2020-01", periods=N, freq="M"),
    "timedelta": pd.timedelta_range("1h", periods=N, freq="h"),
    "categorical": pd.CategoricalIndex(LETTERS, [*reversed(LETTERS), "z"], ordered=True, name="c"),
    "duplicated": pd.Index([7, 7, *range(N - 2)], name="d"),
    "interval": pd.interval_range(0, N),
    "missing": pd.Index([np.nan, *range(N - 1)], dtype="float64"),
    "string": pd.Index(LETTERS, dtype="string"),
    "int8": pd.Index(range(N), dtype="int8"),
    "mixed": pd.Index([1, "a", None, *range(2, N - 1)], dtype=object),
    "levels": pd.MultiIndex.from_product([["u"], range(N)], names=["a", None]),
    "levels_of_kinds": pd.MultiIndex.from_arrays(
        [pd.date_range("2020-01-01", periods=N), pd.Categorical(LETTERS)], names=["day", "letter"]
    ),
}


@pytest.fixture(scope="module")
def rows(sample):
    return sample[1][:N]


def check_index(found, expected):
    pd.testing.assert_index_equal(found, expected, exact=True, check_categorical=True)
    assert found.names == expected.names
    assert getattr(found, "freq", None) == getattr(expected, "freq", None)


@pytest.mark.parametrize("kind", INDEXES)
@pytest.mark.parametrize("part", [2048, 4])
def test_predict_frame_has_the_tables_index(fitted, rows, kind, part, monkeypatch):
    monkeypatch.setattr(module, "_PART", part)
    table = rows.set_axis(INDEXES[kind].copy())
    frame = fitted.predict_frame(table)
    check_index(frame.index, INDEXES[kind])
    assert frame["prediction"].tolist() == fitted.predict(rows).tolist()
    if table.index.is_unique:
        joined = table.join(frame)
        check_index(joined.index, INDEXES[kind])
        assert joined["prediction"].tolist() == frame["prediction"].tolist()
    frame.index.names = ["changed"] * frame.index.nlevels
    assert table.index.names == INDEXES[kind].names


@pytest.mark.parametrize("kind", INDEXES)
def test_a_table_without_rows_has_predictions_without_rows(fitted, rows, kind):
    table, full = rows.set_axis(INDEXES[kind])[:0], fitted.predict_frame(rows)
    frame = fitted.predict_frame(table)
    check_index(frame.index, table.index)
    assert frame.dtypes.to_dict() == full.dtypes.to_dict() and table.join(frame).shape[0] == 0
    assert fitted.predict(table).shape == (0,) and fitted.predict_proba(table).shape == (0, 3)


def test_files_and_lists_without_rows(fitted, rows, tmp_path):
    rows[:0].to_csv(tmp_path / "header.csv", index=False)
    frame = fitted.predict_frame(tmp_path / "header.csv")
    assert frame.shape == (0, 4)
    for nothing in ([], pd.DataFrame()):
        with pytest.raises(ValueError, match="has no rows"):
            fitted.predict_frame(nothing)


@pytest.mark.parametrize("kind", ["categorical", "levels_of_kinds", "datetime", "duplicated"])
def test_an_evaluation_keeps_the_index_of_the_rows_that_are_left(fitted, rows, kind):
    table = rows.set_axis(INDEXES[kind]).astype({"text_1": object})
    check_index(fitted.evaluate(table).predictions.index, table.index)
    table.iloc[[1, 4], table.columns.get_loc("text_1")] = 7
    with pytest.warns(UserWarning, match="2 of 11 rows left out"):
        found = fitted.evaluate(table, on_error="skip").predictions
    pd.testing.assert_index_equal(found.index, table.index.delete([1, 4]))
    assert found.index.names == table.index.names
    assert found["row"].tolist() == table.index.delete([1, 4]).tolist()


def test_the_command_line_writes_a_column_for_each_level(fitted, rows, tmp_path, capsys):
    fitted.save(tmp_path / "model")
    rows.set_axis(INDEXES["levels"]).to_parquet(tmp_path / "levels.parquet")
    rows.to_parquet(tmp_path / "plain.parquet")
    for name, columns in (("levels", ["a", "row_2"]), ("plain", ["row"])):
        command = ["predict", "--model", tmp_path / "model", "--data", tmp_path / f"{name}.parquet"]
        command += ["--json", "--output", tmp_path / "out.csv"]
        assert cli.main([str(part) for part in command]) == 0
        written = pd.read_csv(tmp_path / "out.csv")
        found = pd.DataFrame(json.loads(capsys.readouterr().out))
        assert list(written)[: len(columns) + 1] == [*columns, "prediction"]
        assert list(found) == list(written) and len(written) == N
