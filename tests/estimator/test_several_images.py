"""Several images in one cell: trained, evaluated, cloned, saved and loaded."""

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone

import keras_mm
from keras_mm.errors import TableError

pytestmark = pytest.mark.eager


def test_a_column_of_several_images_from_training_to_a_saved_model(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"photos": [*rng.integers(0, 256, (row % 4, 8, 8, 3), "uint8")] or None, "text": "red",
         "label": "ab"[row % 2]}
        for row in range(32)
    ]  # fmt: skip
    images = {"photos": 3}
    model = keras_mm.MultimodalClassifier(
        images=images, texts=["text"], preset="tiny", fusion="concat", vision_trainable=False,
        text_trainable=False, image_size=16, sequence_length=8, epochs=1, verbose=0, cache=False,
    )  # fmt: skip
    assert clone(model).get_params()["images"] == images
    model.fit(iter(rows), validation_data=(row for row in rows[:8]))
    assert model.preprocessor_.num_images == 3 and "image_3" in model.model_.input
    assert model.evaluate(rows).metrics["accuracy"] == model.score(rows)
    first, second = rows[7]["photos"][:2]
    a, b, c = model.predict_proba(
        [{"photos": [first, second], "text": "red"}, {"photos": [second, first], "text": "red"},
         {"photos": [first, second, None], "text": "red"}]
    )  # fmt: skip
    assert np.abs(a - b).max() > 1e-6  # the order counts
    np.testing.assert_array_equal(a, c)
    with pytest.raises(TableError, match="holds 4 images, and at most 3"):
        model.predict({"photos": [first] * 4, "text": "red"})
    model.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    assert loaded.images == images
    np.testing.assert_allclose(loaded.predict_proba(rows), model.predict_proba(rows), atol=1e-6)
    texts = pl.DataFrame({"photos": [None], "text": ["red"]})
    assert len(loaded.predict_frame(texts)) == 1
