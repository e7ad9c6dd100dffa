"""Folds of checked rows."""

import numpy as np
import pandas as pd
import pytest

from keras_mm import Head
from keras_mm.data.tables.folds import draw_folds
from keras_mm.data.tables.partition import read_parts

pytestmark = pytest.mark.backend_free

HEADS = {"label": Head(classes=("a", "b", "c"))}


def rows_of(labels, **options):
    table = pd.DataFrame({"text": [f"t{i}" for i in range(len(labels))], "label": labels})
    groups = options.pop("groups", None)
    return read_parts({"train": table}, texts=["text"], labels=HEADS, groups=groups, **options)[
        "train"
    ]


@pytest.fixture
def labels():
    return np.random.default_rng(1).permutation(["a"] * 61 + ["b"] * 29 + ["c"] * 13)


def test_each_row_is_held_out_once_and_decides_nothing(labels):
    folds = draw_folds(rows_of(labels), HEADS, 5, val_size=0.2, seed=3)
    held_out = np.concatenate([fold.held_out for fold in folds])
    assert sorted(held_out) == list(range(len(labels)))
    for fold in folds:
        parts = [fold.train, fold.val, fold.held_out]
        assert sorted(np.concatenate(parts)) == list(range(len(labels)))
        for part in parts:
            assert (np.diff(part) > 0).all()
            share = (labels[part] == "a").mean()
            assert share == pytest.approx(61 / 103, abs=0.08) and "c" in labels[part]
    again = draw_folds(rows_of(labels), HEADS, 5, val_size=0.2, seed=3)
    other = draw_folds(rows_of(labels), HEADS, 5, val_size=0.2, seed=4)
    assert all((a.train == b.train).all() for a, b in zip(folds, again, strict=True))
    assert any(len(a.held_out) != len(b.held_out) or (a.held_out != b.held_out).any()
               for a, b in zip(folds, other, strict=True))  # fmt: skip


def test_groups_stay_in_one_part(labels):
    groups = np.random.default_rng(2).integers(0, 24, len(labels))
    rows = rows_of(labels, groups=groups)
    assert len(np.unique(rows.groups)) == len(np.unique(groups))
    for fold in draw_folds(rows, HEADS, 4, val_size=0.25, seed=0):
        parts = [set(groups[part]) for part in (fold.train, fold.val, fold.held_out)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_a_rare_class_stays_with_the_training_rows():
    labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 2
    with pytest.warns(UserWarning, match="too few rows"):
        folds = draw_folds(rows_of(labels), HEADS, 5, val_size=0.1, seed=0)
    held = [sum(np.array(labels)[fold.held_out] == "c") for fold in folds]
    assert sum(held) == 2


@pytest.mark.parametrize(
    ("labels", "groups", "told"),
    [
        (["a", "b", "c"], None, "impossible with 3 rows"),
        (["a", "a", "b", "b", "c", "c"], None, "no class has a row for every fold"),
        (["a"] * 9 + ["b"] * 9, [0, 1, 2] * 6, "impossible with 3 groups"),
    ],
)
def test_impossible_folds_are_refused(labels, groups, told):
    with pytest.raises(ValueError, match=told):
        draw_folds(rows_of(labels, groups=groups), HEADS, 5, val_size=0.0, seed=0)


def test_each_member_must_have_labels_of_each_head():
    heads = {"label": Head(classes=("a", "b")), "price": Head("regression", column="price")}
    prices = [3.0, 5.0] + [None] * 28
    table = pd.DataFrame({"text": list("ab") * 15, "label": list("ab") * 15, "price": prices})
    rows = read_parts({"train": table}, texts=["text"], labels=heads, groups=[0, 0, *range(1, 29)])
    with pytest.raises(
        ValueError, match=r"no training row with a label of the head 'price'.*2 are"
    ):
        draw_folds(rows["train"], heads, 3, val_size=0.0, seed=0)
