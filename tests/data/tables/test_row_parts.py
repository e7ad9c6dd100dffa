"""Tables that are read some rows at a time, with and without rows that cannot be used."""

import warnings

import numpy as np
import pandas as pd
import pytest

from keras_mm.data.tables.row_parts import SkippedRows, read_row_parts, row_error
from keras_mm.data.tables.rows import Problem, TableError, read_rows

pytestmark = pytest.mark.backend_free


def table_of(bad, num_rows):
    """Rows with a text each; a number instead in the rows `bad`."""
    return pd.DataFrame({"text": [7 if i in bad else f"row {i}" for i in range(num_rows)]})


def test_problems_of_all_parts_are_told_together():
    table = [{"text": "a"}, {"text": 7}, {"text": "c"}, {"text": None}, {"text": "e"}]
    seen = []
    with pytest.raises(TableError) as caught:
        for rows in read_row_parts(table, 2, texts=["text"]):
            seen.append(rows)
    assert not seen
    assert [problem.row for problem in caught.value.problems] == [1, 3]
    assert 'on_error="skip"' in str(caught.value)
    for skipped in (None, SkippedRows()):
        with pytest.raises(TableError, match="no column"):
            list(read_row_parts(table, 2, texts=["words"], skipped=skipped))


def test_parts_of_rows_are_the_rows():
    table = [{"text": f"row {i}"} for i in range(5)]
    whole = read_rows(table, texts=["text"])
    for skipped in (None, SkippedRows()):
        parts = list(read_row_parts(table, 2, texts=["text"], skipped=skipped))
        assert [len(part) for part in parts] == [2, 2, 1]
        assert [text for part in parts for text in part.texts[0]] == whole.texts[0]
        assert np.concatenate([part.numbers for part in parts]).tolist() == whole.numbers.tolist()


@pytest.mark.parametrize(
    "bad", [{0}, {6}, {1, 2}, {0, 1, 2}, {3, 4, 5, 6}, {2, 3, 5}, {0, 1, 2, 3, 5, 6}]
)
@pytest.mark.parametrize("source", ["frame", "file"])
def test_the_parts_are_those_of_a_table_without_the_bad_rows(bad, source, tmp_path):
    table = table_of(bad, 7)
    if source == "file":
        table = tmp_path / "rows.csv"
        pd.DataFrame({"text": ["" if i in bad else f"row {i}" for i in range(7)]}).to_csv(table)
    skipped = SkippedRows()
    parts = list(read_row_parts(table, 3, texts=["text"], skipped=skipped))
    clean = table_of(bad, 7).drop(index=list(bad))
    wanted = list(read_row_parts(clean, 3, texts=["text"]))
    assert [part.texts for part in parts] == [part.texts for part in wanted]
    assert [list(part.numbers) for part in parts] == [list(part.numbers) for part in wanted]
    assert set(skipped.problems) == bad and skipped.num_rows == 7
    assert np.flatnonzero(~skipped.used()).tolist() == sorted(bad)
    assert [row for row, error in enumerate(skipped.errors()) if error] == sorted(bad)
    assert all(p.row == position for position, (p,) in skipped.problems.items())
    pd.testing.assert_index_equal(skipped.index, pd.RangeIndex(7))


def test_a_table_of_bad_rows_only_is_a_part_without_rows():
    skipped = SkippedRows()
    (part,) = read_row_parts(table_of(range(7), 7), 3, texts=["text"], skipped=skipped)
    assert len(part) == 0 and not skipped.used().any()
    with pytest.warns(UserWarning, match="7 of 7 rows have no prediction: .*; ...") as found:
        skipped.warn()
    assert found[0].filename == __file__


def test_a_table_without_bad_rows_has_no_warning():
    skipped = SkippedRows.create("skip")
    list(read_row_parts(table_of((), 4), 3, texts=["text"], skipped=skipped))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skipped.warn()
    assert skipped.errors().tolist() == [None] * 4
    assert SkippedRows.create("raise") is None
    with pytest.raises(ValueError, match="on_error='drop'"):
        SkippedRows.create("drop")


@pytest.mark.parametrize("count", [1, 2])
def test_a_rows_error_is_one_short_line(count):
    problems = [Problem(3, "text", "a.csv", "x" * 400 + "\ny")] * count
    found = row_error(problems)
    assert len(found) == 200 and found.startswith("column 'text': xxx")
    assert found.endswith(" (and 1 more)" if count == 2 else "x...")
    assert row_error([Problem(3, None, "a.csv", "the row\nis empty.")]) == "the row is empty."
