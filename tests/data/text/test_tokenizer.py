"""Tokens: KerasHub's ids, in Python and in an exported graph, for texts however nasty."""

import json
import random
import unicodedata

import numpy as np
import pytest

from keras_mm.data.samples import sample_vocabulary
from keras_mm.data.tables.load import load_table
from keras_mm.data.text.tokenizer import SPECIAL_TOKENS, Tokenizer
from keras_mm.load_order import load_tensorflow
from tests.conftest import tensorflow_functions
from tests.families import characters, odd_characters

pytestmark = pytest.mark.backend_free  # TensorFlow makes the tokens for every backend

LETTERS = [*SPECIAL_TOKENS, *"abcdefgh", "##a", "##b", "[", "]", "sep", "cls", "!"]
PAD, UNK, CLS, SEP = range(4)
CASED = {
    case: {"family": "bert", "lowercase": case, "strip_accents": case} for case in (True, False)
}


@pytest.fixture(scope="module")
def letters():
    """A tokenizer whose tokens are letters: `a` is 4, `b` is 5, and so on."""
    return Tokenizer(LETTERS)


@pytest.fixture(scope="module")
def real(minilm):
    return Tokenizer.load(minilm)


def ids(tokenizer, *texts, length=11, **options):
    packed = tokenizer.pack([[text] for text in texts], length, **options)
    return packed["token_ids"][0].tolist()


def nasty_texts(count, seed):
    """Texts of every script, of control characters, of nothing, and of odd pieces."""
    rng = random.Random(seed)
    pieces = ["[SEP]", "[CLS]", "[MASK]", "##ing", "naïve café", "e\u0301", "ﬁ", "İ", "ß", "ẞ", "ǅ",
              "don't", "🎉", "👨\u200d👩\u200d👧", "🇫🇷", "漢字", "ひら", "한국어", "العربية",
              "हिन्दी", "\0", "\u0378", "\U000e0fff", "\ufffd", "\ufeff", "\u2028", "\x85", "\u00a0",
              "\u200b", "\u00ad", "\t", "\r\n", "https://t.co/Xy", "&amp;", "@user_1", "#Tag",
              "...", "--", "$1,000.50", "𝔘𝔫𝔦", "x" * 120]  # fmt: skip
    for _ in range(count):
        words = []
        for _ in range(rng.randrange(12)):
            if rng.random() < 0.5:
                words.append(rng.choice(pieces))
            else:
                code = rng.randrange(0x110000)
                words.append("a" if 0xD800 <= code < 0xE000 else chr(code))
        yield rng.choice(["", " "]).join(words)


