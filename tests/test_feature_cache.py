"""The feature cache from rows to answers: what it saves, and that it changes nothing."""

import json

import numpy as np
import pytest

import keras_mm
from keras_mm.cli import main
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.features.store import FeatureStore

FROZEN = {
    "preset": "tiny", "vision_trainable": False, "text_trainable": False, "epochs": 2,
    "batch_size": 32, "verbose": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def train(sample):
    return sample[0][:128]


@pytest.fixture
def decoded(monkeypatch):
    """How many images were decoded."""
    count = []
    original = Preprocessor.load_images
    monkeypatch.setattr(
        Preprocessor, "load_images", lambda self, c, *a: count.extend(c) or original(self, c, *a)
    )
    return count


def answers(train, test, **options) -> np.ndarray:
    classifier = keras_mm.MultimodalClassifier(**{**FROZEN, **options})
    return classifier.fit(train, validation_split=0.25).predict_proba(test)


def test_cached_and_uncached_are_the_same_bits(sample, train, tmp_path, decoded):
    test = sample[1][:40]
    plain = answers(train, test, cache=False)
    assert FeatureStore(tmp_path).info()["entries"] == 0
    first = answers(train, test, cache=str(tmp_path))
    assert FeatureStore(tmp_path).info()["entries"] > 0
    decoded.clear()
    again = answers(train, test, cache=tmp_path)
    assert not decoded
    np.testing.assert_array_equal(first, plain)
    np.testing.assert_array_equal(again, plain)
    # Another fusion, loss and order of rows, on the same encoders.
    other = answers(train[::-1], test, cache=tmp_path, fusion="gated", loss="focal")
    assert not decoded
    assert not np.array_equal(other, plain)
    # Other encoders.
    answers(train, test, cache=tmp_path, seed=1)
    assert decoded


def test_stages_keep_what_the_frozen_encoder_gave(train, tmp_path, decoded):
    """What is trained later is encoded anew, and never mistaken for what it was."""
    options = {"training": {"stages": [{"blocks": 0, "epochs": 1}, {"blocks": {"text": "all"}}]}}
    options |= {"epochs": 1, "vision_trainable": None, "text_trainable": None}
    plain = answers(train, train, cache=False, **options)
    np.testing.assert_array_equal(answers(train, train, cache=tmp_path, **options), plain)
    entries = FeatureStore(tmp_path).info()["entries"]
    decoded.clear()
    np.testing.assert_array_equal(answers(train, train, cache=tmp_path, **options), plain)
    assert FeatureStore(tmp_path).info()["entries"] == entries


def test_a_saved_model_names_no_folder(train, tmp_path):
    classifier = keras_mm.MultimodalClassifier(**{**FROZEN, "cache": str(tmp_path / "cache")})
    classifier.fit(train[:64]).save(tmp_path / "model")
    assert str(tmp_path) not in (tmp_path / "model" / "model.json").read_text()
    assert keras_mm.MultimodalClassifier.load(tmp_path / "model").cache is True


def test_the_run_log_says_what_came_from_the_cache(train, tmp_path):
    table = tmp_path / "train.parquet"
    train.to_parquet(table)
    options = ["train", "--data", str(table), "--preset", "tiny", "--epochs", "1", "--quiet"]
    options += ["--set", "vision_trainable=false", "--set", "text_trainable=false"]
    options += ["--set", f"cache={tmp_path / 'cache'}"]
    for number in range(2):
        assert main([*options, "--output", str(tmp_path / f"run{number}")]) == 0
    logs = [(tmp_path / f"run{number}" / "train.log").read_text() for number in range(2)]
    kept = [[line for line in log.splitlines() if "in the cache" in line] for log in logs]
    assert len(kept[0]) == len(kept[1]) == 2  # of the training rows; the others are a batch or less
    assert all(" 0 of " in line and "to encode" in line for line in kept[0])
    assert all("to encode" not in line for line in kept[1])
    histories = [(tmp_path / f"run{number}" / "history.csv").read_text() for number in range(2)]
    assert histories[0] == histories[1]


def test_info_and_clear_on_the_command_line(train, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_MM_CACHE", str(tmp_path))
    answers(train, train[:4])
    capsys.readouterr()
    assert main(["cache", "info"]) == 0
    text = capsys.readouterr().out
    assert str(tmp_path) in text and "vision" in text and "pooled_output" in text
    assert main(["cache", "info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["entries"] > 0 and info["bytes"] > 0
    assert main(["cache", "clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed_bytes": info["bytes"]}
    assert main(["cache", "info", "--folder", str(tmp_path)]) == 0
    assert "0 entries" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["cache", "empty"])
    monkeypatch.setenv("KERAS_MM_CACHE_GB", "lots")
    assert main(["cache", "info"]) == 2
    assert "KERAS_MM_CACHE_GB" in capsys.readouterr().err
