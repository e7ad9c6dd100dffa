"""Parts of a run: read and judged together, and the missing ones drawn."""

import numpy as np
import pandas as pd
import pytest

from keras_mm.data.tables.partition import read_parts
from keras_mm.data.tables.rows import TableError
from keras_mm.data.tables.splits import stratified_split

COLUMNS = {"texts": ["text"], "labels": "label", "classes": ["no", "yes"]}


@pytest.fixture
def table():
    rows = 40
    return pd.DataFrame(
        {
            "text": [f"row {i}" for i in range(rows)],
            "label": ["no", "yes"] * (rows // 2),
            "customer": np.repeat(range(10), 4),
        }
    )


def test_the_draw_is_that_of_stratified_split(table):
    parts = read_parts({"train": table}, **COLUMNS, val_size=0.1, test_size=0.2, seed=3)
    expected = stratified_split(table, "label", val_size=0.1, test_size=0.2, seed=3)
    for name, frame in zip(("train", "val", "test"), expected, strict=True):
        assert list(parts[name].numbers) == list(frame.index)
        assert list(parts[name].texts[0]) == list(frame["text"])
        labels = parts[name].labels["label"]
        assert [COLUMNS["classes"][code] for code in labels] == list(frame["label"])


def test_the_order_of_the_classes_changes_no_draw(table):
    parts = [
        read_parts({"train": table}, **{**COLUMNS, "classes": classes}, test_size=0.2)
        for classes in (["no", "yes"], ["yes", "no"])
    ]
    assert list(parts[0]["test"].numbers) == list(parts[1]["test"].numbers)


@pytest.mark.parametrize("groups", ["customer", "values"])
def test_groups_stay_together_when_rows_are_skipped(table, groups):
    table.loc[[0, 17], "text"] = None
    values = table["customer"] if groups == "customer" else list(table["customer"])
    with pytest.warns(UserWarning, match="2 of 40 rows left out"):
        parts = read_parts(
            {"train": table},
            **COLUMNS,
            test_size=0.3,
            groups="customer" if groups == "customer" else values,
            on_error="skip",
        )
    held = [set(table["customer"][parts[name].numbers]) for name in ("train", "test")]
    assert not held[0] & held[1]
    assert sum(map(len, parts.values())) == 38
    assert [problem.row for problem in parts["train"].skipped] == [0, 17]


def test_all_that_is_wrong_with_all_tables_is_told_at_once(table):
    train = table[:5].assign(label=["no", "no", "no", "no", "yes"])
    train.loc[1, "text"] = None
    test = pd.DataFrame({"text": ["a", "b"], "label": ["maybe", None]})
    with pytest.raises(TableError) as error:
        read_parts({"train": train, "test": test}, **COLUMNS, val_size=0.2)
    found = [(problem.row, problem.column) for problem in error.value.problems]
    assert found == [(1, None), (0, "label"), (1, "label"), (None, "label")]
    assert "'yes' (1)" in str(error.value)


def test_rows_to_be_mended_count_where_the_split_is_judged(table):
    """Eight rows that can be mended are no reason to call a split impossible."""
    table.loc[table.index[1::2], "text"] = None
    with pytest.raises(TableError) as error:
        read_parts({"train": table}, **COLUMNS, test_size=0.2)
    assert {problem.column for problem in error.value.problems} == {None}
    table.loc[1, "text"] = "mended"
    with pytest.raises(TableError, match="impossible"):
        read_parts({"train": table}, **COLUMNS, test_size=0.2, on_error="skip")


def test_groups_that_are_not_there(table):
    with pytest.raises(TableError, match="Did you mean 'customer'"):
        read_parts({"train": table}, **COLUMNS, test_size=0.2, groups="custommer")
