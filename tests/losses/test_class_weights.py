import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from keras_mm.losses.class_weights import (
    balanced_class_weight,
    count_labels,
    effective_number_class_weight,
    resolve_class_weight,
)

CLASSES = ["Contradictory", "Implies", "NoEntailment"]
LABELS = np.repeat([0, 1, 2], [2, 3, 13])


def test_balanced_equals_sklearn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(balanced_class_weight(LABELS), expected)


def test_balanced_gives_every_class_the_same_total_and_rows_a_mean_of_one():
    weights = balanced_class_weight(LABELS)
    totals = weights * np.bincount(LABELS)
    np.testing.assert_allclose(totals, totals[0])
    assert weights[LABELS].mean() == pytest.approx(1)


def test_balanced_leaves_out_missing_labels_and_gives_absent_classes_zero():
    with_missing = np.append(LABELS, [-1, -1])
    np.testing.assert_allclose(balanced_class_weight(with_missing), balanced_class_weight(LABELS))
    weights = balanced_class_weight(LABELS + 1, num_classes=5)
    np.testing.assert_allclose(weights, [0, *balanced_class_weight(LABELS), 0])


def test_effective_number_is_the_papers_up_to_its_scale():
    beta, counts = 0.9, np.bincount(LABELS)
    weights = effective_number_class_weight(LABELS, beta=beta)
    effective = [sum(beta**i for i in range(count)) for count in counts]
    np.testing.assert_allclose(weights * effective, (weights * effective)[0])
    assert weights[LABELS].mean() == pytest.approx(1)


def test_effective_number_lies_between_no_weights_and_balanced():
    np.testing.assert_allclose(effective_number_class_weight(LABELS, beta=0), 1)
    balanced = balanced_class_weight(LABELS)
    near_one = effective_number_class_weight(LABELS, beta=1 - 1e-9)
    np.testing.assert_allclose(near_one, balanced, rtol=1e-6)
    ratios = [1, *(w[0] / w[2] for w in map(_effective, (0.3, 0.9, 0.999))), 13 / 2]
    assert ratios == sorted(ratios) and len(set(ratios)) == 5


def _effective(beta):
    return effective_number_class_weight(LABELS, beta=beta)


def test_effective_number_hardly_tells_large_classes_apart():
    labels = np.repeat([0, 1, 2], [20_011, 10_007, 11])
    weights = effective_number_class_weight(labels, beta=0.99)
    assert weights[0] == pytest.approx(weights[1], rel=1e-6)
    assert weights[2] > 8 * weights[0]


def test_effective_number_leaves_out_missing_labels_and_gives_absent_classes_zero():
    weights = effective_number_class_weight([*(LABELS + 1), -1, -1], num_classes=5)
    np.testing.assert_allclose(weights, [0, *effective_number_class_weight(LABELS), 0])


@pytest.mark.parametrize("beta", [-0.1, 1, 1.5, float("nan"), "0.9", None, True])
def test_bad_beta(beta):
    with pytest.raises(ValueError, match=r"`beta` must be in \[0, 1\).*Received: beta="):
        effective_number_class_weight(LABELS, beta=beta)
    with pytest.raises(ValueError, match="`beta`"):
        resolve_class_weight("effective_number", LABELS, CLASSES, beta=beta)


@pytest.mark.parametrize(
    "count", [balanced_class_weight, effective_number_class_weight, count_labels]
)
@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([0, 3], "below num_classes=3"),
        ([-1, -1], "no label to count"),
        ([], "no label to count"),
        (["a", "b"], "encode"),
        ([0.0, float("nan")], "encode"),
    ],
)
def test_labels_that_cannot_be_counted(count, labels, match):
    with pytest.raises(ValueError, match=match):
        count(labels, num_classes=3)


def test_resolve_every_way_of_writing():
    assert resolve_class_weight(None, LABELS, CLASSES) is None
    balanced = resolve_class_weight("balanced", LABELS, CLASSES)
    assert balanced == balanced_class_weight(LABELS).tolist()
    effective = resolve_class_weight("effective_number", LABELS, CLASSES, beta=0.7)
    assert effective == effective_number_class_weight(LABELS, beta=0.7).tolist()
    assert resolve_class_weight({"Implies": 4}, LABELS, CLASSES) == [1.0, 4.0, 1.0]
    assert resolve_class_weight({1: 4}, LABELS, [0, 1, 2]) == [1.0, 4.0, 1.0]
    assert resolve_class_weight({"1": 4}, LABELS, [0, 1, 2]) == [1.0, 4.0, 1.0]
    for sequence in ([1, 2, 3], (1, 2, 3), np.array([1, 2, 3], "float32")):
        assert resolve_class_weight(sequence, LABELS, np.array(CLASSES)) == [1.0, 2.0, 3.0]


def test_resolve_tells_all_mistakes_with_the_nearest_name():
    with pytest.raises(ValueError) as error:
        resolve_class_weight({"Implied": 2, "zzz": 1, "NoEntailment": -1}, LABELS, CLASSES)
    for part in ("'Implied'", "Did you mean 'Implies'?", "'zzz'", "finite and >= 0"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "class_weight", ["balance", [1, 2], [1, 2, 3, 4], [1, 2, float("nan")], {"Implies": "much"}, 3]
)
def test_resolve_mistakes(class_weight):
    with pytest.raises(ValueError, match="class_weight"):
        resolve_class_weight(class_weight, LABELS, CLASSES)
