"""The normalisation of the fused vector."""

import keras
import numpy as np
import pytest

from keras_mm import create_multimodal_model, create_text_encoder, create_vision_encoder
from keras_mm.models.fusion import Concat
from keras_mm.models.part_norm import PartNorm


def normalised(x, widths):
    return keras.ops.convert_to_numpy(PartNorm(widths)(keras.ops.convert_to_tensor(x)))


def test_each_part_is_bounded_by_its_own_root_mean_square():
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32") * 3
    expected = [part / np.sqrt(1 + (part**2 / 16).mean(axis=1, keepdims=True))
                for part in (x[:, :2], x[:, 2:])]  # fmt: skip
    np.testing.assert_allclose(normalised(x, [2, 3]), np.hstack(expected), rtol=1e-5)


def test_parts_do_not_see_each_other():
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    louder = x * np.float32([1, 1, 100, 100, 100])
    before, after = normalised(x, [2, 3]), normalised(louder, [2, 3])
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    assert np.sqrt((after**2).mean(axis=1)).max() <= 4
    assert np.abs(normalised(louder, [5])[:, :2]).max() < np.abs(before[:, :2]).max()


def test_lengths_stay_in_order():
    """Nothing is lost of a vector's length, also of one number."""
    x = np.float32([[-20], [-1], [0], [0.01], [0.5], [3], [20]])
    found = normalised(x, [1])[:, 0]
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found[1:5], x[1:5, 0], rtol=0.05)  # of scale 1: nearly as it is


def test_widths_that_do_not_fit():
    with pytest.raises(ValueError, match="sum to the width of the vector, 5.*Received"):
        PartNorm([2, 2]).build((None, 5))


class Narrow(Concat):
    """A fusion of a user's own, which says nothing true of its parts."""

    def call(self, embeddings):
        return super().call(embeddings)[:, :7]


@pytest.mark.parametrize(
    ("fusion", "widths"),
    [("concat", [11, 11]), ({"name": "bilinear", "rank": 5}, [11, 11, 5]), ("gated", [11]),
     ("cross_attention", [11] * 3), ("bottleneck", [11] * 3), ("mmbt", [64] * 2),
     (Narrow(), [7])],
    ids=str,
)  # fmt: skip
def test_the_parts_of_each_fusion(fusion, widths):
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=(32, 32))
    text = create_text_encoder("tiny_bert", weights="random", sequence_length=13)
    options = {"fusion": fusion, "projection_dims": 11}
    trunk = create_multimodal_model(vision, text, 3, **options).get_layer("trunk")
    assert trunk.get_layer("fused_scale").widths == widths
    former = create_multimodal_model(vision, text, 3, **options, normalize_fused=False)
    assert "fused_scale" not in [layer.name for layer in former.get_layer("trunk").layers]
