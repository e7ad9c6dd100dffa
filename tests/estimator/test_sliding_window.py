"""Long texts: where windows begin, what they hold, how their answers are joined."""

import copy

import numpy as np
import pandas as pd
import pytest

from keras_mm import Head, MultimodalClassifier, Preprocessor, SlidingWindow
from keras_mm.data.tables.rows import read_rows
from keras_mm.data.text.tokenizer import SPECIAL_TOKENS, Tokenizer
from keras_mm.load_order import load_tensorflow
from keras_mm.metrics.probabilities import probabilities
from keras_mm.metrics.window_votes import join_windows
from keras_mm.settings.settings import ConfigError

pytestmark = pytest.mark.eager

WORDS = [f"w{i}" for i in range(60)]
TOKENIZER = Tokenizer([*SPECIAL_TOKENS, *WORDS])


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("stride", "tokens", "sizes"),
    [
        (0.8, 0, [0]),
        (0.8, 18, [18]),
        (0.8, 19, [18, 3]),
        (0.8, 40, [18, 18, 8]),
        (10, 40, [18, 18, 18, 10]),
        (1.0, 40, [18, 18, 4]),
        (18, 40, [18, 18, 4]),
        (1, 20, [18, 18, 18, *range(17, 0, -1)]),
        (0.001, 19, [18, 18, *range(17, 0, -1)]),
    ],
)
def test_windows_of_simple_transformers(stride, tokens, sizes):
    bounds = SlidingWindow(stride=stride).bounds(tokens, capacity=18, length=20)
    assert [size for _, size in bounds] == sizes
    covered = {i for start, size in bounds for i in range(start, start + size)}
    assert covered == set(range(tokens))


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": 0}, "`stride`"), ({"stride": 1.5}, "`stride`"), ({"stride": True}, "`stride`"),
        ({"vote": "max"}, "`vote`"), ({"text": ""}, "`text`"), ({"tie_value": [1]}, "`tie_value`"),
    ],
)  # fmt: skip
def test_what_is_no_window(options, words):
    with pytest.raises(ValueError, match=words):
        SlidingWindow(**options)


def windows_of(texts, sequence_length=10, pairing="packed", **options):
    """Words of each window, and the row it is of."""
    columns = [f"text_{i + 1}" for i in range(len(texts))]
    table = pd.DataFrame(dict(zip(columns, texts, strict=True)))
    rows = read_rows(table, texts=columns)
    preprocessor = Preprocessor(
        tokenizer=TOKENIZER, sequence_length=sequence_length, num_texts=len(texts),
        text_pairing=pairing, sliding_window=SlidingWindow(**options),
    )  # fmt: skip
    cut, window_rows = preprocessor.windows(rows)
    inputs = preprocessor.masks_and_tokens(cut)
    names = [*SPECIAL_TOKENS, *WORDS]
    ids = inputs["token_ids"]
    words = [" ".join(names[i] for i in row if i) for row in ids.reshape(-1, ids.shape[-1])]
    return words, window_rows.tolist()


def text(*numbers):
    return " ".join(f"w{i}" for i in numbers)


@pytest.mark.backend_free
def test_windows_of_single_texts():
    words, window_rows = windows_of([[text(1), text(*range(11)), text(5)]], stride=0.5)
    assert window_rows == [0, 1, 1, 1, 2]
    assert words[0] == "[CLS] w1 [SEP]" and words[-1] == "[CLS] w5 [SEP]"
    assert words[1:4] == [
        f"[CLS] {text(*range(8))} [SEP]",
        f"[CLS] {text(*range(5, 11))} [SEP]",
        f"[CLS] {text(10)} [SEP]",
    ]


@pytest.mark.backend_free
@pytest.mark.parametrize("slot", [0, 1])
def test_of_a_pair_one_text_slides_and_the_other_stays(slot):
    pair = [[text(50, 51)], [text(*range(11))]]
    words, window_rows = windows_of(
        pair if slot else pair[::-1], text=f"text_{slot + 1}", stride=1.0
    )
    assert window_rows == [0, 0, 0]
    short, long = text(50, 51), [text(*range(5)), text(*range(5, 10)), text(10)]
    for window, part in zip(words, long, strict=True):
        first, second = (short, part) if slot else (part, short)
        assert window == f"[CLS] {first} [SEP] {second} [SEP]"


