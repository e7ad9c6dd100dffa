"""Fused batch normalisation against Keras' own."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mm.models.layers.batch_normalization import BatchNormalization


def trained(kind, images, target, steps):
    """A model of one such layer after some steps of training, and its predictions."""
    inputs = keras.Input(images.shape[1:])
    layer = kind(momentum=0.7, name="norm")
    model = keras.Model(inputs, layer(inputs))
    layer.gamma.assign([1.5, -0.5, 2.0])
    layer.beta.assign([0.1, 0.2, -0.3])
    model.compile(optimizer=keras.optimizers.SGD(0.3), loss="mse")
    for _ in range(steps):
        model.train_on_batch(images, target)
    return layer, model.predict_on_batch(images)


@pytest.mark.parametrize("shape", [(7, 5, 2, 3), (1, 1, 1, 3)])
def test_training_is_as_with_keras_own(shape):
    generator = np.random.default_rng(0)
    images = generator.normal(2, 3, shape).astype("float32")
    target = generator.normal(size=shape).astype("float32")
    ours, answers = trained(BatchNormalization, images, target, 5)
    theirs, expected = trained(layers.BatchNormalization, images, target, 5)
    for mine, its in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-4)


def test_the_gradient_of_the_images_is_as_with_keras_own():
    images = np.random.default_rng(1).normal(2, 3, (4, 3, 2, 3)).astype("float32")
    weights = []
    for kind in (BatchNormalization, layers.BatchNormalization):
        inputs = keras.Input(images.shape[1:])
        scale = layers.EinsumDense("bhwc,c->bhwc", (None, None, 3), kernel_initializer="ones")
        model = keras.Model(inputs, kind(name="norm")(scale(inputs)) ** 3)
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        model.train_on_batch(images, np.ones_like(images))
        weights.append(scale.get_weights()[0])
    assert np.abs(weights[0] - 1).max() > 1e-6
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-5)


def test_frozen_and_other_shapes_are_keras_own():
    layer = BatchNormalization(trainable=False)
    images = np.full((2, 3, 3, 2), 5, "float32")
    np.testing.assert_allclose(layer(images, training=True), images / np.sqrt(1.001), rtol=1e-5)
    flat = BatchNormalization()(np.eye(4, dtype="float32"), training=True)
    np.testing.assert_allclose(ops.convert_to_numpy(flat).mean(axis=0), 0, atol=1e-6)


def test_it_is_saved_and_loaded(tmp_path):
    inputs = keras.Input((3, 3, 2))
    model = keras.Model(inputs, BatchNormalization(momentum=0.9, name="norm")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("norm")) is BatchNormalization
    assert loaded.get_layer("norm").momentum == 0.9
