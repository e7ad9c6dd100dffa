"""Heads that are added to a trained model, and training that goes on."""

import copy
import warnings

import keras
import numpy as np
import pytest

from keras_mm import Head, MultimodalClassifier, TableError
from keras_mm.settings.settings import ConfigError

pytestmark = pytest.mark.eager

TEXTS = {"texts": ["text_1", "text_2"], "images": [], "preset": "tiny", "verbose": 0}


@pytest.fixture(scope="module")
def tables(sample):
    train, test = (
        table.assign(
            way=["up" if " up" in text else "down" for text in table["text_2"]],
            length=table["text_2"].str.len() * 1000.0,
        ).reset_index(drop=True)
        for table in sample
    )
    return train[:400], test[:80]


@pytest.fixture(scope="module")
def base(tables):
    return MultimodalClassifier(text_trainable=False, epochs=2, **TEXTS).fit(tables[0][:200])


@pytest.fixture
def trained(base):
    """A classifier of its own on the same model, which training heads alone never changes."""
    return copy.copy(base)


def logits_of(model, table):
    return model.predictor_.logits(model.predictor_.rows(table))["label"]


@pytest.mark.graphs
def test_a_new_head_learns_and_the_others_answer_the_same_bits(trained, tables, tmp_path):
    before, table = logits_of(trained, tables[1]), tables[0].drop(columns="label")
    trained.add_head("way", Head("binary")).add_head("size", Head("regression", column="length"))
    assert isinstance(trained.predict(tables[1]), np.ndarray)  # not trained: no answers
    trained.set_params(epochs=30, learning_rate=0.01)
    trained.fit_head("way", table)
    assert list(trained.heads_) == ["label", "way"]
    np.testing.assert_array_equal(logits_of(trained, tables[1]), before)
    trained.fit_head(["size"], table)
    np.testing.assert_array_equal(logits_of(trained, tables[1]), before)
    found = trained.evaluate(tables[1], heads=["way", "size"])
    assert found.metrics["way"]["accuracy"] > 0.7 and found.metrics["size"]["r2"] > 0.3
    assert {"val_label_accuracy", "val_way_accuracy", "val_size_r2"} <= set(trained.history_)
    assert len(trained.history_["val_way_loss"]) > len(trained.history_["val_label_loss"]) == 2
    way = trained.predict_proba(tables[1])["way"]
    trained.fit_head(["way", "size"], table)  # both at once, anew
    np.testing.assert_array_equal(logits_of(trained, tables[1]), before)
    assert np.abs(trained.predict_proba(tables[1])["way"] - way).max() > 0
    trained.evaluate(tables[1]).save(tmp_path / "report.html")
    assert "val_way_accuracy" in (tmp_path / "report.html").read_text()


@pytest.mark.backend_free
@pytest.mark.slow
def test_a_reloaded_model_takes_heads_too(trained, tables, tmp_path, elsewhere):
    before = logits_of(trained, tables[1])
    trained.save(tmp_path / "first")
    tables[0].drop(columns=["image_1", "image_2"]).to_csv(tmp_path / "rows.csv", index=False)
    tables[1].drop(columns=["image_1", "image_2"]).to_csv(tmp_path / "test.csv", index=False)
    code = (
        "import numpy, sys\n"
        "from keras_mm import Head, MultimodalClassifier\n"
        "model = MultimodalClassifier.load('first').set_params(epochs=2, verbose=0)\n"
        "model.add_head('way', Head()).fit_head('way', 'rows.csv').save('second')\n"
        "found = model.predict_proba('test.csv')\n"
        "numpy.savez('found.npz', **found)\n"
    )
    elsewhere(code, folder=tmp_path)
    found = np.load(tmp_path / "found.npz")
    again = MultimodalClassifier.load(tmp_path / "second")
    assert list(again.heads_) == ["label", "way"] and again.classes_["way"].tolist() == [
        "down",
        "up",
    ]
    np.testing.assert_allclose(logits_of(again, tables[1]), before, atol=1e-6)
    for name, values in again.predict_proba(tables[1]).items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


@pytest.mark.graphs
@pytest.mark.backend_free
def test_a_head_may_be_trained_with_all_before_it(base, tables, tmp_path):
    base.save(tmp_path / "model")
    trained = MultimodalClassifier.load(tmp_path / "model")
    before = logits_of(trained, tables[1])
    trained.add_head("way", Head("binary"))
    with pytest.warns(UserWarning, match=r"predictions of the other heads \(label\) change"):
        trained.fit_head("way", tables[0], freeze=False)
    assert np.abs(logits_of(trained, tables[1]) - before).max() > 1e-4
    assert trained.predict(tables[1])["way"].shape == (80,)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trained.fit_head(["label", "way"], tables[0], freeze=False)


