import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from keras_mm.metrics.areas import areas_under_curves
from keras_mm.metrics.multilabel import (
    frequency_baseline,
    multilabel_metrics,
    tune_thresholds,
)
from keras_mm.settings.heads import resolve_threshold

pytestmark = pytest.mark.backend_free

NAMES = ["a", "b", "c", "d", "e"]


def random_rows(num_rows, seed, share=0.4):
    rng = np.random.default_rng(seed)
    labels = (rng.random((num_rows, 5)) < share).astype(int)
    return labels, np.clip(0.3 * labels + rng.random((num_rows, 5)) * 0.7, 0, 1)


@pytest.mark.parametrize("threshold", [0.5, [0.3, 0.9, 0.5, 0.4, 0.7]])
@pytest.mark.parametrize("num_rows", [7, 101])
def test_equals_sklearn(num_rows, threshold):
    labels, found = random_rows(num_rows, 1)
    labels[:, 3] = 0  # occurs in no row
    got = multilabel_metrics(labels, found, NAMES, threshold=threshold)
    answers = (found >= np.asarray(threshold)).astype(int)
    occurring = (labels + answers).any(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f1 = sk.f1_score(labels, answers, average=None)
        ranked = np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1))
        expected = {
            "subset_accuracy": sk.accuracy_score(labels, answers),
            "hamming_loss": sk.hamming_loss(labels, answers),
            "micro_f1": sk.f1_score(labels, answers, average="micro"),
            "samples_f1": sk.f1_score(labels, answers, average="samples"),
            "macro_f1": f1[occurring].mean(),
            "lrap": sk.label_ranking_average_precision_score(labels, found),
            "auroc": sk.roc_auc_score(labels[:, ranked], found[:, ranked]),
            "auprc": sk.average_precision_score(labels[:, ranked], found[:, ranked]),
            "log_loss": np.mean([sk.log_loss(labels[:, i], found[:, i], labels=[0, 1])
                                 for i in range(5)]),
        }  # fmt: skip
        precision, recall, _, support = sk.precision_recall_fscore_support(labels, answers)
        matrices = sk.multilabel_confusion_matrix(labels, answers)
        report = sk.classification_report(labels, answers, output_dict=True, zero_division=0)
        some = {"labels": np.flatnonzero(occurring), "output_dict": True, "zero_division": 0}
        report["macro avg"] = sk.classification_report(labels, answers, **some)["macro avg"]
    averages = ["micro avg", "macro avg", "weighted avg", "samples avg"]
    assert list(got["averages"]) == averages == list(report)[-4:]
    for name in averages:
        assert list(got["averages"][name].values()) == pytest.approx(list(report[name].values()))
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    for i, name in enumerate(NAMES):
        label = got["per_label"][name]
        scores = [label[s] for s in ("precision", "recall", "f1", "support")]
        assert scores == pytest.approx([precision[i], recall[i], f1[i], support[i]])
        assert [[label["tn"], label["fp"]], [label["fn"], label["tp"]]] == matrices[i].tolist()
        assert ("auroc" in label) == (i in ranked)
    low, high = got["subset_accuracy_interval"]
    assert 0 <= low <= got["subset_accuracy"] <= high <= 1


def test_averages_of_no_label_are_0():
    got = multilabel_metrics([[0, 0]], [[0.1, 0.2]], ["x", "y"])
    assert {tuple(row.values()) for row in got["averages"].values()} == {(0.0, 0.0, 0.0, 0)}


def test_ranking_of_the_documented_example():
    found = [[0.75, 0.5, 1], [1, 0.2, 0.1]]
    got = multilabel_metrics([[1, 0, 0], [0, 0, 1]], found, ["x", "y", "z"])
    assert got["lrap"] == pytest.approx(0.416667, abs=1e-6)


@pytest.mark.parametrize(
    ("threshold", "answers"),
    [([0.25, 0.9, 0.6], [1, 0, 1]), (0.5, [0, 1, 1]), (0, [1, 1, 1]), ({"y": 0.9}, [0, 0, 1])],
)
def test_thresholds(threshold, answers):
    names = ["x", "y", "z"]
    found = np.array([0.30, 0.80, 0.60]) >= resolve_threshold(threshold, names)
    assert found.astype(int).tolist() == answers
    got = multilabel_metrics([answers], [[0.30, 0.80, 0.60]], names, threshold=threshold)
    assert got["subset_accuracy"] == 1


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        ([0.5, 0.5], "3 in all"),
        (1.5, r"in \[0, 1\]"),
        ([0.1, -0.1, 0.5], r"in \[0, 1\]"),
        ({"w": 0.5}, "'w'"),
        ("half", "must be a number"),
        ([[0.5] * 3], "3 in all"),
    ],
)
def test_bad_thresholds(threshold, words):
    with pytest.raises(ValueError, match=words):
        resolve_threshold(threshold, ["x", "y", "z"])


