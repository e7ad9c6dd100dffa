"""Classifiers that average a trunk for each fold."""

import pickle

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from keras_mm import Head, MultimodalClassifier, TableError
from keras_mm.data.tables.folds import draw_folds
from keras_mm.estimator.prepare import prepare
from keras_mm.models.ensemble import members
from keras_mm.settings.settings import ConfigError, Settings

pytestmark = pytest.mark.eager

TEXTS = {"texts": ["text_1", "text_2"], "images": [], "preset": "tiny", "verbose": 0}


@pytest.fixture(scope="module")
def tables(sample):
    train, test = sample
    train = train[:150].set_axis(np.arange(1000, 1150)).assign(owner=np.arange(150) // 5)
    return train, test[:40]


@pytest.fixture(scope="module")
def classifier(tables):
    model = MultimodalClassifier(text_trainable=False, epochs=3, folds=3, **TEXTS)
    return model.fit(tables[0])


def single(classifier, number):
    """The classifier with one of its members."""
    trained = classifier._trained
    from dataclasses import replace

    return classifier._with(replace(trained, model=members(trained.model)[number]))


def test_it_answers_with_the_mean_probability_of_its_members(classifier, tables):
    assert len(members(classifier.model_)) == 3
    each = [single(classifier, number).predict_proba(tables[1]) for number in range(3)]
    np.testing.assert_allclose(
        classifier.predict_proba(tables[1]), np.mean(each, axis=0), atol=1e-6
    )
    assert np.abs(each[0] - each[1]).max() > 1e-3  # trained on other rows, from other weights
    assert set(classifier.history_["fold"]) == {1, 2, 3}
    assert len(classifier.history_["fold"]) == len(classifier.history_["val_loss"])


def test_each_row_has_the_prediction_of_the_member_that_left_it_out(classifier, tables):
    found = classifier.out_of_fold_
    assert found.index.equals(tables[0].index) and list(found)[:3] == [
        "fold", "label", "prediction"
    ]  # fmt: skip
    assert (found["label"] == tables[0]["label"]).all()
    columns = [f"probability_{name}" for name in classifier.classes_]
    for number in range(3):
        rows = found["fold"] == number + 1
        expected = single(classifier, number).predict_proba(tables[0][rows])
        np.testing.assert_allclose(found.loc[rows, columns], expected, atol=1e-6)
    assert sorted(found["fold"].value_counts()) == [50, 50, 50]


def test_one_member_is_what_training_its_fold_alone_gives(classifier, tables):
    """Members share encoders and a compiled step, and nothing else."""
    settings = classifier._settings().resolved()
    prepared_rows = classifier.predictor_.rows(tables[0], heads=classifier.heads_)
    folds = draw_folds(prepared_rows, classifier.heads_, 3, val_size=0.1, seed=settings.seed)
    fold = folds[0]
    alone = MultimodalClassifier(text_trainable=False, epochs=3, **TEXTS).fit_rows(
        prepared_rows.take(fold.train.tolist()),
        prepared_rows.take(fold.val.tolist()),
        heads=classifier.heads_,
    )
    np.testing.assert_allclose(
        alone.predict_proba(tables[1]), single(classifier, 0).predict_proba(tables[1]), atol=1e-5
    )


def test_the_same_seed_gives_the_same_bits_and_a_copy_keeps_everything(classifier, tables):
    expected = classifier.predict_proba(tables[1])
    again = MultimodalClassifier(**classifier.get_params()).fit(tables[0])
    np.testing.assert_array_equal(again.predict_proba(tables[1]), expected)
    copied = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copied.predict_proba(tables[1]), expected)
    pd.testing.assert_frame_equal(copied.out_of_fold_, classifier.out_of_fold_)


@pytest.mark.graphs
def test_saved_and_loaded_in_another_process_it_answers_the_same(
    classifier, tables, tmp_path, elsewhere
):
    classifier.save(tmp_path / "model")
    tables[1].to_parquet(tmp_path / "rows.parquet")
    code = (
        "import keras_mm, numpy, sys\n"
        "model = keras_mm.MultimodalClassifier.load(sys.argv[1])\n"
        "numpy.save(sys.argv[3], model.predict_proba(sys.argv[2]))\n"
        "assert model.folds == 3 and not hasattr(model, 'out_of_fold_')\n"
    )
    elsewhere(code, tmp_path / "model", tmp_path / "rows.parquet", tmp_path / "out.npy")
    tolerance = 1e-6 if keras.backend.backend() == "tensorflow" else 0
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"),
        classifier.predict_proba(tables[1]),
        atol=tolerance,
        rtol=0,
    )


def test_trained_encoders_are_each_members_own(tables, tmp_path):
    model = MultimodalClassifier(epochs=1, folds=2, **TEXTS).fit(tables[0])
    first, second = members(model.model_)
    weights = [
        keras.ops.convert_to_numpy(one.get_layer("text_encoder").trainable_variables[0])
        for one in (first, second)
    ]
    assert np.abs(weights[0] - weights[1]).max() > 0
    model.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(tables[1]), model.predict_proba(tables[1]))
    each = [single(model, number).predict_proba(tables[1]) for number in range(2)]
    np.testing.assert_allclose(model.predict_proba(tables[1]), np.mean(each, axis=0), atol=1e-6)


