import re
from copy import copy
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_mm.data.images.cells import ImageError, image_key
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.features import encode as engine
from keras_mm.features.encode import encode_rows
from keras_mm.features.engines import keras_network
from keras_mm.features.fingerprint import weights_check
from keras_mm.features.store.store import FeatureStore
from keras_mm.models.backbones.lookup import text_backbone
from keras_mm.models.keras_settings import build_settings
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder

COLUMNS = {"images": ["image_1", "image_2"], "texts": ["text_1", "text_2"]}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(engine, "BATCH_ITEMS", 16)


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
    features = encode_rows(encoders, rows, preprocessor)
    inputs = preprocessor(rows)
    for side, encoder in encoders.items():
        raw = {tensor.name: inputs[tensor.name] for tensor in encoder.inputs}
        whole = np.asarray(encoder.predict_on_batch(raw)["pooled_output"])
        there = inputs[{"vision": "image_mask", "text": "text_mask"}[side]]
        found = np.asarray(features[f"{side}_pooled_output"])
        np.testing.assert_allclose(found[there], whole[there], atol=1e-5)
        assert not found[~there].any() and not there.all()


def test_a_rows_features_are_the_same_bits_in_any_company(encoders, preprocessor, table):
    together = encode_rows(encoders, read_rows(table, **COLUMNS), preprocessor)
    for start, stop in ((0, 2), (7, 12), (21, 23)):
        rows = read_rows(table[start:stop], **COLUMNS)
        alone = encode_rows(encoders, rows, preprocessor)
        for name, value in alone.items():
            np.testing.assert_array_equal(value, together[name][start:stop])


def test_a_row_by_itself_is_not_filled_up_with_others(encoders, preprocessor, table, monkeypatch):
    together = encode_rows(encoders, read_rows(table, **COLUMNS), preprocessor)
    sizes = []
    before = keras_network.KerasNetwork.__call__

    def counted(self, batch):
        sizes.append(len(next(iter(batch.values()))))
        return before(self, batch)

    monkeypatch.setattr(keras_network.KerasNetwork, "__call__", counted)
    alone = encode_rows(encoders, read_rows(table[7:8], **COLUMNS), preprocessor)
    assert set(sizes) == {1}
    for name, value in alone.items():
        np.testing.assert_allclose(value, together[name][7:8], atol=1e-6)


@pytest.fixture
def decoded(monkeypatch):
    """Images that the engine has decoded, filled batches not counted apart."""
    found = []
    original = Preprocessor.load_images

    def load(self, cells, *options):
        found.extend(dict.fromkeys(image_key(cell) for cell in cells))
        return original(self, cells, *options)

    monkeypatch.setattr(Preprocessor, "load_images", load)
    return found


def test_each_image_is_encoded_once(encoders, preprocessor, table, decoded):
    repeated = table.iloc[[0, 1] * 10].assign(image_2=table["image_1"].iloc[0])
    features = encode_rows(encoders, read_rows(repeated, **COLUMNS), preprocessor)
    assert len(decoded) == len(set(decoded)) == 2
    pooled = features["vision_pooled_output"][:]
    np.testing.assert_array_equal(pooled[0::2], np.repeat(pooled[:1], 10, axis=0))
    np.testing.assert_array_equal(pooled[0, 1], pooled[1, 1])
    assert not np.array_equal(pooled[0], pooled[1])


NAMES = [
    f"{side}_{name}"
    for side in ("vision", "text")
    for name in ("pooled_output", "sequence_output", "sequence_mask")
]


def test_what_is_kept_is_what_is_computed(encoders, preprocessor, table, tmp_path, decoded):
    rows = read_rows(table, **COLUMNS)
    for encoder in encoders.values():
        assert not encoder.trainable_variables
    options = {"names": NAMES}
    plain = encode_rows(encoders, rows, preprocessor, **options)
    assert decoded
    first = encode_rows(encoders, rows, preprocessor, store=FeatureStore(tmp_path), **options)
    decoded.clear()
    again = encode_rows(encoders, rows, preprocessor, store=FeatureStore(tmp_path), **options)
    assert not decoded
    for name in NAMES:
        assert plain[name].shape == first[name].shape == again[name].shape, name
        for found in (first, again):
            np.testing.assert_array_equal(found[name], plain[name], err_msg=name)
    some = np.asarray([3, 0, 22])
    np.testing.assert_array_equal(again[NAMES[1]][some], np.asarray(plain[NAMES[1]])[some])
    np.testing.assert_array_equal(again[NAMES[0]][5:7], np.asarray(plain[NAMES[0]])[5:7])