def test_a_pair_is_packed_with_segments(letters):
    packed = letters.pack((["a b"], ["c"]), 9)
    assert packed["token_ids"].tolist() == [[CLS, 4, 5, SEP, 6, SEP, PAD, PAD, PAD]]
    assert packed["segment_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 0, 0, 0]]
    assert packed["padding_mask"].tolist() == [[True] * 6 + [False] * 3]
    assert [packed[name].dtype for name in packed] == ["int32", "int32", "bool"]
    assert all(type(array) is np.ndarray for array in packed.values())


def test_one_text(letters):
    for pairing in ("packed", "separate"):
        packed = letters.pack((["a b", "c"],), 5, pairing)
        assert packed["token_ids"].tolist() == [[CLS, 4, 5, SEP, PAD], [CLS, 6, SEP, PAD, PAD]]
        assert not packed["segment_ids"].any()


def test_separate_texts_stand_alone(letters):
    packed = letters.pack((["a b", "d"], ["c", "e f"]), 5, "separate")
    assert packed["token_ids"].shape == packed["padding_mask"].shape == (2, 2, 5)
    for slot, column in enumerate((["a b", "d"], ["c", "e f"])):
        alone = letters.pack((column,), 5)
        for name in alone:
            np.testing.assert_array_equal(packed[name][:, slot], alone[name])


def test_truncation_takes_turns(letters):
    assert ids(letters, "a b c d e", "f g h a b", length=9) == [CLS, 4, 5, 6, SEP, 9, 10, 11, SEP]
    assert ids(letters, "a b c d e", "f", length=9) == [CLS, 4, 5, 6, 7, 8, SEP, 9, SEP]
    assert ids(letters, "a", "b c d e f", length=7) == [CLS, 4, SEP, 5, 6, 7, SEP]
    assert ids(letters, "a b c d e", length=4) == [CLS, 4, 5, SEP]


def test_a_missing_text_leaves_its_place(letters):
    assert ids(letters, "", "b", length=6) == [CLS, SEP, 5, SEP, PAD, PAD]
    assert ids(letters, "a", "", length=6) == [CLS, 4, SEP, SEP, PAD, PAD]
    assert ids(letters, " \t\n", "b", length=6) == [CLS, SEP, 5, SEP, PAD, PAD]
    packed = letters.pack(([""], ["b"]), 6)
    assert packed["segment_ids"].tolist() == [[0, 0, 1, 1, 0, 0]]


def test_special_tokens_in_a_text_are_text(letters, real):
    assert ids(letters, "[SEP] a", length=8) == [CLS, 14, 16, 15, 4, SEP, PAD, PAD]
    found = ids(real, "[SEP] [CLS] [PAD] [MASK] [UNK]", length=32)
    special = {real.vocabulary.index(token) for token in SPECIAL_TOKENS}
    sep = real.vocabulary.index("[SEP]")
    assert found[0] == real.vocabulary.index("[CLS]")
    assert special & set(found[1 : found.index(sep)]) == set()
    assert found.count(sep) == 1


def test_accents_are_no_unknown_words(real):
    unknown = real.vocabulary.index("[UNK]")
    assert unknown not in ids(real, "naïve café")
    assert ids(real, "Naïve CAFÉ") == ids(real, "naive cafe")
    assert ids(real, "cafe\u0301") == ids(real, "café")
    cased = Tokenizer(real.vocabulary, lowercase=False)
    assert cased.strip_accents is False and unknown in ids(cased, "Naïve")
    assert Tokenizer(LETTERS, strip_accents=False).get_config() == {
        "family": "bert",
        "lowercase": True,
        "strip_accents": False,
    }


@pytest.mark.parametrize(
    "text",
    ["🎉", "漢字 かな", "a\0b", "\u0378", "😀" * 50, "a" * 10_000, "a " * 10_000],
    ids=["emoji", "CJK", "NUL", "unassigned", "emojis", "long word", "many words"],
)
def test_odd_texts_are_taken(real, text):
    found = ids(real, text, text, length=16)
    assert len(found) == 16 and found.count(real.vocabulary.index("[SEP]")) == 2


def test_characters_cut_no_text(real):
    """NUL is dropped; the other control and format characters are a space, as in KerasHub."""
    whole, split = ids(real, "leftblue"), ids(real, "left blue")
    texts = ["left\0 blue", "\0left blue", "left blue\0", "le\0ft b\0lue"]
    assert all(ids(real, text) == split for text in texts) and ids(real, "left\0blue") == whole
    chars = [*characters("Cc")[1:], *characters("Cf")]
    packed = real.pack([[f"left{c}blue" for c in chars]], 11)["token_ids"].tolist()
    assert [c for c, found in zip(chars, packed, strict=True) if found != split] == []
    chars = [*characters("Co"), *characters("Cn")]  # unknown words, and no end of the text
    packed = real.pack([[f"left {c} blue" for c in chars]], 11)["token_ids"].tolist()
    assert all(found[1] == split[1] and split[2] in found[2:4] for found in packed)
    own = real.with_special_tokens(["<url>"])
    assert ids(own, "le\0ft<u\0rl>\0blue\0")[1:4] == [split[1], 30522, split[2]]


def test_no_rows(letters):
    for pairing, shape in (("packed", (0, 7)), ("separate", (0, 2, 7))):
        packed = letters.pack(([], []), 7, pairing)
        assert {name: array.shape for name, array in packed.items()} == dict.fromkeys(packed, shape)


def test_tokens_are_the_same_where_functions_run_eagerly(letters):
    texts = ["a b a", "", "c [SEP] d"]
    with tensorflow_functions(eager=True):
        tokenizer = Tokenizer(LETTERS)
        counts, packed = tokenizer.count(texts), tokenizer.pack([texts], 7)
    np.testing.assert_array_equal(counts, letters.count(texts))
    for name, values in letters.pack([texts], 7).items():
        np.testing.assert_array_equal(packed[name], values)


def test_many_rows_are_as_the_rows_alone(letters, monkeypatch):
    texts = [list(nasty_texts(7, seed)) for seed in (1, 2)]
    whole = letters.pack(texts, 13)
    monkeypatch.setattr("keras_mm.data.text.tokenizer._CHUNK", 3)
    parts = letters.pack(texts, 13)
    for name in whole:
        np.testing.assert_array_equal(parts[name], whole[name])


@pytest.fixture(scope="module")
def exported(real, tmp_path_factory):
    """`graph`, written as a SavedModel and read back."""
    tf = load_tensorflow()

    module = tf.Module()
    text = tf.TensorSpec([None], tf.string)
    module.packed = tf.function(lambda a, b: real.graph((a, b), 32), [text, text])
    module.separate = tf.function(lambda a, b: real.graph((a, b), 32, "separate"), [text, text])
    folder = str(tmp_path_factory.mktemp("tokens"))
    tf.saved_model.save(module, folder)
    return tf.saved_model.load(folder)


def check_exported(tokenizer, exported, texts):
    tf = load_tensorflow()

    for pairing in ("packed", "separate"):
        ours = tokenizer.pack(texts, 32, pairing)
        theirs = getattr(exported, pairing)(*(tf.constant(column) for column in texts))
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name].numpy(), err_msg=name)


