import json

import numpy as np
import pytest

from keras_mm.inference.decisions.abstention import NEVER
from keras_mm.inference.decisions.answers import in_set, threshold_answers
from keras_mm.inference.decisions.fit import fit_head_decisions
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.inference.decisions.options import Options
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

KIND = Head(classes=("a", "b", "c"))
TAGS = Head("multilabel", ("old", "red", "big"))
SIZE = Head("regression", ("height", "width"))


def fitted(head, labels, logits, sample_weight=None, **options):
    return fit_head_decisions(
        "kind", head, labels, logits, Options(**options), sample_weight=sample_weight
    )


def test_classes(drawn):
    labels, logits = drawn(1000, num_classes=3)
    head, found = fitted(KIND, labels, logits)
    assert head is KIND and found.num_rows == 1000 and found.source == "rows"
    assert found.temperature == pytest.approx(2, rel=0.15) and len(found.set_limits) == 1
    assert found.offsets is None and found.costs is None and found.half_widths == ()
    chosen = in_set(head, found, logits)
    assert chosen[np.arange(1000), labels].sum() == 901  # ceil(1001 * 0.9)
    assert 0 < found.min_confidence < 1
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert HeadDecisions.from_dict({**values, "of_a_later_version": 1}) == found


def test_missing_labels_and_rows_of_weight_0_do_not_count(drawn):
    labels, logits = drawn(300, num_classes=3)
    alone = fitted(KIND, labels[100:], logits[100:], metric="macro_f1")[1]
    missing = np.where(np.arange(300) < 100, -1, labels)
    assert fitted(KIND, missing, logits, metric="macro_f1")[1] == alone
    logits[:100] = np.nan
    weights = (np.arange(300) >= 100).astype(float)
    weighted = fitted(KIND, labels, logits, weights, metric="macro_f1")[1]
    assert weighted.num_rows == 200
    assert weighted.temperature == pytest.approx(alone.temperature)
    assert weighted.offsets == alone.offsets and weighted.set_limits == pytest.approx(
        alone.set_limits
    )


def test_two_classes_of_one_logit_and_of_two_decide_alike(drawn):
    labels, logits = drawn(400, num_classes=2)
    one = (logits[:, 1:] - logits[:, :1],)
    two = fitted(Head(classes=2), labels, logits, metric="macro_f1")[1]
    found = fitted(Head("binary"), labels, *one, metric="macro_f1")[1]
    for name in ("temperature", "offsets", "set_limits", "min_confidence"):
        assert getattr(found, name) == pytest.approx(getattr(two, name), rel=1e-6), name


def test_several_labels_have_thresholds_in_the_head(drawn):
    generator = np.random.default_rng(0)
    logits = generator.normal(-2, 2, (500, 3))
    labels = (generator.random((500, 3)) < 1 / (1 + np.exp(-logits))).astype(int)
    labels[:50, 1] = -1
    head, found = fitted(TAGS, labels, logits)
    assert head.threshold != TAGS.threshold and len(head.threshold) == 3
    assert found.metric == "f1" and found.offsets is None
    lost = ~in_set(head, found, logits) & (labels == 1)
    assert (~lost.any(axis=1)).sum() >= 451
    assert found.min_confidence <= 1

    def constant(true, predicted):
        return 0.0

    assert fitted(TAGS, labels, logits, metric=constant)[1].metric == "constant"


def test_numbers_have_intervals():
    targets = np.arange(200.0).reshape(100, 2)
    targets[:95, 1] = np.nan
    with pytest.warns(UserWarning, match="'kind' has 100 held-out rows.*intervals have no ends"):
        _, found = fitted(SIZE, targets, np.zeros((100, 2)))
    assert found.half_widths == (180.0, None) and found.set_limits == ()
    assert found.temperature == 1 and found.min_confidence is None
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("num_rows", [1, 8])
def test_few_rows_have_sets_of_every_label(drawn, num_rows):
    labels, logits = drawn(num_rows, num_classes=3)
    with pytest.warns(UserWarning, match="held-out rows with a label, and an error of 0.1 needs 9"):
        _, found = fitted(KIND, labels, logits, metric="macro_f1")
    assert in_set(KIND, found, logits).all() and found.min_confidence == NEVER
    assert 0.1 < found.temperature < 10


def test_a_class_without_held_out_rows_is_named(drawn):
    labels, logits = drawn(200, num_classes=3)
    labels[labels == 1] = 2
    found = fitted(KIND, labels, logits, metric="macro_f1")[1]
    assert np.isfinite(found.offsets).all()
    with pytest.warns(UserWarning) as warned:
        _, found = fitted(KIND, labels, logits, classwise=True)
    assert any("holds ['b']: only [0] held-out rows" in str(one.message) for one in warned)
    assert found.set_limits[1] == 0 and in_set(KIND, found, logits)[:, 1].all()


def test_answers_that_are_always_wrong_are_never_given(drawn):
    labels, logits = drawn(100, num_classes=3)
    wrong = (logits.argmax(axis=1) + 1) % 3
    with pytest.warns(UserWarning, match="decide='abstain' answers no row"):
        assert fitted(KIND, wrong, logits)[1].min_confidence == NEVER


@pytest.mark.parametrize("error", [0, 1, -0.1, 1.5, float("nan"), "0.1", True])
def test_bad_errors(error):
    with pytest.raises(ValueError, match=r"`error` must be a number in \(0, 1\)"):
        Options(error=error)


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        (KIND, {"metric": "f1"}, "`metric` of classes must be one of"),
        (KIND, {"metric": "macro_f1", "costs": {}}, "pass one of them"),
        (KIND, {"costs": {"d": 1}}, "`costs` names 'd'"),
        (TAGS, {"costs": {"old": 1}}, "`costs` cannot be used for 'kind', a multilabel head"),
        (TAGS, {"metric": "macro_f1"}, "`metric` must be 'f1' or a function"),
        (SIZE, {"metric": "f1"}, "`metric` cannot be used for 'kind', a regression head"),
        (SIZE, {"classwise": True}, "`classwise` cannot be used for 'kind'"),
    ],
)
def test_what_a_kind_does_not_have_is_refused(head, options, message):
    labels = np.zeros(20, int) if head is KIND else np.zeros((20, head.num_classes))
    with pytest.raises(ValueError, match=message):
        fitted(head, labels, np.zeros((20, head.num_logits)), **options)


def test_no_labels_and_no_finite_logits():
    with pytest.raises(ValueError, match="No held-out row has a label of the head 'kind'"):
        fitted(KIND, np.full(20, -1), np.zeros((20, 3)))
    logits = np.zeros((20, 3))
    logits[[4, 7], 1] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"NaN or infinite values for 2 of 20 .*\[4, 7\]"):
        fitted(KIND, np.zeros(20, int), logits)


def test_costs_and_offsets_change_the_answers(drawn):
    labels, logits = drawn(500, num_classes=3)
    logits -= [0, 0, 4]  # a model that neglects a class
    before = threshold_answers(KIND, fitted(KIND, labels, logits)[1], logits)
    np.testing.assert_array_equal(before, logits.argmax(axis=1))
    for options in ({"costs": {"c": 9}}, {"metric": "balanced_accuracy"}):
        answers = threshold_answers(KIND, fitted(KIND, labels, logits, **options)[1], logits)
        assert (answers == 2).sum() > (before == 2).sum()
