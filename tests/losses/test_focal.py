import numpy as np
import pytest

from keras_mm.losses import create_loss

RNG = np.random.default_rng(5)
LOGITS = RNG.normal(0, 3, (13, 5)).astype("float32")
LABELS = RNG.integers(-1, 5, 13)
WEIGHTS = [0.5, 3.0, 1.0, 0.0, 2.0]


def reference(labels, logits, gamma, smoothing=0.0):
    """The definition, in float64 probabilities; rows weigh the same."""
    exps = np.exp(np.asarray(logits, "float64"))
    p = exps / exps.sum(axis=1, keepdims=True)
    targets = (1 - smoothing) * np.eye(p.shape[1])[labels] + smoothing / p.shape[1]
    return np.mean(np.sum(-targets * (1 - p) ** gamma * np.log(p), axis=1))


@pytest.mark.parametrize("class_weight", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gamma_zero_is_cross_entropy(class_weight, smoothing, value_and_gradient):
    settings = {"class_weight": class_weight, "label_smoothing": smoothing}
    logits = np.concatenate([LOGITS, [[50, 0, 0, 0, 0], [0, 50, 0, 0, 0]]]).astype("float32")
    labels = np.append(LABELS, [0, 0])
    focal = value_and_gradient(create_loss("focal", gamma=0, **settings), labels, logits)
    plain = value_and_gradient(create_loss("cross_entropy", **settings), labels, logits)
    assert focal[0] == pytest.approx(plain[0], abs=1e-6)
    np.testing.assert_allclose(focal[1], plain[1], atol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_follows_the_definition(gamma, smoothing):
    labels = np.abs(LABELS)
    loss = create_loss("focal", gamma=gamma, label_smoothing=smoothing)
    expected = reference(labels, LOGITS, gamma, smoothing)
    assert float(loss(labels, LOGITS)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_is_the_slope_of_the_definition(gamma, smoothing, value_and_gradient):
    labels, step = np.abs(LABELS), 1e-5
    loss = create_loss("focal", gamma=gamma, label_smoothing=smoothing)
    _, gradient = value_and_gradient(loss, labels, LOGITS)
    slope = np.zeros(LOGITS.shape)
    for index in np.ndindex(*LOGITS.shape):
        nudge = np.zeros(LOGITS.shape)
        nudge[index] = step
        up = reference(labels, LOGITS + nudge, gamma, smoothing)
        down = reference(labels, LOGITS - nudge, gamma, smoothing)
        slope[index] = (up - down) / (2 * step)
    np.testing.assert_allclose(gradient, slope, atol=2e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("margin", [17.0, 50.0, 1e4])
def test_confidently_wrong_rows_keep_their_gradient(gamma, margin, value_and_gradient):
    loss = create_loss("focal", gamma=gamma)
    for logits in ([[margin, 0, 0]], [[-margin]]):
        _, gradient = value_and_gradient(loss, np.array([1]), np.array(logits, "float32"))
        assert np.isfinite(gradient).all()
        wrong = 1 if len(logits[0]) == 3 else 0
        assert gradient[0, wrong] == pytest.approx(-1, rel=1e-2)


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("margin", [50.0, 1e4])
def test_confidently_right_rows_have_finite_gradients(gamma, smoothing, margin, value_and_gradient):
    loss = create_loss("focal", gamma=gamma, label_smoothing=smoothing)
    for logits in ([[0, margin, 0]], [[margin]]):
        value, gradient = value_and_gradient(loss, np.array([1]), np.array(logits, "float32"))
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_likeliest_class_keeps_its_small_complement():
    # 1 - p is 5e-18 here: float32 probabilities would round it to 0.
    loss = create_loss("focal", gamma=0.1, label_smoothing=0.5)
    got = float(loss(np.array([0]), np.array([[40.0, 0.0]], "float32")))
    assert got == pytest.approx(0.25 * 40, rel=1e-5)
    from keras_mm.losses.focal import log_complements_of

    got = np.asarray(log_complements_of(np.array([[-4e-18, -40.0]], "float32")))
    np.testing.assert_allclose(got[0], [-40, 0], atol=1e-5)


def test_ties_do_not_break_the_complement(value_and_gradient):
    got, gradient = value_and_gradient(create_loss("focal"), np.array([1]), np.zeros((1, 2)))
    assert got == pytest.approx(0.25 * np.log(2), rel=1e-6)
    assert gradient[0, 0] == pytest.approx(-gradient[0, 1], rel=1e-6)
