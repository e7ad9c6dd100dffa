"""Weights of rows in training and validation: a row of weight 3 is three rows."""

import keras
import numpy as np
import pytest

from keras_mm.losses import create_loss
from keras_mm.metrics import classification_metrics
from keras_mm.settings.heads import Head
from keras_mm.training.trainer import Trainer

pytestmark = pytest.mark.eager

ONE_STEP = {"epochs": 2, "optimizer": "sgd", "learning_rate": 0.5, "decay": "constant"}
WEIGHTS = np.resize([0, 1, 3, 2], 23)


def toy(rows=23, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5)).astype("float32")
    return x, (x @ rng.normal(size=(5, 3))).argmax(axis=1)


def toy_model(num_logits=3):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,))
    x = keras.layers.Dense(7, activation="relu")(inputs)
    # A bias of 0 would be that of a new head, whose beginning reads the first rows.
    return keras.Model(inputs, keras.layers.Dense(num_logits, bias_initializer="ones")(x))


def values(model):
    return [np.asarray(keras.ops.convert_to_numpy(w)) for w in model.weights]


def trained(data, validation=None, batch_size=100, **options):
    """The model, and the metrics of its last epoch."""
    model = toy_model()
    trainer = Trainer(model, verbose=0, **{**ONE_STEP, **options})
    history = trainer.fit(data, validation, batch_size=batch_size)
    return model, {name: found[-1] for name, found in history.items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_weight": "balanced"},
        {"class_weight": "effective_number", "beta": 0.9, "loss": "focal"},
        {"class_weight": [1, 2, 3], "loss": "logit_adjusted"},
    ],
)
def test_a_whole_weight_is_the_row_so_many_times(options):
    x, y = toy()
    rows = np.repeat(np.arange(len(x)), WEIGHTS)
    weighted = trained((x, y, WEIGHTS), (x, y, WEIGHTS), **options)
    repeated = trained((x[rows], y[rows]), (x[rows], y[rows]), **options)
    for mine, theirs in zip(*(values(model) for model, _ in (weighted, repeated)), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-6)
    assert weighted[1] == pytest.approx(repeated[1], abs=2e-6)
    plain = trained((x, y), (x, y), **options)
    assert abs(plain[1]["val_loss"] - weighted[1]["val_loss"]) > 1e-3


def test_validation_is_weighted_once_over_all_rows():
    x, y = toy()
    weights = np.random.default_rng(2).exponential(size=len(x)) * (WEIGHTS > 0)
    model, history = trained((x, y), (x, y, weights), batch_size=7, epochs=1)
    logits = np.asarray(keras.ops.convert_to_numpy(model(x)), "float64")
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = classification_metrics(y, found, "abc", sample_weight=weights)
    got = {name: history[f"val_{name}"] for name in ("accuracy", "macro_f1")}
    assert got == pytest.approx({name: expected[name] for name in got})
    assert history["val_loss"] == pytest.approx(expected["log_loss"], abs=1e-5)
    kept = weights > 0
    without = trained((x, y), (x[kept], y[kept], weights[kept]), batch_size=7, epochs=1)[1]
    assert without == pytest.approx(history, abs=1e-6)


class OwnBatches(keras.utils.PyDataset):
    """Two batches of a user's own dataset."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        half = slice(0, 12) if index == 0 else slice(12, None)
        return keras.tree.map_structure(lambda array: array[half], self.arrays)


@pytest.mark.parametrize("shape", [(23,), (23, 1)])
def test_weights_of_a_dataset_of_the_users_own(shape):
    x, y = toy()
    mine = OwnBatches(x, y, WEIGHTS.reshape(shape).astype("float32"))
    expected = trained((x, y), (x, y, WEIGHTS))[1]
    assert trained((x, y), mine)[1] == pytest.approx(expected, abs=1e-6)
    assert trained(OwnBatches(x, y), OwnBatches(x, y))[1]["val_loss"] != expected["val_loss"]


def test_one_weight_counts_for_every_head():
    x, y = toy()
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), name="x")
    outputs = {"kind": 3, "size": 1}
    outputs = {name: keras.layers.Dense(w, name=name)(inputs) for name, w in outputs.items()}
    model = keras.Model({"x": inputs}, outputs)
    heads = {"kind": Head(classes=3), "size": Head("regression", classes=["cm"])}
    labels = {"kind": np.where(np.arange(23) % 2, y, -1), "size": x[:, :1] * 3}
    trainer = Trainer(model, heads=heads, epochs=1, verbose=0)
    history = trainer.fit(({"x": x}, labels, WEIGHTS), ({"x": x}, labels, WEIGHTS))
    found = {n: keras.ops.convert_to_numpy(logits) for n, logits in model({"x": x}).items()}
    for name, loss in (("kind", "cross_entropy"), ("size", "mean_squared_error")):
        scorer = create_loss(loss, kind=heads[name].kind)
        expected = float(scorer(labels[name], found[name], WEIGHTS))
        assert history[f"val_{name}_loss"][0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("weights", [[np.nan] * 23, [-1] * 23, [0] * 23, [1] * 22])
def test_wrong_weights_are_refused_before_training(weights):
    x, y = toy()
    for data in (((x, y, weights), None), ((x, y), (x, y, weights))):
        model = toy_model()
        with pytest.raises(ValueError, match="`sample_weight` must"):
            Trainer(model, verbose=0).fit(*data)
        assert not model.compiled


def test_other_requests_that_are_refused():
    x, y = toy()
    with pytest.raises(ValueError, match="cannot be used with a `loss` that is a function"):
        Trainer(toy_model(), loss=lambda y, z: 0.0, verbose=0).fit((x, y, WEIGHTS))
    with pytest.raises(ValueError, match="or .inputs, labels, weights.*4 values"):
        Trainer(toy_model(), verbose=0).fit((x, y, WEIGHTS, WEIGHTS))