@pytest.mark.backend_free
def test_a_failed_training_leaves_all_as_it_was(trained, tables):
    before = logits_of(trained, tables[1])
    trained.add_head("way", Head("binary"))

    class Full(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        trained.fit_head("way", tables[0], callbacks=[Full()])
    assert list(trained.heads_) == ["label"]
    np.testing.assert_array_equal(logits_of(trained, tables[1]), before)


@pytest.mark.backend_free
def test_momentum_and_plateaus(trained, tables):
    trained.add_head("way", Head("binary", dropout_rate=0.25, l2=1e-3))
    plateau = {"decay": "plateau", "plateau_patience": 1, "momentum": 0.9, "patience": 9}
    plateau["plateau_min_lr"] = 1e-4
    trained.set_params(optimizer="sgd", learning_rate=0.05, epochs=8, training=plateau)
    rates = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))
            assert float(self.model.optimizer.momentum) == 0.9
            logs["val_loss"] = 1.0 + epoch  # never better

    trained.fit_head("way", tables[0], callbacks=[Watch()])
    lowered = [0.05, 0.05, 0.01, 0.002, 0.0004, 0.0001, 0.0001, 0.0001]
    assert rates == pytest.approx(lowered, rel=1e-3)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda m, t: m.fit_head("wya", t), "Unknown head 'wya'"),
        (lambda m, t: m.add_head("label", Head()), "already has a head 'label'"),
        (lambda m, t: m.add_head("LABEL", Head()), "collide"),
        (lambda m, t: m.add_head("a b", Head()), "cannot be the name"),
        (lambda m, t: m.add_head("x", "binary"), "must be"),
        (lambda m, t: m.add_head("x", Head(column="wey")).fit_head("x", t), "Did you mean 'way'"),
        (lambda m, t: m.add_head("x", Head("regression", column="way")).fit_head("x", t), "finite"),
        (lambda m, t: m.evaluate(t, heads="way"), "Unknown head 'way'"),
    ],
)
def test_what_is_refused(trained, tables, act, words):
    with pytest.raises((ValueError, ConfigError, TableError), match=words):
        act(trained, tables[0])
    assert trained.predict(tables[1]).shape == (80,)


@pytest.mark.backend_free
def test_fit_begins_anew_with_its_own_heads(trained, tables):
    trained.add_head("way", Head("binary")).set_params(epochs=1)
    trained.fit_head("way", tables[0])
    with pytest.warns(UserWarning, match="'way' of `add_head` must be trained again") as said:
        trained.fit(tables[0][:100])
    assert list(trained.heads_) == ["label"] and said[-1].filename == __file__
    trained.fit_head("way", tables[0][:100])  # still declared
    assert list(trained.heads_) == ["label", "way"]
    with pytest.raises(ValueError, match=r"of `add_head` fit_head\(..., freeze=False\)"):
        trained.set_params(warm_start=True).fit(tables[0][:100])


@pytest.mark.backend_free
def test_warm_start_goes_on(tables):
    model = MultimodalClassifier(text_trainable=True, epochs=1, warm_start=True, **TEXTS)
    model.fit(tables[0][:100])
    weights = [np.asarray(v) for v in model.model_.trainable_variables]
    model.set_params(learning_rate=1e-12, encoder_learning_rate=1e-12).fit(tables[0][100:200])
    for before, after in zip(weights, model.model_.trainable_variables, strict=True):
        np.testing.assert_allclose(before, np.asarray(after), atol=1e-6)
    before = logits_of(model, tables[1])
    model.set_params(learning_rate=1e-3, encoder_learning_rate=1e-3).fit(tables[0][100:200])
    assert np.abs(logits_of(model, tables[1]) - before).max() > 1e-3


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_warm_start_adds_classes(tables, kind, tmp_path):
    table = tables[0].assign(label=[f"{w}" for w in tables[0]["way"]])
    model = MultimodalClassifier(
        text_trainable=False, epochs=1, head=kind, warm_start=True, **TEXTS
    ).fit(table[:100])
    assert model.classes_.tolist() == ["down", "up"]
    before = logits_of(model, tables[1])
    model.save(tmp_path / "model")
    more = table[100:200].assign(
        label=["a new one" if i % 3 == 0 else w for i, w in enumerate(table["way"][100:200])]
    )
    for one in (model, MultimodalClassifier.load(tmp_path / "model")):
        one.set_params(learning_rate=1e-12).fit(more)
        assert one.classes_.tolist() == ["down", "up", "a new one"]
        np.testing.assert_allclose(logits_of(one, tables[1])[:, :2], before, atol=1e-5)
    assert set(model.predict_frame(tables[1][:2]).columns) >= {"probability_a new one"}


