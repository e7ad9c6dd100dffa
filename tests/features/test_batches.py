"""Batches for training: no longer than their rows."""

import numpy as np
import pytest

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.features.batches import FeatureBatches
from keras_mm.models.multimodal import create_multimodal_model
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.training.callbacks import collect


@pytest.fixture(scope="module")
def model():
    encoder = create_text_encoder("tiny_bert", weights="random", sequence_length=48, trainable=True)
    return create_multimodal_model(None, encoder, heads=3)


def batches_of(model, texts, batch_size=2):
    preprocessor = Preprocessor(tokenizer="tiny_bert", sequence_length=48, num_texts=1)
    rows = read_rows([{"text": text} for text in texts], texts=["text"])
    source = FeatureBatches(model, preprocessor, (rows,), progress=False)
    return preprocessor(rows), source.batches(model, batch_size, seed=0)[0]


@pytest.mark.parametrize(("words", "length"), [(3, 16), (14, 16), (15, 32), (60, 48)])
def test_padded_to_the_bucket_of_the_longest(model, words, length):
    full, batches = batches_of(model, ["red", " ".join(["red"] * words), "a"])
    inputs = batches[0]
    for name in ("token_ids", "segment_ids", "padding_mask"):
        assert full[name].shape == (3, 48) and inputs[name].shape == (2, length)
    assert inputs["padding_mask"].sum(axis=1).max() <= length
    everything = np.concatenate([batches[i]["padding_mask"].sum(axis=1) for i in range(2)])
    assert sorted(everything[:3]) == sorted(full["padding_mask"].sum(axis=1))


def test_a_last_batch_that_is_smaller_gives_its_rows_answers(model):
    _, batches = batches_of(model, ["red", "a blue one", "left", "the"], batch_size=3)
    batches.labels, batches.shuffle, batches.fill = np.array([0, 1, 2, 1]), False, False
    labels, logits, weights = collect(model, batches)
    assert weights is None
    assert labels.tolist() == [0, 1, 2, 1] and logits.shape == (4, 3)
    for index, rows in ((0, slice(0, 3)), (1, slice(3, 4))):
        alone = np.asarray(model.predict_on_batch(batches[index][0]))
        np.testing.assert_allclose(alone, logits[rows], atol=1e-5)
