import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from keras_mm.data.tables.splits import stratified_k_fold, stratified_split

pytestmark = pytest.mark.backend_free

COUNTS = {"rare": 11, "some": 31, "most": 101}


def read(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def make_table(counts=None, seed=0):
    counts = counts or COUNTS
    labels = np.random.default_rng(seed).permutation(
        np.repeat(list(counts), list(counts.values())),
    )
    table = pd.DataFrame({"text_1": [f"text {i}" for i in range(len(labels))], "label": labels})
    table.index = np.arange(len(table)) * 3 + 1000
    table.attrs["image_dir"] = "images"
    return table


def make_groups(num_rows, largest, seed=0):
    """Groups of 1 to `largest` rows, scattered over the table."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, largest + 1, num_rows)
    ids = np.repeat(np.arange(num_rows), sizes)[:num_rows]
    return rng.permutation([f"group {i}" for i in ids])


def assert_partition(table, parts):
    rows = np.concatenate([part.index for part in parts])
    assert sorted(rows) == list(table.index)
    for part in parts:
        pd.testing.assert_frame_equal(part, table.loc[part.index])
        assert part.attrs == table.attrs


@pytest.mark.parametrize(("num_rows", "sizes"), [(1400, (1197, 63, 140)), (1000, (855, 45, 100))])
def test_example_rows(shared, num_rows, sizes):
    table = read(shared / "data/entailment/tweets.csv").head(num_rows)
    parts = stratified_split(table, "label", val_size=0.05, test_size=0.1)
    assert tuple(len(part) for part in parts) == sizes
    assert_partition(table, parts)
    if num_rows == 1400:
        for name, part in zip(("train", "val", "test"), parts, strict=True):
            official = read(shared / f"data/entailment/{name}_df.csv")[table.columns]
            np.testing.assert_array_equal(part.to_numpy(), official.to_numpy())


@pytest.mark.parametrize("seed", [0, 42])
def test_equals_train_test_split_twice(seed):
    table = make_table()
    train, val, test = stratified_split(table, "label", val_size=0.2, test_size=0.3, seed=seed)
    left, expected_test = train_test_split(
        table, test_size=0.3, stratify=table["label"], random_state=seed
    )
    expected = train_test_split(left, test_size=0.2, stratify=left["label"], random_state=seed)
    for part, wanted in zip((train, val, test), (*expected, expected_test), strict=True):
        assert list(part.index) == list(wanted.index)


@pytest.mark.parametrize("sizes", [(0, 0), (0.2, 0), (0, 0.2), (0.1, 0.3)])
@pytest.mark.parametrize("largest", [None, 1, 5])
def test_parts_are_disjoint_whole_and_in_proportion(sizes, largest):
    table = make_table()
    groups = None if largest is None else make_groups(len(table), largest)
    val_size, test_size = sizes
    parts = stratified_split(table, "label", val_size=val_size, test_size=test_size, groups=groups)
    assert_partition(table, parts)
    shares = ((1 - test_size) * (1 - val_size), (1 - test_size) * val_size, test_size)
    for part, share in zip(parts, shares, strict=True):
        for label, count in COUNTS.items():
            assert abs((part["label"] == label).sum() - share * count) <= 1.5
        assert abs(len(part) - share * len(table)) <= 1.5


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_whole_and_sizes_near(seed):
    table = make_table(seed=seed)
    table["template"] = make_groups(len(table), 13, seed)
    parts = stratified_split(
        table, "label", val_size=0.25, test_size=0.2, groups="template", seed=seed
    )
    owners = [set(part["template"]) for part in parts]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    assert abs(len(parts[2]) - 0.2 * len(table)) <= 3
    assert [len(part) for part in parts] == [len(set(part.index)) for part in parts]
    assert all(part.index.is_monotonic_increasing for part in parts)


def test_coarse_groups_come_as_near_as_they_can():
    table = make_table({"no": 51, "yes": 49})
    groups = np.repeat(["a", "b", "c"], [50, 30, 20])
    for seed in range(7):
        _, _, test = stratified_split(table, "label", test_size=0.2, groups=groups, seed=seed)
        assert len(test) == 20
        train, val, test = stratified_split(
            table, "label", test_size=0.01, val_size=0.01, groups=groups, seed=seed
        )
        assert sorted(map(len, (train, val, test))) == [20, 30, 50] and len(train) == 50


def test_a_large_part_leaves_a_group_for_each_of_the_others():
    table = make_table({"no": 7, "yes": 8})
    groups = np.repeat(["a", "b", "c"], 5)
    parts = stratified_split(table, "label", test_size=0.9, val_size=0.9, groups=groups)
    assert [len(part) for part in parts] == [5, 5, 5]


def test_seed_decides_the_split():
    table = make_table()
    groups = make_groups(len(table), 3)
    for kind in (None, groups):
        draws = [
            list(stratified_split(table, "label", test_size=0.3, groups=kind, seed=seed)[2].index)
            for seed in (1, 1, 2)
        ]
        assert draws[0] == draws[1] != draws[2]


def test_large_groups_are_held_out_as_often_as_small_ones():
    table = make_table({"no": 300, "yes": 301})
    sizes = [1] * 301 + [10] * 30
    groups = np.repeat(np.arange(len(sizes)), sizes)
    shares = []
    for seed in range(10):
        _, _, test = stratified_split(table, "label", test_size=0.2, groups=groups, seed=seed)
        shares.append(np.mean(groups[(test.index - 1000) // 3] >= 301))
    assert 0.35 < np.mean(shares) < 0.65


@pytest.mark.parametrize("label", [list, tuple, np.array, pd.Series])
def test_label_as_values(label):
    table = make_table()
    expected = stratified_split(table, "label", test_size=0.2)[2]
    values = label(table["label"].tolist())
    got = stratified_split(table.drop(columns="label"), values, test_size=0.2)[2]
    assert list(got.index) == list(expected.index)


@pytest.mark.parametrize("grouped", [False, True])
def test_k_fold_tests_every_row_once(grouped):
    table = make_table()
    groups = make_groups(len(table), 3) if grouped else None
    folds = list(stratified_k_fold(table, "label", num_folds=3, groups=groups))
    assert_partition(table, [test for _, test in folds])
    for train, test in folds:
        assert_partition(table, [train, test])
        for label, count in COUNTS.items():
            assert abs((test["label"] == label).sum() - count / 3) < (3 if grouped else 1)
        if grouped:
            owners = [set(groups[(part.index - 1000) // 3]) for part in (train, test)]
            assert not owners[0] & owners[1]


def test_k_fold_warns_only_when_a_fold_misses_a_class(shared):
    table = read(shared / "data/emoji/emoji_group.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(stratified_k_fold(table, "label", num_folds=5))) == 5
    with pytest.warns(UserWarning, match=r"'Flags' \(7\)") as caught:
        folds = stratified_k_fold(table, "label", num_folds=10)
    assert len(list(folds)) == 10
    assert len(caught) == 1 and caught[0].filename == __file__


def test_split_warns_when_a_part_misses_a_class():
    table = make_table({"rare": 2, "most": 101})
    with pytest.warns(UserWarning, match=r"'rare' \(2\).*has none in test") as caught:
        stratified_split(table, "label", test_size=0.1)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_class_within_one_group_warns():
    table = make_table({"rare": 5, "most": 31})
    groups = np.where(table["label"] == "rare", "g", np.arange(36).astype(str))
    with pytest.warns(UserWarning, match=r"'rare' \(5\)"):
        parts = stratified_split(table, "label", test_size=0.2, groups=groups)
    assert_partition(table, parts)


def test_single_row_of_a_class_is_impossible():
    table = make_table({"lone": 1, "most": 31})
    with pytest.raises(ValueError, match=r"test_size=0.2.*'lone' \(1\).*merge"):
        stratified_split(table, "label", test_size=0.2)
    table = make_table({"pair": 2, "most": 11})
    with pytest.raises(ValueError, match=r"val_size=0.4.*after the test rows.*'pair' \(1\)"):
        stratified_split(table, "label", test_size=0.4, val_size=0.4)


def test_part_smaller_than_the_classes_is_impossible():
    for size in (0.02, 0.98):
        with pytest.raises(ValueError, match=r"3 classes: .*'rare' \(7\)"):
            table = make_table({"rare": 7, "some": 11, "most": 31})
            stratified_split(table, "label", test_size=size)


@pytest.mark.parametrize(
    ("counts", "groups", "match"),
    [
        ({"a": 2, "b": 3}, None, "5 rows; use at most 5"),
        ({"a": 7, "b": 11}, np.arange(18) % 5, "5 groups; use at most 5"),
        ({"a": 4, "b": 5}, None, r"'a' \(4\), 'b' \(5\).*at most 5"),
    ],
)
def test_impossible_folds(counts, groups, match):
    with pytest.raises(ValueError, match=match):
        stratified_k_fold(make_table(counts), "label", num_folds=7, groups=groups)


def test_fewer_groups_than_parts():
    table = make_table()
    groups = np.arange(len(table)) % 2
    with pytest.raises(ValueError, match=r"2 group\(s\) for 3 parts"):
        stratified_split(table, "label", test_size=0.2, val_size=0.2, groups=groups)


def test_mistakes_are_told_together():
    table = make_table()
    with pytest.raises(ValueError) as error:
        stratified_split(table, "lable", val_size=1, test_size=-0.1, groups=["a", "b"])
    parts = ("val_size=1", "test_size=-0.1", "'lable'", "Did you mean 'label'?", "`groups`", "143")
    for part in parts:
        assert part in str(error.value)
    with pytest.raises(ValueError, match="num_folds=1(.|\n)*'lable'"):
        stratified_k_fold(table, "lable", num_folds=1)
    with pytest.raises(ValueError, match="DataFrame"):
        stratified_split("table.csv", "label")
    with pytest.raises(ValueError, match="no rows"):
        stratified_split(table.head(0), "label", test_size=0.1)


@pytest.mark.parametrize("empty", ["", None, float("nan")])
@pytest.mark.parametrize("argument", ["label", "groups"])
def test_missing_cells(empty, argument):
    table = make_table().astype(object)
    table["groups"] = np.arange(len(table))
    table[argument] = [empty if i in (2, 5) else v for i, v in enumerate(table[argument])]
    with pytest.raises(ValueError, match=f"`{argument}` is missing in 2 of 143 rows .rows 2, 5"):
        stratified_split(table, "label", test_size=0.2, groups="groups")
