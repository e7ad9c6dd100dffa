"""Fusions through the estimator: trained, saved, loaded, exported; frozen and not."""

import keras
import numpy as np
import pytest

import keras_mm
from keras_mm.models.multimodal import cut, input_names, parts
from keras_mm.settings.settings import ConfigError

pytestmark = pytest.mark.eager

COLUMNS = {"images": ["image_1", "image_2"], "texts": ["text_1", "text_2"]}


class OneToken(keras.layers.Layer):
    """A fusion of a user's own, which reads tokens."""

    needs_tokens = True

    def __init__(self, place=0, **kwargs):
        super().__init__(**kwargs)
        self.place = place

    def call(self, sides):
        tokens = [side["sequence_output"][:, self.place] for side in sides]
        return keras.ops.concatenate([*tokens, *(side["pooled_output"] for side in sides)], axis=-1)

    def get_config(self):
        return {**super().get_config(), "place": self.place}


def fitted(sample, fusion, **options):
    model = keras_mm.MultimodalClassifier(
        **COLUMNS, preset="tiny", fusion=fusion, epochs=1, verbose=0, **options
    )
    return model.fit(sample[0][:64], validation_split=0.5)


@pytest.mark.parametrize("name", ["cross_attention", "mmbt"])
def test_saved_and_loaded_it_answers_the_same(sample, name, tmp_path):
    options = {"num_heads": 2} if name == "cross_attention" else {"num_image_tokens": 2}
    model = fitted(sample, {"name": name, **options}, vision_trainable=False, text_trainable=False)
    names = input_names(cut(model.model_))
    assert "image_1" not in names and "vision_sequence_output" in names
    assert ("token_ids" in names) is (name == "mmbt")
    if name == "mmbt":
        trunk = parts(model.model_).trunk
        assert not trunk.get_layer("mmbt_fusion").backbone.trainable_variables
    rows = sample[1][:11].copy()
    rows["image_2"] = rows["image_2"].astype(object)
    rows.iloc[0, rows.columns.get_loc("image_2")] = None
    before = model.predict_proba(rows)
    model.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(rows), before, atol=1e-6)
    np.testing.assert_allclose(loaded.predict_proba(rows[4:5]), before[4:5], atol=1e-5)
    loaded.save(tmp_path / "again")
    same = [(tmp_path / name / "model.json").read_text() for name in ("model", "again")]
    assert same[0] == same[1]


def test_a_layer_of_the_users_own(sample, tmp_path):
    own = OneToken(place=1)
    model = fitted(sample, own, text_trainable=False, vision_trainable=False)
    assert not own.built  # each fit makes a layer of its own
    before = model.predict_proba(sample[1][:5])
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="custom_objects"):
        keras_mm.MultimodalClassifier.load(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(
        tmp_path / "model", custom_objects={"OneToken": OneToken}
    )
    np.testing.assert_allclose(loaded.predict_proba(sample[1][:5]), before, atol=1e-6)


@pytest.mark.slow
def test_a_fusion_of_tokens_is_exported(sample, tmp_path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("every backend exports by tensorflow")
    model = fitted(sample, "cross_attention", text_trainable=False, vision_trainable=False)
    found = model.export(tmp_path / "served", data=sample[1][:9])
    assert found["labels_equal"] and found["max_difference"] <= 1e-4


@pytest.mark.parametrize(
    "fusion, message",
    [
        ("gatd", "Did you mean 'gated'"),
        ({"name": "gatd"}, "`fusion` must be one of 'concat'"),
        ({"num_heads": 2}, "`fusion` must be one of 'concat'"),
        (3, "`fusion` must be one of 'concat'"),
    ],
)
def test_wrong_fusions_are_told_before_any_work(sample, fusion, message):
    with pytest.raises(ConfigError, match=message):
        fitted(sample, fusion)
