"""The weights of members: greedy selection on held-out rows."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from keras_mm import Head
from keras_mm.training.blend import blend_weights

pytestmark = pytest.mark.backend_free

CLASSES = Head(classes=("a", "b", "c"))


def noisy(labels, rng, strength, count=3):
    logits = strength * np.eye(count)[labels] + rng.normal(size=(len(labels), count))
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    return labels, [noisy(labels, rng, strength) for strength in (1.0, 1.0, 0.0)]


def score(labels, values):
    return f1_score(labels, values.argmax(1), average="macro") - log_loss(labels, values)


def test_the_mean_is_at_least_as_good_as_each_member(rows):
    labels, predictions = rows
    weights = np.array(blend_weights(CLASSES, labels, predictions))
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    mean = np.tensordot(weights, predictions, axes=1)
    assert score(labels, mean) > max(score(labels, each) for each in predictions)
    assert weights[2] < 0.3 < min(weights[:2])  # of two equally good ones neither is left out


@pytest.mark.parametrize(("metric", "sign"), [("log_loss", -1), ("accuracy", 1), ("loss", -1)])
def test_the_metric_that_is_named_is_best(rows, metric, sign):
    labels, predictions = rows
    weights = blend_weights(CLASSES, labels, predictions, metric=metric)
    mean = np.tensordot(weights, predictions, axes=1)
    measured = {
        "accuracy": lambda p: (p.argmax(1) == labels).mean(),
        "log_loss": lambda p: log_loss(labels, p),
        "loss": lambda p: log_loss(labels, p),
    }[metric]
    assert sign * measured(mean) >= max(sign * measured(each) for each in predictions)


def test_rows_count_by_their_weights_and_unlabelled_rows_do_not():
    good, bad = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.1, 0.9], [0.9, 0.1]])
    first, second = np.vstack([good, bad]), np.vstack([bad, good])
    head, labels = Head(classes=("x", "y")), np.array([0, 1, 0, 1])
    weights = np.array([1.0, 1.0, 0.0, 0.0])
    assert blend_weights(head, labels, [first, second], sample_weight=weights) == (1.0, 0.0)
    unlabelled = np.where(weights > 0, labels, -1)
    assert blend_weights(head, unlabelled, [first, second]) == (1.0, 0.0)
    assert blend_weights(head, np.full(4, -1), [first, second]) == (0.5, 0.5)


def test_numbers_in_other_units_weigh_the_same_and_missing_ones_are_left_out():
    rng = np.random.default_rng(0)
    head = Head("regression", ("m", "km"), column=("m", "km"))
    truth = rng.normal(size=(200, 2)) * (1000.0, 1.0)
    # The first member knows the first target, the second one the second.
    first = np.stack([truth[:, 0], np.zeros(200)], axis=1)
    second = np.stack([np.zeros(200), truth[:, 1]], axis=1)
    labels = truth.copy()
    labels[::7, 0] = np.nan
    weights = blend_weights(head, labels, [first, second])
    assert weights == pytest.approx((0.5, 0.5), abs=0.05)


def test_labels_of_which_some_are_missing():
    rng = np.random.default_rng(0)
    head = Head("multilabel", ("x", "y"))
    labels = rng.integers(0, 2, (100, 2))
    good = np.where(labels == 1, 0.8, 0.2)
    labels[::3, 1] = -1
    assert blend_weights(head, labels, [good, 1 - good, np.full((100, 2), 0.5)]) == (1.0, 0.0, 0.0)
