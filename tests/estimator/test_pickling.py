"""Pickle, joblib, deepcopy and clone of estimators; other processes and threads that use them."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from keras_mm import Head, MultimodalClassifier
from keras_mm.features.store.store import open_store
from keras_mm.forks import ForkError

TABLE = pd.DataFrame({"text": ["a", "b", "a b"] * 8, "label": ["x", "y", "y"] * 8})
OPTIONS = {"texts": ["text"], "preset": "tiny", "text_trainable": False, "epochs": 1, "verbose": 0}


@keras.saving.register_keras_serializable("tests")
class Sum(keras.layers.Layer):
    """A fusion of the user's own."""

    def call(self, sides):
        return sides[0] + sides[1]


def test_copies_answer_the_same(fitted, sample):
    rows = sample[1][:9]
    expected = fitted.predict_proba(rows)
    for copied in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(copied.predict_proba(rows), expected)
        assert copied.model_ is not fitted.model_
        assert copied.history_ == fitted.history_ and copied.get_params() == fitted.get_params()
        copied.model_.set_weights([w * 0 for w in copied.model_.get_weights()])
    np.testing.assert_array_equal(fitted.predict_proba(rows), expected)
    assert copy.copy(fitted).model_ is fitted.model_


@pytest.mark.backend_free
@pytest.mark.slow
def test_in_another_process(fitted, sample, tmp_path):
    rows = sample[1][:40]
    joblib.dump(Pipeline([("model", fitted)]), tmp_path / "model.joblib")
    rows.to_pickle(tmp_path / "rows.pkl")
    code = (
        "import sys, os, joblib, numpy, pandas; os.chdir(sys.argv[1]); "
        "model = joblib.load('model.joblib'); "
        "numpy.save('found.npy', model.predict_proba(pandas.read_pickle('rows.pkl')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), fitted.predict_proba(rows))


@pytest.mark.many_networks
@pytest.mark.eager
def test_layers_of_the_user_s_own(sample):
    options = {"preset": "tiny", "vision_trainable": False, "text_trainable": False}
    model = MultimodalClassifier(fusion=Sum(), epochs=1, verbose=0, **options)
    unfitted = pickle.loads(pickle.dumps(model))
    assert isinstance(unfitted.fusion, Sum) and unfitted.fusion is not model.fusion
    model.fit(sample[0][:64])
    copied = pickle.loads(pickle.dumps(model))
    assert copied.fusion is copied._trained.settings.fusion
    rows = sample[1][:5]
    np.testing.assert_array_equal(copied.predict_proba(rows), model.predict_proba(rows))


@pytest.mark.backend_free
@pytest.mark.eager
def test_clone_and_copies_carry_declared_heads(tmp_path):
    table = TABLE.assign(way=["up", "down", "up"] * 8)
    model = MultimodalClassifier(**OPTIONS).fit(table)
    model.add_head("way", Head("binary")).add_head("way2", Head(column="way"))
    model.fit_head("way", table).save(tmp_path / "model")
    copies = [copy.deepcopy(model), MultimodalClassifier.load(tmp_path / "model")]
    for one in copies:
        assert list(one.heads_) == ["label", "way"]
        assert list(one.fit_head("way2", table).heads_) == ["label", "way", "way2"]
    cloned = clone(model)
    with pytest.raises(NotFittedError):
        cloned.predict(table)
    cloned.fit(table)
    assert list(cloned.heads_) == ["label"]
    assert list(cloned.fit_head(["way", "way2"], table).heads_) == ["label", "way", "way2"]


@pytest.mark.slow
def test_scikit_learn_in_processes_of_its_own(once):
    search = GridSearchCV(
        MultimodalClassifier(**OPTIONS), {"learning_rate": [1e-3, 1e-2]}, cv=2, n_jobs=2
    ).fit(TABLE, TABLE["label"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    calibrated = CalibratedClassifierCV(FrozenEstimator(search.best_estimator_), cv=2)
    calibrated.fit(TABLE, TABLE["label"])
    copied = pickle.loads(pickle.dumps(calibrated))
    np.testing.assert_array_equal(copied.predict_proba(TABLE), calibrated.predict_proba(TABLE))


def test_threads_answer_as_one(fitted, sample):
    rows = sample[1][:24]
    parts = [rows[i : i + 1 + i % 5] for i in range(20)]
    expected = [fitted.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            found = list(threads.map(fitted.predict_proba, parts))
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
    # Encoding too, where nothing is kept.
    fresh = copy.copy(fitted)
    fresh.cache = False
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(fresh.predict_proba, parts))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert open_store(fresh.cache) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning", "ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    "act",
    [
        lambda m, t: m.predict(t),
        lambda m, t: m.predict(t[:1]),
        lambda m, t: MultimodalClassifier(**OPTIONS).fit(TABLE),
        lambda m, t: copy.deepcopy(m),
        lambda m, t: m.preprocessor_.tokenizer.count(["a"]),
    ],
    ids=["predict", "one row", "fit", "copy", "tokens"],
)
def test_a_forked_process_says_what_to_do(fitted, sample, act):
    fitted.predict(sample[1][:1])
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            act(fitted, sample[1][:2])
            words = "no error"
        except ForkError as error:
            words = str(error)
        except BaseException as error:
            words = repr(error)
        os.write(writes, words.encode())
        os._exit(0)
    os.close(writes)
    words = os.read(reads, 10_000).decode()
    os.waitpid(child, 0)
    assert "was forked" in words and "Load the model in each worker" in words