@pytest.mark.parametrize("kept", [False, True])
def test_many_rows_are_encoded_in_parts(
    encoders, preprocessor, table, tmp_path, decoded, monkeypatch, kept
):
    rows = read_rows(table, **COLUMNS)
    whole = encode_rows(encoders, rows, preprocessor, names=NAMES)
    images = len(set(decoded))
    for size in (8, 9, 22):
        monkeypatch.setattr(engine, "_PART", size)
        decoded.clear()
        store = FeatureStore(tmp_path / str(size)) if kept else None
        for _ in range(2):
            found = encode_rows(encoders, rows, preprocessor, names=NAMES, store=store)
            for name in NAMES:
                assert found[name].shape == whole[name].shape, name
                np.testing.assert_array_equal(found[name], whole[name], err_msg=name)
        # Rows 8 and 9 have the same images, in one part or in two.
        assert len(set(decoded)) == images
        assert len(decoded) == (images if kept else 2 * images)
    assert found[NAMES[0]].take([22, 3])[:].shape[0] == 2


def test_what_other_parts_have_encoded_is_told(
    encoders, preprocessor, table, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(engine, "_PART", 9)
    rows, vision = read_rows(table[:18], **COLUMNS), {"vision": encoders["vision"]}
    with caplog.at_level("INFO", logger="keras_mm"):
        encode_rows(vision, rows, preprocessor, store=FeatureStore(tmp_path))
    told = [record.message for record in caplog.records]
    assert len(told) == 4 and "are encoded by Keras" in told[1], told
    images = list(zip(*rows.images, strict=True))
    one, two = ({image_key(x) for row in part for x in row if x is not None}
                for part in (images[:9], images[9:]))  # fmt: skip
    assert one & two
    words = "part {} of 2: {} of {} distinct images are in the cache; {} to encode"
    assert told[0].startswith(words.format(1, 0, len(one), len(one)))
    assert told[2].startswith(words.format(2, len(one & two), len(two), len(two - one)))


def test_a_line_says_how_many_rows_came_from_the_cache(
    encoders, preprocessor, table, tmp_path, capsys
):
    vision, store = {"vision": encoders["vision"]}, FeatureStore(tmp_path)
    for count, known, show in ((9, 0, True), (18, None, False), (18, 18, True)):
        rows = read_rows(table[:count], **COLUMNS)
        capsys.readouterr()
        encode_rows(vision, rows, preprocessor, store=store, progress=show)
        if not show:
            assert capsys.readouterr().err == ""
            continue
        words = rf"images: {count} rows in \d\.\d s, {known} of them from the cache\n"
        assert re.fullmatch(words, capsys.readouterr().err)


def test_only_what_is_new_is_encoded(encoders, preprocessor, table, tmp_path, decoded):
    vision = {"vision": encoders["vision"]}
    store = FeatureStore(tmp_path)
    encode_rows(vision, read_rows(table[:15], **COLUMNS), preprocessor, store=store)
    before = set(decoded)
    decoded.clear()
    rows = read_rows(table, **COLUMNS)
    found = encode_rows(vision, rows, preprocessor, store=store)
    assert decoded and not before & set(decoded)
    # Tokens were not asked for before: all is encoded for them, the vectors stay.
    decoded.clear()
    encode_rows(vision, rows, preprocessor, store=store, names=["vision_sequence_output"])
    assert before <= set(decoded)
    plain = encode_rows(vision, rows, preprocessor)
    np.testing.assert_array_equal(found["vision_pooled_output"], plain["vision_pooled_output"])


def test_the_same_image_elsewhere_and_another_in_its_place(
    encoders, preprocessor, tmp_path, decoded
):
    """A file counts by what is in it, not by its name."""
    images = [np.full((9, 9, 3), 9 * i, "uint8") for i in range(20)]
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    vision = {"vision": encoders["vision"]}
    store = FeatureStore(tmp_path / "cache")

    def encode(cells):
        table = pd.DataFrame({"image_1": cells, "image_2": cells[::-1]})
        rows = read_rows(table, images=["image_1", "image_2"], texts=[])
        decoded.clear()
        return np.asarray(encode_rows(vision, rows, preprocessor, store=store)[NAMES[0]])

    paths = [str(tmp_path / f"{i}.png") for i in range(20)]
    first = encode(paths)
    np.testing.assert_array_equal(encode([Path(path).read_bytes() for path in paths]), first)
    assert not decoded
    Image.fromarray(np.full((9, 9, 3), 200, "uint8")).save(paths[0])
    changed = encode(paths)
    assert decoded == [image_key(paths[0])]
    assert not np.array_equal(changed[0, 0], first[0, 0])
    np.testing.assert_array_equal(changed[1:19], first[1:19])


def test_other_weights_are_never_answered_from_the_store(preprocessor, table, tmp_path):
    rows = read_rows(table, **COLUMNS)
    store = FeatureStore(tmp_path)

    def encode(encoder, kept):
        found = encode_rows({"vision": encoder}, rows, preprocessor, store=kept)
        return np.asarray(found["vision_pooled_output"])

    encoder = create_vision_encoder("tiny_cnn", weights="random", image_size=(32, 32))
    first = encode(encoder, store)
    weight = encoder.weights[0]
    weight.assign(weight * 1.5)
    second = encode(encoder, store)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, encode(encoder, None))


