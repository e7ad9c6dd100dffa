"""Tokens of every family: its own packing, its padding, and texts that spell special tokens."""

import json

import numpy as np
import pytest

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.data.text.families import TOKEN_FAMILIES
from keras_mm.data.text.packing import num_special
from keras_mm.data.text.tokenizer import Tokenizer
from keras_mm.load_order import load_tensorflow
from tests.families import JOINED, byte_pairs, odd_characters, sentence_piece

pytestmark = pytest.mark.backend_free

FAMILIES = [name for name in TOKEN_FAMILIES if name != "bert"]
PAIRED = ["roberta", "xlm_roberta", "deberta_v3", "albert"]
SINGLE = ["clip", "siglip", "siglip2"]
SPECIALS = "<s> </s> <pad> <unk> <mask> [CLS] [SEP] [PAD] [MASK] <bos> <eos> <|endoftext|>"


@pytest.fixture(scope="module", autouse=True)
def as_traced():
    """Graphs run as they were traced: TensorFlow takes seconds to optimize those of byte pairs."""
    options = load_tensorflow().config.optimizer
    before = options.get_experimental_options().get("disable_meta_optimizer", False)
    options.set_experimental_options({"disable_meta_optimizer": True})
    yield
    options.set_experimental_options({"disable_meta_optimizer": before})


@pytest.fixture(scope="module")
def tokenizers():
    found = {}
    for family in FAMILIES:
        if family in ("roberta", "clip"):
            vocabulary, merges = byte_pairs(family)
            found[family] = Tokenizer(vocabulary, family=family, merges=merges)
        else:
            found[family] = Tokenizer(sentence_piece(family), family=family)
    return found


def names(tokenizer) -> dict[int, str]:
    if isinstance(tokenizer.vocabulary, dict):
        return {i: token for token, i in tokenizer.vocabulary.items()}
    return dict(enumerate(tokenizer.layer.get_vocabulary()))


def tokens(tokenizer, *texts, length=24, **options) -> list[str]:
    packed = tokenizer.pack([[text] for text in texts], length, **options)
    known = names(tokenizer)
    return [known[int(i)] for i in packed["token_ids"][0][packed["padding_mask"][0]]]


BEGIN = {"roberta": "<s>", "xlm_roberta": "<s>", "deberta_v3": "[CLS]", "albert": "[CLS]"}
BETWEEN = {"roberta": ["</s>"] * 2, "xlm_roberta": ["</s>"] * 2, "deberta_v3": ["[SEP]"],
           "albert": ["[SEP]"]}  # fmt: skip
END = {"roberta": "</s>", "xlm_roberta": "</s>", "deberta_v3": "[SEP]", "albert": "[SEP]",
       "clip": "<|endoftext|>", "siglip": "</s>", "siglip2": "<eos>"}  # fmt: skip
WORDS = {
    "roberta": (["red", "Ġleft"], ["left"]),
    "clip": (["red</w>", "left</w>"], ["left</w>"]),
}


def expected_words(family):
    return WORDS.get(family, (["▁red", "▁left"], ["▁left"]))


@pytest.mark.parametrize("family", PAIRED)
def test_a_pair_is_packed_as_the_family_does(tokenizers, family):
    tokenizer = tokenizers[family]
    first, second = tokens_of(tokenizer, "red left"), tokens_of(tokenizer, "left")
    wanted = [BEGIN[family], *first, *BETWEEN[family], *second, END[family]]
    assert tokens(tokenizer, "red left", "left") == wanted
    packed = tokenizer.pack([["red left"], ["left"]], 24)
    ones = len(second) + 1 if family == "albert" else 0
    segments = [0] * (len(wanted) - ones) + [1] * ones
    assert packed["segment_ids"][0].tolist() == segments + [0] * (24 - len(wanted))
    pad = {"deberta_v3": 0, "albert": 0, "roberta": 1, "xlm_roberta": 1}[family]
    assert set(packed["token_ids"][0, len(wanted) :]) == {pad}
    assert [packed[name].dtype for name in packed] == ["int32", "int32", "bool"]