@pytest.mark.backend_free
def test_of_two_long_texts_the_other_takes_half():
    words, _ = windows_of([[text(*range(50, 60))], [text(*range(9))]], text="text_2", stride=1.0)
    assert words[0] == f"[CLS] {text(50, 51, 52)} [SEP] {text(0, 1, 2, 3)} [SEP]"
    said = [int(w[1:]) for window in words for w in window.split()[5:] if w[0] == "w"]
    assert said == list(range(9))


@pytest.mark.backend_free
def test_of_separate_texts_each_window_has_the_other():
    words, window_rows = windows_of(
        [[text(50)], [text(*range(11))]], pairing="separate", text="text_2", stride=1.0
    )
    assert window_rows == [0, 0] and words[::2] == ["[CLS] w50 [SEP]"] * 2
    assert words[1::2] == [f"[CLS] {text(*range(8))} [SEP]", f"[CLS] {text(8, 9, 10)} [SEP]"]


@pytest.mark.backend_free
def test_the_mean_of_probabilities():
    logits, window_rows = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 5.0]]), np.array([0, 0, 1])
    for kind, of in (("multiclass", logits), ("multilabel", logits), ("binary", logits[:, :1])):
        found = join_windows(of, window_rows, kind)
        shares = probabilities(of, kind)
        np.testing.assert_allclose(
            probabilities(found, kind)[0], shares[:2].mean(axis=0), atol=1e-6
        )
        np.testing.assert_array_equal(found[1], of[2])  # alone, as it is
    np.testing.assert_allclose(
        join_windows(logits, window_rows, "regression"), [[1.0, 0.5], [3.0, 5.0]]
    )


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("votes", "tie", "answer"),
    [
        ([0, 1, 1], None, 1), ([0, 0, 1, 1], 1, 1), ([0, 0, 1, 1], 0, 0), ([2, 2, 1], 0, 2),
        ([0, 1], 2, 2), ([0, 1, 2, 2], 1, 2),
    ],
)  # fmt: skip
def test_votes_and_ties(votes, tie, answer):
    logits = np.eye(3)[votes] * 2
    found = join_windows(logits, np.zeros(len(votes), int), "multiclass", vote="majority", tie=tie)
    assert found.argmax() == answer
    if tie is None:
        # Two votes, one, none, and one more that is the mean of the probabilities.
        mean = probabilities(logits).mean(axis=0)
        expected = (np.array([1, 2, 0]) + mean) / 4
        np.testing.assert_allclose(probabilities(found)[0], expected, atol=1e-3)


def test_no_value_is_no_label_of_that_name():
    assert SlidingWindow().tie_index(("None", "yes")) is None
    assert SlidingWindow(tie_value="yes").tie_index(("None", "yes")) == 1


def test_a_tie_without_a_value_goes_to_the_more_probable():
    logits = np.array([[1.0, 0.0], [0.0, 3.0]])
    found = join_windows(logits, np.zeros(2, int), "multiclass", vote="majority")
    assert found.argmax() == 1
    binary = join_windows(np.array([[-1.0], [3.0]]), np.zeros(2, int), "binary", vote="majority")
    assert binary.shape == (1, 1) and binary[0, 0] > 0


@pytest.fixture(scope="module")
def table(sample):
    """Captions behind up to 60 words of something else, so that only windows show them."""
    rng = np.random.default_rng(0)
    rows = sample[0][:160].reset_index(drop=True)
    noise = [" ".join(["it"] * int(count)) for count in rng.integers(0, 60, len(rows))]
    way = ["up" if " up" in said else "down" for said in rows["text_2"]]
    return rows.assign(
        text_2=[f"{n} {said}" for n, said in zip(noise, rows["text_2"], strict=True)],
        way=way,
        ways=[[word] for word in way],
        size=[float(word == "up") for word in way],
    )


def model_of(**options):
    settings = {
        "preset": "tiny", "texts": ["text_2"], "images": [], "labels": "way", "verbose": 0,
        "epochs": 1, "text_trainable": False, "sequence_length": 16, "sliding_window": True,
    }  # fmt: skip
    return MultimodalClassifier(**{**settings, **options})


@pytest.fixture(scope="module")
def trained(table):
    """A model of windows, trained for an epoch; tests only ask it."""
    return model_of().fit(table[:80])