def test_what_is_trained_is_not_kept(preprocessor, table, tmp_path):
    encoder = create_vision_encoder(
        "tiny_cnn", weights="random", image_size=(32, 32), trainable=True
    )
    store = FeatureStore(tmp_path)
    rows = read_rows(table, **COLUMNS)
    encode_rows({"vision": encoder}, rows, preprocessor, store=store)
    assert store.info()["entries"] == 0
    encoder.trainable = False
    encode_rows({"vision": encoder}, rows, preprocessor, store=store)
    assert store.info()["entries"] > 0


def test_an_interrupted_run_leaves_what_it_has(
    encoders, preprocessor, table, tmp_path, decoded, monkeypatch
):
    vision = {"vision": encoders["vision"]}
    rows = read_rows(table, **COLUMNS)
    store = FeatureStore(tmp_path)
    original, calls = Preprocessor.load_images, []

    def broken(self, cells, *options):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return original(self, cells, *options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Preprocessor, "load_images", broken)
        encode_rows(vision, rows, preprocessor, store=store)
    kept = store.info()["entries"]
    assert kept >= 16
    decoded.clear()
    found = encode_rows(vision, rows, preprocessor, store=store)
    distinct = {image_key(cell) for cells in rows.images for cell in cells if cell is not None}
    assert len(set(decoded)) == len(distinct) - kept
    plain = encode_rows(vision, rows, preprocessor)
    np.testing.assert_array_equal(found[NAMES[0]], plain[NAMES[0]])


def test_a_table_without_a_single_text(encoders, preprocessor, table):
    rows = read_rows(table.assign(text_1=None, text_2=None), **COLUMNS)
    found = encode_rows(encoders, rows, preprocessor, names=NAMES)
    assert found["text_pooled_output"].shape == (23, 2, 64)
    assert not np.asarray(found["text_sequence_output"]).any()
    assert not np.asarray(found["text_sequence_mask"]).any()


def test_the_size_of_batches_and_every_token_input_count(tmp_path, monkeypatch):
    """What changes an answer by a rounding, or altogether, is never found under one key."""
    packed = Preprocessor(tokenizer="tiny_bert", sequence_length=16, num_texts=2)
    encoder = create_text_encoder("tiny_bert", weights="random", sequence_length=16)
    words = [f"word{i}" for i in range(40)]
    rows = read_rows(pd.DataFrame({"a": words, "b": words[::-1]}), images=[], texts=["a", "b"])
    store = FeatureStore(tmp_path)
    for size, count in ((16, 1), (32, 2)):
        monkeypatch.setattr(engine, "BATCH_ITEMS", size)
        encode_rows({"text": encoder}, rows, packed, store=store)
        assert len(store.info()["encoders"]) == count
    # The same tokens, told apart by their segments alone.
    inputs = packed.masks_and_tokens(rows)
    first = np.asarray(encode_rows({"text": encoder}, rows, packed, store=store)[NAMES[3]])
    other = {**inputs, "segment_ids": 1 - inputs["segment_ids"]}
    packed.masks_and_tokens = lambda rows: other
    second = np.asarray(encode_rows({"text": encoder}, rows, packed, store=store)[NAMES[3]])
    assert (np.abs(first - second).max(axis=-1) > 1e-6).all()