def tokens_of(tokenizer, text):
    """A text's own tokens, by KerasHub's tokenizer outside of a graph."""
    known = names(tokenizer)
    found = tokenizer.layer([text])[0]
    return [known[int(i)] for i in np.asarray(found)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_becomes_the_family_s_tokens(tokenizers, family):
    start = {"clip": ["<|startoftext|>"], "siglip": [], "siglip2": []}
    begin = start.get(family, [BEGIN.get(family)])
    words, _ = expected_words(family)
    assert tokens(tokenizers[family], "red left") == [*begin, *words, END[family]]


@pytest.mark.parametrize("family", SINGLE)
def test_families_of_single_texts(tokenizers, family):
    tokenizer = tokenizers[family]
    packed = tokenizer.pack([["red", ""], ["left left", "red"]], 7, "separate")
    assert packed["token_ids"].shape == (2, 2, 7) and not packed["segment_ids"].any()
    for slot, column in enumerate((["red", ""], ["left left", "red"])):
        alone = tokenizer.pack([column], 7)
        for name in alone:
            np.testing.assert_array_equal(packed[name][:, slot], alone[name])
    with pytest.raises(ValueError, match="two texts in one sequence. Use text_pairing='separate'"):
        tokenizer.pack([["red"], ["left"]], 7)


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_in_a_text_are_text(tokenizers, family):
    tokenizer = tokenizers[family]
    packed = tokenizer.pack([[SPECIALS]], 300)
    own = tokenizer.family.start + tokenizer.family.end
    ids = packed["token_ids"][0][packed["padding_mask"][0]][len(tokenizer.family.start) : -1]
    known = names(tokenizer)
    special = set(tokenizer.family.special_tokens) - {tokenizer.family.unknown}
    assert special >= set(own) and not special & {known[int(i)] for i in ids}
    assert "<mask>" not in {known[int(i)] for i in ids}
    assert len(ids) > 20  # what was written is still there, in pieces


def test_a_vocabulary_that_lets_texts_spell_a_special_token():
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["red left blue right"] * 9), model_writer=model, vocab_size=30,
        hard_vocab_limit=False, minloglevel=2, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        pad_piece="[PAD]", bos_piece="[X]", eos_piece="[Y]", unk_piece="[UNK]",
        user_defined_symbols="[CLS],[SEP]",
    )  # fmt: skip
    tokenizer = Tokenizer(model.getvalue(), family="deberta_v3")
    found = tokens(tokenizer, "red [SEP] [CLS] left")
    assert found[0] == "[CLS]" and found[-1] == "[SEP]" and found.count("[UNK]") == 2
    assert found.count("[CLS]") == found.count("[SEP]") == 1


@pytest.mark.parametrize("family", PAIRED)
def test_truncation_takes_turns(tokenizers, family):
    specials = 2 + len(BETWEEN[family])
    tokenizer = tokenizers[family]
    for length in (specials + 1, specials + 4):
        found = tokens(tokenizer, "the red " * 9, "up down " * 9, length=length)
        assert len(found) == length and found[-1] == END[family]
        cut = found.index(BETWEEN[family][0])
        first, second = cut - 1, length - specials - (cut - 1)
        assert 0 <= first - second <= 1
    short = tokens(tokenizer, "left", "up down " * 9, length=specials + 4)
    assert len(tokens_of(tokenizer, "left")) + 1 == short.index(BETWEEN[family][0])


@pytest.mark.parametrize("family", FAMILIES)
def test_empty_texts_and_no_rows(tokenizers, family):
    tokenizer = tokenizers[family]
    # Lengths of other tests: each is traced once for a tokenizer, for a second and more.
    pairing, length = ("packed", 24) if family in PAIRED else ("separate", 7)
    whole = tokenizer.pack([["red", "", "the"], ["", "", "left"]], length, pairing)
    for row, (a, b) in enumerate([("red", ""), ("", ""), ("the", "left")]):
        alone = tokenizer.pack([[a], [b]], length, pairing)
        for name in whole:
            np.testing.assert_array_equal(whole[name][row], alone[name][0])
    nothing = tokenizer.pack([[], []], length, pairing)
    assert {len(array) for array in nothing.values()} == {0}


@pytest.mark.parametrize("family", FAMILIES)
def test_too_short_a_sequence(tokenizers, family):
    tokenizer = tokenizers[family]
    specials = len(tokenizer.family.start) + 1
    with pytest.raises(ValueError, match=f"must be > {specials}, the number of special"):
        tokenizer.pack([["red"]], specials)
    assert tokens(tokenizer, "red left red left", length=specials + 1)[-1] == END[family]


