import numpy as np
import pytest
from scipy import sparse

from keras_mm.evaluation.baselines.head_model import fit_head, linear_model, tree_model
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(97, 5))
CREATE = {"linear": linear_model(0.1), "trees": tree_model(0)}


def check_sums(predicted, num_classes):
    assert predicted.shape == (97, num_classes) and (predicted > 0).all()
    assert np.allclose(predicted.sum(axis=1), 1)


@pytest.mark.parametrize("create", CREATE.values(), ids=CREATE)
@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_classes_are_learned(create, kind):
    labels = (FEATURES[:, 0] > 0).astype(int)
    head = Head(kind, classes=("no", "yes"))
    predicted = fit_head(head, create, FEATURES, labels, None)(FEATURES)
    check_sums(predicted, 2)
    assert (predicted.argmax(axis=1) == labels).mean() > 0.9


def test_features_may_be_sparse():
    labels = (FEATURES[:, 0] > 0).astype(int)
    dense, csr = (
        fit_head(Head(classes=2), CREATE["linear"], features, labels, None)(features)
        for features in (FEATURES, sparse.csr_matrix(FEATURES))
    )
    assert np.allclose(dense, csr, atol=0.01)


def test_a_class_without_training_rows_has_a_small_probability():
    labels = np.where(FEATURES[:, 0] > 0, 2, 0)
    labels[:7] = -1  # missing
    predicted = fit_head(Head(classes=4), CREATE["linear"], FEATURES, labels, None)(FEATURES)
    check_sums(predicted, 4)
    assert predicted[:, [1, 3]].max() < 1e-3


@pytest.mark.parametrize("labels", [[1] * 97, [-1] * 97], ids=["one_class", "no_label"])
def test_without_two_classes_the_prediction_is_constant(labels):
    head = Head(classes=3)
    predicted = fit_head(head, CREATE["trees"], FEATURES, np.array(labels), None)(FEATURES)
    check_sums(predicted, 3)
    assert np.ptp(predicted, axis=0).max() == 0
    assert (predicted[0, 1] > 0.99) == (labels[0] == 1)


def test_each_label_is_fitted_on_the_rows_that_have_it():
    labels = np.stack([FEATURES[:, 0] > 0, FEATURES[:, 1] > 0, np.ones(97)], axis=1).astype(int)
    shuffled = labels.copy()
    shuffled[:40, 0] = -1
    head = Head("multilabel", classes=("a", "b", "always"))
    predicted = fit_head(head, CREATE["linear"], FEATURES, shuffled, None)(FEATURES)
    assert ((predicted > 0.5) == labels).mean(axis=0).min() > 0.9
    assert (predicted[:, 2] > 0.99).all()


@pytest.mark.parametrize("create", CREATE.values(), ids=CREATE)
def test_each_target_is_fitted_on_the_rows_that_have_it(create):
    targets = np.stack([3 * FEATURES[:, 0], FEATURES[:, 1], np.full(97, np.nan)], axis=1)
    targets[:9, 1] = np.nan
    head = Head("regression", classes=("x", "y", "none"), column=("x", "y", "none"))
    predicted = fit_head(head, create, FEATURES, targets, None)(FEATURES)
    assert np.corrcoef(predicted[:, 0], targets[:, 0])[0, 1] > 0.9
    assert np.corrcoef(predicted[9:, 1], targets[9:, 1])[0, 1] > 0.9
    assert (predicted[:, 2] == 0).all()


def test_a_row_of_weight_3_counts_like_three_rows():
    labels = RANDOM.integers(0, 2, 97)
    weights = np.where(np.arange(97) % 2, 3.0, 1.0)
    repeated = np.repeat(np.arange(97), weights.astype(int))
    head = Head(classes=2)
    weighted = fit_head(head, CREATE["linear"], FEATURES, labels, weights)(FEATURES)
    plain = fit_head(head, CREATE["linear"], FEATURES[repeated], labels[repeated], None)(FEATURES)
    assert np.allclose(weighted, plain, atol=0.01)
