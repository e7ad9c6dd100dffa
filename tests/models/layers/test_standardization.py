"""Standardisation of the encoders' vectors."""

import keras
import numpy as np
import pytest

from keras_mm import create_multimodal_model, create_text_encoder, create_vision_encoder
from keras_mm.models.layers.standardization import Standardization, standardizations
from keras_mm.models.multimodal import parts


def test_mean_and_deviation_of_the_rows_it_has_seen():
    x = np.random.default_rng(0).normal(5, 3, (400, 4)).astype("float32")
    layer = Standardization()
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(x)), x)
    layer.set_statistics(x)
    found = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-5)
    assert not layer.trainable_variables


@pytest.mark.parametrize("value", [0.0, 7.0, 1e6])
def test_a_constant_feature_is_only_shifted(value):
    layer = Standardization()
    layer.build((None, 1))
    layer.set_statistics(np.full((9, 1), value, "float32"))
    found = keras.ops.convert_to_numpy(layer(np.array([[value], [value + 1]], "float32")))
    np.testing.assert_allclose(found, [[0.0], [1.0]], atol=1e-6)


def test_a_feature_of_few_rows_stays_small_in_a_new_row():
    x = np.random.default_rng(0).normal(0, 2, (500, 5)).astype("float32")
    x[:, 3] = 0
    x[7, 3] = 0.02
    layer = Standardization()
    layer.build((None, 5))
    layer.set_statistics(x)
    new = np.zeros((1, 5), "float32")
    new[0, 3] = 2
    assert 1 < keras.ops.convert_to_numpy(layer(new))[0, 3] < 5
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.scale)[[0, 1, 2, 4]], 2, rtol=0.1)


def test_each_side_has_one_and_a_missing_image_is_still_ignored():
    model = create_multimodal_model(
        create_vision_encoder("tiny_cnn", weights="random", image_size=(16, 16), num_images=1),
        create_text_encoder("tiny_bert", weights="random", sequence_length=7),
        standardize=True,
        linear_skip=True,
    )
    layers = standardizations(parts(model).trunk)
    assert sorted(layers) == ["text", "vision"]
    layers["vision"].set_statistics(np.random.default_rng(0).normal(size=(20, 64)))
    inputs = {
        "image_1": np.zeros((2, 16, 16, 3), "float32"),
        "token_ids": np.ones((2, 7), "int32"),
        "segment_ids": np.zeros((2, 7), "int32"),
        "padding_mask": np.ones((2, 7), bool),
        "image_mask": np.zeros((2, 1), bool),
        "text_mask": np.ones((2, 1), bool),
    }
    inputs["image_1"][1] = 255
    first, second = keras.ops.convert_to_numpy(model(inputs))
    np.testing.assert_allclose(first, second, atol=1e-6)
