"""The preprocessor: exactly the model's inputs, and the same again from its config."""

import json

import numpy as np
import pytest

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows

IMAGES, TEXTS = ["image_1", "image_2"], ["text_1", "text_2"]


def scene(value):
    return np.full((7, 5, 3), value, "uint8")


@pytest.fixture(scope="module")
def rows():
    table = [
        {"image_1": scene(10), "image_2": scene(200), "text_1": "red left", "text_2": "blue"},
        {"image_1": None, "image_2": scene(10), "text_1": None, "text_2": "blue"},
        {"image_1": scene(30), "image_2": None, "text_1": "red", "text_2": ""},
    ]
    return read_rows(table, images=IMAGES, texts=TEXTS)


def preprocessor(text_pairing="packed", **options):
    given = {"image_size": (11, 13), "num_images": 2, "tokenizer": "tiny_bert",
             "sequence_length": 17, "num_texts": 2, "text_pairing": text_pairing}  # fmt: skip
    return Preprocessor(**{**given, **options})


@pytest.mark.parametrize(("pairing", "shape"), [("packed", (3, 17)), ("separate", (3, 2, 17))])
def test_exactly_the_model_s_inputs(rows, pairing, shape):
    inputs = preprocessor(pairing)(rows)
    found = {name: (array.shape, array.dtype.name) for name, array in inputs.items()}
    assert found == {
        "image_1": ((3, 11, 13, 3), "float32"),
        "image_2": ((3, 11, 13, 3), "float32"),
        "image_mask": ((3, 2), "bool"),
        "token_ids": (shape, "int32"),
        "segment_ids": (shape, "int32"),
        "padding_mask": (shape, "bool"),
        "text_mask": ((3, 2), "bool"),
    }
    assert list(inputs) == list(preprocessor(pairing).input_names)


def test_what_is_missing_is_zeros_and_masked(rows):
    inputs = preprocessor()(rows)
    assert inputs["image_mask"].tolist() == [[True, True], [False, True], [True, False]]
    assert inputs["text_mask"].tolist() == [[True, True], [False, True], [True, False]]
    means = [[inputs[name][row].mean() for name in IMAGES] for row in range(3)]
    np.testing.assert_allclose(means, [[10, 200], [0, 10], [30, 0]], atol=1e-6)
    vocabulary = preprocessor().tokenizer.vocabulary
    assert [vocabulary[i] for i in inputs["token_ids"][1][:5]] == [
        "[CLS]", "[SEP]", "blue", "[SEP]", "[PAD]",
    ]  # fmt: skip


@pytest.mark.parametrize("pairing", ["packed", "separate"])
def test_a_row_alone_is_the_row_in_a_batch(rows, pairing):
    whole = preprocessor(pairing)(rows)
    for row in range(3):
        alone = preprocessor(pairing)(rows.take([row]))
        for name in whole:
            np.testing.assert_array_equal(alone[name][0], whole[name][row])
    assert {len(array) for array in preprocessor(pairing)(rows.take([])).values()} == {0}


def test_one_side_only(rows):
    images = Preprocessor(image_size=(4, 6), num_images=1)
    assert images.input_names == ("image_1", "image_mask") and images.tokenizer is None
    texts = Preprocessor(tokenizer="tiny_bert", sequence_length=8, num_texts=1)
    assert texts.input_names == ("token_ids", "segment_ids", "padding_mask", "text_mask")
    only = read_rows([{"text": "red"}], texts=["text"])
    assert texts(only)["token_ids"].shape == (1, 8)
    with pytest.raises(ValueError, match="takes 0 images and 1 texts .*Received: 2 images and 2"):
        texts(rows)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"text_pairing": "separate"},
        {"num_images": 0, "image_size": None},
        {"num_texts": 0, "tokenizer": None, "sequence_length": None},
    ],
)
def test_config_and_back(rows, options, tmp_path):
    first = preprocessor(**options)
    config = json.loads(json.dumps(first.get_config()))
    if first.tokenizer is not None:
        first.tokenizer.save(tmp_path)
    second = Preprocessor.from_config(config, tmp_path)
    assert second.get_config() == first.get_config()
    fitting = type(rows)(
        rows.images[: first.num_images], rows.texts[: first.num_texts], None, rows.numbers
    )
    expected, found = first(fitting), second(fitting)
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_from_preset():
    tiny = Preprocessor.from_preset("tiny")
    assert (tiny.image_size, tiny.num_images, tiny.num_texts) == ((64, 64), 2, 2)
    assert (tiny.sequence_length, tiny.text_pairing) == (48, "packed")
    with pytest.raises(ValueError, match="Did you mean 'tiny'"):
        Preprocessor.from_preset("tinny")


def test_mistakes_are_told_together():
    with pytest.raises(ValueError) as error:
        Preprocessor(num_images=1, num_texts=3, text_pairing="pakced", sequence_length=3)
    for words in (
        "`image_size` is required",
        "`tokenizer` and `sequence_length` are required",
        "num_texts=3, num_images=1",
        "'pakced'",
        "`sequence_length` must be >= 4",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize("size", [None, 128, (128,), (0, 5), (3, 4, 5), "ab"])
def test_bad_image_sizes(size):
    with pytest.raises(ValueError, match="`image_size` is required with `num_images`: "):
        Preprocessor(image_size=size, num_images=1)


def test_nothing_to_do():
    with pytest.raises(ValueError, match="`num_images` or `num_texts` must be at least 1"):
        Preprocessor()


def test_equal_images_are_decoded_once(rows, monkeypatch):
    seen = []
    load = preprocessor().load_images.__globals__["load_image"]
    monkeypatch.setitem(
        preprocessor().load_images.__globals__,
        "load_image",
        lambda cell, size: (seen.append(1), load(cell, size))[1],
    )
    pixels = preprocessor().load_images([scene(1), None, scene(1), scene(2)])
    assert len(seen) == 2
    assert pixels[:, 0, 0, 0].tolist() == [1, 0, 1, 2]
