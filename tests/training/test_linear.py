"""Linear heads in closed form: the minimum of the head's own loss plus the penalty."""

import keras
import numpy as np
import pytest
from scipy.optimize import minimize

from keras_mm import Head
from keras_mm.settings.training import LossSettings
from keras_mm.training.linear import fit_linear
from keras_mm.training.objectives import create_objectives

ROWS, WIDTH = 120, 5


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(ROWS, WIDTH))


def labels_of(kind, features, rng):
    truth = features @ rng.normal(size=(WIDTH, 3)) + rng.normal(size=(ROWS, 3))
    if kind == "regression":
        return truth
    if kind == "multilabel":
        return (truth > 0.5).astype("int32")
    return (truth[:, 0] > 0.8).astype("int32") if kind == "binary" else truth.argmax(1)


HEADS = {
    "multiclass": Head(classes=("a", "b", "c")),
    "binary": Head("binary", ("no", "yes")),
    "multilabel": Head("multilabel", ("x", "y", "z")),
}


def loss_of(objective, labels, weights=None):
    """The loss summed over the rows, as the trainer computes it."""
    total = len(labels) if weights is None else weights.sum()

    def loss(logits):
        args = [keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(logits, "float32")]
        if weights is not None:
            args.append(keras.ops.convert_to_tensor(weights, "float32"))
        return float(objective.loss(*args)) * total

    return loss


@pytest.mark.parametrize("kind", list(HEADS))
@pytest.mark.parametrize(
    "settings",
    [LossSettings(), LossSettings(class_weight="balanced"), LossSettings(loss="logit_adjusted")],
)
def test_no_other_layer_has_a_lower_loss(kind, settings, features):
    head = HEADS[kind]
    if kind == "multilabel" and settings.loss == "logit_adjusted":
        settings = LossSettings()
    rng = np.random.default_rng(1)
    labels = labels_of(kind, features, rng)
    weights = rng.integers(1, 4, ROWS).astype("float64")
    (objective,) = create_objectives(
        {"label": head}, {"label": head.num_logits}, {"label": labels}, {}, settings,
        sample_weight=weights,
    ).values()  # fmt: skip
    penalty = 3.0
    found = fit_linear(objective, features, labels, penalty, sample_weight=weights)
    loss = loss_of(objective, labels, weights)
    factor = 1.0 if kind != "multilabel" else head.num_logits

    def total(kernel, bias):
        # A multilabel loss is the mean over the labels; each label is fitted by itself.
        return factor * loss(features @ kernel + bias) + penalty / 2 * (kernel**2).sum()

    best = total(*found)
    for _ in range(20):
        step = rng.normal(size=found.kernel.shape), rng.normal(size=found.bias.shape)
        for size in (0.2, 0.02):
            moved = found.kernel + size * step[0], found.bias + size * step[1]
            assert total(*moved) > best - 0.02


def test_numbers_and_missing_targets(features):
    rng = np.random.default_rng(1)
    targets = labels_of("regression", features, rng)
    targets[:20, 1] = np.nan
    head = Head("regression", ("x", "y", "z"), column=("x", "y", "z"))
    (objective,) = create_objectives({"label": head}, {"label": 3}, {"label": targets}, {}).values()
    found = fit_linear(objective, features, targets, 2.0)
    for column in range(3):
        rows = ~np.isnan(targets[:, column])

        def total(x, rows=rows, column=column):
            error = features[rows] @ x[:-1] + x[-1] - targets[rows, column]
            return (error**2).sum() + 2.0 * (x[:-1] ** 2).sum()

        best = minimize(total, np.zeros(WIDTH + 1), tol=1e-9).x
        np.testing.assert_allclose(found.kernel[:, column], best[:-1], atol=1e-3)
        assert found.bias[column] == pytest.approx(best[-1], abs=1e-3)


@pytest.mark.parametrize("kind", list(HEADS))
def test_a_single_label_is_answered_without_features(kind, features):
    head = HEADS[kind]
    labels = labels_of(kind, features, np.random.default_rng(1)) * 0
    (objective,) = create_objectives(
        {"label": head}, {"label": head.num_logits}, {"label": labels}, {}
    ).values()
    found = fit_linear(objective, features, labels, 1.0)
    assert (found.kernel == 0).all()
    np.testing.assert_allclose(found.bias, objective.bias)


def test_a_class_that_no_training_row_has_is_least_probable(features):
    labels = (features[:, 0] > 0).astype("int32")
    head = HEADS["multiclass"]
    (objective,) = create_objectives({"label": head}, {"label": 3}, {"label": labels}, {}).values()
    found = fit_linear(objective, features, labels, 1.0)
    logits = features @ found.kernel + found.bias
    assert ((logits[:, 1] > logits[:, 0]) == (labels == 1)).mean() > 0.95
    assert np.isfinite(logits).all() and (logits[:, 2] < logits[:, :2].max(axis=1) - 1).all()
