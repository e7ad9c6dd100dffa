import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.sparse.csgraph import connected_components

import keras_mm
from keras_mm.data.tables import near_duplicates as module
from keras_mm.data.tables.near_duplicates import near_duplicates
from keras_mm.errors import InvalidValueError

pytestmark = pytest.mark.backend_free

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty")


def drawn_texts(num_rows=211, num_words=11, seed=0):
    """Texts of ten templates, in each of which some words were drawn anew."""
    random = np.random.default_rng(seed)
    templates = random.choice(WORDS, (10, num_words))
    texts = []
    for _ in range(num_rows):
        words = templates[random.integers(10)].copy()
        places = random.choice(num_words, random.integers(0, 6), replace=False)
        words[places] = random.choice(WORDS, len(places))
        texts.append(" ".join(words))
    return texts


def of_all_pairs(columns, threshold):
    """The same groups, from the Jaccard index of each pair."""
    num_rows = len(columns[0])
    sets = [{t[i : i + 5] for i in range(len(t) - 4)} for column in columns for t in column]
    near = [[len(a & b) >= threshold * len(a | b) for b in sets] for a in sets]
    rows = np.reshape(near, (len(columns), num_rows, len(columns), num_rows)).any(axis=(0, 2))
    return pd.factorize(connected_components(sparse.csr_matrix(rows))[1])[0].tolist()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9, 1.0])
def test_equals_the_groups_of_all_pairs(threshold):
    texts = drawn_texts()
    expected = of_all_pairs([texts], threshold)
    assert near_duplicates(texts, threshold=threshold).tolist() == expected
    assert threshold < 0.5 or 10 < len(set(expected)) < 211


def test_any_column_joins_rows():
    texts = drawn_texts(59)
    columns = [texts, texts[::-1]]
    assert near_duplicates(*columns, threshold=0.8).tolist() == of_all_pairs(columns, 0.8)
    first = ["Sale of oak tables", "nothing alike", "Rain in Bern"]
    second = ["another thing", "Sale of oak tables!", "quite different"]
    assert near_duplicates(first, second).tolist() == [0, 0, 1]
    assert near_duplicates(first).tolist() == near_duplicates(second).tolist() == [0, 1, 2]


def test_links_mentions_numbers_and_case_do_not_count():
    texts = [
        "Win a prize @ann http://a.b/c1",
        "WIN  A PRIZE\n@bob_1 @eve",
        "win 12 a prize 2025",
        "win a bicycle @ann http://a.b/c1",
    ]
    assert near_duplicates(texts).tolist() == [0, 0, 0, 1]
    # Texts of nothing else are compared as they are.
    assert near_duplicates(["@ann", "@bob", "2025", "2025", "@ann"]).tolist() == [0, 1, 2, 2, 0]


def test_chains_join():
    texts = [" ".join(WORDS[i : i + 6]) for i in range(5)]
    assert near_duplicates([texts[0], texts[4]]).tolist() == [0, 1]
    assert near_duplicates(texts).tolist() == [0] * 5


def test_missing_and_blank_texts_are_alone():
    texts = [None, "", " \n", float("nan"), pd.NA, "x", None, "x"]
    assert near_duplicates(texts).tolist() == [0, 1, 2, 3, 4, 5, 6, 5]
    assert near_duplicates(texts, ["same"] * 8).tolist() == [0] * 8
    none = near_duplicates([])
    assert none.shape == (0,) and none.dtype == np.int64
    assert near_duplicates([None, None]).tolist() == [0, 1]


def test_short_texts_of_any_script():
    texts = ["早安你好", "早安你好", "晚安", "🔥", "🔥", "a"]
    assert near_duplicates(texts).tolist() == [0, 0, 1, 2, 2, 3]


def test_rows_in_another_order_have_the_same_groups():
    texts = np.array(drawn_texts(101), dtype=object)
    order = np.random.default_rng(1).permutation(101)
    groups, moved = near_duplicates(texts), near_duplicates(pd.Series(texts[order], index=order))
    assert pd.factorize(groups[order])[0].tolist() == moved.tolist()
    assert groups.dtype == np.int64 and pd.unique(groups).tolist() == list(range(max(groups) + 1))


def test_another_process_finds_the_same():
    texts = drawn_texts(97)
    code = f"import keras_mm; print(keras_mm.near_duplicates({texts!r}, threshold=0.6).tolist())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(near_duplicates(texts, threshold=0.6).tolist())


def test_thousands_of_copies_take_few_comparisons(monkeypatch):
    compared, jaccard = [], module._jaccard

    def spy(shingles, pairs):
        compared.append(len(pairs))
        return jaccard(shingles, pairs)

    monkeypatch.setattr(module, "_jaccard", spy)
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnop"), (3001, 4))
    template = "a template with a single word that is another in each of its copies: "
    groups = near_duplicates([template + "".join(word) for word in letters])
    assert set(groups) == {0} and sum(compared) < 20 * 3001


def test_templates_stay_in_one_fold():
    texts = drawn_texts(150)
    table = pd.DataFrame({"text_1": texts, "label": ["no", "yes", "no"] * 50})
    groups = near_duplicates(table["text_1"])
    for train, test in keras_mm.stratified_k_fold(table, "label", num_folds=3, groups=groups):
        assert not set(groups[train.index]) & set(groups[test.index])


def test_the_template_of_the_tweets(shared):
    table = pd.read_csv(shared / "data/entailment/tweets.csv", dtype=str, keep_default_na=False)
    for threshold in (0.3, 0.5, 0.7):
        groups = near_duplicates(table["text_1"], table["text_2"], threshold=threshold)
        rows = table["label"][groups == np.bincount(groups).argmax()]
        assert (len(rows), (rows == "Contradictory").sum()) == (79, 58)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(InvalidValueError) as told:
        near_duplicates("text_1", ["a", 3], ["a", "b", "c"], threshold=0)
    for part in ("`threshold` must be in (0, 1]", "Column 1 must hold one text per row",
                 "Column 2 must hold texts. Received in row 1, counted from 0: 3",
                 "same number of rows. Received: [2, 3]"):  # fmt: skip
        assert part in str(told.value)
    with pytest.raises(InvalidValueError, match="at least one column"):
        near_duplicates(threshold=0.5)
