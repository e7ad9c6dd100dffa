import time

import numpy as np
import pytest

from keras_mm.metrics import bootstrap_difference, bootstrap_interval, classification_metrics
from keras_mm.metrics.bootstrap import score_intervals
from keras_mm.metrics.head_metrics import head_metrics
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free


def answers(num_rows, seed):
    """Labels of three unequal classes, and probabilities of a model that finds half of the rare."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, num_rows, p=[0.1, 0.1, 0.8])
    return labels, answers_to(labels, rng)


def answers_to(labels, rng):
    wrong = rng.choice(3, len(labels), p=[0.1, 0.1, 0.8])
    found = np.where(rng.random(len(labels)) < np.array([0.5, 0.5, 0.9])[labels], labels, wrong)
    sure = rng.uniform(0.4, 0.99, (len(labels), 1))
    return np.where(np.eye(3)[found] > 0, sure, (1 - sure) / 2)


@pytest.mark.parametrize("score", ["macro_f1", "log_loss"])
def test_the_interval_covers_about_as_often_as_it_says(score):
    truth = classification_metrics(*answers(200_000, 0), "abc")[score]
    covered = 0
    for seed in range(1, 151):
        low, high = bootstrap_interval(*answers(300, seed), score, num_resamples=300)
        covered += low < truth < high
    assert 0.89 < covered / 150 < 0.985


def test_groups_widen_the_interval():
    labels, found = answers(60, 1)
    copies = np.repeat(np.arange(60), 9)
    single = bootstrap_interval(labels, found)
    repeated = bootstrap_interval(labels[copies], found[copies])
    grouped = bootstrap_interval(labels[copies], found[copies], groups=copies.astype(str))
    assert np.ptp(repeated) < np.ptp(single) / 2
    assert grouped == pytest.approx(single, abs=1e-12)


def test_a_seed_gives_one_interval_at_any_number_of_steps(monkeypatch):
    labels, found = answers(50, 2)
    first = bootstrap_interval(labels, found)
    assert bootstrap_interval(labels, found) == first
    assert bootstrap_interval(labels, found, seed=1) != first
    weights = np.full(50, 7.0)
    assert bootstrap_interval(labels, found, sample_weight=weights) == pytest.approx(first)
    narrow = bootstrap_interval(labels, found, confidence=0.5)
    assert first[0] < narrow[0] < narrow[1] < first[1]


def test_rows_that_count_nothing_change_nothing():
    labels, found = answers(50, 3)
    expected = bootstrap_interval(labels[:40], found[:40])
    without = np.where(np.arange(50) < 40, labels, -1)
    assert bootstrap_interval(without, found) == expected
    weights = (np.arange(50) < 40).astype(float)
    assert bootstrap_interval(labels, found, sample_weight=weights) == expected


def test_ten_thousand_rows_take_well_under_a_second():
    labels, found = answers(10_000, 4)
    bootstrap_interval(labels[:9], found[:9])  # imports
    start = time.process_time()
    bootstrap_interval(labels, found)
    assert time.process_time() - start < 1


def test_a_paired_difference_is_sharper_than_two_intervals():
    labels, first = answers(400, 5)
    second = first.copy()
    second[:12] = np.eye(3)[(labels[:12] + 1) % 3]
    got = bootstrap_difference(labels, first, second, "accuracy")
    scores = [(found.argmax(1) == labels).mean() for found in (first, second)]
    assert got.value == pytest.approx(scores[0] - scores[1])
    assert 0 < got.low < got.value < got.high and got.p_value < 0.05
    width = np.ptp(bootstrap_interval(labels, first, "accuracy"))
    assert got.high - got.low < 0.6 * width
    swapped = bootstrap_difference(labels, second, first, "accuracy")
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx(
        (-got.value, -got.high, -got.low)
    )


def test_equal_models_do_not_differ():
    labels, found = answers(30, 6)
    assert bootstrap_difference(labels, found, found) == (0, 0, 0, 1)


def test_models_that_are_equally_good_rarely_differ():
    better, p_values = 0, []
    for seed in range(200):
        labels, first = answers(150, seed)
        second = answers_to(labels, np.random.default_rng(1000 + seed))
        got = bootstrap_difference(labels, first, second, num_resamples=200)
        better += got.low > 0
        p_values.append(got.p_value)
    assert better / 200 <= 0.05
    assert 0.02 <= np.mean(np.asarray(p_values) <= 0.05) <= 0.08
    assert 0.4 <= np.mean(np.asarray(p_values) <= 0.5) <= 0.6


KINDS = {
    "multiclass": ({"macro_f1", "log_loss", "auprc"}, [0, 1, 2, 0, 1, 2]),
    "binary": ({"macro_f1", "log_loss", "auprc"}, [0, 1, 1, 0, 1, -1]),
    "multilabel": ({"macro_f1", "log_loss", "auprc"}, [[0, 1], [1, 0], [1, -1], [1, 0]]),
    "regression": ({"r2"}, [[0.0], [1.5], [np.nan], [4.0]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_stand_beside_the_metrics_of_an_evaluation(kind):
    names, labels = KINDS[kind]
    head = {
        "multiclass": Head(classes=3),
        "binary": Head("binary"),
        "multilabel": Head("multilabel", ("a", "b"), threshold={"a": 0.2}),
        "regression": Head("regression", ("x",)),
    }[kind]
    logits = np.random.default_rng(8).normal(size=(len(labels), head.num_logits))
    plain = head_metrics(head, labels, logits)
    got = head_metrics(head, labels, logits, intervals=True)
    added = {name: got[name] for name in got if name not in plain}
    assert set(added) == {f"{name}_interval" for name in names}
    for name in names:
        low, high = added[f"{name}_interval"]
        assert low <= got[name] <= high


def test_what_has_no_interval_is_left_out():
    assert score_intervals([1], [[0.2, 0.8]], "multiclass") == {}
    sure = np.eye(2)[[0, 1, 1, 0]]
    assert score_intervals([0, 1, 1, 0], sure, "multiclass") == {}
    assert bootstrap_interval([0, 1, 1, 0], sure) == (1, 1)
    assert np.isnan(bootstrap_interval([1, 1], sure[:2], "auprc")).all()
    constant = np.full((4, 2), 0.5)
    assert set(score_intervals([0, 1, 1, 0], constant, "multiclass")) == {
        "macro_f1_interval",
        "auprc_interval",
    }


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"groups": [1, 1, 1]}, "at least 2 groups"),
        ({"groups": [1, 2]}, r"one group per row, shape \(3,\)"),
        ({"confidence": 95}, "`confidence`"),
        ({"num_resamples": 0}, "`num_resamples`"),
        ({"score": "macro-f1"}, "'macro_f1'"),
        ({"labels": [-1, -1, -1]}, "no label"),
        ({"predicted": np.full((3, 2), np.nan)}, "NaN in 3 rows"),
        ({"sample_weight": [1, 1]}, "sample_weight"),
    ],
)
def test_mistakes(change, match):
    arguments = {"labels": [0, 1, 0], "predicted": np.full((3, 2), 0.5), **change}
    with pytest.raises(ValueError, match=match):
        bootstrap_interval(**arguments)


def test_predictions_of_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"shapes \(3, 2\) and \(2, 2\)"):
        bootstrap_difference([0, 1, 0], np.full((3, 2), 0.5), np.full((2, 2), 0.5))
