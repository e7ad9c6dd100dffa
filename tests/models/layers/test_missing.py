import keras
import numpy as np
import pytest

from keras_mm.models.layers.missing import ModalityDropout
from tests.models.conftest import make_inputs, make_model, randomise

ROWS, RATE = 4001, 0.3


def masks_of(*columns):
    """Bool masks, one per modality, from the columns of each."""
    return [np.array([columns_i] * ROWS) for columns_i in columns]


def dropped(layer, masks, training=True):
    tensors = [keras.ops.convert_to_tensor(mask) for mask in masks]
    return [keras.ops.convert_to_numpy(mask) for mask in layer(tensors, training=training)]


def test_whole_modalities_go_and_one_of_them_stays():
    keras.utils.set_random_seed(5)
    image, text = dropped(ModalityDropout(RATE), masks_of([True, True], [True, False, True]))
    assert (image.all(axis=1) | ~image.any(axis=1)).all()
    np.testing.assert_array_equal(text[:, 0], text[:, 2])
    assert not text[:, 1].any()  # what was missing stays missing
    assert (image.any(axis=1) | text.any(axis=1)).all()
    # Each goes with RATE, but for half of the rows in which both would have gone.
    expected = RATE - RATE**2 / 2
    for mask in (image, text):
        assert abs((~mask.any(axis=1)).mean() - expected) < 4 * np.sqrt(expected / ROWS)


def test_the_only_modality_that_is_there_stays():
    image, text = dropped(ModalityDropout(0.9), masks_of([False, False], [True]))
    assert text.all() and not image.any()


def test_nothing_goes_in_inference():
    masks = masks_of([True, False], [True])
    for mask, found in zip(
        masks, dropped(ModalityDropout(0.9), masks, training=False), strict=True
    ):
        np.testing.assert_array_equal(found, mask)


def test_one_seed_gives_one_result():
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(11)
        layer = ModalityDropout(RATE)
        found.append([dropped(layer, masks_of([True], [True]))[0] for _ in range(2)])
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0][0] != found[0][1]).any()  # each step draws anew


def test_rate_is_checked():
    with pytest.raises(ValueError, match=r"must be in \[0, 1\). Received: modality_dropout=1.0"):
        ModalityDropout(1.0)


@pytest.mark.eager
def test_a_model_trains_what_stands_in_for_missing_modalities():
    labels = np.arange(37) % 3
    for rate, moves in ((0.0, False), (0.5, True)):
        model = make_model("concat", True, True, modality_dropout=rate, dropout_rate=0.0)
        randomise(model)
        trunk = model.get_layer("trunk")
        inputs = make_inputs(37, separate=True)
        vectors = [trunk.get_layer(f"missing_{side}").vector for side in ("vision", "text")]
        before = [np.array(vector) for vector in vectors]
        model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.train_on_batch(inputs, labels)
        for vector, start in zip(vectors, before, strict=True):
            after = keras.ops.convert_to_numpy(vector)
            assert np.any(after != start) == moves