def test_tuned_thresholds_are_the_best_there_are():
    labels, found = random_rows(67, 3, share=0.2)
    labels[:5, 1] = -1
    tuned = tune_thresholds(labels, found)
    for i in range(5):
        known = labels[:, i] >= 0
        every = [0.0, *found[known, i], 1.0]
        scores = [sk.f1_score(labels[known, i], found[known, i] >= t) for t in (tuned[i], *every)]
        assert scores[0] == pytest.approx(max(scores))
        assert tuned[i] not in found[:, i]
    # With one's own function of labels and answers, here one that misses nothing.
    recall = tune_thresholds(labels, found, metric=lambda y, a: a[y == 1].mean() - a[y == 0].mean())
    assert recall.shape == (5,) and not np.allclose(recall, tuned)


def test_a_function_finds_the_best_threshold_of_a_rare_label():
    rng = np.random.default_rng(0)
    labels = (np.arange(5000) < 3).astype(int)[:, None]
    found = np.where(labels, 9.5e-3 + 1e-4 * labels, rng.random((5000, 1)) * 9.1e-3)
    found[4000:] = 0.5 * rng.random((1000, 1))  # and many that no threshold keeps out
    best = tune_thresholds(labels, found)
    own = tune_thresholds(labels, found, metric=sk.f1_score)
    scores = [sk.f1_score(labels[:, 0], found[:, 0] >= t) for t in (best[0], own[0])]
    assert scores[0] == pytest.approx(scores[1])


def test_thresholds_of_labels_that_tell_nothing():
    tuned = tune_thresholds([[0, 1], [0, 1]], [[0.2, 0.3], [0.9, 0.1]])
    assert tuned.tolist() == [0.5, 0.5]
    assert tune_thresholds([[1], [0]], [[1.0], [1.0]])[0] <= 1


def test_rows_with_unknown_labels_are_left_out():
    labels, found = random_rows(23, 5)
    some = labels.copy()
    some[[2, 7]] = -1
    left = np.delete(np.arange(23), [2, 7])
    assert multilabel_metrics(some, found, NAMES) == multilabel_metrics(
        labels[left], found[left], NAMES
    )


def test_labels_that_are_not_known_are_left_out_one_by_one():
    """Each label's figures are those of its own rows; only a row's ranking needs them all."""
    labels, found = random_rows(23, 5)
    some = labels.copy()
    some[[2, 7, 7], [0, 4, 0]] = -1
    got = multilabel_metrics(some, found, NAMES)
    for i, name in enumerate(NAMES):
        rows = some[:, i] >= 0
        alone = multilabel_metrics(labels[rows, i : i + 1], found[rows, i : i + 1], [name])
        assert got["per_label"][name] == alone["per_label"][name]
    assert got["num_rows"] == 23
    whole = (some >= 0).all(axis=1)
    assert got["lrap"] == multilabel_metrics(labels[whole], found[whole], NAMES)["lrap"]
    wrong = ((found >= 0.5) != (labels == 1)) & (some >= 0)
    assert got["hamming_loss"] == wrong.sum() / (some >= 0).sum()
    assert got["subset_accuracy"] == (~wrong.any(axis=1)).mean()
    assert "lrap" not in multilabel_metrics([[1, -1]], [[0.7, 0.5]], ["a", "b"])


def test_frequencies_are_the_answer_to_beat():
    labels, _ = random_rows(40, 7)
    got = frequency_baseline(labels, labels, NAMES)
    shares = labels.mean(axis=0)
    answers = np.tile(shares >= 0.5, (40, 1))
    assert got["subset_accuracy"] == sk.accuracy_score(labels, answers)
    assert got["auroc"] == pytest.approx(0.5)
    json.dumps(got)


@pytest.mark.parametrize(
    ("labels", "found", "words"),
    [
        ([[0, 1]], [[0.5]], "2 in all"),
        ([[0, 2]], [[0.5, 0.5]], "multi-hot"),
        ([[0, 1]], [[0.5, 1.5]], "sigmoid"),
        ([[-1, -1]], [[0.5, 0.5]], "no known label"),
        ([0, 1], [0.5, 0.5], "one column per label"),
    ],
)
def test_bad_input(labels, found, words):
    with pytest.raises(ValueError, match=words):
        multilabel_metrics(labels, found, ["x", "y"])


@pytest.mark.parametrize("num_values", [3, 10, 10**9])
def test_areas_of_columns_are_scikit_learns(num_values):
    """Of equal scores too; labels that are not known are left out."""
    generator = np.random.default_rng(num_values)
    for num_rows in (2, 3, 7, 53):
        labels = generator.integers(-1, 2, (num_rows, 11))
        scores = generator.integers(0, num_values, labels.shape) / num_values
        found = areas_under_curves(labels, scores)
        for column, (y, z) in enumerate(zip(labels.T, scores.T, strict=True)):
            y, z = y[y >= 0], z[y >= 0]
            assert (column in found) == (len(set(y)) == 2)
            if column in found:
                expected = sk.roc_auc_score(y, z), sk.average_precision_score(y, z)
                assert tuple(found[column].values()) == pytest.approx(expected, abs=1e-12)