def test_the_exported_graph_gives_the_same(real, exported):
    texts = [list(nasty_texts(500, seed)) for seed in (3, 5)]
    for part in texts:
        part += [f"left{c}blue {c}" for c in odd_characters()]
    assert any("\0" in text for text in texts[0])
    assert any(unicodedata.category(c) == "Cn" for text in texts[1] for c in text)
    check_exported(real, exported, texts)


def test_the_exported_graph_gives_the_same_for_tweets(real, exported, shared):
    table = load_table(shared / "data" / "entailment" / "test_df.csv")
    check_exported(real, exported, [list(table["text_1"]), list(table["text_2"])])


def test_ids_are_keras_hub_s(real):
    import keras_hub

    theirs = keras_hub.models.BertTokenizer(
        vocabulary=real.vocabulary, lowercase=True, strip_accents=True
    )
    for text in ["Hello, world! don't", "naïve café 漢字 🎉", "unaffable [SEP] ##ing", "x" * 120]:
        expected = np.asarray(theirs([text])[0]).tolist()
        assert ids(real, text, length=64)[1 : len(expected) + 1] == expected
    packer = keras_hub.layers.MultiSegmentPacker(
        32, theirs.cls_token_id, theirs.sep_token_id, pad_value=theirs.pad_token_id
    )
    # KerasHub's own Python path and its graph read these characters differently.
    columns = [
        [
            "".join(" " if unicodedata.category(c) in ("Cn", "Cc") else c for c in text)
            for text in part
        ]
        for part in (list(nasty_texts(40, seed)) for seed in (7, 11))
    ]
    tokens, segments = packer(tuple(theirs(column) for column in columns))
    packed = real.pack(columns, 32)
    np.testing.assert_array_equal(packed["token_ids"], np.asarray(tokens))
    np.testing.assert_array_equal(packed["segment_ids"], np.asarray(segments))


# --- where tokenizers come from -------------------------------------------------------------------


def write_folder(folder, vocabulary=LETTERS, **configs):
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    return folder


def test_hugging_face_folder(minilm, real):
    assert len(real.vocabulary) == 30522 and real.vocabulary[101] == "[CLS]"
    assert real.get_config() == CASED[True]
    assert ids(real, "hello world")[:4] == [101, 7592, 2088, 102]
    assert Tokenizer.load(f"{minilm}/vocab.txt").get_config() == real.get_config()
    assert Tokenizer.load(real) is real


