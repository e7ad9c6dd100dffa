import numpy as np
import pytest
from scipy.special import expit, log_softmax
from sklearn.metrics import log_loss as sklearn_log_loss

from keras_mm.inference.decisions.temperature import fit_temperature, log_loss
from keras_mm.metrics.probabilities import probabilities

pytestmark = pytest.mark.backend_free


def test_the_loss_is_that_of_scikit_learn(drawn):
    labels, logits = drawn(101)
    weights = np.arange(101) % 3
    expected = sklearn_log_loss(labels, probabilities(logits), sample_weight=weights)
    assert log_loss(labels, logits, "multiclass", weights) == pytest.approx(expected)
    both = (labels > 1).astype(int)
    expected = sklearn_log_loss(both, probabilities(logits[:, :1], "binary"))
    assert log_loss(both, logits[:, :1], "binary") == pytest.approx(expected)
    many = np.array([[0, 1, -1], [1, -1, -1], [-1, -1, -1]])
    scores = expit(logits[:3, :3])
    expected = sklearn_log_loss(many[many >= 0], scores[many >= 0])
    assert log_loss(many, logits[:3, :3], "multilabel") == pytest.approx(expected)
    cells = np.broadcast_to([[3], [1], [9]], (3, 3))[many >= 0]
    expected = sklearn_log_loss(many[many >= 0], scores[many >= 0], sample_weight=cells)
    found = log_loss(many, logits[:3, :3], "multilabel", [3, 1, 9])
    assert found == pytest.approx(expected)


def test_the_temperature_that_rows_were_drawn_with_is_found(drawn):
    labels, logits = drawn(4001, sharpness=2.5)
    assert fit_temperature(labels, logits) == pytest.approx(2.5, rel=0.06)
    labels, logits = drawn(4001, sharpness=0.5)
    assert fit_temperature(labels, logits) == pytest.approx(0.5, rel=0.06)


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_other_kinds(kind):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (3001, 1 if kind == "binary" else 3))
    labels = (generator.random(logits.shape) < expit(logits)).astype(int)
    labels[::7] = -1
    labels = labels[:, 0] if kind == "binary" else labels
    assert fit_temperature(labels, logits * 2, kind) == pytest.approx(2, rel=0.08)


@pytest.mark.parametrize("num_rows", [1, 2, 5, 23])
def test_it_is_never_worse_on_its_rows_and_near_1_for_few(drawn, num_rows):
    for seed in range(20):
        labels, logits = drawn(num_rows, seed=seed, sharpness=1)
        temperature = fit_temperature(labels, logits)
        fitted, before = (log_loss(labels, logits / t, "multiclass") for t in (temperature, 1))
        assert fitted <= before
        assert num_rows > 1 or 1 / 3 < temperature < 3


def test_extreme_logits_have_a_finite_temperature():
    logits = np.array([[1e4, 0.0], [0.0, 1e4], [1e4, 0.0]])
    sure = fit_temperature([0, 1, 0], logits)
    wrong = fit_temperature([0, 1, 1], logits)
    assert 0 < sure <= 1 < wrong < 51 and np.isfinite(log_softmax(logits / wrong)).all()


def test_weights_count_like_rows_and_their_unit_does_not_matter(drawn):
    labels, logits = drawn(300)
    weights = np.where(labels == 0, 2.0, 1.0)
    repeated = np.repeat(np.arange(300), weights.astype(int))
    found = fit_temperature(labels, logits, sample_weight=weights)
    assert found == pytest.approx(fit_temperature(labels[repeated], logits[repeated]), rel=0.01)
    assert found == pytest.approx(fit_temperature(labels, logits, sample_weight=weights * 9))
