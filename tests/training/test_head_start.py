"""What new heads begin with."""

import keras
import numpy as np
import pytest

import keras_mm
from keras_mm.settings.heads import Head
from keras_mm.settings.training import LossSettings
from keras_mm.training.head_start import start_heads
from keras_mm.training.objectives import create_objectives

pytestmark = pytest.mark.eager


def entropy(shares):
    shares = np.asarray(shares, "float64") / np.sum(shares)
    return -np.sum(shares * np.log(np.maximum(shares, 1e-30)))


@pytest.fixture(scope="module")
def table(sample):
    """Rows of one text with labels of every kind, some of them rare."""
    rows = sample[0][:96].reset_index(drop=True)
    return rows[["text_1"]].assign(
        mood=np.where(rows.index % 8 == 0, "bad", np.where(rows.index % 8 == 1, "so", "good")),
        spam=(rows.index % 12 == 0).astype(int),
        tags=[["old"] if i % 6 == 0 else ["big", "old"] if i % 6 == 1 else ["big"]
              for i in rows.index],
        price=1e4 + 7.0 * (rows.index % 5),
    )  # fmt: skip


def still(**options):
    """A classifier that learns nothing to speak of: its losses are the first ones."""
    fixed = {"texts": ["text_1"], "preset": "tiny", "text_trainable": False, "epochs": 1,
             "verbose": 0, "learning_rate": 1e-12, "sequence_length": 16, "cache": False,
             "training": {"projection_dims": 7}}  # fmt: skip
    return keras_mm.MultimodalClassifier(**{**fixed, **options})


MOOD, SPAM, TAGS = entropy([1, 1, 6]), entropy([1, 11]), (entropy([5, 1]) + entropy([2, 4])) / 2


@pytest.mark.many_networks
def test_an_estimator_starts_there(table):
    heads = {"mood": Head(), "spam": Head("binary"), "tags": Head("multilabel"),
             "price": Head("regression")}  # fmt: skip
    model = still(labels=heads)
    for seed in (0, 1):  # the second on the networks of the first
        model.set_params(seed=seed).fit(table, validation_data=table)
        found = [model.history_[f"val_{name}_loss"][0] for name in heads]
        np.testing.assert_allclose(found[:3], [MOOD, SPAM, TAGS], rtol=0.08)
        np.testing.assert_allclose(found[3], 1 + 0.25**2, rtol=0.08)  # in the targets' variance
        # Projections have dropout in training.
        np.testing.assert_allclose(model.history_["loss"], sum(found), rtol=0.08)
    model.add_head("rare", Head("binary", column="spam", class_weight="balanced"))
    model.add_head("seldom", Head("binary", column="spam"))
    model.fit_head(["rare", "seldom"], table, validation_data=table)
    found = [model.history_[f"val_{name}_loss"][0] for name in ("rare", "seldom")]
    np.testing.assert_allclose(found, [np.log(2), SPAM], rtol=0.08)


def test_going_on_keeps_what_is_trained(table):
    before = table[table["mood"] != "so"]
    model = still(labels="mood", warm_start=True)
    model.fit(before, validation_data=before)
    trained = model.predict_proba(before)
    model.fit(before[(before["mood"] == "bad") | (before.index < 10)], validation_data=before)
    np.testing.assert_allclose(model.predict_proba(before), trained, atol=1e-6)
    model.fit(table, validation_data=table)
    assert model.classes_.tolist() == ["bad", "good", "so"]
    found = model.predict_proba(table)
    np.testing.assert_allclose(found[:, 2].mean(), 1 / 8, rtol=0.2)
    ratio = found[:, 0] / found[:, 1]
    np.testing.assert_allclose(ratio[before.index], trained[:, 0] / trained[:, 1], rtol=1e-4)


def linear(width=5):
    """A model that is a head alone, and rows far from 0 that differ by little or much."""
    inputs = keras.Input((width,))
    outputs = keras.layers.Dense(3, kernel_initializer="glorot_normal", name="mood_logits")(inputs)
    return keras.Model(inputs, outputs)


def rows_of(labels, offset, scale, width=5):
    x = np.random.default_rng(3).normal(size=(len(labels), width)) * scale + offset
    return [(x.astype("float32"), labels)]


def objectives_of(labels, **options):
    head = Head(classes=3)
    return create_objectives(
        {"mood": head}, {"mood": 3}, {"mood": labels}, {}, LossSettings(**options)
    )


LABELS = np.arange(40) % 8 // 3  # shares 3/8, 3/8, 2/8


@pytest.mark.parametrize(("offset", "scale"), [(50.0, 20.0), (-3.0, 0.01), (0.0, 1.0), (7.0, 0.0)])
def test_the_offset_goes_and_large_logits_shrink(offset, scale):
    model, dataset = linear(), rows_of(LABELS, offset, scale)
    before = model.predict_on_batch(dataset[0][0])
    start_heads(model, dataset, objectives_of(LABELS))
    logits = model.predict_on_batch(dataset[0][0])
    np.testing.assert_allclose(logits.mean(axis=0), np.log([3 / 8, 3 / 8, 2 / 8]), atol=1e-3)
    spread, now = (np.sqrt(z.var(axis=0).mean()) for z in (before, logits))
    assert now == pytest.approx(min(spread, 0.25), rel=1e-2, abs=1e-4)
    # A second start changes nothing: nothing is new.
    start_heads(model, rows_of(LABELS, 5.0, 3.0), objectives_of(LABELS))
    np.testing.assert_array_equal(model.predict_on_batch(dataset[0][0]), logits)


@pytest.mark.parametrize("kind", ["without a bias", "frozen", "with an adapter"])
def test_layers_of_other_kinds_stay(kind):
    inputs = keras.Input((5,))
    layer = keras.layers.Dense(3, use_bias=kind != "without a bias", name="mood_logits")
    model = keras.Model(inputs, layer(inputs))
    if kind == "frozen":
        layer.trainable = False
    elif kind == "with an adapter":
        layer.enable_lora(2)
    weights = model.get_weights()
    start_heads(model, rows_of(LABELS, 9.0, 5.0), objectives_of(LABELS))
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_is_not_finite_is_left_to_the_training():
    model, dataset = linear(), rows_of(LABELS, np.nan, 1.0)
    weights = model.get_weights()
    start_heads(model, dataset, objectives_of(LABELS))
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_loss_of_ones_own_starts_at_zero():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model, dataset = linear(), rows_of(LABELS, 9.0, 5.0)
    start_heads(model, dataset, objectives_of(LABELS, loss=loss))
    np.testing.assert_allclose(model.predict_on_batch(dataset[0][0]).mean(axis=0), 0, atol=1e-4)


def test_new_classes_join_at_their_share_of_the_rows():
    """Beside classes that training has shifted, all alike or not; those stay bit for bit."""
    model, dataset = linear(), rows_of(LABELS, 4.0, 3.0)
    layer = model.layers[-1]
    layer.bias.assign([6.0, 5.0, 0.0])
    before = model.predict_on_batch(dataset[0][0])
    start_heads(model, dataset, objectives_of(LABELS))
    logits = model.predict_on_batch(dataset[0][0])
    np.testing.assert_array_equal(logits[:, :2], before[:, :2])
    level = np.logaddexp(logits[:, 0], logits[:, 1]).mean()
    assert logits[:, 2].mean() == pytest.approx(level + np.log(2 / 6), abs=1e-3)
    assert logits[:, 2].std() <= 0.2501
