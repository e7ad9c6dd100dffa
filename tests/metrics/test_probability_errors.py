import numpy as np
import pytest
from sklearn import metrics as sk

from keras_mm.metrics.probability_errors import brier_scores, expected_calibration_error

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("num_classes", [1, 2, 5])
def test_brier_scores_equal_sklearn(num_classes):
    rng = np.random.default_rng(num_classes)
    found = rng.dirichlet(np.ones(num_classes), 31)
    labels = rng.integers(0, num_classes, 31)
    got = brier_scores(labels, found).mean()
    if num_classes == 1:
        assert got == pytest.approx(0, abs=1e-15)
    else:
        assert got == pytest.approx(sk.brier_score_loss(labels, found, labels=range(num_classes)))


def test_calibration_error_by_hand():
    """30 rows in 15 bins of two: in each bin one of two rows is right."""
    confidence = np.linspace(0.1, 0.9, 30)
    correct = np.arange(30) % 2
    by_hand = np.abs(confidence.reshape(15, 2).mean(axis=1) - 0.5).mean()
    assert expected_calibration_error(correct, confidence) == pytest.approx(by_hand)


def test_calibration_error_falls_to_zero_only_for_calibrated_rows():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=20_000)
    correct = rng.random(20_000) < confidence
    assert expected_calibration_error(correct, confidence) < 0.015
    assert expected_calibration_error(correct, confidence**2) == pytest.approx(1 / 6, abs=0.01)


def test_the_order_of_rows_of_equal_confidence_does_not_matter():
    correct = np.arange(40) < 20
    confidence = np.full(40, 0.75)
    assert expected_calibration_error(correct, confidence) == 0.25
    assert expected_calibration_error(correct[::-1], confidence) == 0.25
    assert expected_calibration_error([True], [0.75]) == 0.25


def test_a_weight_is_the_row_so_many_times():
    rng = np.random.default_rng(1)
    confidence, correct = rng.uniform(size=23), rng.integers(0, 2, 23)
    weights = rng.integers(1, 4, 23)
    rows = np.repeat(np.arange(23), weights)
    got = expected_calibration_error(correct, confidence, weights)
    assert got == pytest.approx(expected_calibration_error(correct[rows], confidence[rows]))
    assert got == pytest.approx(expected_calibration_error(correct, confidence, weights / 7))