def test_callbacks_see_each_member_and_change_nothing(classifier, tables):
    models = []

    class Watching(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            models.append(self.model)

    watched = MultimodalClassifier(text_trainable=False, epochs=3, folds=3, **TEXTS)
    watched.fit(tables[0], callbacks=[Watching()])
    assert len({id(model) for model in models}) == 3
    np.testing.assert_allclose(
        watched.out_of_fold_.filter(like="probability_"),
        classifier.out_of_fold_.filter(like="probability_"),
        atol=1e-5,
    )


def test_groups_are_held_out_together(tables):
    model = MultimodalClassifier(text_trainable=False, epochs=1, folds=3, **TEXTS)
    found = model.fit(tables[0], groups="owner").out_of_fold_
    assert (found["fold"].groupby(tables[0]["owner"]).nunique() == 1).all()


def test_a_head_is_added_to_every_member(classifier, tables):
    table = tables[0].assign(length=tables[0]["text_2"].str.len() * 1.0)
    model = classifier._with(classifier._trained)
    before = model.predict_proba(tables[1])
    model.add_head("size", Head("regression", column="length")).fit_head("size", table)
    np.testing.assert_array_equal(model.predict_proba(tables[1])["label"], before)
    each = [single(model, number).predict(tables[1])["size"] for number in range(3)]
    np.testing.assert_allclose(model.predict(tables[1])["size"], np.mean(each, axis=0), atol=1e-4)
    assert not hasattr(model, "out_of_fold_") and hasattr(classifier, "out_of_fold_")


@pytest.mark.many_networks
def test_windows_of_a_row_are_held_out_with_it(tables):
    long = tables[0][:60].assign(text_1=lambda t: t["text_1"] * 3)
    model = MultimodalClassifier(
        text_trainable=False, epochs=1, folds=2, sequence_length=12,
        sliding_window=True, **{**TEXTS, "texts": ["text_1"]},
    ).fit(long)  # fmt: skip
    expected = np.concatenate(
        [single(model, n).predict_proba(long[model.out_of_fold_["fold"] == n + 1]) for n in (0, 1)]
    )
    found = model.out_of_fold_.sort_values("fold", kind="stable").filter(like="probability_")
    np.testing.assert_allclose(found, expected, atol=1e-6)


class StopsInSecondFold(keras.callbacks.Callback):
    """Interrupts the second training before its first batch."""

    trainings = 0

    def on_train_begin(self, logs=None):
        self.trainings += 1
        if self.trainings == 2:
            raise KeyboardInterrupt


def test_a_member_without_a_completed_epoch_is_not_averaged(tables):
    model = MultimodalClassifier(text_trainable=False, epochs=1, folds=3, **TEXTS)
    with pytest.raises(KeyboardInterrupt):
        model.fit(tables[0][:60], callbacks=[StopsInSecondFold()])
    assert len(members(model.model_)) == 1 and "fold" not in model.history_


def test_an_average_is_not_continued(classifier, tables):
    model = classifier._with(classifier._trained).set_params(warm_start=True, folds=1)
    with pytest.raises(ValueError, match="the average of 3, one for each fold"):
        model.fit(tables[0])
    assert model._trained.model is classifier.model_


def test_how_many_folds_are_trained_by_default():
    frozen = Settings(preset="mobilenet_v2_minilm")
    assert frozen.resolved().folds == 5
    assert Settings(preset="mobilenet_v2_minilm", text_trainable=True).resolved().folds == 1
    assert Settings(preset="mobilenet_v2_minilm", warm_start=True).resolved().folds == 1
    assert Settings(preset="mobilenet_v2_minilm", folds=2).resolved().folds == 2
    assert Settings(preset="tiny").resolved().folds == 1
    with pytest.raises(ConfigError, match="folds=1, or warm_start=False"):
        Settings(folds=3, warm_start=True).resolved()
    with pytest.raises(ConfigError, match="folds"):
        Settings(folds=0).resolved()


def test_impossible_folds_are_refused_if_they_were_asked_for(tables):
    few = tables[0][:4].assign(label=["a", "b", "a", "b"])
    options = {"text_trainable": False, "epochs": 1, **TEXTS}
    with pytest.raises(TableError, match="impossible with 4 rows"):
        MultimodalClassifier(folds=5, **options).fit(few)
    with pytest.raises(NotFittedError, match="without folds"):
        MultimodalClassifier(**options).fit(few, validation_split=0).out_of_fold_  # noqa: B018


def test_folds_of_a_preset_give_way_to_a_split_whose_problem_is_reported_as_any():
    table = pd.DataFrame({"text_1": list("xyz"), "label": ["a", "a", "b"]})
    settings, heads = Settings(texts=("text_1",)), {"label": Head(classes=("a", "b"))}
    options = {"folds": 5, "strict_folds": False, "progress": False}
    assert len(prepare(settings, {"train": table}, heads, **options).rows) == 3
    with pytest.raises(TableError, match="`val_size=0.1` is impossible"):
        prepare(settings, {"train": table}, heads, val_size=0.1, **options)