def test_a_file_that_changes_while_it_is_read_is_told(encoders, preprocessor, tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(40)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((9, 9, 3), 5 * i, "uint8")).save(path)
    table = pd.DataFrame({"image_1": paths, "image_2": paths})
    rows = read_rows(table, images=["image_1", "image_2"], texts=[])
    original = preprocessor.load_images

    def load(cells, *options):
        Image.fromarray(np.full((9, 9, 3), 255, "uint8")).save(paths[-1])
        return original(cells, *options)

    changing = copy(preprocessor)
    changing.load_images = load
    vision, store = {"vision": encoders["vision"]}, FeatureStore(tmp_path / "cache")
    with pytest.raises(ImageError, match="an image file changed"):
        encode_rows(vision, rows, changing, store=store)
    found = encode_rows(vision, rows, preprocessor, store=store)[NAMES[0]]
    plain = encode_rows(vision, rows, preprocessor)[NAMES[0]]
    np.testing.assert_array_equal(found, plain)
    np.testing.assert_array_equal(found.take([39, 3]), np.asarray(plain)[[39, 3]])


@pytest.mark.parametrize(("slots", "items"), [(1, 32), (2, 32), (3, 48), (5, 80), (9, 144)])
def test_batches_are_whole_rows_and_whole_registers(slots, items, monkeypatch):
    monkeypatch.setattr(engine, "BATCH_ITEMS", 32)
    assert engine._batch_size(slots, 1000) == items


def test_in_bfloat16_a_row_is_the_same_bits_in_any_company(preprocessor, table, tmp_path):
    with build_settings("mixed_bfloat16"):
        encoder = create_text_encoder(
            "tiny_bert", weights="random", sequence_length=48, text_pairing="separate"
        )
    options = {"names": ["text_pooled_output", "text_sequence_output"]}
    options["store"] = FeatureStore(tmp_path)
    rows = read_rows(table, **COLUMNS)
    together = encode_rows({"text": encoder}, rows, preprocessor, **options)
    assert {x.dtype for x in together.values()} == {np.dtype("float32")}
    del options["store"]
    for part in (table[7:8], table[8:10], table[20:23]):
        alone = encode_rows({"text": encoder}, read_rows(part, **COLUMNS), preprocessor, **options)
        places = [table.index.get_loc(number) for number in part.index]
        for name, value in alone.items():
            whole = np.asarray(together[name])[places]
            length = value.shape[1]
            np.testing.assert_array_equal(np.asarray(value), whole[:, :length])


def test_weights_of_bfloat16_are_kept_apart(preprocessor, table, tmp_path):
    with build_settings("bfloat16"):
        network = text_backbone("tiny_bert", "random")
    encoder = create_text_encoder(network, sequence_length=48, text_pairing="separate")
    rows, store = read_rows(table, **COLUMNS), FeatureStore(tmp_path)
    first, again = (
        np.asarray(
            encode_rows({"text": encoder}, rows, preprocessor, store=store)["text_pooled_output"]
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    before = weights_check(encoder)
    encoder.weights[0].assign(encoder.weights[0].value * 2)
    assert weights_check(encoder) != before


@pytest.mark.backend_free
def test_another_limit_of_texts_encodes_only_those_that_were_cut(tmp_path, caplog):
    """The tokens and their padding decide, not the limit."""
    texts = ["red " * count for count in (1, 11, 13, 14, 15, 24)]
    rows = read_rows(pd.DataFrame({"text": texts}), texts=["text"])
    names, found = ["text_pooled_output", "text_sequence_output"], {}
    for limit in (16, 32):
        keras.utils.set_random_seed(0)
        encoder = create_text_encoder("tiny_bert", weights="random", sequence_length=limit)
        reader = Preprocessor(tokenizer="tiny_bert", sequence_length=limit, num_texts=1)
        caplog.clear()
        with caplog.at_level("INFO", logger="keras_mm"):
            found[limit] = encode_rows(
                {"text": encoder}, rows, reader, store=FeatureStore(tmp_path), names=names
            )
        kept = next(r.message for r in caplog.records if "in the cache" in r.message)
    # Of 16 tokens 14 are the text's: 4 texts fit, and those that were cut are equal to the last.
    assert kept.startswith("4 of 6 distinct texts are in the cache; 2 to encode")
    plain = encode_rows({"text": encoder}, rows, reader, names=names)
    for name in names:
        short, long = np.asarray(found[16][name]), np.asarray(found[32][name])
        np.testing.assert_array_equal(long[:4, : short.shape[1]], short[:4])
        # Not to the bit: another encoder's weights may lie otherwise in memory.
        np.testing.assert_allclose(long, plain[name], atol=1e-5)
    assert not np.allclose(found[16][names[0]][4:], found[32][names[0]][4:], atol=1e-3)
