import numpy as np
import pytest

from keras_mm.losses import LogitAdjusted, create_loss

RNG = np.random.default_rng(7)
LOGITS = RNG.normal(0, 3, (13, 5)).astype("float32")
LABELS = RNG.integers(-1, 5, 13)
COUNTS = [31, 2, 7, 11, 3]
WEIGHTS = [0.5, 3.0, 1.0, 0.0, 2.0]
SETTINGS = [{}, {"class_weight": WEIGHTS, "label_smoothing": 0.1}]


def same(got, expected, atol=1e-6):
    assert got[0] == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(got[1], expected[1], atol=atol)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("counts", "tau"), [(COUNTS, 0), ([7] * 5, 1), ([0.2] * 5, 2.5)])
def test_without_strength_or_imbalance_it_is_cross_entropy(
    counts, tau, settings, value_and_gradient
):
    loss = create_loss("logit_adjusted", class_counts=counts, tau=tau, **settings)
    plain = create_loss("cross_entropy", **settings)
    got = value_and_gradient(loss, LABELS, LOGITS)
    same(got, value_and_gradient(plain, LABELS, LOGITS))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("tau", [0.5, 1, 2])
def test_it_is_cross_entropy_on_shifted_logits(tau, settings, value_and_gradient):
    loss = create_loss("logit_adjusted", class_counts=COUNTS, tau=tau, **settings)
    shifted = LOGITS + tau * np.log(np.array(COUNTS) / sum(COUNTS)).astype("float32")
    plain = create_loss("cross_entropy", **settings)
    got = value_and_gradient(loss, LABELS, LOGITS)
    same(got, value_and_gradient(plain, LABELS, shifted))


def test_only_the_ratios_of_the_counts_matter():
    shares = np.array(COUNTS) / sum(COUNTS)
    values = [float(LogitAdjusted(counts)(LABELS, LOGITS)) for counts in (COUNTS, shares)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize("tau", [0.5, 1])
def test_binary_head_is_moved_by_the_log_odds_of_the_counts(tau, value_and_gradient):
    logits, labels = np.array([[-1.5], [0.1], [2], [40]], "float32"), np.array([1, 0, 0, 1])
    loss = create_loss("logit_adjusted", class_counts=[30, 3], tau=tau)
    moved = logits + tau * np.float32(np.log(3 / 30))
    same(
        value_and_gradient(loss, labels, logits),
        value_and_gradient(create_loss("cross_entropy"), labels, moved),
    )


# Two inputs, three classes: p(x, y), with p(y) = .7, .2, .1.
JOINT = np.array([[0.4, 0.05, 0.07], [0.3, 0.15, 0.03]])


@pytest.mark.parametrize("tau", [0, 0.5, 1])
def test_the_minimum_is_the_posterior_without_the_prior(tau, value_and_gradient):
    prior = JOINT.sum(axis=0)
    best = np.log(JOINT / prior**tau).repeat(3, axis=0)
    labels, share = np.tile(np.arange(3), 2), JOINT.reshape(-1)
    loss = create_loss("logit_adjusted", class_counts=prior, tau=tau)
    least, gradient = value_and_gradient(loss, labels, best, share)
    # The three rows of one input have the same logits: their gradients add up.
    np.testing.assert_allclose(gradient.reshape(2, 3, 3).sum(axis=1), 0, atol=1e-6)
    for _ in range(5):
        other = best + RNG.normal(0, 0.1, (2, 3)).repeat(3, axis=0)
        assert float(loss(labels, other.astype("float32"), share)) > least


def test_at_tau_one_its_answers_have_the_highest_balanced_accuracy():
    prior = JOINT.sum(axis=0)
    best = np.log(JOINT / prior)

    def balanced_accuracy(answers):
        return sum(JOINT[x, y] / prior[y] for x, y in enumerate(answers)) / 3

    every = [balanced_accuracy((a, b)) for a in range(3) for b in range(3)]
    assert balanced_accuracy(best.argmax(axis=1)) == pytest.approx(max(every))
    assert balanced_accuracy(JOINT.argmax(axis=1)) < max(every)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_class_without_rows_is_finite_and_pushed_down_as_by_cross_entropy(
    smoothing, value_and_gradient
):
    counts = [31, 0, 7, 11, 3]
    labels = np.where(LABELS == 1, 0, LABELS)
    loss = create_loss("logit_adjusted", class_counts=counts, label_smoothing=smoothing)
    got, gradient = value_and_gradient(loss, labels, LOGITS)
    plain = create_loss("cross_entropy", label_smoothing=smoothing)
    _, plain_gradient = value_and_gradient(plain, labels, LOGITS)
    assert np.isfinite(got) and np.isfinite(gradient).all()
    assert (gradient[:, 1] >= plain_gradient[:, 1]).all()
    assert (gradient[:, 1] > plain_gradient[:, 1]).any()
    # A row of it (in validation, say) has a finite loss as well.
    assert np.isfinite(float(loss(np.array([1]), LOGITS[:1])))


@pytest.mark.parametrize("margin", [50.0, 1e4])
def test_extreme_logits_keep_finite_gradients(margin, value_and_gradient):
    loss = create_loss("logit_adjusted", class_counts=[1e6, 1])
    for logits in ([[margin, 0]], [[0, margin]], [[margin]], [[-margin]]):
        for label in (0, 1):
            value, gradient = value_and_gradient(loss, np.array([label]), np.array(logits))
            assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (None, "np.bincount"),
        ("balanced", "np.bincount"),
        ([5], "two or more"),
        ([[5, 2]], "two or more"),
        ([5, -1], "finite and >= 0"),
        ([5, float("nan")], "finite and >= 0"),
        ([0, 0], "a count above 0"),
    ],
)
def test_bad_counts(counts, words):
    with pytest.raises(ValueError, match=f"`class_counts` .*{words}.*Received: class_counts="):
        create_loss("logit_adjusted", class_counts=counts)


@pytest.mark.parametrize("tau", [-1, float("nan"), float("inf"), "1", None, True])
def test_bad_tau(tau):
    with pytest.raises(ValueError, match="`tau` must be a finite number >= 0"):
        LogitAdjusted(COUNTS, tau=tau)


def test_counts_that_do_not_fit_the_logits():
    with pytest.raises(ValueError, match="`class_counts` must hold one number per class, 5 in all"):
        LogitAdjusted([1, 2])(LABELS, LOGITS)
