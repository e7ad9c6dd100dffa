"""Additive scores: those of `head_metrics`, on any sample of the rows."""

import numpy as np
import pytest

from keras_mm.metrics.additive.scores import SCORES, additive_score, scored_rows
from keras_mm.metrics.head_metrics import measure
from keras_mm.settings.heads import Head
from tests.metrics.test_sample_weight import classes, numbers, tags

pytestmark = pytest.mark.backend_free

ROWS = {
    "multiclass": classes(5),
    "binary": classes(2),
    "multilabel": tags(missing=True),
    "regression": numbers(missing=True),
}
CASES = [(kind, name) for kind in ROWS for name in SCORES[kind]]
THRESHOLD = 0.3


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_score_of_a_sample_is_that_of_its_rows(kind, name):
    labels, predicted, names = ROWS[kind]
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, (len(labels), 7))
    unlabelled = np.isnan(labels) if kind == "regression" else labels < 0
    counts[unlabelled.reshape(len(labels), -1).all(axis=1)] = 0
    weights = rng.exponential(size=len(labels))
    rows = scored_rows(labels, predicted, kind, weights=weights, threshold=THRESHOLD)
    options = {"threshold": THRESHOLD} if kind == "multilabel" else {}
    head = Head(kind, tuple(names), **options)
    got = additive_score(name, kind, rows).of_samples(counts)
    for value, drawn in zip(got, counts.T, strict=True):
        sample = np.repeat(np.arange(len(labels)), drawn)
        metrics = measure(head, labels[sample], predicted[sample], None, weights[sample])
        assert value == pytest.approx(metrics[name], rel=1e-9)


@pytest.mark.parametrize("name", ["macro_f1", "balanced_accuracy", "auprc"])
def test_a_class_that_a_sample_lacks_is_left_out(name):
    labels, predicted = np.array([0, 0, 1, 2]), np.eye(3)[[0, 0, 1, 2]] * 0.7 + 0.1
    rows = scored_rows(labels, predicted, "multiclass", weights=np.ones(4))
    got = additive_score(name, "multiclass", rows).of_samples(np.array([[2], [1], [1], [0]]))
    assert got == pytest.approx([1.0])


def test_tied_probabilities_share_a_threshold():
    labels, predicted = np.array([0, 1, 1, 0]), np.full((4, 2), 0.5)
    rows = scored_rows(labels, predicted, "multiclass", weights=np.ones(4))
    assert additive_score("auprc", "multiclass", rows).of_samples(np.ones((4, 1))) == 0.5


def test_undefined_scores_are_nan():
    rows = scored_rows([0, 0], [[0.5, 0.5], [0.9, 0.1]], "multiclass", weights=np.ones(2))
    assert np.isnan(additive_score("auprc", "multiclass", rows).of_samples(np.ones((2, 3)))).all()


@pytest.mark.parametrize("value", [0.0, 1e6])
def test_r2_of_constant_targets_is_that_of_sklearn(value):
    targets = np.full(5, value + 0.1)
    for predicted, expected in ((targets, 1.0), (targets + 1, 0.0)):
        rows = scored_rows(targets, predicted, "regression", weights=np.ones(5))
        assert additive_score("r2", "regression", rows).of_samples(np.ones((5, 1))) == expected


@pytest.mark.parametrize(
    ("kind", "name", "match"),
    [("multiclass", "macro_f2", "'macro_f1'"), ("multiclas", "accuracy", "'multiclass'")],
)
def test_mistakes(kind, name, match):
    with pytest.raises(ValueError, match=match):
        additive_score(name, kind, scored_rows([0], [[1.0]], kind, weights=np.ones(1)))
