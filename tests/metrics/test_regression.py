import json

import numpy as np
import pytest
from sklearn import metrics as sk

from keras_mm.metrics.regression import mean_baseline, regression_metrics

pytestmark = pytest.mark.backend_free

NAMES = ["stars", "price"]


def random_rows(num_rows, seed):
    rng = np.random.default_rng(seed)
    targets = rng.normal([3, 100], [1, 30], (num_rows, 2))
    return targets, targets + rng.normal(0, [0.5, 20], (num_rows, 2))


def test_equals_sklearn():
    targets, found = random_rows(53, 0)
    got = regression_metrics(targets, found, NAMES)
    for i, name in enumerate(NAMES):
        y, p = targets[:, i], found[:, i]
        expected = {
            "num_rows": 53,
            "mean_absolute_error": sk.mean_absolute_error(y, p),
            "root_mean_squared_error": np.sqrt(sk.mean_squared_error(y, p)),
            "median_absolute_error": sk.median_absolute_error(y, p),
            "r2": sk.r2_score(y, p),
            "explained_variance": sk.explained_variance_score(y, p),
            "pearson": np.corrcoef(y, p)[0, 1],
            "spearman": np.corrcoef(y.argsort().argsort(), p.argsort().argsort())[0, 1],
        }
        scores = got["per_target"][name]
        low, high = scores.pop("mean_absolute_error_interval")
        assert scores == pytest.approx(expected)
        assert low < scores["mean_absolute_error"] < high
    assert got["r2"] == pytest.approx(sk.r2_score(targets, found))
    json.dumps(got)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    errors = np.abs(rng.normal(0, 1, (400, 60)))
    covered = 0
    for row in errors:
        found = regression_metrics(np.zeros((60, 1)), row[:, None], ["x"])
        low, high = found["mean_absolute_error_interval"]
        covered += low <= np.sqrt(2 / np.pi) <= high
    assert 0.90 <= covered / 400 <= 0.98


def test_missing_targets_are_left_out():
    targets, found = random_rows(31, 2)
    some = targets.copy()
    some[:9, 0] = np.nan
    some[3] = np.nan
    got = regression_metrics(some, found, NAMES)
    assert got["num_rows"] == 30
    only = regression_metrics(targets[9:, :1], found[9:, :1], ["stars"])
    assert got["per_target"]["stars"] == only["per_target"]["stars"]


def test_the_mean_is_the_answer_to_beat():
    train, test = random_rows(50, 3)[0], random_rows(20, 4)[0]
    train[:5, 1] = np.nan
    got = mean_baseline(train, test, NAMES)
    expected = sk.mean_absolute_error(test[:, 1], np.full(20, np.nanmean(train[:, 1])))
    assert got["per_target"]["price"]["mean_absolute_error"] == pytest.approx(expected)
    assert got["r2"] <= 0 and got["pearson"] == got["spearman"] == 0


def test_one_row_warns_of_nothing():
    got = regression_metrics([[2.0]], [[3.0]], ["x"])
    assert (got["mean_absolute_error"], got["r2"], got["pearson"]) == (1, 0, 0)
    assert got["mean_absolute_error_interval"] == [1, 1]


@pytest.mark.parametrize(
    ("targets", "found", "words"),
    [
        ([[1.0]], [[1.0, 2.0]], "2 in all"),
        ([[np.nan, np.nan]], [[1.0, 2.0]], "no number"),
        ([[1.0, 2.0]], [[1.0, np.inf]], "finite"),
        ([1.0, 2.0], [1.0, 2.0], "one column per target"),
    ],
)
def test_bad_input(targets, found, words):
    with pytest.raises(ValueError, match=words):
        regression_metrics(targets, found, NAMES)
