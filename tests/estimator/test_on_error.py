"""Rows that cannot be used: missing predictions in their places, the others as without them."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

import keras_mm
import keras_mm.inference.predictor as module

N = 11
# Of four rows at a time, the second part has one usable row, and the third begins with a bad one.
BAD = [0, 4, 5, 6, 8]
GOOD = [row for row in range(N) if row not in BAD]


@pytest.fixture(scope="module")
def clean(sample):
    return sample[1][:N].reset_index(drop=True)


@pytest.fixture(scope="module")
def table(clean):
    """A text that is none, images that are not there, a broken image and an empty row."""
    bad = clean.astype(dict.fromkeys(("image_1", "image_2", "text_1", "text_2"), object))
    bad.loc[0, "text_1"] = 7
    bad.loc[4, ["image_1", "image_2"]] = "nowhere.png"
    bad.loc[5, ["image_1", "image_2", "text_1", "text_2"]] = None
    bad.at[6, "image_2"] = b"no image"
    bad.loc[8, "text_2"] = "\ud800"
    return bad


def skipping(method, *args, **options):
    with pytest.warns(UserWarning, match=f"5 of {N} rows have no prediction: .*row") as found:
        result = method(*args, **options, on_error="skip")
    ours = [warning for warning in found if warning.category is UserWarning]
    assert [warning.filename for warning in ours] == [__file__]
    return result


@pytest.mark.parametrize("part", [2048, 4, 1])
def test_rows_have_the_predictions_that_they_have_without_the_bad_ones(
    fitted, table, clean, part, monkeypatch
):
    monkeypatch.setattr(module, "_PART", part)
    kept = clean.loc[GOOD]
    found = skipping(fitted.predict, table)
    assert found.dtype == object and found.shape == (N,)
    assert [found[row] for row in BAD] == [None] * len(BAD)
    assert found[GOOD].tolist() == fitted.predict(kept).tolist()
    shares = skipping(fitted.predict_proba, table)
    assert shares.shape == (N, 3) and np.isnan(shares[BAD]).all()
    np.testing.assert_array_equal(shares[GOOD], fitted.predict_proba(kept))
    frame = skipping(fitted.predict_frame, table)
    expected = fitted.predict_frame(kept)
    assert list(frame) == [*expected, "error"] and frame.index.tolist() == list(range(N))
    np.testing.assert_array_equal(frame.loc[GOOD, list(expected)], expected)
    assert frame["prediction"].tolist() == found.tolist()
    assert frame["error"].notna().tolist() == [row in BAD for row in range(N)]


@pytest.mark.backend_free
def test_each_skipped_row_names_its_problem(fitted, table):
    errors = skipping(fitted.predict_frame, table)["error"]
    for row, words in (
        (0, "column 'text_1': a text must be a string. Received: 7 (int)"),
        (4, "column 'image_1': "),
        (5, "the row is empty"),
        (6, "column 'image_2': "),
        (8, "column 'text_2': the text has a lone surrogate"),
    ):
        assert errors[row].startswith(words) and len(errors[row]) <= 200
    assert "nowhere.png" in errors[4] and errors[4].endswith(" (and 1 more)")


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "index",
    [
        pd.Index([7, 7, *range(N - 2)], name="d"),
        pd.MultiIndex.from_product([["u"], range(N)], names=["a", None]),
        pd.date_range("2020-01-01", periods=N, freq="D", tz="UTC"),
    ],
)
def test_the_frame_has_the_tables_index(fitted, table, index, monkeypatch):
    monkeypatch.setattr(module, "_PART", 4)
    whole = skipping(fitted.predict_frame, table)
    found = skipping(fitted.predict_frame, table.set_axis(index))
    pd.testing.assert_index_equal(found.index, index, exact=True)
    assert getattr(found.index, "freq", None) == getattr(index, "freq", None)
    pd.testing.assert_frame_equal(
        found.drop(columns="error").reset_index(drop=True), whole.drop(columns="error")
    )


@pytest.mark.backend_free
def test_rows_of_a_file_have_the_numbers_of_the_file(fitted, clean, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PART", 4)
    table = clean.drop(columns=["image_1", "image_2"]).assign(image_1=None, image_2=None)
    table.loc[9, ["text_1", "text_2"]] = None
    table.loc[6, "image_1"] = "../nowhere.png"
    table.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.warns(UserWarning, match=f"2 of {N} .*rows.csv, row 6, .*rows.csv, row 9: the row"):
        frame = fitted.predict_frame(tmp_path / "rows.csv", on_error="skip")
    assert frame.index[frame["error"].notna()].tolist() == [6, 9]
    pd.testing.assert_index_equal(frame.index, pd.RangeIndex(N))
    expected = fitted.predict_frame(table.drop(index=[6, 9]))
    np.testing.assert_array_equal(frame[list(expected)].drop(index=[6, 9]), expected)


@pytest.mark.backend_free
def test_dicts(fitted, clean):
    rows = clean[["image_1", "image_2", "text_1", "text_2"]].to_dict("records")
    bad = {**rows[0], "text_1": 7}
    with pytest.warns(UserWarning, match="1 of 3"):
        found = fitted.predict([rows[0], bad, rows[1]], on_error="skip")
    assert found.tolist() == [*fitted.predict(rows[:1]), None, *fitted.predict(rows[1:2])]
    with pytest.warns(UserWarning, match="1 of 1"):
        assert fitted.predict(bad, on_error="skip").tolist() == [None]


@pytest.mark.backend_free
def test_tables_of_bad_rows_and_of_none(fitted, table, monkeypatch):
    monkeypatch.setattr(module, "_PART", 2)
    bad = table.loc[BAD]
    with pytest.warns(UserWarning, match="5 of 5"):
        frame = fitted.predict_frame(bad, on_error="skip")
        assert fitted.predict(bad, on_error="skip").tolist() == [None] * 5
        assert np.isnan(fitted.predict_proba(bad, on_error="skip")).all()
    assert frame["prediction"].tolist() == [None] * 5 and frame["error"].notna().all()
    assert frame.index.tolist() == BAD and frame.filter(like="probability").isna().all(axis=None)
    assert fitted.predict(table[:0], on_error="skip").shape == (0,)
    nothing = fitted.predict_frame(table[:0], on_error="skip")
    assert list(nothing) == list(frame) and len(nothing) == 0


@pytest.mark.backend_free
def test_a_table_without_bad_rows_is_answered_as_ever(fitted, clean):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = fitted.predict(clean, on_error="skip")
        frame = fitted.predict_frame(clean, on_error="skip")
    assert found.dtype == fitted.predict(clean).dtype
    pd.testing.assert_frame_equal(frame.drop(columns="error"), fitted.predict_frame(clean))
    assert frame["error"].tolist() == [None] * N


@pytest.mark.backend_free
def test_what_cannot_be_skipped(fitted, table):
    for method in (fitted.predict, fitted.predict_proba, fitted.predict_frame):
        with pytest.raises(keras_mm.TableError, match="no column 'text_2'"):
            method(table.drop(columns="text_2"), on_error="skip")
        with pytest.raises(ValueError, match="on_error='drop'"):
            method(table, on_error="drop")
        with pytest.raises(keras_mm.TableError, match='on_error="skip"') as caught:
            method(table)
        assert sorted({problem.row for problem in caught.value.problems}) == BAD
    for method in (fitted.evaluate, fitted.score):
        with pytest.raises(keras_mm.TableError, match="so no row is left. Fix some rows"):
            method(table.loc[BAD], on_error="skip")


@pytest.mark.backend_free
def test_an_evaluation_lists_the_rows_that_are_left_out(fitted, table, clean, tmp_path):
    table = table.astype({"label": object})
    table.loc[9, "label"] = "Maybe"
    with pytest.warns(UserWarning, match=f"6 of {N} rows left out"):
        found = fitted.evaluate(table, on_error="skip")
        score = fitted.score(table, on_error="skip")
    kept = clean.drop(index=[*BAD, 9])
    expected = fitted.evaluate(kept)
    assert found.metrics == expected.metrics and found.modalities == expected.modalities
    pd.testing.assert_frame_equal(found.predictions, expected.predictions)
    assert score == fitted.score(kept) == expected.metrics["accuracy"]
    assert found.num_skipped == 6 and [p.row for p in found.skipped] == [0, 4, 4, 5, 6, 8, 9]
    assert str(found) == f"{expected}\n6 of {N} rows left out"
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored.pop("skipped") == {
        "rows": 6,
        "of": N,
        "problems": [
            {"row": p.row, "column": p.column, "message": p.message} for p in found.skipped
        ],
    }
    assert stored == json.loads(json.dumps(expected.to_dict()))
    found.save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "6 of 11 rows left out" in page and "unknown label &#39;Maybe&#39;" in page
    expected.save(tmp_path / "clean.html")
    assert "left out" not in (tmp_path / "clean.html").read_text()
