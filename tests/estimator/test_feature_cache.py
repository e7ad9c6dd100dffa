"""The feature cache from rows to answers: what it saves, and that it changes nothing."""

import json
import shutil

import numpy as np
import pytest

import keras_mm
from keras_mm.cli.main import main
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.features.store.store import FeatureStore

pytestmark = pytest.mark.eager

FROZEN = {
    "preset": "tiny", "vision_trainable": False, "text_trainable": False, "epochs": 1,
    "batch_size": 32, "verbose": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def train(sample):
    return sample[0][:128]


@pytest.fixture(scope="module")
def test(sample):
    return sample[1][:40]


def fitted(train, cache, **options) -> keras_mm.MultimodalClassifier:
    classifier = keras_mm.MultimodalClassifier(**{**FROZEN, "cache": cache, **options})
    return classifier.fit(train, validation_split=0.25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def first(folder, train):
    """A classifier whose training filled the cache in `folder`."""
    return fitted(train, str(folder))


@pytest.fixture
def decoded(monkeypatch):
    """The images that were decoded."""
    count = []
    original = Preprocessor.load_images
    monkeypatch.setattr(
        Preprocessor, "load_images", lambda self, c, *a: count.extend(c) or original(self, c, *a)
    )
    return count


def test_cached_and_uncached_are_the_same_bits(first, train, test, folder, decoded):
    entries = FeatureStore(folder).info()["entries"]
    assert entries > 0
    answers = first.predict_proba(test)
    assert decoded and FeatureStore(folder).info()["entries"] > entries
    plain = fitted(train, False).predict_proba(test)
    np.testing.assert_array_equal(answers, plain)
    decoded.clear()
    np.testing.assert_array_equal(fitted(train, folder).predict_proba(test), plain)
    # Another fusion, loss and order of rows, on the same encoders.
    other = fitted(train[::-1], folder, fusion="gated", loss="focal").predict_proba(test)
    assert not decoded
    assert not np.array_equal(other, plain)


@pytest.mark.many_networks
def test_stages_keep_what_the_frozen_encoder_gave(train, test, tmp_path):
    """What is trained later is encoded anew, and never mistaken for what it was."""
    options = {"training": {"stages": [{"blocks": 0, "epochs": 1}, {"blocks": {"text": "all"}}]}}
    options |= {"texts": ["text_1"], "text_trainable": None}
    train = train.assign(text_1=[f"{text} {i}" for i, text in enumerate(train["text_1"])])
    found = [fitted(train, cache, **options).predict_proba(test) for cache in (tmp_path, False)]
    assert FeatureStore(tmp_path).info()["entries"] > 64
    np.testing.assert_array_equal(*found)


def test_a_saved_model_names_no_folder(first, folder, tmp_path):
    first.save(tmp_path / "model")
    assert str(folder) not in (tmp_path / "model" / "model.json").read_text()
    assert keras_mm.MultimodalClassifier.load(tmp_path / "model").cache is True


@pytest.mark.many_networks
def test_the_run_log_says_what_came_from_the_cache(first, train, folder, tmp_path):
    train.to_parquet(tmp_path / "train.parquet")
    options = ["train", "--data", str(tmp_path / "train.parquet"), "--preset", "tiny", "--quiet"]
    options += ["--baselines", "none"]
    for name in ("vision_trainable=false", "text_trainable=false", "epochs=1", f"cache={folder}"):
        options += ["--set", name]
    assert main([*options, "--output", str(tmp_path / "run")]) == 0
    log = (tmp_path / "run" / "train.log").read_text().splitlines()
    kept = [line for line in log if "in the cache" in line]
    assert len(kept) == 6  # of the training, validation and test rows
    assert "images" in kept[0] and "to encode" not in kept[0]


def test_info_and_clear_on_the_command_line(first, folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder, tmp_path / "cache")
    monkeypatch.setenv("KERAS_MM_CACHE", str(tmp_path / "cache"))
    assert main(["cache", "info"]) == 0
    text = capsys.readouterr().out
    assert str(tmp_path) in text and "vision" in text and "pooled_output" in text
    assert main(["cache", "info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["entries"] > 0 and info["bytes"] > 0
    assert main(["cache", "clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed_bytes": info["bytes"]}
    assert main(["cache", "info", "--folder", str(tmp_path / "cache")]) == 0
    assert "0 entries" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["cache", "empty"])
    monkeypatch.setenv("KERAS_MM_CACHE_GB", "lots")
    assert main(["cache", "info"]) == 2
    assert "KERAS_MM_CACHE_GB" in capsys.readouterr().err
