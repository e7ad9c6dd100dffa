"""What a head starts with: the best answer that sees no input."""

import keras
import numpy as np
import pytest

from keras_mm.settings.heads import Head
from keras_mm.settings.training import LossSettings
from keras_mm.training.initial_bias import initial_bias
from keras_mm.training.objectives import create_objectives

pytestmark = pytest.mark.backend_free

CODES = np.repeat([0, 1, 2], [70, 20, 10])
RARE = np.repeat([0, 1], [95, 5])


def objective_of(head, labels, **options):
    return create_objectives({"mood": head}, {"mood": head.num_logits}, {"mood": labels}, {},
                             LossSettings(**options))["mood"]  # fmt: skip


def constant_loss(objective, labels, logits):
    rows = np.tile(np.float32(logits), (len(labels), 1))
    tensors = map(keras.ops.convert_to_tensor, (np.asarray(labels), rows))
    return float(objective.loss(*tensors))


def entropy(shares):
    shares = np.asarray(shares, "float64") / np.sum(shares)
    return -np.sum(shares * np.log(np.maximum(shares, 1e-30)))


LOSSES = [
    {},
    {"class_weight": "balanced"},
    {"class_weight": [1, 5, 0.5]},
    {"label_smoothing": 0.2},
    {"label_smoothing": 0.2, "class_weight": [1, 5, 0.5]},
    {"loss": "logit_adjusted"},
    {"loss": "logit_adjusted", "tau": 2.0, "class_weight": [1, 5, 0.5]},
    {"loss": "logit_adjusted", "tau": 0.3, "label_smoothing": 0.1},
]


@pytest.mark.parametrize("options", LOSSES, ids=str)
@pytest.mark.parametrize(
    ("head", "labels"),
    [(Head(classes=3), CODES), (Head("binary"), RARE), (Head(classes=3), CODES - 1)],
    ids=["multiclass", "binary", "unlabelled rows"],
)
def test_no_other_constant_has_a_lower_loss(head, labels, options):
    weights = options.get("class_weight")
    if isinstance(weights, list):
        options = {**options, "class_weight": weights[: head.num_classes]}
    objective = objective_of(head, labels, **options)
    bias = initial_bias(head, objective.loss, labels)
    least, rng = constant_loss(objective, labels, bias), np.random.default_rng(0)
    rows = np.bincount(labels[labels >= 0], minlength=head.num_classes)
    shares = rows * np.asarray(objective.loss.class_weight or 1.0)
    smoothing = options.get("label_smoothing", 0)
    shares = (1 - smoothing) * shares / shares.sum() + smoothing / head.num_classes
    seen = entropy(shares)
    assert least == pytest.approx(seen, rel=0.05 if (rows == 0).any() else 1e-4)
    if (rows > 0).all():
        for _ in range(5):
            other = bias + rng.normal(size=bias.shape) * 0.3
            assert constant_loss(objective, labels, other) >= least - 1e-6


def test_a_logit_adjustment_holds_the_shares_already():
    head = Head(classes=3)
    bias = initial_bias(head, objective_of(head, CODES, loss="logit_adjusted").loss, CODES)
    np.testing.assert_allclose(bias - bias.mean(), 0, atol=1e-12)


def test_a_focal_loss_starts_at_the_shares():
    head = Head(classes=3)
    bias = initial_bias(head, objective_of(head, CODES, loss="focal").loss, CODES)
    np.testing.assert_allclose(np.exp(bias), [0.7, 0.2, 0.1])


@pytest.mark.parametrize("weight", [None, "balanced", [1.0, 4.0, 1.0]], ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_several_labels_a_row(weight, smoothing):
    labels = np.zeros((40, 3), int)
    labels[:20, 0] = labels[:4, 1] = labels[:1, 2] = 1
    labels[30:, 1] = -1
    options = {"class_weight": weight, "label_smoothing": smoothing}
    head = Head("multilabel", classes=3)
    objective = objective_of(head, labels, **options)
    bias = initial_bias(head, objective.loss, labels)
    if weight is None and not smoothing:
        np.testing.assert_allclose(1 / (1 + np.exp(-bias)), [0.5, 4 / 30, 1 / 40])
    least, rng = constant_loss(objective, labels, bias), np.random.default_rng(0)
    for _ in range(5):
        other = bias + rng.normal(size=3) * 0.3
        assert constant_loss(objective, labels, other) >= least - 1e-6


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "logit_adjusted"])
@pytest.mark.parametrize("weight", [None, "balanced", [0.0, 1, 1, 1], [0.0] * 4, [1e-300, 1, 1, 1]],
                         ids=str)  # fmt: skip
def test_classes_without_rows_stay_finite(loss, weight):
    labels = np.repeat([0, 1], [9999, 1])
    head = Head(classes=4)
    objective = objective_of(head, labels, loss=loss, class_weight=weight)
    bias = initial_bias(head, objective.loss, labels)
    assert np.isfinite(bias).all() and np.isfinite(constant_loss(objective, labels, bias))
    if weight is None and loss != "focal":
        assert constant_loss(objective, labels, bias) == pytest.approx(entropy([9999, 1]), rel=0.15)


@pytest.mark.parametrize("labels", [[[1, 0, -1]], [[1, 0, -1]] * 50, [[-1, -1, -1]]], ids=len)
@pytest.mark.parametrize("weight", [None, "balanced", [0.0, 0.0, 1.0]], ids=str)
def test_labels_that_all_rows_have_or_none(labels, weight):
    labels = np.asarray(labels)
    head = Head("multilabel", classes=3)
    objective = objective_of(head, labels, class_weight=weight)
    bias = initial_bias(head, objective.loss, labels)
    assert np.isfinite(bias).all() and bias[2] == 0
