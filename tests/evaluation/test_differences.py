import numpy as np
import pytest

from keras_mm.evaluation.differences import COMPARED, score_differences
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

RANDOM = np.random.default_rng(0)
HEAD = Head(classes=2)


def answers(labels, num_wrong, sure=0.9):
    """Probabilities; the first rows are wrong."""
    right = labels.copy()
    right[:num_wrong] = 1 - right[:num_wrong]
    return np.where(np.eye(2)[right] > 0, sure, 1 - sure)


LABELS = RANDOM.integers(0, 2, 211)


def test_a_clear_difference_is_significant_and_a_small_one_is_not():
    model = answers(LABELS, 11)
    clear = score_differences(HEAD, LABELS, model, answers(LABELS, 71))
    assert list(clear) == list(COMPARED["multiclass"])
    assert clear["accuracy"]["difference"] == pytest.approx(60 / 211)
    low, high = clear["accuracy"]["interval"]
    assert 0.2 < low < 60 / 211 < high < 0.36 and clear["accuracy"]["p_value"] < 0.01
    assert clear["accuracy"]["significant"] and clear["log_loss"]["significant"]
    assert clear["log_loss"]["difference"] < 0  # a loss: lower is better
    small = score_differences(HEAD, LABELS, model, answers(LABELS, 14))
    assert not small["accuracy"]["significant"]


def test_the_same_predictions_do_not_differ():
    found = score_differences(HEAD, LABELS, answers(LABELS, 11), answers(LABELS, 11))
    assert all(scores["difference"] == 0 and not scores["significant"] for scores in found.values())


@pytest.mark.parametrize("num_rows", [1, 9])
def test_few_rows_show_nothing(num_rows):
    labels = LABELS[:num_rows]
    found = score_differences(HEAD, labels, answers(labels, 0), answers(labels, num_rows))
    assert found["accuracy"]["difference"] == 1 and not found["accuracy"]["significant"]


def test_four_rows_that_only_one_gets_right_are_too_few():
    # The bootstrap alone says the difference is above 0: exp(-4) is less than 2.5%.
    found = score_differences(HEAD, LABELS, answers(LABELS, 0), answers(LABELS, 4))
    assert found["accuracy"]["interval"][0] > 0 and not found["accuracy"]["significant"]


def test_rows_of_a_group_do_not_count_as_independent():
    groups = np.repeat(np.arange(14), 20)[:211]
    labels = LABELS
    model, other = answers(labels, 0), answers(labels, 30)  # all in two groups
    plain = score_differences(HEAD, labels, model, other)
    grouped = score_differences(HEAD, labels, model, other, groups=groups)
    assert plain["accuracy"]["significant"] and not grouped["accuracy"]["significant"]
    assert grouped["accuracy"]["interval"][1] > plain["accuracy"]["interval"][1]
    single = score_differences(HEAD, labels, model, other, groups=np.zeros(211, int))
    assert single == plain


def test_rows_without_label_or_weight_do_not_count():
    labels = np.r_[LABELS, [-1, -1, 1]]
    model, other = (np.r_[answers(LABELS, n), np.full((3, 2), 0.5)] for n in (3, 40))
    weights = np.r_[np.ones(213), 0.0]
    plain = score_differences(HEAD, LABELS, model[:211], other[:211], sample_weight=np.ones(211))
    assert score_differences(HEAD, labels, model, other, sample_weight=weights) == plain


def test_each_model_answers_with_its_own_thresholds():
    head = Head("multilabel", classes=("a", "b"), threshold=(0.2, 0.5))
    labels = RANDOM.integers(0, 2, (53, 2))
    model = np.where(labels > 0, [0.3, 0.9], [0.1, 0.1])
    found = score_differences(
        head, labels, model, labels * 0.9, baseline_head=Head("multilabel", classes=("a", "b"))
    )
    assert found["subset_accuracy"]["difference"] == 0


def test_numbers_are_compared_by_error_and_r2():
    targets = RANDOM.normal(size=(61, 1))
    head = Head("regression", classes=("x",), column="x")
    found = score_differences(head, targets, targets + 0.1, np.zeros((61, 1)))
    assert found["mean_absolute_error"]["significant"] and found["r2"]["significant"]
    assert found["mean_absolute_error"]["difference"] < 0 < found["r2"]["difference"]
