import numpy as np
import pandas as pd
import pytest

from keras_mm.data.tables.slices import MISSING, OTHERS, slice_cells, slice_rows
from keras_mm.errors import ConfigError

pytestmark = pytest.mark.backend_free


def sizes(cells):
    return {name: len(rows) for name, rows in slice_rows(pd.Series(cells, dtype=object)).items()}


def test_values_come_by_frequency():
    assert sizes(["b", "a", None, "b", "", "b", "a", True]) == {"b": 3, "a": 2, "True": 1,
                                                              MISSING: 2}  # fmt: skip


def test_few_numbers_are_values_in_their_order():
    assert sizes([10, 9, 10, np.nan, 2.5]) == {"2.5": 1, "9": 1, "10": 2, MISSING: 1}
    assert list(sizes(["10", "9", "10"])) == ["9", "10"]


@pytest.mark.parametrize("kind", [float, str])
def test_many_numbers_are_quartiles(kind):
    numbers = np.random.default_rng(0).permutation(np.arange(1, 101)) / 10
    slices = slice_rows(pd.Series([kind(number) for number in numbers]))
    assert {name: len(rows) for name, rows in slices.items()} == {
        "0.1 to 2.5": 25, "2.6 to 5": 25, "5.1 to 7.5": 25, "7.6 to 10": 25
    }  # fmt: skip
    assert numbers[slices["2.6 to 5"]].max() == 5


def test_equal_numbers_are_never_divided():
    numbers = [0] * 80 + list(range(1, 21))
    assert sizes(numbers) == {"0 to 0": 80, "1 to 20": 20}


def test_each_row_is_in_one_slice():
    rng = np.random.default_rng(1)
    for cells in (rng.integers(0, 50, 200).tolist(), [f"t{i}" for i in rng.integers(0, 50, 200)]):
        rows = np.concatenate(list(slice_rows(pd.Series(cells)).values()))
        assert sorted(rows.tolist()) == list(range(200))


def test_rare_values_of_many_are_joined():
    found = sizes([f"id {i}" for i in range(100)] + ["often"] * 5 + [OTHERS])
    assert list(found)[0] == "often" and list(found)[-1] == OTHERS
    assert len(found) == 31 and sum(found.values()) == 106


def test_nasty_cells():
    long = "a" * 500
    found = sizes([long, [1, 2], [1, 2], float("inf"), "nan", b"x"])
    assert found["[1, 2]"] == 2 and any("500 characters" in name for name in found)
    assert all(len(name) < 90 for name in found)


def test_a_table_without_the_column():
    table = pd.DataFrame({"language": ["en"]})
    assert slice_cells(table, "language").tolist() == ["en"]
    with pytest.raises(ConfigError, match="`by`: no column 'langage'. Did you mean 'language'"):
        slice_cells(table, "langage")
