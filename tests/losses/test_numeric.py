"""Losses of numbers."""

import keras
import numpy as np
import pytest

from keras_mm.losses import HuberLoss, create_loss

FORMULAS = {
    "mean_squared_error": lambda e: e**2,
    "mean_absolute_error": np.abs,
    "huber": lambda e: np.where(np.abs(e) <= 1, e**2 / 2, np.abs(e) - 0.5),
}
GRADIENTS = {
    "mean_squared_error": lambda e: 2 * e,
    "mean_absolute_error": np.sign,
    "huber": lambda e: np.clip(e, -1, 1),
}


def batch(num_rows=7, num_targets=3, seed=0):
    rng = np.random.default_rng(seed)
    shape = (num_rows, num_targets)
    return rng.normal(0, 2, shape).astype("float32"), rng.normal(0, 2, shape).astype("float32")


@pytest.mark.parametrize("name", FORMULAS)
def test_the_mean_over_the_targets_that_are_there(name, value_and_gradient):
    targets, found = batch()
    targets[1], targets[4, 2] = np.nan, np.nan
    loss = create_loss(name, kind="regression")
    got, gradient = value_and_gradient(loss, targets, found)
    there = ~np.isnan(targets)
    errors = np.where(there, found - targets, 0)
    assert got == pytest.approx(FORMULAS[name](errors)[there].mean(), rel=1e-5)
    np.testing.assert_allclose(gradient, GRADIENTS[name](errors) / there.sum(), atol=1e-6)
    rows = np.linspace(0, 2, 7).astype("float32")
    expected = (FORMULAS[name](errors) * rows[:, None]).sum() / (there * rows[:, None]).sum()
    assert float(loss(targets, found, rows)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_no_target_at_all_is_zero_with_zero_gradients(name, value_and_gradient):
    targets, found = batch()
    loss = create_loss(name, kind="regression")
    got, gradient = value_and_gradient(loss, np.full_like(targets, np.nan), found)
    assert got == 0 and not gradient.any()


def test_one_target_may_be_flat():
    loss = create_loss("mean_squared_error", kind="regression")
    assert float(loss(np.array([1.0, 2.0]), np.array([[3.0], [2.0]]))) == 2


def test_large_errors_cost_huber_their_length():
    loss = HuberLoss(delta=3.0)
    assert float(loss([0.0], [[1003.0]])) == pytest.approx(3 * (1003 - 1.5))
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_trains():
    x = np.linspace(-1, 1, 16, dtype="float32")[:, None]
    y = np.concatenate([2 * x + 1, -x], axis=1)
    y[3, 0] = np.nan
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.3), create_loss("mean_squared_error", kind="regression"))
    model.fit(x, y, epochs=60, batch_size=16, verbose=0, shuffle=False)
    np.testing.assert_allclose(model.get_weights()[0], [[2, -1]], atol=0.05)
    np.testing.assert_allclose(model.get_weights()[1], [1, 0], atol=0.05)


@pytest.mark.parametrize("settings", [{"class_weight": [1, 2]}, {"label_smoothing": 0.1}])
def test_there_are_no_classes(settings):
    with pytest.raises(ValueError, match="no classes"):
        create_loss("huber", kind="regression", **settings)


def test_bad_input():
    with pytest.raises(ValueError, match="delta"):
        HuberLoss(delta=0)
    with pytest.raises(ValueError, match="one column per target"):
        create_loss("huber", kind="regression")(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="regression.*cross_entropy"):
        create_loss("cross_entropy", kind="regression")