@pytest.mark.slow
@pytest.mark.graphs
@pytest.mark.backend_free
def test_windows_see_what_is_cut_off_otherwise(table):
    options = {"epochs": 12, "text_trainable": True, "learning_rate": 3e-3}
    long = table[table["text_2"].str.split().str.len() > 30]
    scores = []
    for window in (None, {"vote": "majority"}):
        model = model_of(sliding_window=window, **options).fit(table, validation_split=0.0)
        scores.append(model.score(long))
    assert scores[1] > scores[0] and scores[1] > 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"labels": "ways", "head": "multilabel"}, marks=pytest.mark.backend_free),
        pytest.param({"labels": "size", "head": "regression"}, marks=pytest.mark.backend_free),
        {
            "labels": {"way": Head("binary", class_weight="balanced"), "label": Head()},
            "texts": ["text_1", "text_2"], "images": ["image_1", "image_2"],
            "sliding_window": {"text": "text_2", "stride": 4},
        },
    ],
)  # fmt: skip
def test_all_heads_pairs_and_images(table, options, tmp_path):
    model = model_of(**options).fit(table[:80])
    rows = table[80:100]
    found = model.predict_frame(rows)
    assert len(found) == 20 and list(found.index) == list(rows.index)
    model.evaluate(rows).save(tmp_path / "report.html")
    model.save(tmp_path / "model")
    again = MultimodalClassifier.load(tmp_path / "model")
    for column in found:
        if found[column].dtype.kind == "f":
            np.testing.assert_allclose(found[column], again.predict_frame(rows)[column], atol=1e-5)
    one = model.predict_frame(rows[3:4])
    for column in (c for c in found if found[c].dtype.kind == "f"):
        np.testing.assert_allclose(one[column], found[column][3:4], atol=1e-4)


@pytest.mark.backend_free
@pytest.mark.parametrize("pairing", ["packed", "separate"])
@pytest.mark.parametrize("stride", [0.3, 0.8, 1.0, 1, 3, 50])
@pytest.mark.parametrize("slot", [None, 0, 1])
def test_the_graph_cuts_as_python_does(pairing, stride, slot):
    tf = load_tensorflow()

    from keras_mm.export.window_graph import window_parts

    rng = np.random.default_rng(0)
    num_texts = 1 if slot is None else 2
    texts = [[text(*range(n)) for n in rng.integers(0, 40, 30)] for _ in range(num_texts)]
    table = pd.DataFrame({f"text_{i + 1}": column for i, column in enumerate(texts)})
    table["text_1"] = table["text_1"].replace("", "w1")
    preprocessor = Preprocessor(
        tokenizer=TOKENIZER, sequence_length=12, num_texts=num_texts, text_pairing=pairing,
        sliding_window=SlidingWindow(text=None if slot is None else f"text_{slot + 1}",
                                     stride=stride),
    )  # fmt: skip
    rows = read_rows(table, texts=list(table))
    cut, window_rows = preprocessor.windows(rows)
    expected = preprocessor.masks_and_tokens(cut)
    columns = [tf.constant(table[name].tolist()) for name in table]
    parts, its = window_parts(
        columns, preprocessor.sliding_window, preprocessor.sliding_slot, preprocessor.text_format
    )
    np.testing.assert_array_equal(its.numpy(), window_rows)
    found = preprocessor.tokenizer.graph(columns, 12, pairing, parts)
    for name, values in found.items():
        np.testing.assert_array_equal(values.numpy(), expected[name])


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", ["multiclass", "binary", "multilabel", "regression"])
@pytest.mark.parametrize(("vote", "tie"), [("mean", None), ("majority", None), ("majority", 1)])
def test_the_graph_joins_as_python_does(kind, vote, tie):
    tf = load_tensorflow()

    from keras_mm.export.window_graph import joined_logits

    rng = np.random.default_rng(0)
    names = ("a", "b") if kind == "binary" else ("a", "b", "c")
    head = Head(kind, names, column=None if kind != "regression" else names)
    window_rows = np.repeat(np.arange(40), rng.integers(1, 6, 40))
    logits = rng.normal(size=(len(window_rows), head.num_logits)).astype("float32")
    expected = join_windows(logits, window_rows, kind, vote=vote, tie=tie)
    window = SlidingWindow(vote=vote, tie_value=None if tie is None else names[tie])
    found = joined_logits(tf.constant(logits), tf.constant(window_rows), head, window).numpy()
    if kind != "regression":
        expected, found = probabilities(expected, kind), probabilities(found, kind)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {
            "labels": {
                "ways": Head("multilabel"), "size": Head("regression"), "way": Head("binary"),
            },
            "texts": ["text_1", "text_2"], "images": ["image_1"],
            "sliding_window": {"text": "text_2", "vote": "majority"},
        },
    ],
)  # fmt: skip
def test_the_export_cuts_and_joins_as_the_model_does(table, options, tmp_path, once):
    model = model_of(**options).fit(table[:80])
    rows = table[80:121].astype({"text_1": object})
    rows.loc[100, "text_1"] = 7
    with pytest.warns(UserWarning, match="1 of 41 rows left out"):
        found = model.export(tmp_path / "out", data=rows, on_error="skip")
    assert found["rows"] == 40 and found["max_difference"] < 1e-5


