"""Classifiers whose members are of several kinds, on all modalities and on one."""

import pickle
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_mm import Head, MultimodalClassifier
from keras_mm.metrics.probabilities import probabilities
from keras_mm.models.ensemble import member_weights, members
from keras_mm.settings.settings import ConfigError

pytestmark = pytest.mark.eager

OPTIONS = {
    "preset": "tiny", "text_trainable": False, "vision_trainable": False, "verbose": 0,
    "epochs": 2, "folds": 2, "images": ["image_1"], "texts": ["text_1"],
}  # fmt: skip
NAMES = ["linear_skip", "linear", "linear:image", "trunk:text"]


@pytest.fixture(scope="module")
def tables(sample):
    train, test = sample
    rng = np.random.default_rng(0)
    train = train[:120].assign(size=rng.normal(3, 2, 120))
    return train, test[:30]


@pytest.fixture(scope="module")
def classifier(tables):
    heads = {"label": Head(), "size": Head("regression")}
    return MultimodalClassifier(labels=heads, members=NAMES, **OPTIONS).fit(tables[0])


def answers_of(classifier, rows):
    """The logits of each member, by head."""
    predictor = classifier.predictor_
    rows = predictor.rows(rows)
    return [replace(predictor, model=model).logits(rows) for model in members(classifier.model_)]


def expected(classifier, name, rows, key):
    head, own = classifier.heads_[name], member_weights(classifier.model_)[name]
    shares = own.without.get(key, own.everywhere)
    each = [logits[name] for logits in answers_of(classifier, rows)]
    if head.kind != "regression":
        each = [probabilities(logits, head.kind) for logits in each]
    return sum(share * values for share, values in zip(shares, each, strict=True))


@pytest.mark.parametrize("hidden", [(), ("image_1",), ("text_1",)])
def test_rows_are_answered_by_the_members_that_do_not_need_what_they_lack(
    classifier, tables, hidden
):
    rows = tables[1].assign(**dict.fromkeys(hidden))
    key = hidden[0].split("_")[0] if hidden else "everywhere"
    found = classifier.predict_proba(rows)["label"]
    np.testing.assert_allclose(found, expected(classifier, "label", rows, key), atol=1e-5)
    numbers = classifier.predict(rows)["size"]
    np.testing.assert_allclose(
        np.ravel(numbers), np.ravel(expected(classifier, "size", rows, key)), atol=1e-4
    )