def test_what_is_traced_serves_whoever_loads_the_same(tmp_path):
    folder = write_folder(tmp_path / "a")
    first = Tokenizer.load(folder)
    first.pack((["a b"],), 8)
    assert Tokenizer.load(write_folder(tmp_path / "b")) is first
    first.save(tmp_path)
    assert Tokenizer.from_config(first.get_config(), tmp_path) is first
    cased = Tokenizer.from_config({"lowercase": False}, tmp_path)
    assert cased is not first and not cased.lowercase
    (folder / "vocab.txt").write_text("\n".join([*LETTERS, "new"]) + "\n", encoding="utf-8")
    assert "new" in Tokenizer.load(folder).vocabulary and "new" not in first.vocabulary


@pytest.mark.parametrize(
    ("configs", "lowercase", "strip"),
    [
        ({}, True, True),
        ({"tokenizer_config": {"do_lower_case": False}}, False, False),
        ({"tokenizer_config": {"do_lower_case": True, "strip_accents": None}}, True, True),
        ({"tokenizer_config": {"do_lower_case": True, "strip_accents": False}}, True, False),
        ({"tokenizer": {"normalizer": {"lowercase": False, "strip_accents": None}}}, False, False),
        (
            {
                "tokenizer_config": {"model_max_length": 512},
                "tokenizer": {"normalizer": {"lowercase": False}},
            },
            False,
            False,
        ),
        ({"tokenizer": {"normalizer": None}}, True, True),
    ],
)
def test_a_folder_s_case(tmp_path, configs, lowercase, strip):
    tokenizer = Tokenizer.load(write_folder(tmp_path / "f", **configs))
    assert tokenizer.get_config() == {
        "family": "bert",
        "lowercase": lowercase,
        "strip_accents": strip,
    }


def test_vocabulary_lines_are_kept_whole(tmp_path):
    vocabulary = [*LETTERS, "\u2028", "\x85", "z"]
    folder = write_folder(tmp_path / "f", vocabulary)
    assert Tokenizer.load(folder).vocabulary == vocabulary
    (folder / "vocab.txt").write_bytes("\r\n".join(vocabulary).encode())
    assert Tokenizer.load(folder).vocabulary == vocabulary


def test_keras_hub_object_and_folder(tmp_path):
    import keras_hub

    vocabulary = [*LETTERS, "[MASK]"]
    theirs = keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=True)
    theirs.save_to_preset(str(tmp_path / "preset"))
    cased = keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=False)
    for source in (theirs, tmp_path / "preset", str(tmp_path / "preset")):
        ours = Tokenizer.load(source)
        assert ours.vocabulary == vocabulary
        assert ours.get_config() == CASED[True]
        assert ids(ours, "A Á", length=5) == [CLS, 4, 4, SEP, PAD]
    assert Tokenizer.load(cased).get_config() == CASED[False]


def test_by_name():
    assert Tokenizer.load("tiny_bert").vocabulary == sample_vocabulary()


def test_a_vocabulary_that_lacks_special_tokens(tmp_path):
    with pytest.raises(ValueError, match=r"lacks \['\[CLS\]'\]"):
        Tokenizer(["[PAD]", "[UNK]", "[SEP]", "a"])
    with pytest.raises(ValueError, match=r"\['\[PAD\]', '\[UNK\]', '\[CLS\]', '\[SEP\]'\]"):
        Tokenizer.load(write_folder(tmp_path / "f", ["<s>", "</s>"]))


def test_what_is_no_vocabulary(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    with pytest.raises(ValueError, match="No vocabulary in .*must contain vocab.txt") as error:
        Tokenizer.load(tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(ValueError, match="`tokenizer` must be a KerasHub tokenizer.*Received: int"):
        Tokenizer.load(7)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"\n\x0e")
    with pytest.raises(ValueError, match="not a SentencePiece model of the family 'xlm_roberta'"):
        Tokenizer.load(tmp_path)
    (tmp_path / "sentencepiece.bpe.model").unlink()
    (tmp_path / "spiece.model").write_bytes(b"\n\x0e")
    (tmp_path / "config.json").write_text('{"model_type": "xlnet"}')
    with pytest.raises(ValueError, match="The tokenizer of 'xlnet' in .* is not supported"):
        Tokenizer.load(tmp_path)
