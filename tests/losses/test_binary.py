"""Losses of multi-hot labels: each label a yes or no of its own."""

import keras
import numpy as np
import pytest

from keras_mm.losses import MultilabelFocalLoss, create_loss, resolve_pos_weight

NAMES = ["cross_entropy", "focal"]
WEIGHTS = [0.5, 3.0, 1.25]


def batch(num_rows=7, num_labels=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (num_rows, num_labels)).astype("float32")
    return rng.integers(0, 2, (num_rows, num_labels)), logits


def create(name, **settings):
    return create_loss(name, kind="multilabel", **settings)


def expected_losses(labels, logits, pos_weight=1.0, gamma=0.0, smoothing=0.0):
    """The formula, in float64 and without care for large numbers."""
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    yes = (1 - smoothing) * labels + smoothing / 2
    return -(
        np.asarray(pos_weight) * yes * (1 - p) ** gamma * np.log(p)
        + (1 - yes) * p**gamma * np.log(1 - p)
    )


def test_documented_values():
    labels, logits = np.array([[1, 0, 1]]), np.zeros((1, 3), "float32")
    assert float(create("cross_entropy")(labels, logits)) == pytest.approx(0.693147, abs=1e-6)
    weighted = create("cross_entropy", class_weight=[1, 2, 3])
    assert float(weighted(labels, logits)) == pytest.approx(1.155245, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, WEIGHTS])
@pytest.mark.parametrize("name", NAMES)
def test_the_mean_over_all_labels(name, weight, smoothing):
    labels, logits = batch()
    options = {"smoothing": smoothing, "gamma": 1.5 if name == "focal" else 0.0}
    losses = expected_losses(labels, logits, 1.0 if weight is None else weight, **options)
    loss = create(name, class_weight=weight, label_smoothing=smoothing, gamma=1.5)
    assert float(loss(labels, logits)) == pytest.approx(losses.mean(), rel=1e-5)
    rows = np.linspace(0.25, 2, 7).astype("float32")
    expected = (losses * rows[:, None]).sum() / (3 * rows.sum())
    assert float(loss(labels.astype("float32"), logits, rows)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_are_not_known_do_not_count(name, value_and_gradient):
    labels, logits = batch()
    labels[1], labels[4, 2] = -1, -1
    loss = create(name, class_weight=WEIGHTS, label_smoothing=0.1)
    got, gradient = value_and_gradient(loss, labels, logits)
    known = labels >= 0
    gamma = 2.0 if name == "focal" else 0.0
    losses = expected_losses(labels, logits, WEIGHTS, gamma, 0.1)
    assert got == pytest.approx(losses[known].mean(), rel=1e-5)
    assert not gradient[~known].any() and gradient[known].all()
    nothing, gradient = value_and_gradient(loss, np.full((7, 3), -1), logits)
    assert nothing == 0 and not gradient.any()


def test_gamma_zero_is_cross_entropy(value_and_gradient):
    labels, logits = batch(23, 5)
    focal, plain = create("focal", gamma=0.0), create("cross_entropy")
    got, expected = (value_and_gradient(loss, labels, logits) for loss in (focal, plain))
    assert got[0] == pytest.approx(expected[0], abs=1e-6)
    np.testing.assert_allclose(got[1], expected[1], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_large_logits_keep_finite_gradients(name, value_and_gradient):
    logits = np.array([[50.0, -50.0]], "float32")
    wrong, gradient = value_and_gradient(create(name), np.array([[0, 1]]), logits)
    assert wrong == pytest.approx(50, rel=1e-5)
    assert np.isfinite(gradient).all() and (np.abs(gradient) > 0.1).all()
    right, gradient = value_and_gradient(create(name), np.array([[1, 0]]), logits)
    assert right < 1e-6 and np.isfinite(gradient).all()


def test_labels_are_independent_of_each_other(value_and_gradient):
    labels, logits = batch()
    other = labels.copy()
    other[:, 0] = 1 - other[:, 0]
    gradients = [value_and_gradient(create("focal"), y, logits)[1] for y in (labels, other)]
    np.testing.assert_array_equal(gradients[0][:, 1:], gradients[1][:, 1:])
    assert (gradients[0][:, 0] != gradients[1][:, 0]).all()


def test_class_numbers_are_no_multi_hot():
    _, logits = batch()
    assert np.isnan(float(create("cross_entropy")(np.full((7, 3), 2), logits)))


def test_serialises():
    loss = MultilabelFocalLoss(gamma=1.0, pos_weight=WEIGHTS, label_smoothing=0.1)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is MultilabelFocalLoss and again.get_config() == loss.get_config()


def test_trains():
    x, y = np.eye(4, dtype="float32"), np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(2.0), create("cross_entropy", class_weight=[1, 2]))
    losses = model.fit(x, y, epochs=60, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0] / 5
    np.testing.assert_array_equal(np.asarray(model.predict_on_batch(x)) > 0, y == 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_weight": [1, -1]}, "pos_weight"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"gamma": -1}, "gamma"),
    ],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        create("focal", **settings)


@pytest.mark.parametrize(
    ("labels", "weight"), [([0, 1], None), ([[0, 1, 0]], None), ([[0, 1]], [1, 2, 3])]
)
def test_shapes_that_do_not_fit(labels, weight):
    loss = create("cross_entropy", class_weight=weight)
    with pytest.raises(ValueError, match="shape|2 in all"):
        loss(np.asarray(labels), np.zeros((1, 2), "float32"))


def test_losses_of_another_kind():
    with pytest.raises(ValueError, match="multilabel.*logit_adjusted"):
        create("logit_adjusted")
    with pytest.raises(ValueError, match="`kind`"):
        create_loss("cross_entropy", kind="many")


LABELS = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [1, 0, -1], [0, 1, 1]])


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (None, None),
        ("balanced", [2 / 3, 4.0, 1.0]),  # all known rows have the third
        ([1, 2, 3], [1, 2, 3]),
        ({"b": 2}, [1, 2, 1]),
    ],
)
def test_weights_of_yes(given, weights):
    found = resolve_pos_weight(given, LABELS, ["a", "b", "c"])
    assert found == (weights if weights is None else pytest.approx(weights))


def test_a_label_that_no_row_tells_weighs_one():
    labels = np.array([[1, -1], [0, -1], [0, -1]])
    assert resolve_pos_weight("balanced", labels, ["a", "b"]) == pytest.approx([2, 1])


def test_effective_numbers_of_yes():
    found = resolve_pos_weight("effective_number", LABELS, ["a", "b", "c"], beta=0.5)
    effective = [2 * (1 - 0.5**n) for n in range(6)]
    assert found == pytest.approx([effective[2] / effective[3], effective[4] / effective[1], 1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("balance", "'balanced' or"),
        ([1, 2], "3 in all"),
        ([1, 2, -3], "finite and >= 0"),
        ({"d": 1}, "'d'"),
    ],
)
def test_bad_weights_of_yes(given, words):
    with pytest.raises(ValueError, match=words):
        resolve_pos_weight(given, LABELS, ["a", "b", "c"])
