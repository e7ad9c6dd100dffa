import numpy as np
import pytest

from keras_mm.evaluation.baselines.text_features import text_features
from keras_mm.evaluation.baselines.text_overlap import text_counts

pytestmark = pytest.mark.backend_free

PAIRS = (
    ["Oil at 90 https://a.b/c @opec", "The dog sleeps", None],
    ["oil is at 90 now @opec", "A cat runs", "No other text"],
)


def test_counts_of_a_pair_are_its_lengths_parts_and_what_it_shares():
    counts = text_counts(PAIRS)
    length_1, length_2, *parts = counts[0]
    assert (length_1, length_2) == (len(PAIRS[0][0]), len(PAIRS[1][0]))
    assert parts[:8] == [8, 1, 1, 1, 6, 1, 0, 1]  # words, numbers, links, mentions of each
    difference, size, *shared = parts[8:]
    assert (difference, size) == (length_1 - length_2, abs(length_1 - length_2))
    assert shared[:4] == [4, 1, 0, 1] and shared[4:] == [4 / 10, 1.0, 0.0, 1.0]
    assert counts[1, -8:].tolist() == [0] * 8 and counts[2, 0] == 0


def test_a_test_row_has_the_features_of_the_same_training_row():
    train, test = text_features(PAIRS, [column[:2] for column in PAIRS])
    assert np.allclose(train.sparse[:2].toarray(), test.sparse.toarray())
    assert np.allclose(train.dense[:2], test.dense)
    assert np.isfinite(train.dense).all()


def test_the_cosine_is_1_for_equal_texts_and_0_for_those_with_nothing_in_common():
    texts = ["a red fox", "a red fox"], ["a red fox", "blue whales"]
    words, characters = text_features(texts, texts)[1].dense[:, 20:22].T
    assert words == pytest.approx([1, 0], abs=1e-6) and characters[0] == pytest.approx(1)


def test_the_summary_of_a_single_text_tells_its_words():
    texts = [["red fox", "red dog", "blue whale", "blue fish"] * 9]
    train, _ = text_features(texts, texts)
    red, blue = train.dense[0, 5:], train.dense[2, 5:]
    assert len(red) and not np.allclose(red, blue, atol=0.1)


@pytest.mark.parametrize(
    "texts",
    [[[None, None]], [["", " "]], [["🎉", "🎉🎉"]], [["🎉", None], [None, "🎉"]], [["a"]]],
    ids=["missing", "blank", "emoji", "pair", "one_row"],
)
def test_texts_without_words_still_have_features(texts):
    for features in text_features(texts, [column + ["new words", None] for column in texts]):
        assert features.sparse.shape[0] == len(features.dense)
        assert np.isfinite(features.dense).all() and np.isfinite(features.sparse.data).all()