def test_case_and_accents(tokenizers):
    assert tokens(tokenizers["albert"], "RED Left") == tokens(tokenizers["albert"], "red left")
    assert tokens(tokenizers["albert"], "café") == tokens(tokenizers["albert"], "cafe")
    assert tokens(tokenizers["clip"], "RED") == tokens(tokenizers["clip"], "red")
    assert tokens(tokenizers["siglip"], "Red, (left)!") == tokens(tokenizers["siglip"], "red left")
    assert tokens(tokenizers["siglip2"], "RED") == tokens(tokenizers["siglip2"], "red")
    assert tokens(tokenizers["siglip2"], "red.") != tokens(tokenizers["siglip2"], "red")
    for family in ("roberta", "xlm_roberta", "deberta_v3"):
        assert tokens(tokenizers[family], "RED") != tokens(tokenizers[family], "red")
    cased = Tokenizer(sentence_piece("albert"), family="albert", lowercase=False)
    assert cased.strip_accents is False and tokens(cased, "RED") != tokens(cased, "red")


def test_padding_that_is_a_word_of_the_vocabulary(tokenizers):
    """CLIP pads with the id 0, which is "!"."""
    packed = tokenizers["clip"].pack([["!!"], ["!"]], 7, "separate")
    vocabulary = tokenizers["clip"].vocabulary
    assert vocabulary["!"] == 0
    assert packed["padding_mask"].sum(axis=2).tolist() == [[4, 3]]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_and_read_again(tokenizers, family, tmp_path):
    first = tokenizers[family]
    preprocessor = Preprocessor(
        tokenizer=first, sequence_length=17, num_texts=2,
        text_pairing="packed" if family in PAIRED else "separate",
    )  # fmt: skip
    first.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(first.family.files)
    config = json.loads(json.dumps(preprocessor.get_config()))
    again = Preprocessor.from_config(config, tmp_path)
    rows = read_rows([{"a": "the red café", "b": SPECIALS}], texts=["a", "b"])
    expected, found = preprocessor(rows), again(rows)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    assert again.get_config() == preprocessor.get_config()


def test_byte_pairs_are_gpt_2_s(tokenizers):
    """The same ids as by the reference implementation, on texts of many scripts."""
    from tokenizers import Tokenizer as Reference
    from tokenizers import models, pre_tokenizers

    vocabulary, merges = byte_pairs()
    pairs = [tuple(merge.split(" ")) for merge in merges]
    reference = Reference(models.BPE(vocab=vocabulary, merges=pairs))
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in ["the red  left", "don't we'll", "naïve 漢字 🎉", " red\n\nleft\t42 ", "a" * 99,
                 "https://t.co/Xy #tag @user $1,000.50"]:  # fmt: skip
        packed = tokenizers["roberta"].pack([[text]], 200)
        found = packed["token_ids"][0][packed["padding_mask"][0]][1:-1].tolist()
        assert found == reference.encode(text).ids


@pytest.mark.parametrize("family", FAMILIES)
def test_characters_cut_no_text(tokenizers, family):
    """NUL is dropped wherever it stands; of the others, what stands behind them stays."""
    tf = load_tensorflow()

    def ids(*texts):
        return tokenizers[family]._traced.ids(tf.constant(texts)).to_list()

    texts = ["left\0 blue", "\0left blue", "left blue\0", "le\0ft b\0lue", "\0\0left\0 blue\0\0"]
    (left,), (both,) = ids("left"), ids("left blue")
    assert ids(*texts) == [both] * 5 and ids("\0", "") == [[], []]
    blue, chars = both[len(left) :], odd_characters()
    assert len(chars) > 600
    for character, found in zip(chars, ids(*(f"left{c} blue" for c in chars)), strict=True):
        assert found[-len(blue) :] == blue and len(found) > len(blue), f"U+{ord(character):04X}"


def test_characters_are_byte_pairs_but_nul(tokenizers):
    """Joiners of emoji and scripts above all are encoded as they are, byte for byte."""
    tf = load_tensorflow()
    from keras_hub.src.tokenizers.byte_pair_tokenizer import bytes_to_unicode

    byte_of = dict(zip(*reversed(bytes_to_unicode()), strict=True))
    known = names(tokenizers["roberta"])
    texts = [JOINED, *(f"left{c}blue {c}" for c in odd_characters())]
    found = tokenizers["roberta"]._traced.ids(tf.constant(texts)).to_list()
    for text, ids in zip(texts, found, strict=True):
        written = b"".join(byte_of[letter] for i in ids for letter in known[i])
        assert written == text.replace("\0", "").encode()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["roberta", "xlm_roberta"])
