import pytest

from keras_mm.evaluation.verdict import find_verdict
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

HEAD = Head(classes=2)
MODEL = {"accuracy": 0.883, "accuracy_interval": [0.856, 0.908], "log_loss": 0.3}
MAJORITY = {"accuracy": 0.5, "log_loss": 0.69}
CLEAR = {"difference": 0.38, "interval": [0.3, 0.4], "significant": True}


def found(difference, low, high, significant):
    return {"difference": difference, "interval": [low, high], "significant": significant}


def verdict_of(**rivals):
    """The verdict beside the majority; rivals as accuracy and its difference."""
    baselines = {"majority": MAJORITY}
    differences = {"majority": {"accuracy": CLEAR, "log_loss": found(-0.39, -0.4, -0.3, True)}}
    for name, (accuracy, difference) in rivals.items():
        baselines[name] = {"accuracy": accuracy, "log_loss": 0.9}
        differences[name] = {"accuracy": difference, "log_loss": found(-0.6, -0.7, -0.5, True)}
    return find_verdict(HEAD, MODEL, baselines, differences)


def test_the_model_is_compared_with_the_best_baseline_of_each_score():
    verdict = verdict_of(lexical=(0.771, found(0.112, 0.08, 0.145, True)))
    assert verdict.better and verdict.headline == "Better than the best baseline."
    assert verdict.sentence == (
        "Accuracy .883 [.856, .908]: better than the best baseline (lexical, .771) by .112 "
        "[.080, .145]; log loss .300, better than majority (.690) by .390 [.300, .400]."
    )


def test_a_difference_that_may_be_chance_is_not_distinguishable():
    verdict = verdict_of(linear=(0.89, found(-0.007, -0.03, 0.02, False)))
    assert not verdict.better
    assert verdict.headline == "Not distinguishable from the best baseline."
    assert (
        "not distinguishable from the best baseline (linear, .890), ahead by -.007 [-.030, .020]"
        in (verdict.sentence)
    )


def test_a_worse_model_is_said_to_be_worse_by_an_amount_above_0():
    verdict = verdict_of(linear=(0.95, found(-0.067, -0.09, -0.04, True)))
    assert not verdict.better and verdict.headline == "Worse than the best baseline."
    assert "worse than the best baseline (linear, .950) by .067 [.040, .090]" in verdict.sentence


def test_a_probe_that_is_as_good_does_not_hide_the_best_other_baseline():
    rivals = {
        "linear_probe": (0.88, found(0.003, -0.01, 0.02, False)),
        "lexical": (0.771, found(0.112, 0.08, 0.145, True)),
    }
    verdict = verdict_of(**rivals)
    assert not verdict.better
    assert (
        "(linear probe, .880), ahead by .003 [-.010, .020]; better than the best baseline without "
        "encoders of this model (lexical, .771) by .112" in verdict.sentence
    )


def test_numbers_have_their_unit():
    head = Head("regression", classes=("x",), column="x")
    metrics = {"mean_absolute_error": 12.345678, "r2": 0.5}
    mean = {"mean_absolute_error": 20.0, "r2": -0.01}
    differences = {
        "mean": {
            "mean_absolute_error": found(-7.654322, -9.0, -5.0, True),
            "r2": found(0.51, 0.4, 0.6, True),
        }
    }
    verdict = find_verdict(head, metrics, {"mean": mean}, differences)
    assert verdict.sentence == (
        "Mean absolute error 12.35: better than the baseline (mean, 20) by 7.654 [5, 9]; R² .500, "
        "better than mean (-.010) by .510 [.400, .600]."
    )


def test_a_head_without_labels_is_not_judged():
    assert find_verdict(HEAD, {}, {}, {}).headline == "Not evaluated."
