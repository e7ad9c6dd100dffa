"""What rows are drawn by: classes, rarest labels, fifths of numbers, and all of them at once."""

import numpy as np
import pytest

from keras_mm.data.tables.partition import read_parts
from keras_mm.data.tables.strata import labelled_rows, strata
from keras_mm.data.tables.targets import Target, as_targets
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

TAGS = Target("multilabel", ("tags",), ("a", "b", "c"))
PRICE = Target("regression", ("price",))


def test_one_head_of_classes_is_its_classes():
    targets = {"label": Target("multiclass", ("label",), ("x", "y"))}
    labels = {"label": np.array([0, 1, -1, 1])}
    assert strata(targets, labels, [0, 1, 3], smallest=0.5) == ["x", "y", "y"]


def test_several_labels_are_told_apart_by_the_rarest():
    labels = np.array([[1, 0, 0]] * 20 + [[1, 1, 0]] * 10 + [[0, 0, 0]] * 10)
    found = strata({"tags": TAGS}, {"tags": labels}, range(40), smallest=0.1)
    assert [len(set(found[a:b])) for a, b in ((0, 20), (20, 30), (30, 40))] == [1, 1, 1]
    assert len(set(found)) == 3


def test_numbers_are_told_apart_by_fifths():
    labels = {"price": np.arange(100.0)[:, None]}
    found = np.array(strata({"price": PRICE}, labels, range(100), smallest=0.1))
    assert len(set(found)) == 5 and all(len(set(found[i : i + 20])) == 1 for i in range(0, 100, 20))


def test_no_stratum_is_too_small_for_its_share():
    rng = np.random.default_rng(0)
    targets = {
        "kind": Target("multiclass", ("kind",), tuple(range(7))),
        "tags": TAGS,
        "price": PRICE,
    }
    labels = {
        "kind": rng.integers(-1, 7, 300),
        "tags": rng.integers(0, 2, (300, 3)),
        "price": np.where(rng.random((300, 1)) < 0.3, np.nan, rng.random((300, 1))),
    }
    found = np.array(strata(targets, labels, range(300), smallest=0.1))
    counts = np.unique(found, return_counts=True)[1]
    assert counts.min() >= 10 and counts.sum() == 300 and len(counts) > 7
    few = strata(targets, {n: x[:5] for n, x in labels.items()}, range(5), smallest=0.1)
    assert len(set(few)) == 1


def test_rows_with_a_label_of_any_head():
    labels = {"a": np.array([-1, 0, -1]), "b": np.array([[np.nan], [np.nan], [1.0]])}
    assert labelled_rows(labels).tolist() == [1, 2]
    assert labelled_rows({"tags": np.array([[1, 0], [-1, -1]])}).tolist() == [0]


def test_parts_of_several_heads_keep_their_shares():
    rng = np.random.default_rng(1)
    table = [
        {
            "text": f"t{i}",
            "kind": "xy"[i % 10 == 0],
            "price": float(i % 50),
            "tags": "a|b" if i % 4 else "c",
        }
        for i in rng.permutation(400).tolist()
    ]
    heads = {
        "kind": Head(classes=("x", "y")),
        "tags": Head("multilabel", ("a", "b", "c")),
        "price": Head("regression"),
    }
    parts = read_parts(
        {"train": table}, texts=["text"], labels=heads, val_size=0.1, test_size=0.2, seed=3
    )
    assert {name: len(rows) for name, rows in parts.items()} == {
        "train": 288,
        "val": 32,
        "test": 80,
    }
    for name, rows in parts.items():
        assert abs(rows.labels["kind"].mean() - 0.1) < 0.04, name
        assert abs(rows.labels["tags"][:, 2].mean() - 0.25) < 0.05, name
        assert abs(rows.labels["price"].mean() - 24.5) < 3, name
    assert set(as_targets(heads)) == {"kind", "tags", "price"}


def test_numbers_alone_can_be_split():
    table = [{"text": f"t{i}", "price": i} for i in range(30)]
    parts = read_parts(
        {"train": table}, texts=["text"], labels={"price": Head("regression")}, test_size=0.2
    )
    assert len(parts["test"]) == 6 and parts["test"].labels["price"].shape == (6, 1)