def test_a_row_s_answer_is_its_windows_mean(table, trained):
    model = trained
    rows = model.predictor_.rows(table[:5], None)
    cut, window_rows = model.preprocessor_.windows(rows)
    assert len(cut) > 8
    from keras_mm.features.prediction import predict_logits

    windows = probabilities(predict_logits(model.model_, cut, model.preprocessor_, progress=False))
    for row in range(5):
        mean = windows[window_rows == row].mean(axis=0)
        np.testing.assert_allclose(model.predict_proba(table[row : row + 1])[0], mean, atol=1e-5)


def test_a_skipped_row_has_no_windows(table, trained):
    bad = table[:7].astype({"text_2": object})
    bad.loc[[2, 6], "text_2"] = 7
    with pytest.warns(UserWarning, match="2 of 7 rows have no prediction"):
        found = trained.predict_proba(bad, on_error="skip")
    assert np.isnan(found).all(axis=1).tolist() == [row in (2, 6) for row in range(7)]
    kept = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(found[kept], trained.predict_proba(table.loc[kept]))


def test_the_windows_of_a_row_weigh_as_one_row(table, trained):
    from keras_mm.features.batches import FeatureBatches

    model = trained
    rows = model.predictor_.rows(table[:40], None, heads=model.heads_)
    source = FeatureBatches(model.model_, model.preprocessor_, (rows, None), progress=False)
    (batches, nothing) = source.batches(model.model_, 16, 0)
    assert nothing is None and len(batches.row_labels) == 40
    weights = np.concatenate([batches[i][2] for i in range(len(batches))])
    weights = weights[: batches.num_rows]  # the last batch is filled up with rows of the first
    assert len(weights) > 40 and weights.sum() == pytest.approx(40, rel=1e-5)


def test_windows_may_weigh_by_themselves(table):
    from keras_mm.features.batches import FeatureBatches

    window = {"weigh_by": "window"}
    model = model_of(sliding_window=window, epochs=1).fit(table[:80])
    rows = model.predictor_.rows(table[:40], None, heads=model.heads_)
    source = FeatureBatches(model.model_, model.preprocessor_, (rows,), progress=False)
    (batches,) = source.batches(model.model_, 16, 0)
    assert batches.num_rows > 40 and len(batches[0]) == 2  # without weights: each counts 1


def test_a_short_text_answers_as_without_windows(trained, monkeypatch):
    rows = [{"text_2": "It goes up."}]
    expected = trained.predict_proba(rows)
    monkeypatch.setattr(trained.preprocessor_, "sliding_window", None)
    np.testing.assert_array_equal(trained.predict_proba(rows), expected)


@pytest.mark.backend_free
def test_a_head_is_added_to_a_model_of_long_texts(table, trained):
    model = copy.copy(trained)  # the model itself is never changed by training a head alone
    before = model.predict_proba(table[80:90])
    model.add_head("size", Head("regression")).fit_head("size", table[:80])
    np.testing.assert_array_equal(model.predict_proba(table[80:90])["label"], before)
    assert model.predict(table[80:90])["size"].shape == (10,)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sliding_window": {"strid": 1}}, "Did you mean"),
        ({"sliding_window": {"stride": 2.5}}, "`sliding_window.stride` must be"),
        ({"sliding_window": "text_1"}, "`sliding_window` must be"),
        ({"sliding_window": {"text": "txt"}}, "must be one of"),
        ({"texts": ["text_1", "text_2"]}, "must name the text column that it cuts"),
        ({"sliding_window": {"tie_value": "sideways"}}, "sideways"),
    ],
)
def test_bad_windows(table, options, words):
    with pytest.raises((ConfigError, ValueError), match=words):
        model_of(**options).fit(table[:40])
