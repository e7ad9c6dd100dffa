"""What all losses share: labels, weights, the mean, both kinds of heads, serialisation, fit."""

import keras
import numpy as np
import pytest

from keras_mm.losses import CrossEntropy, FocalLoss, create_loss

NAMES = ["cross_entropy", "focal", "logit_adjusted"]
COUNTS = [5, 2, 11]
WEIGHTS = [0.5, 3.0, 1.25]


def batch(num_rows=7, num_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (num_rows, num_classes)).astype("float32")
    return rng.integers(0, num_classes, num_rows), logits


def create(name, num_classes=3, **settings):
    """A loss by name, with counts for the one that needs them."""
    return create_loss(name, class_counts=COUNTS[:num_classes], **settings)


def value(loss, *args):
    return float(loss(*args))


def test_class_weights_reduce_by_their_sum():
    loss = create_loss("cross_entropy", class_weight=[1, 3])
    logits = np.array([[2, 0], [2, 0]], "float32")
    assert value(loss, np.array([1, 0]), logits) == pytest.approx(1.626928, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_the_weighted_mean_of_rows_alone(name):
    labels, logits = batch()
    sample_weight = np.linspace(0.25, 2, 7).astype("float32")
    plain, weighted = create(name), create(name, class_weight=WEIGHTS)
    alone = [value(plain, labels[i : i + 1], logits[i : i + 1]) for i in range(7)]
    weights = np.array(WEIGHTS)[labels] * sample_weight
    expected = np.sum(weights * alone) / np.sum(weights)
    assert value(weighted, labels, logits, sample_weight) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_label_or_weight_do_not_count(name, value_and_gradient):
    labels, logits = batch()
    labels[[1, 4]] = -1
    loss = create(name, class_weight=WEIGHTS, label_smoothing=0.1)
    got, gradient = value_and_gradient(loss, labels, logits)
    present = labels >= 0
    assert got == pytest.approx(value(loss, labels[present], logits[present]), rel=1e-6)
    assert not gradient[~present].any() and gradient[present].all()
    assert value(loss, np.abs(labels), logits, present) == pytest.approx(got, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_no_label_at_all_is_zero_with_zero_gradients(name, smoothing, value_and_gradient):
    labels, logits = batch()
    loss = create(name, label_smoothing=smoothing)
    silent = create(name, class_weight=[0, 0, 0])
    for case in (
        (loss, np.full(7, -1), logits),
        (loss, labels, logits, np.zeros(7, "float32")),
        (silent, labels, logits),
    ):
        got, gradient = value_and_gradient(*case)
        assert got == 0 and not gradient.any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_binary_head_is_two_logits_with_the_first_at_zero(name, smoothing, value_and_gradient):
    logits = np.array([[-50], [-1.5], [0.1], [2], [50]], "float32")
    labels = np.array([1, 0, 1, 0, 1])
    loss = create(name, 2, class_weight=[2, 5], label_smoothing=smoothing)
    got, gradient = value_and_gradient(loss, labels, logits)
    both = np.concatenate([np.zeros_like(logits), logits], axis=1)
    expected, expected_gradient = value_and_gradient(loss, labels, both)
    assert got == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient[:, 0], expected_gradient[:, 1], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_label_shapes_and_dtypes_agree(name):
    labels, logits = batch()
    loss, ones = create(name, class_weight=WEIGHTS), np.ones((7, 1), "float32")
    expected = value(loss, labels, logits)
    for same in (labels[:, None], labels.astype("float32"), labels.astype("int8")):
        assert value(loss, same, logits, ones) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_logits_are_computed_in_float32(name):
    labels, logits = batch()
    logits = np.asarray(keras.ops.cast(keras.ops.cast(logits, "bfloat16"), "float32"))
    low = keras.ops.cast(logits, "bfloat16")
    got = create(name)(labels, low)
    assert keras.backend.standardize_dtype(got.dtype) == "float32"
    assert float(got) == pytest.approx(value(create(name), labels, logits), rel=1e-6)


@pytest.mark.parametrize("label", [3, 1.5, float("nan")])
def test_a_label_that_is_no_class_shows_as_nan(label):
    labels, logits = batch()
    labels = np.append(labels[1:], label).astype("float32")
    assert np.isnan(value(create_loss("focal"), labels, logits))


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip(name):
    loss = create(name, 2, class_weight=np.array([1, 2.5]), label_smoothing=0.1, gamma=1.5, tau=0.5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    assert again.class_weight == [1.0, 2.5]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_logits", [1, 3])
def test_fit_learns_and_evaluate_agrees(name, num_logits):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(37, 5)).astype("float32")
    num_classes = max(num_logits, 2)
    labels = np.argmax(features[:, :num_classes], axis=1)
    labels[::11] = -1
    # A masking layer in front: Keras' own losses would drop rows by its mask.
    inputs = keras.Input((5,))
    outputs = keras.layers.Dense(num_logits)(keras.layers.Masking()(inputs[:, None])[:, 0])
    model = keras.Model(inputs, outputs)
    loss = create(name, num_classes, class_weight=[1.0, 2.0, 3.0][:num_classes])
    model.compile(keras.optimizers.Adam(0.05), loss=loss)
    history = model.fit(features, labels, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    expected = value(loss, labels, model.predict(features, verbose=0))
    got = model.evaluate(features, labels, batch_size=37, verbose=0)
    assert got == pytest.approx(expected, rel=1e-5)


def test_settings_out_of_range_are_told_together():
    with pytest.raises(ValueError) as error:
        create_loss("focal", class_weight=[1, -2.0], label_smoothing=1.0, gamma=-0.5)
    for part in ("[1, -2.0]", "label_smoothing=1.0", "gamma=-0.5", "[0, 1)", "cross-entropy"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "class_weight",
    ["balanced", {"no": 1.0}, [1.0], [[1.0, 2.0]], [1, float("nan")], [1, float("inf")], [-1, 1]],
)
def test_bad_class_weight(class_weight):
    with pytest.raises(ValueError, match="class_weight"):
        CrossEntropy(class_weight=class_weight)


@pytest.mark.parametrize("gamma", [-1, float("nan"), float("inf"), "2", None, True])
def test_bad_gamma(gamma):
    with pytest.raises(ValueError, match="`gamma` must be a finite number >= 0"):
        FocalLoss(gamma=gamma)


def test_unknown_name_offers_the_nearest():
    with pytest.raises(ValueError, match="cross_entropy.*focal.*logit_adj.*Did you mean 'focal'"):
        create_loss("focla")


def test_shapes_that_do_not_fit():
    labels, logits = batch()
    with pytest.raises(ValueError, match="one number per class, 3 in all"):
        create_loss("focal", class_weight=[1, 2])(labels, logits)
    with pytest.raises(ValueError, match="argmax"):
        create_loss("focal")(np.eye(3)[labels], logits)
    with pytest.raises(ValueError, match=r"logits of shape \(batch, num_classes\)"):
        create_loss("focal")(labels, logits[:, 0])