def test_weights_are_of_members_and_the_same_for_each_of_their_folds(classifier):
    trained = classifier._trained
    assert [one.fold for one in trained.members] == [1, 2] * (len(trained.members) // 2)
    names = [one.member.name for one in trained.members[::2]]
    assert names == [name for name in NAMES if name in names]
    assert list(classifier.members_["label"]) == names
    assert sum(classifier.members_["label"].values()) == pytest.approx(1)
    for own in member_weights(classifier.model_).values():
        for row in (own.everywhere, *own.without.values()):
            assert sum(row) == pytest.approx(1) and row[::2] == row[1::2]
        for modality, row in own.without.items():
            for weight, one in zip(row, trained.members, strict=True):
                assert weight == 0 or one.member.modalities != (modality,)


def test_out_of_fold_predictions_are_the_blend_of_those_of_the_members(classifier, tables):
    held_out = classifier._trained.held_out
    assert np.isfinite(held_out.logits["label"]).all()
    predictor, weights = classifier.predictor_, member_weights(classifier.model_)
    rows = predictor.rows(tables[0], heads=classifier.heads_)
    folds = np.array([one.fold for one in classifier._trained.members])
    each = answers_of(classifier, tables[0])
    for fold in (1, 2):
        left_out = held_out.fold == fold
        shares = 2 * np.where(folds == fold, weights["label"].everywhere, 0)
        wanted = sum(
            share * probabilities(logits["label"][left_out])
            for share, logits in zip(shares, each, strict=True)
        )
        np.testing.assert_allclose(
            probabilities(held_out.logits["label"][left_out]), wanted, atol=1e-5
        )
    assert len(rows) == len(held_out.fold)


def test_saved_loaded_pickled_and_trained_again_it_gives_the_same_bits(
    classifier, tables, tmp_path
):
    found = classifier.predict_proba(tables[1])["label"]
    classifier.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    again = MultimodalClassifier(**classifier.get_params()).fit(tables[0])
    copied = pickle.loads(pickle.dumps(classifier))
    for other in (loaded, again, copied):
        np.testing.assert_array_equal(other.predict_proba(tables[1])["label"], found)
    assert member_weights(loaded.model_) == member_weights(classifier.model_)
    assert [one.member for one in loaded._trained.members] == [
        one.member for one in classifier._trained.members
    ]


@pytest.mark.many_networks
def test_a_head_that_is_added_is_trained_in_each_member(classifier, tables, tmp_path):
    classifier.save(tmp_path / "model")
    grown = MultimodalClassifier.load(tmp_path / "model")
    before = grown.predict_proba(tables[1])["label"]
    train = tables[0].assign(long=["yes" if len(t) > 30 else "no" for t in tables[0]["text_1"]])
    grown.add_head("long", Head("binary"))
    grown.fit_head("long", train)
    np.testing.assert_array_equal(grown.predict_proba(tables[1])["label"], before)
    own = member_weights(grown.model_)["long"]
    assert sum(own.everywhere) == pytest.approx(1)
    assert set(own.without) == {"image", "text"}
    assert grown.predict_proba(tables[1])["long"].shape == (30, 2)
    grown.save(tmp_path / "grown")
    again = MultimodalClassifier.load(tmp_path / "grown")
    np.testing.assert_array_equal(
        again.predict_proba(tables[1])["long"], grown.predict_proba(tables[1])["long"]
    )


@pytest.mark.backend_free
def test_members_that_do_not_fit_the_table(tables):
    options = {**OPTIONS, "images": []}
    with pytest.raises(ConfigError, match="'linear:image' reads images"):
        MultimodalClassifier(members=["trunk", "linear:image"], **options).fit(tables[0])
    with pytest.raises(ConfigError, match="no member reads the images"):
        MultimodalClassifier(members=["linear:text"], **OPTIONS).fit(tables[0])
    with pytest.raises(ValueError, match="macro_f2"):
        MultimodalClassifier(members=["trunk", "linear"], blend_metric="macro_f2", **OPTIONS).fit(
            tables[0]
        )


@pytest.mark.backend_free
def test_the_report_and_the_card_say_the_weights(classifier, tables, tmp_path):
    from keras_mm.evaluation.report.model_card import render_model_card

    evaluation = classifier.evaluate(tables[0][:40], baselines="none")
    wanted = ", ".join(f"{name} {share:.2f}" for name, share in classifier.members_["size"].items())
    assert wanted in evaluation.about["members"]
    evaluation.save(tmp_path / "report.html")
    assert wanted in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Weights of the members" in render_model_card(evaluation, {})


@pytest.mark.slow
@pytest.mark.graphs
@pytest.mark.backend_free
def test_the_export_answers_rows_that_lack_a_modality(classifier, tables, tmp_path):
    rows = tables[0][:12].copy()
    rows.loc[rows.index[:4], "image_1"] = None
    rows.loc[rows.index[4:8], "text_1"] = None
    found = classifier.export(tmp_path / "out", data=rows)
    assert found["rows"] == 12 and found["max_difference"] < 1e-5


@pytest.mark.backend_free
def test_an_interrupted_training_leaves_the_first_member(tables):
    class Stop(keras.callbacks.Callback):
        seen = 0

        def on_train_begin(self, logs=None):
            Stop.seen += 1
            if Stop.seen == 4:  # the second fold of the second member
                raise KeyboardInterrupt

    model = MultimodalClassifier(members=["trunk", "linear_skip"], **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        model.fit(tables[0], callbacks=[Stop()])
    assert len(members(model.model_)) == 2 and np.isfinite(model.predict_proba(tables[1])).all()
    assert {one.member.kind for one in model._trained.members} == {"trunk"}


@pytest.mark.backend_free
def test_an_interrupted_linear_member_leaves_the_first_member(tables, monkeypatch):
    from keras_mm.estimator import member_folds

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(member_folds, "train_linear", interrupted)
    model = MultimodalClassifier(members=["trunk", "linear"], **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        model.fit(tables[0])
    assert len(members(model.model_)) == 2 and np.isfinite(model.predict_proba(tables[1])).all()
