"""Costs, offsets and abstention."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from keras_mm.inference.decisions.abstention import NEVER, lowest_confidence
from keras_mm.inference.decisions.costs import cheapest, cost_matrix
from keras_mm.inference.decisions.offsets import METRICS, scorer, tune_offsets
from keras_mm.metrics.probabilities import probabilities

pytestmark = pytest.mark.backend_free

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("costs", "matrix"),
    [
        ({}, [[0, 1, 1], [1, 0, 1], [1, 1, 0]]),
        ({"b": 5}, [[0, 1, 1], [5, 0, 5], [1, 1, 0]]),
        ({"b": {"a": 5, "b": -1}}, [[0, 1, 1], [5, -1, 1], [1, 1, 0]]),
        ([[0, 1, 2], [3, 0, 4], [5, 6, 0]], [[0, 1, 2], [3, 0, 4], [5, 6, 0]]),
    ],
)
def test_forms_of_costs(costs, matrix):
    assert cost_matrix(costs, NAMES).tolist() == matrix


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"d": 1}, "`costs` names 'd', which is not one of"),
        ({"a": {"d": 1}}, "`costs` names 'd', which is not one of"),
        ({"a": "much"}, "finite numbers. Received: 'much'"),
        ({"a": float("nan")}, "finite numbers. Received: nan"),
        ([[0, 1], [1, 0]], "3 by 3"),
        ([[0, 1, np.inf]] * 3, "3 by 3"),
        ("cheap", "3 by 3"),
    ],
)
def test_bad_costs(costs, message):
    with pytest.raises(ValueError, match=message):
        cost_matrix(costs, NAMES)


def test_labels_of_costs_may_differ_in_type():
    assert cost_matrix({"1": 3}, [0, 1]).tolist() == [[0, 1], [3, 0]]
    with pytest.raises(ValueError, match="names the class '1' twice"):
        cost_matrix({1: 3, "1": 2}, [0, 1])


def test_answers_of_the_lowest_cost(drawn):
    labels, logits = drawn(2000, num_classes=3, sharpness=1)
    found, costs = probabilities(logits), cost_matrix({"c": {"a": 20, "b": 20}}, NAMES)
    paid = [costs[labels, answers].mean() for answers in (cheapest(found, costs), found.argmax(1))]
    assert paid[0] < 0.8 * paid[1]
    equal = cost_matrix({}, NAMES)
    np.testing.assert_array_equal(cheapest(found, equal), found.argmax(axis=1))


def test_metrics_are_those_of_scikit_learn(drawn):
    labels, logits = drawn(301, num_classes=3)
    answers, weights = logits.argmax(axis=1), np.arange(1.0, 302)
    for metric, function in (
        ("macro_f1", lambda *x, **y: f1_score(*x, average="macro", **y)),
        ("balanced_accuracy", balanced_accuracy_score),
    ):
        for options in ({}, {"sample_weight": weights}):
            found = scorer(metric, labels, NAMES, options.get("sample_weight"))(answers)
            assert found == pytest.approx(function(labels, answers, **options))


@pytest.mark.parametrize("metric", [*METRICS, "function"])
def test_offsets_make_a_metric_better(drawn, metric):
    labels, logits = drawn(600, num_classes=3)
    logits -= [0, 2, 4]  # a model that neglects two classes
    logs = np.log(probabilities(logits))

    def named(true, predicted):
        return f1_score(true, predicted, labels=["c"], average="macro")

    offsets = tune_offsets(labels, logs, NAMES, metric=named if metric == "function" else metric)
    score = scorer("macro_f1" if metric == "function" else metric, labels, NAMES, None)
    before, after = (score((logs + x).argmax(axis=1)) for x in (0, offsets))
    assert after > before + 0.01


def test_offsets_stay_0_where_nothing_is_better():
    logs = np.log(probabilities(np.eye(3)[[0, 1, 2]] * 5))
    assert tune_offsets(np.arange(3), logs, NAMES, metric="accuracy").tolist() == [0, 0, 0]
    one = tune_offsets(np.array([0]), logs[:1], NAMES, metric="macro_f1")
    assert one.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="`metric` of classes must be one of"):
        tune_offsets(np.arange(3), logs, NAMES, metric="f1")


def test_two_classes_have_a_threshold():
    shares = np.linspace(0.01, 0.5, 50)
    labels = (shares > 0.3).astype(int)
    logs = np.log(np.stack([1 - shares, shares], axis=1))
    offsets = tune_offsets(labels, logs, ["no", "yes"], metric="macro_f1")
    np.testing.assert_array_equal((logs + offsets).argmax(axis=1), labels)


def test_the_answered_rows_have_the_error():
    confidences = np.linspace(1, 0.01, 100)
    right = np.ones(100, bool)
    right[[30, 50, 60]] = False
    right[70:] = False
    lowest = lowest_confidence(confidences, right, 0.1)
    answered = confidences >= lowest
    # One wrong row is added: 7 of 74 are wrong, and with the next one 8 of 75 would be.
    assert (~right[answered]).sum() == 6 and answered.sum() == 73
    assert lowest_confidence(confidences, right, 0.6) == confidences[-1]


def test_ties_few_rows_and_none():
    tied = np.array([0.9] * 10 + [0.8] * 10)
    right = np.array([True] * 10 + [True, False] * 5)
    assert lowest_confidence(tied, right, 0.1) == 0.9
    assert lowest_confidence(np.ones(8), np.ones(8, bool), 0.1) == NEVER
    assert lowest_confidence(np.ones(9), np.ones(9, bool), 0.1) == 1.0
    assert lowest_confidence(np.empty(0), np.empty(0, bool), 0.1) == NEVER
    weights = np.array([5.0] * 10 + [1.0] * 10)
    assert lowest_confidence(tied, right, 0.14, weights) == 0.8  # (5 + 3) / (60 + 3) = 0.127


def test_the_error_of_new_rows_is_what_was_asked(drawn):
    labels, logits = drawn(8000, num_classes=3)
    found = probabilities(logits)
    right, sure = found.argmax(axis=1) == labels, found.max(axis=1)
    errors = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(8000)
        lowest = lowest_confidence(sure[order[:500]], right[order[:500]], 0.1)
        new = order[500:]
        answered = sure[new] >= lowest
        errors.append((~right[new])[answered].mean())
        assert 0.2 < answered.mean() < 0.9
    assert 0.085 <= np.mean(errors) <= 0.11