def test_the_exported_graph_gives_the_same(tokenizers, family, tmp_path):
    tf = load_tensorflow()

    tokenizer = tokenizers[family]
    module = tf.Module()
    text = tf.TensorSpec([None], tf.string)
    module.packed = tf.function(lambda a, b: tokenizer.graph((a, b), 32), [text, text])
    module.tokenizer_ = tokenizer.resources
    tf.saved_model.save(module, str(tmp_path))
    exported = tf.saved_model.load(str(tmp_path))
    texts = [["red left", "", SPECIALS, "naïve 漢字 🎉"], ["", "café", "x" * 90, "don't"]]
    for _ in range(2):  # the second time from the cache of seen words
        ours, theirs = tokenizer.pack(texts, 32), exported.packed(*map(tf.constant, texts))
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name].numpy(), err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_of_one_s_own(tokenizers, family, tmp_path):
    """Each is one token, as it is written, in Python and in a graph; all else is as without."""
    tf = load_tensorflow()

    plain, own = tokenizers[family], ["<url>", "Red|Left", "<url>s", "a b-c ✓"]
    tokenizer = plain.with_special_tokens(own)
    first = plain.vocabulary_size
    assert tokenizer.vocabulary_size == first + 4 > max(names(plain))
    texts = ["<url>", "red <url>s left", "a b-c ✓Red|Left<url>", "the red left", "", "<URL>"]
    texts += [
        "red <url>s\0 le\0ft",
        "the\0 red left\0",
        *(f"le{c}ft" for c in odd_characters()[:99]),
    ]
    found = tokenizer.pack([texts], 24)
    inside = [
        [int(i) - first for i in row[mask] if i >= first]
        for row, mask in zip(found["token_ids"], found["padding_mask"], strict=True)
    ]
    assert inside[:8] == [[0], [2], [3, 1, 0], [], [], [], [2], []] and not any(inside[8:])
    for name, value in plain.pack([texts], 24).items():
        np.testing.assert_array_equal(
            found[name][[*range(3, 6), *range(7, len(texts))]],
            value[[*range(3, 6), *range(7, len(texts))]],
        )
        np.testing.assert_array_equal(found[name][[6, 7]], found[name][[1, 3]])
    lengths = found["padding_mask"].sum(axis=1) - num_special(plain.family, 1)
    assert tokenizer.count(texts).tolist() == lengths.tolist()
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.string)
    module.packed = tf.function(lambda text: tokenizer.graph((text,), 24), [spec])
    module.tokenizer_ = tokenizer.resources
    tf.saved_model.save(module, str(tmp_path))
    theirs = tf.saved_model.load(str(tmp_path)).packed(tf.constant(texts))
    for name in found:
        np.testing.assert_array_equal(found[name], theirs[name].numpy(), err_msg=name)
    tokenizer.save(tmp_path)
    again = Tokenizer.from_config(json.loads(json.dumps(tokenizer.get_config())), tmp_path)
    np.testing.assert_array_equal(again.pack([texts], 24)["token_ids"], found["token_ids"])


def test_a_special_token_of_the_vocabulary_keeps_its_id(tokenizers):
    tokenizer = tokenizers["roberta"].with_special_tokens(["<mask>", "<new>"])
    packed = tokenizer.pack([["<mask><new>"]], 8)["token_ids"][0].tolist()
    known = tokenizers["roberta"].vocabulary
    assert packed[1:3] == [known["<mask>"], tokenizers["roberta"].vocabulary_size]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["roberta", "xlm_roberta"])
def test_seeding_takes_no_tokenizer_away(tokenizers, family):
    tf = load_tensorflow()

    before = tokenizers[family].pack([["the red left"]], 12)
    tf.random.set_seed(3)
    after = tokenizers[family].pack([["the red left"]], 12)
    np.testing.assert_array_equal(after["token_ids"], before["token_ids"])


def test_bad_vocabularies():
    vocabulary, merges = byte_pairs()
    with pytest.raises(ValueError, match="Unknown tokenizer family 'robreta'. Did you mean"):
        Tokenizer(vocabulary, family="robreta", merges=merges)
    with pytest.raises(
        ValueError, match=r"lacks \['<pad>'\]. A vocabulary of the family 'roberta'"
    ):
        Tokenizer({"<s>": 0, "</s>": 1}, family="roberta")
    with pytest.raises(ValueError, match="not a SentencePiece model of the family 'deberta_v3'"):
        Tokenizer(sentence_piece("xlm_roberta"), family="deberta_v3")


@pytest.mark.slow
def test_seeding_tensorflow_keeps_tokenizers_alive(tokenizers):
    tokenizer = tokenizers["xlm_roberta"]
    count, packed = tokenizer.count(["left blue"]), tokenizer.pack((["left"],), 8)
    load_tensorflow().random.set_seed(3)
    assert tokenizer.count(["left blue"]) == count
    load_tensorflow().random.set_seed(3)
    np.testing.assert_array_equal(tokenizer.pack((["left"],), 8)["token_ids"], packed["token_ids"])
