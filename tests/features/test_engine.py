import numpy as np
import pytest

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.rows import read_rows
from keras_mm.features.engine import encode_rows
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder

COLUMNS = {"images": ["image_1", "image_2"], "texts": ["text_1", "text_2"]}


@pytest.fixture(scope="module")
def encoders():
    return {
        "vision": create_vision_encoder("tiny_cnn", weights="random", image_size=(32, 32)),
        "text": create_text_encoder(
            "tiny_bert", weights="random", sequence_length=48, text_pairing="separate"
        ),
    }


@pytest.fixture(scope="module")
def preprocessor():
    return Preprocessor(
        image_size=(32, 32), num_images=2, tokenizer="tiny_bert", sequence_length=48,
        num_texts=2, text_pairing="separate",
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(sample):
    """Rows with texts of many lengths, a missing image, a missing text, and two equal rows."""
    table = sample[0][:23].copy()
    table["text_1"] = ["word " * (2 * i) + "end" for i in range(23)]
    table.loc[table.index[3], "image_1"] = None
    table.loc[table.index[4], "text_2"] = None
    table.iloc[9] = table.iloc[8]
    return table


def test_features_are_the_encoders_own(encoders, preprocessor, table):
    rows = read_rows(table, **COLUMNS)
    features = encode_rows(encoders, rows, preprocessor, batch_size=5)
    inputs = preprocessor(rows)
    for side, encoder in encoders.items():
        raw = {tensor.name: inputs[tensor.name] for tensor in encoder.inputs}
        whole = np.asarray(encoder.predict_on_batch(raw)["pooled_output"])
        np.testing.assert_allclose(features[f"{side}_pooled_output"], whole, atol=1e-5)


def test_a_rows_features_are_the_same_bits_in_any_company(encoders, preprocessor, table):
    together = encode_rows(encoders, read_rows(table, **COLUMNS), preprocessor, batch_size=5)
    for start, stop in ((0, 1), (7, 12), (22, 23)):
        rows = read_rows(table[start:stop], **COLUMNS)
        alone = encode_rows(encoders, rows, preprocessor, batch_size=5)
        for name, value in alone.items():
            np.testing.assert_array_equal(value, together[name][start:stop])


def test_equal_rows_are_encoded_once(encoders, preprocessor, table, monkeypatch):
    counted = []
    original = Preprocessor.load_images
    monkeypatch.setattr(
        Preprocessor, "load_images", lambda self, c, *a: counted.extend(c) or original(self, c, *a)
    )
    repeated = table.iloc[[0, 1] * 10]
    features = encode_rows(encoders, read_rows(repeated, **COLUMNS), preprocessor, batch_size=2)
    assert len(counted) == 4  # two rows of two images
    pooled = features["vision_pooled_output"]
    np.testing.assert_array_equal(pooled[0::2], np.repeat(pooled[:1], 10, axis=0))
    assert not np.array_equal(pooled[0], pooled[1])
