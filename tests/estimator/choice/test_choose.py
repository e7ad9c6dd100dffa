"""A search of members within `fit`."""

import numpy as np
import pytest

from keras_mm import Head, MultimodalClassifier
from keras_mm.estimator.choice import candidates, choose
from keras_mm.settings.members import Member, as_members
from keras_mm.settings.settings import ConfigError

pytestmark = pytest.mark.eager

OPTIONS = {
    "preset": "tiny", "text_trainable": False, "vision_trainable": False, "verbose": 0,
    "epochs": 1, "folds": 2, "images": ["image_1"], "texts": ["text_1"], "members": "search",
    "fusion": "concat", "training": {"projection_dims": 16, "time_limit": 1000},
}  # fmt: skip


@pytest.fixture(scope="module")
def tables(sample):
    """Rows whose label follows from a word of the text, and whose size is noise."""
    train, test = sample
    rng = np.random.default_rng(0)

    def prepared(rows):
        label = np.where(rows["text_1"].str.contains("a"), "with", "without")
        return rows.assign(label=label, size=rng.normal(3, 2, len(rows)))

    return prepared(train[:100]), prepared(test[:20])


def shorten(patch):
    """Leaves few candidates, so that a search ends by itself."""

    def known(self):
        yield from as_members("auto", ["image", "text"])
        yield Member("trunk", ("image", "text"), (("fusion", "gated"),))

    patch.setattr(candidates.Candidates, "_known", known)
    patch.setattr(candidates, "_TRIES", 0)


@pytest.fixture
def few(monkeypatch):
    shorten(monkeypatch)


@pytest.fixture(scope="module")
def classifier(tables):
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        return MultimodalClassifier(**OPTIONS).fit(tables[0])


def test_what_was_tried_is_a_table_and_what_was_chosen_are_settings(classifier):
    trials = classifier.trials_
    assert {"trunk", "linear", "linear:image", "linear:text", "trunk:text"} <= set(trials["member"])
    assert list(trials) == ["member", "state", "score", "macro_f1", "weight", "seconds"]
    finished = trials[trials["state"] == "finished"]
    assert finished["score"].is_monotonic_decreasing and len(finished) >= 5
    assert finished["macro_f1"].between(0, 1).all()
    assert trials["weight"].sum() == pytest.approx(1)
    used = {name for name, share in classifier.members_.items() if share}
    assert used == set(trials.loc[trials["weight"] > 0, "member"])
    assert set(classifier.choice_) == {"images", "texts", "members"}
    assert classifier.get_params()["members"] == "search"


def test_its_choice_trains_such_a_model_without_a_search(classifier, tables):
    again = MultimodalClassifier(**{**classifier.get_params(), **classifier.choice_})
    again.fit(tables[0])
    assert set(again.members_) <= set(classifier.trials_["member"])
    with pytest.raises(AttributeError, match='members="search"'):
        again.trials_  # noqa: B018
    assert not hasattr(again, "choice_") and again.remarks_ == ()


def test_saved_and_loaded_it_answers_the_same_bits(classifier, tables, tmp_path):
    classifier.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    expected = classifier.predict_proba(tables[1])
    np.testing.assert_array_equal(loaded.predict_proba(tables[1]), expected)
    assert list(loaded.choice_["members"]) == list(classifier.choice_["members"])
    assert loaded.trials_.equals(classifier.trials_)
    assert loaded.remarks_ == classifier.remarks_


@pytest.mark.backend_free
def test_the_same_seed_chooses_the_same(classifier, tables, few):
    again = MultimodalClassifier(**OPTIONS).fit(tables[0])
    np.testing.assert_array_equal(
        again.predict_proba(tables[1]), classifier.predict_proba(tables[1])
    )


@pytest.mark.backend_free
def test_a_modality_that_does_not_help_is_left_out(tables, few):
    table = tables[0].assign(image_1=tables[0]["image_1"].iloc[0])  # one picture for all rows
    table = table.assign(label=np.where(table["text_1"].str.len() > 40, "long", "short"))
    found = MultimodalClassifier(**OPTIONS).fit(table)
    (remark,) = found.remarks_
    assert found.choice_["images"] == () or "may help" in remark
    if found.choice_["images"] == ():
        assert "images are left out, because they do not help: macro-F1" in remark
        assert set(found.model_.input) >= {"token_ids"}
        assert not [name for name in found.model_.input if name.startswith("image")]
        texts = tables[1][["text_1"]]
        assert found.predict(texts).shape == (20,)  # without a column of images


@pytest.mark.backend_free
def test_a_time_limit_shorter_than_one_training_gives_one_member(tables, capfd):
    options = {**OPTIONS, "training": {"projection_dims": 16, "time_limit": 0.001}, "verbose": 1}
    found = MultimodalClassifier(**options).fit(tables[0])
    assert found.trials_["member"].tolist() == ["linear"] and found.members_ == {"linear": 1.0}
    assert "allows one member only: linear took" in capfd.readouterr().err


@pytest.mark.backend_free
def test_it_ends_in_time(tables, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(choose.time, "perf_counter", lambda: float(next(clock)))
    options = {**OPTIONS, "training": {"projection_dims": 16, "time_limit": 20}}
    found = MultimodalClassifier(**options).fit(tables[0])
    assert next(clock) <= 30 and len(found.trials_) > 3


@pytest.mark.backend_free
def test_several_heads_of_different_kinds(tables, few):
    heads = {"label": Head(), "size": Head("regression")}
    found = MultimodalClassifier(**{**OPTIONS, "labels": heads}).fit(tables[0])
    assert set(found.members_) == {"label", "size"}
    assert found.predict_frame(tables[1]).shape[0] == 20


@pytest.mark.backend_free
def test_an_interrupted_search_keeps_what_it_found(tables, few, monkeypatch):
    tried = choose._try

    def interrupted(shared, member, number, *more):
        if number == 3:
            raise KeyboardInterrupt
        return tried(shared, member, number, *more)

    monkeypatch.setattr(choose, "_try", interrupted)
    model = MultimodalClassifier(**OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        model.fit(tables[0])
    assert len(model.trials_) == 3 and model.predict(tables[1]).shape == (20,)


@pytest.mark.backend_free
def test_what_cannot_be_searched():
    with pytest.raises(ConfigError, match="Set folds=5"):
        MultimodalClassifier(**{**OPTIONS, "folds": 1}).fit([])
    with pytest.raises(ConfigError, match="train an encoder"):
        MultimodalClassifier(**{**OPTIONS, "text_trainable": True}).fit([])
    with pytest.raises(ConfigError, match="time_limit"):
        MultimodalClassifier(**{**OPTIONS, "training": {"time_limit": 0}}).fit([])
