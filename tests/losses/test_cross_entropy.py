import keras
import numpy as np
import pytest

from keras_mm.losses import create_loss

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(0, 4, (11, 5)).astype("float32")
LABELS = RNG.integers(0, 5, 11)


def test_equals_keras_without_settings(value_and_gradient):
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    got, gradient = value_and_gradient(create_loss("cross_entropy"), LABELS, LOGITS)
    expected, expected_gradient = value_and_gradient(keras_loss, LABELS, LOGITS)
    assert got == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_smoothing_equals_keras_on_one_hot_labels():
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    expected = float(keras_loss(np.eye(5, dtype="float32")[LABELS], LOGITS))
    got = float(create_loss("cross_entropy", label_smoothing=0.2)(LABELS, LOGITS))
    assert got == pytest.approx(expected, rel=1e-6)


def test_binary_smoothing_equals_keras():
    labels = (LABELS > 2).astype("float32")
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)
    expected = float(keras_loss(labels[:, None], LOGITS[:, :1]))
    got = float(create_loss("cross_entropy", label_smoothing=0.2)(labels, LOGITS[:, :1]))
    assert got == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("margin", [17.0, 50.0, 1e4])
def test_confidently_wrong_rows_keep_their_gradient(margin, value_and_gradient):
    logits = np.array([[margin, 0, 0]], "float32")
    got, gradient = value_and_gradient(create_loss("cross_entropy"), np.array([1]), logits)
    assert got == pytest.approx(margin, rel=1e-6)
    np.testing.assert_allclose(gradient, [[1, -1, 0]], atol=1e-6)
