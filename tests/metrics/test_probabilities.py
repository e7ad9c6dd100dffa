import numpy as np
import pytest

from keras_mm.metrics.probabilities import probabilities

pytestmark = pytest.mark.backend_free


def test_classes_sum_to_one_also_at_extreme_logits():
    logits = np.array([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0], [-5.0, 2.0, 0.5]], "float32")
    found = probabilities(logits)
    assert found.dtype == "float64" and found.sum(axis=1) == pytest.approx(1, abs=1e-15)
    assert found[0].tolist() == [1, 0, 0] and found[1] == pytest.approx(1 / 3)
    np.testing.assert_allclose(np.log(found[2, 1] / found[2, 0]), 7, rtol=1e-14)


def test_one_logit_is_that_of_the_second_class():
    logits = np.array([[0.7], [-800.0], [800.0]])
    both = np.concatenate([np.zeros((3, 1)), logits], axis=1)
    assert probabilities(logits, "binary").tolist() == probabilities(both).tolist()


def test_labels_are_independent_and_finite():
    logits = np.array([[0.0, 1000.0, -1000.0, -3.0]])
    found = probabilities(logits, "multilabel")[0]
    assert found[:3].tolist() == [0.5, 1, 0]
    assert found[3] == pytest.approx(1 / (1 + np.exp(3)), abs=1e-15)
