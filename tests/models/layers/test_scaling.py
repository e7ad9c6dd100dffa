"""Targets in their own unit."""

import keras
import numpy as np
import pytest

from keras_mm import Head, Trainer
from keras_mm.losses import create_loss
from keras_mm.models.layers.scaling import TargetScaling, standardize_targets, target_scales


def model_of(names=("a", "b")):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    dense = keras.layers.Dense(len(names), name="size_logits")(inputs)
    return keras.Model(inputs, TargetScaling(name="size_scaling")(dense))


def answers(model, x):
    return keras.ops.convert_to_numpy(model(x))


def test_answers_are_in_the_targets_unit():
    model, x = model_of(), np.ones((2, 3), "float32")
    plain = answers(model, x)
    targets = [[1.0, 7.0], [3.0, 7.0], [np.nan, 7.0]]
    standardize_targets(model, "size", targets)
    assert target_scales(model)["size"].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(answers(model, x), plain + [2.0, 7.0], rtol=1e-6)
    standardize_targets(model, "size", [[100.0, 7.0], [300.0, 7.0]])
    np.testing.assert_allclose(answers(model, x), plain * [100.0, 1.0] + [200.0, 7.0], rtol=1e-6)


def test_another_head_is_refused():
    with pytest.raises(ValueError, match="no regression head 'price'"):
        standardize_targets(model_of(), "price", [[1.0]])


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "huber"])
def test_a_scaled_loss_is_that_of_standardised_targets(name):
    rng = np.random.default_rng(0)
    y, z = rng.normal(size=(2, 5, 2)) * [1000, 0.1]
    scale = [1000.0, 0.1]
    scaled = create_loss(name, kind="regression", scale=scale)
    plain = create_loss(name, kind="regression")
    assert float(scaled(y, z)) == pytest.approx(float(plain(y / scale, z / scale)), rel=1e-5)
    again = type(scaled).from_config(scaled.get_config())
    assert float(again(y, z)) == float(scaled(y, z))


@pytest.mark.parametrize("scale", [[], [0.0], [-1.0], [float("nan")], 2.0, [[1.0]]])
def test_bad_scales(scale):
    with pytest.raises(ValueError, match="`scale` must be"):
        create_loss("huber", kind="regression", scale=scale)


def test_units_do_not_change_what_is_learned():
    """Prices in cents or in millions: the same training, but for the unit."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)).astype("float32")
    y = (x @ [[1.0, -2.0], [0.5, 0.0], [0.0, 1.0]]).astype("float32")
    found = []
    for unit, shift in ((1.0, 0.0), (1e6, 3e6)):
        model, targets = model_of(), y * unit + shift
        standardize_targets(model, "size", targets)
        trainer = Trainer(model, heads={"size": Head("regression", 2)}, epochs=80,
                          learning_rate=0.05, verbose=0)  # fmt: skip
        history = trainer.fit((x, targets), (x, targets))
        found.append((answers(model, x) - shift) / unit)
        assert history["val_r2"][-1] > 0.95
        assert history["val_mean_absolute_error"][-1] < 0.3 * unit
    np.testing.assert_allclose(*found, atol=2e-2)
