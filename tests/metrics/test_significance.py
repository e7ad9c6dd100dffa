import numpy as np
import pytest
from scipy import stats

from keras_mm.metrics import corrected_t_test, holm, mcnemar

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(("only_first", "only_second"), [(4, 1), (0, 6), (7, 7), (130, 95)])
def test_mcnemar_is_the_exact_binomial_test(only_first, only_second):
    first = np.repeat([True, False, True, False], [only_first, only_second, 9, 3])
    second = np.repeat([False, True, True, False], [only_first, only_second, 9, 3])
    got = mcnemar(first, second)
    assert got[:2] == (only_first, only_second)
    expected = stats.binomtest(only_first, only_first + only_second).pvalue
    assert got.p_value == pytest.approx(expected)


def test_mcnemar_of_models_that_agree():
    assert mcnemar([True, False], [True, False]) == (0, 0, 1)


def test_mcnemar_with_weights():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 80)) < [[0.8], [0.6]]
    plain = mcnemar(first, second)
    scaled = mcnemar(first, second, sample_weight=np.full(80, 3.0))
    assert scaled.only_first == 3 * plain.only_first
    assert scaled.p_value == pytest.approx(plain.p_value)
    heavy = np.where(np.arange(80) < 5, 50.0, 1.0)
    assert mcnemar(first, second, sample_weight=heavy).p_value > plain.p_value
    counted = (np.arange(80) < 40).astype(float)
    assert mcnemar(first, second, sample_weight=counted).p_value == pytest.approx(
        mcnemar(first[:40], second[:40]).p_value
    )


def test_mcnemar_of_models_that_guess_alike():
    rng = np.random.default_rng(1)
    rows = rng.random((1000, 2, 60)) < 0.7
    weights = rng.exponential(size=60)
    for options in ({}, {"sample_weight": weights}):
        found = [mcnemar(first, second, **options).p_value <= 0.05 for first, second in rows]
        assert np.mean(found) <= 0.06


def test_corrected_t_test_by_hand():
    differences = np.array([0.02, 0.01, 0.03, 0.02, -0.01])
    got = corrected_t_test(differences, 80, 20)
    t = differences.mean() / np.sqrt(differences.var(ddof=1) * (1 / 5 + 20 / 80))
    assert got.value == pytest.approx(0.014)
    assert got.p_value == pytest.approx(2 * stats.t.sf(t, 4))
    assert got.low < 0 < got.high
    # Without test rows, it is the plain t-test.
    plain = corrected_t_test(differences, 1e12, 1)
    assert plain.p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert (plain.low, plain.high) == pytest.approx(
        tuple(stats.ttest_1samp(differences, 0).confidence_interval())
    )


def test_corrected_t_test_without_variance():
    assert corrected_t_test([0.0, 0.0], 4, 1) == (0, 0, 0, 1)
    assert corrected_t_test([0.1, 0.1], 4, 1).p_value == 0


def test_the_correction_keeps_the_error_rate_over_repeated_folds():
    """Two rules that guess, compared on 10 x 5 folds; the plain t-test is wrong far more often."""
    rng = np.random.default_rng(2)
    wrong = {"corrected": 0, "plain": 0}
    for _ in range(300):
        # Each fold's difference is of rows in it, of which all repetitions draw from one sample.
        rows = rng.integers(-1, 2, 100).astype(float)
        shuffled = rng.permuted(np.tile(rows, (10, 1)), axis=1)
        noise = rng.normal(scale=0.2, size=(10, 5))
        differences = (shuffled.reshape(10, 5, 20).mean(axis=2) + noise).ravel()
        wrong["corrected"] += corrected_t_test(differences, 80, 20).p_value <= 0.05
        wrong["plain"] += stats.ttest_1samp(differences, 0).pvalue <= 0.05
    assert wrong["corrected"] / 300 <= 0.06 < wrong["plain"] / 300


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([0.2]).tolist() == [0.2] and holm([]).tolist() == []


def test_holm_keeps_the_error_rate_over_all_tests():
    p_values = np.random.default_rng(3).uniform(size=(2000, 9))
    assert np.mean([holm(values).min() <= 0.05 for values in p_values]) <= 0.06


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mcnemar([True], [True, False]), r"\(1,\) and \(2,\)"),
        (lambda: mcnemar(["a", "b"], [True, False]), "labels == predictions"),
        (lambda: corrected_t_test([0.1], 80, 20), "at least 2"),
        (lambda: corrected_t_test([0.1, np.nan], 80, 20), "finite"),
        (lambda: corrected_t_test([0.1, 0.2], 0, 20), "`train_size`"),
        (lambda: corrected_t_test([0.1, 0.2], 80, 20, confidence=1), "`confidence`"),
        (lambda: holm([0.1, 1.2]), r"\[0, 1\]"),
        (lambda: holm([0.1, np.nan]), r"\[0, 1\]"),
    ],
)
def test_mistakes(call, match):
    with pytest.raises(ValueError, match=match):
        call()
