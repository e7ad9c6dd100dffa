"""Decisions for the mean of several members, from rows that one or two were not trained on."""

import numpy as np
import pytest
from scipy.special import expit

from keras_mm.inference.decisions.answers import in_set
from keras_mm.inference.decisions.extrapolation import LabelledRows, extrapolation
from keras_mm.inference.decisions.fit import fit_head_decisions
from keras_mm.inference.decisions.measure import measure_decisions
from keras_mm.inference.decisions.options import Options
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

KIND = Head(classes=3)


@pytest.fixture(scope="module")
def drawn_members(drawn):
    """Labels, the logits of five members, each with errors of its own, and those of their mean."""

    def draw(num_rows, seed):
        labels, logits = drawn(num_rows, num_classes=3, seed=seed, sharpness=1)
        errors = np.random.default_rng(seed + 50).normal(0, 0.6, (5, *logits.shape))
        members = 1.3 * (logits + errors)
        return labels, members, np.log(np.mean([probabilities(one) for one in members], axis=0))

    return draw


def fitted(labels, members, share=0.3, **options):
    second = np.where(np.arange(len(labels))[:, None] < share * len(labels), members[1], np.nan)
    return fit_head_decisions(
        "kind", KIND, labels, members[0], Options(**options), second=second, num_members=5
    )[1]


def test_decisions_fit_the_mean_of_the_members(drawn_members):
    found, alone = [], []
    for seed in range(10):
        labels, members, _ = drawn_members(800, seed)
        new, _, mean = drawn_members(4000, seed + 100)
        found.append(measure_decisions(KIND, fitted(labels, members), new, mean))
        one = fit_head_decisions("kind", KIND, labels, members[0], Options())[1]
        alone.append(measure_decisions(KIND, one, new, mean))
    coverage, before = ([one["coverage"] for one in each] for each in (found, alone))
    assert 0.885 < np.mean(coverage) < 0.915 < np.mean(before)
    change, before = (
        np.mean([one["log_loss_after"] - one["log_loss_before"] for one in each])
        for each in (found, alone)
    )
    assert change < 0.002 and change < before
    error = 1 - np.mean([one["answered_accuracy"] for one in found])
    assert 0.08 < error < 0.12


@pytest.mark.parametrize("share", [0, 0.05])
def test_with_few_rows_of_two_members_only_the_temperature_is_left_out(drawn_members, share):
    labels, members, _ = drawn_members(800, 0)
    found = fitted(labels, members, share)
    assert found.temperature == 1
    chosen = in_set(KIND, found, members[0])
    assert chosen[np.arange(800), labels].sum() == 721


def test_each_kind_is_averaged_as_the_model_does_it():
    logits = np.random.default_rng(0).normal(0, 2, (60, 2))
    other = logits[::-1]
    for kind, mean in (
        ("multilabel", (expit(logits) + expit(other)) / 2),
        ("regression", (logits + other) / 2),
        ("multiclass", (probabilities(logits) + probabilities(other)) / 2),
    ):
        rows = LabelledRows(np.zeros((60, 2), int), logits, second=other, num_members=4)
        found = extrapolation(rows, kind)
        values = found.mean.logits
        values = values if kind == "regression" else probabilities(values, kind)
        np.testing.assert_allclose(values, mean, atol=1e-6)
        assert found.factor == 1.5
    assert extrapolation(LabelledRows(np.zeros(60, int), logits, second=other), "binary") is None


def test_intervals_of_a_mean_are_narrower():
    generator = np.random.default_rng(0)
    targets = generator.normal(0, 1, (4000, 1))
    members = targets + generator.normal(0, 1, (4000, 1)) + generator.normal(0, 1, (5, 4000, 1))
    second = np.where(np.arange(4000)[:, None] < 1500, members[1], np.nan)
    covered = []
    for options in ({"second": second, "num_members": 5}, {}):
        head = Head("regression")
        _, found = fit_head_decisions("size", head, targets, members[0], Options(), **options)
        inside = np.abs(members.mean(axis=0) - targets) <= found.half_widths[0]
        covered.append(inside.mean())
    assert 0.9 < covered[0] < 0.935 < covered[1]
