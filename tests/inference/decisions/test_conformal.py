import numpy as np
import pytest

from keras_mm.inference.decisions.conformal import half_widths, quantile, set_limits
from keras_mm.metrics.probabilities import probabilities

pytestmark = pytest.mark.backend_free


def test_the_rank_is_that_of_the_formula():
    for num_rows in (1, 2, 9, 10, 19, 99, 101):
        for error in (0.01, 0.05, 0.1, 0.2, 0.5, 0.9):
            exact = (num_rows + 1) * round(100 * (1 - error))
            rank = -(-exact // 100)  # the ceiling, without rounding
            found = quantile(np.arange(1.0, num_rows + 1), error)
            assert found == (rank if rank <= num_rows else np.inf), (num_rows, error)


def test_weights_count_like_rows_and_their_unit_does_not_matter():
    scores, weights = np.arange(50.0), np.where(np.arange(50) < 25, 3.0, 1.0)
    found = quantile(scores, 0.2, weights)
    assert found == quantile(scores, 0.2, weights * 7)
    # The new row has the mean weight, 2, instead of 1.
    assert (found, quantile(np.repeat(scores, weights.astype(int)), 0.2)) == (31.0, 30.0)
    assert quantile(scores, 0.2, np.full(50, 0.5)) == quantile(scores, 0.2)


def test_mean_coverage_of_new_rows_is_what_was_asked(drawn):
    """20 splits, as the benchmark does it on real rows."""
    labels, logits = drawn(4000)
    found = probabilities(logits)
    coverages, sizes = [], []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(4000)
        fitted, new = order[:400], order[400:]
        limit = set_limits(labels[fitted], found[fitted], 0.1)
        chosen = found[new] >= limit
        coverages.append(chosen[np.arange(3600), labels[new]].mean())
        sizes.append(chosen.sum(axis=1).mean())
    assert 0.885 <= np.mean(coverages) <= 0.915
    assert np.mean(sizes) < 3


def test_classwise_sets_cover_each_class(drawn):
    labels, logits = drawn(12000, num_classes=3)
    found, fitted, new = probabilities(logits), slice(0, 4000), slice(4000, None)
    coverage = {}
    for classwise in (False, True):
        limits = set_limits(labels[fitted], found[fitted], 0.1, classwise=classwise)
        chosen = found[new] >= limits
        coverage[classwise] = [chosen[labels[new] == c, c].mean() for c in range(3)]
    assert min(coverage[True]) > 0.88 and max(coverage[True]) < 0.925
    assert min(coverage[False]) < 0.87 and max(coverage[False]) > 0.925


def test_an_absent_or_rare_class_is_in_every_set(drawn):
    labels, logits = drawn(200, num_classes=3)
    labels[labels == 2] = 1
    labels[:8] = [0, 1] * 4
    found = probabilities(logits)
    limits = set_limits(labels, found, 0.1, classwise=True)
    assert limits[2] == 0 and (limits[:2] > 0).all()
    assert set_limits(labels[:8], found[:8], 0.1).tolist() == [0]
    assert set_limits(labels[:9], found[:9], 0.1)[0] > 0


def test_all_labels_of_a_row_count():
    found = np.linspace(0.01, 1, 100)[:, None] * [1, 0.5]
    labels = np.array([[1, 1]] * 50 + [[1, -1]] * 25 + [[0, 0]] * 25)
    limit = set_limits(labels, found, 0.1)
    covered = ((found >= limit) | (labels != 1)).all(axis=1)
    assert covered.sum() == 91  # ceil(101 * 0.9)
    by_label = set_limits(labels, found, 0.1, classwise=True)
    covered = (found >= by_label)[labels[:, 1] == 1, 1]
    assert covered.sum() == 46  # ceil(51 * 0.9)


def test_intervals_of_each_target():
    generator = np.random.default_rng(0)
    targets = generator.normal(0, [1.0, 10.0], (5000, 2))
    targets[:100, 1] = np.nan
    widths = half_widths(targets[:1000], np.zeros((1000, 2)), 0.1)
    covered = np.abs(targets[1000:]) <= widths
    assert (np.abs(covered.mean(axis=0) - 0.9) < 0.02).all()
    assert half_widths(np.ones((8, 1)), np.zeros((8, 1)), 0.1) == [np.inf]
    assert half_widths(np.full((8, 1), np.nan), np.zeros((8, 1)), 0.1) == [np.inf]
