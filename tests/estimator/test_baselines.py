"""Baselines that an evaluation trains: on which rows, with which encoders, under which names."""

import numpy as np
import pandas as pd
import pytest

import keras_mm
from keras_mm.errors import InvalidValueError, TableError
from keras_mm.features import encode
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.eager

FROZEN = {"vision_trainable": False, "text_trainable": False}
TEXTS = ["text_1", "text_2"]


@pytest.fixture(scope="module")
def tables(sample):
    """Training and test rows; the first rows lack images or texts."""
    train, test = sample[0][:64].reset_index(drop=True), sample[1][:31]
    train.loc[:3, ["image_1", "image_2"]] = None
    train.loc[4:7, TEXTS] = None
    return train, test


@pytest.fixture(scope="module")
def frozen(tables):
    model = keras_mm.MultimodalClassifier(preset="tiny", epochs=1, folds=2, verbose=0, **FROZEN)
    return model.fit(tables[0])


def test_frozen_encoders_run_once_for_all_baselines(frozen, tables, monkeypatch):
    computed = []
    compute = encode._RowEncoder._compute

    def spy(self, *arguments):
        computed.append(self._side)
        return compute(self, *arguments)

    monkeypatch.setattr(encode._RowEncoder, "_compute", spy)
    report = frozen.evaluate(tables[1], train=tables[0])
    names = ["majority", "lexical", "linear", "image_only", "text_only"]
    assert list(report.baselines) == list(report.differences) == names
    # Only the test rows were not encoded yet.
    assert sorted(computed) == ["text", "vision"]
    for scores in report.baselines.values():
        assert scores["num_rows"] == 31 and np.isfinite(scores["log_loss"])
    assert report.verdict.startswith("Accuracy ") and not report.notes


def test_a_side_alone_sees_only_its_side(frozen, tables):
    train, test = tables
    plain = frozen.evaluate(test, train=train, baselines="text_only").baselines
    swapped = test.assign(image_1=test["image_2"], image_2=test["image_1"])
    assert frozen.evaluate(swapped, train=train, baselines="text_only").baselines == plain
    assert list(plain) == ["majority", "text_only"]


@pytest.mark.many_networks
def test_without_a_cache_features_are_still_shared(tables, monkeypatch):
    computed = []
    compute = encode._RowEncoder._compute
    monkeypatch.setattr(
        encode._RowEncoder, "_compute",
        lambda self, *rest: (computed.append(self._side), compute(self, *rest))[1],
    )  # fmt: skip
    model = keras_mm.MultimodalClassifier(
        preset="tiny", epochs=1, folds=1, verbose=0, cache=False, **FROZEN
    ).fit(tables[0])
    computed.clear()
    model.evaluate(tables[1], train=tables[0], baselines=["linear", "image_only", "text_only"])
    assert sorted(computed) == ["text", "text", "vision", "vision"]  # test rows, training rows


@pytest.mark.many_networks
def test_trained_encoders_have_probes(fitted, sample, tmp_path):
    sample[0][:40].to_parquet(tmp_path / "train.parquet")
    report = fitted.evaluate(sample[1][:31], train=tmp_path / "train.parquet")
    probes = ["linear_probe", "image_probe", "text_probe"]
    assert list(report.baselines) == ["majority", "lexical", *probes]
    assert report.heads["label"].methods["lexical"]


def test_without_training_rows_a_note_says_so(fitted, sample):
    report = fitted.evaluate(sample[1][:31])
    assert list(report.baselines) == ["majority"]
    assert "there are no training rows" in report.notes[0]
    assert report.notes[0] in " ".join(report.to_dict()["notes"])
    assert not fitted.evaluate(sample[1][:31], baselines="none").notes


def test_unknown_baselines_and_labels_are_refused(fitted, sample):
    with pytest.raises(InvalidValueError, match="`baselines` must be 'auto', 'none'.*'lexicl'"):
        fitted.evaluate(sample[1][:31], baselines=["lexicl"])
    train = sample[0][:31].assign(label="never seen")
    with pytest.raises(TableError, match="never seen"):
        fitted.evaluate(sample[1][:31], train=train)


def test_one_row_is_no_evidence(fitted, sample):
    report = fitted.evaluate(sample[1][:1], train=sample[0][:31])
    assert "not distinguishable" in report.verdict


def test_rows_of_a_group_are_drawn_together(fitted, sample):
    test = sample[1][:31].assign(scene=np.arange(31) % 3)
    plain = fitted.evaluate(test, baselines="none").differences["majority"]["accuracy"]
    grouped = fitted.evaluate(test, baselines="none", groups="scene")
    assert grouped.differences["majority"]["accuracy"]["difference"] == plain["difference"]
    assert grouped.differences["majority"]["accuracy"]["interval"] != plain["interval"]


@pytest.mark.many_networks
def test_each_head_has_its_baselines():
    random = np.random.default_rng(0)
    words = np.array(["red", "blue", "old", "new"])
    picks = random.integers(0, 4, (67, 2))
    table = pd.DataFrame(
        {
            "text_1": [" ".join(words[pick]) for pick in picks],
            "colour": np.where(picks[:, 0] < 2, "warm", "cold"),
            "tags": ["|".join(sorted(set(words[pick]))) for pick in picks],
            "size": picks.sum(axis=1) + 0.5,
        }
    )
    table.loc[:9, "colour"] = None
    table.loc[5:20, "size"] = np.nan
    heads = {
        "colour": Head(column="colour"),
        "tags": Head("multilabel", column="tags"),
        "size": Head("regression", column="size"),
    }
    model = keras_mm.MultimodalClassifier(
        texts=["text_1"], labels=heads, preset="tiny", text_trainable=False, epochs=1, folds=1,
        verbose=0,
    ).fit(table)  # fmt: skip
    report = model.evaluate(table[40:], train=table[:40])
    assert {name: list(found) for name, found in report.baselines.items()} == {
        "colour": ["majority", "lexical", "linear"],
        "tags": ["frequency", "lexical", "linear"],
        "size": ["mean", "lexical", "linear"],
    }
    assert report.baselines["tags"]["lexical"]["micro_f1"] > 0.8
    assert set(report.verdict) == set(heads) and "R²" in report.verdict["size"]