@pytest.mark.backend_free
def test_warm_start_with_another_model_is_refused(trained, tables):
    before = logits_of(trained, tables[1])
    for change in ({"labels": ["label", "way"]}, {"head": "multilabel"}, {"text_pooling": "max"}):
        names = {name: getattr(trained, name) for name in change}
        trained.set_params(warm_start=True, **change)
        with pytest.raises(ValueError, match="warm_start=True continues"):
            trained.fit(tables[0][:50])
        np.testing.assert_array_equal(logits_of(trained, tables[1]), before)
        trained.set_params(**names)


@pytest.mark.graphs
@pytest.mark.backend_free
def test_linear_heads_on_a_real_encoder(tables, minilm):
    model = MultimodalClassifier(
        texts=["text_2"], labels="way", preset="minilm_heads", text_weights=minilm, epochs=40,
        sequence_length=16, optimizer="sgd", learning_rate=0.5, verbose=0,
    )  # fmt: skip
    model.fit(tables[0])
    names = [layer.name for layer in model.model_.get_layer("trunk").layers]
    assert [name for name in names if "dense" in name or "norm" in name] == []
    assert model.score(tables[1]) > 0.95
    head = Head("multiclass", column="label", dropout_rate=0.25, l2=1e-4)
    before = model.predict_proba(tables[1])
    model.add_head("kind", head).fit_head("kind", tables[0])
    np.testing.assert_array_equal(model.predict_proba(tables[1])["label"], before)


@pytest.mark.backend_free
@pytest.mark.parametrize("fusion", ["bilinear", "gated", "cross_attention", "bottleneck"])
def test_no_projection_for_fusions_that_need_one(tables, fusion):
    model = MultimodalClassifier(
        **{**TEXTS, "images": ["image_1"], "texts": ["text_1"]}, fusion=fusion, epochs=1,
        training={"projection_dims": 0},
    )  # fmt: skip
    with pytest.raises(ValueError, match="projection_dims=0 needs a model with one side"):
        model.fit(tables[0][:40], validation_split=0.0)


@pytest.mark.backend_free
def test_the_only_head_trained_with_all_before_it(base, tables, tmp_path):
    base.save(tmp_path / "model")
    model = MultimodalClassifier.load(tmp_path / "model").set_params(epochs=1)
    model.fit_head("label", tables[0][:60], freeze=False)
    assert model.predict(tables[1]).shape == (80,)
    model.set_params(text_trainable=True)
    with pytest.raises(ValueError, match="is built from: text_encoder. Change"):
        model.fit_head("label", tables[0][:60], freeze=False)


@pytest.mark.backend_free
def test_settings_of_other_heads_are_not_a_new_head_s(trained, tables):
    """Weights, losses and a metric that are the first head's alone."""
    trained.set_params(
        class_weight=[1.0, 1.0, 50.0], loss="logit_adjusted", epochs=1,
        training={"monitor": "val_accuracy", "label_smoothing": 0.1},
    )  # fmt: skip
    plain = copy.copy(trained).set_params(class_weight=None)
    found = []
    for model in (trained, plain):
        model.add_head("way", Head()).add_head("size", Head("regression", column="length"))
        model.fit_head("way", tables[0]).fit_head("size", tables[0])
        found.append(model.predict_proba(tables[1])["way"])
        assert model.heads_["size"].loss is None
    np.testing.assert_array_equal(*found)


@pytest.mark.backend_free
@pytest.mark.parametrize("labels", [[0, 1, 2], [True, False, True]])
def test_warm_start_knows_labels_that_a_file_spells(tables, labels):
    table = tables[0][:90].assign(label=labels * 30)
    model = MultimodalClassifier(text_trainable=False, epochs=1, warm_start=True, **TEXTS)
    classes = model.fit(table).classes_.tolist()
    model.fit(table.assign(label=table["label"].map(str)))
    assert model.classes_.tolist() == classes == sorted(set(labels))


@pytest.mark.backend_free
def test_warm_start_knows_bits_and_keeps_thresholds(tables):
    table = tables[0][:80].assign(label=[["a", "b"], ["b"], ["c"], ["a", "c"]] * 20)
    model = MultimodalClassifier(
        text_trainable=False, epochs=1, head="multilabel", warm_start=True, **TEXTS
    ).fit(table)
    tuned = list(model.tune_thresholds(table).values())
    model.fit(table.assign(label=[[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]] * 20))
    assert model.classes_.tolist() == ["a", "b", "c"] and model.priors_["label"] == [0.5] * 3
    assert list(model.heads_["label"].threshold) == tuned
    model.fit(table.assign(label=[["a"], ["d"]] * 40))
    assert model.heads_["label"].threshold == (*tuned, 0.5)
