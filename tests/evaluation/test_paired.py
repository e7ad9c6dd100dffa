"""Two models on the same rows."""

import json

import numpy as np
import pandas as pd
import pytest

from keras_mm.evaluation.paired import compare_predictions
from keras_mm.metrics import bootstrap_difference, mcnemar
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head
from tests.evaluation.made import logits_of, made

pytestmark = pytest.mark.backend_free

HEAD = Head(classes=("a", "b", "c"))


def pair(num_rows=90, wrong=(8, 30), seed=0):
    """Labels, and the logits of two models that are wrong on so many rows."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, num_rows)
    noise = rng.normal(scale=0.3, size=(2, num_rows, 3))
    answers = []
    for count in wrong:
        answer = labels.copy()
        answer[:count] = (answer[:count] + 1) % 3
        answers.append(answer)
    return labels, [
        logits_of(answer, 3) + part for answer, part in zip(answers, noise, strict=True)
    ]


def test_differences_are_those_of_arrays():
    labels, logits = pair()
    got = compare_predictions(*(made(HEAD, labels, part) for part in logits))
    found = [probabilities(part) for part in logits]
    assert list(got.differences) == ["accuracy", "macro_f1", "log_loss"] and got.num_rows == 90
    for score, difference in got.differences.items():
        assert difference == pytest.approx(bootstrap_difference(labels, *found, score))
    assert got.mcnemar == mcnemar(*(part.argmax(axis=1) == labels for part in found))
    assert got.mcnemar.only_first > 15 and got.mcnemar.p_value < 1e-4
    text = str(got)
    assert "accuracy: the first is better, +0.2" in text
    assert "log loss: the first is better, -0." in text and text.endswith("90 rows")
    assert json.loads(json.dumps(got.to_dict()))["mcnemar"]["only_second"] == 0


def test_the_same_model_does_not_differ():
    labels, logits = pair()
    same = compare_predictions(*[made(HEAD, labels, logits[0])] * 2)
    assert all(one == (0, 0, 0, 1) for one in same.differences.values())
    assert same.mcnemar.p_value == 1 and "no significant difference" in str(same)


def test_rows_and_classes_in_another_order():
    labels, logits = pair()
    labels[5] = -1
    expected = compare_predictions(*(made(HEAD, labels, part) for part in logits))
    order, classes = np.random.default_rng(1).permutation(90), [2, 0, 1]
    other = made(
        Head(classes=("c", "a", "b")),
        np.where(labels < 0, -1, np.argsort(classes)[labels])[order],
        logits[1][order][:, classes],
        index=order,
    )
    got = compare_predictions(made(HEAD, labels, logits[0]), other)
    assert got.num_rows == 89 and got.mcnemar == expected.mcnemar
    for score, difference in got.differences.items():
        assert difference == pytest.approx(expected.differences[score])


def test_groups_and_weights():
    labels, logits = pair()
    weights = np.where(np.arange(90) < 30, 0.0, 1.0)
    evaluations = [made(HEAD, labels, part, weights=weights) for part in logits]
    got = compare_predictions(*evaluations)
    assert got.num_rows == 60 and got.differences["accuracy"].value == 0
    plain = [made(HEAD, labels, part) for part in logits]
    grouped = compare_predictions(*plain, groups=np.arange(90) // 10)
    single = compare_predictions(*plain)
    assert grouped.mcnemar is None
    widths = [one.differences["accuracy"].high - one.differences["accuracy"].low
              for one in (grouped, single)]  # fmt: skip
    assert widths[0] > 1.5 * widths[1]


def test_several_labels_with_thresholds_of_their_own():
    rng = np.random.default_rng(2)
    labels = rng.integers(-1, 2, (60, 2))
    logits = rng.normal(size=(60, 2)) + 2 * labels
    heads = [Head("multilabel", ("x", "y"), threshold=t) for t in (0.5, {"y": 0.99})]
    other = made(Head("multilabel", ("y", "x"), threshold={"y": 0.99}), labels[:, ::-1],
                 logits[:, ::-1])  # fmt: skip
    evaluations = [made(head, labels, logits) for head in heads]
    got = compare_predictions(*evaluations)
    assert got.differences["log_loss"].value == 0
    scores = [one.metrics["subset_accuracy"] for one in evaluations]
    assert got.differences["subset_accuracy"].value == pytest.approx(scores[0] - scores[1])
    assert got.mcnemar.only_first > got.mcnemar.only_second
    assert compare_predictions(evaluations[0], other).mcnemar == got.mcnemar


def test_numbers():
    rng = np.random.default_rng(3)
    targets = rng.normal(size=(50, 1))
    targets[4] = np.nan
    head = Head("regression", ("stars",))
    first, second = (
        made(head, targets, np.nan_to_num(targets) + rng.normal(scale=scale, size=(50, 1)))
        for scale in (0.2, 1.0)
    )
    got = compare_predictions(first, second)
    assert got.mcnemar is None and got.num_rows == 49
    error = got.differences["mean_absolute_error"]
    assert error.high < 0 < got.differences["r2"].low
    assert "mean absolute error: the first is better" in str(got)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"index": range(1, 91)}, "Only the first have row 0"),
        ({"head": Head(classes=("a", "b", "d"))}, r"Only the first has \['c'\]"),
        ({"labels": (pair()[0] + (np.arange(90) == 7)) % 3}, "Row 7 has another label"),
        ({"weights": np.arange(1.0, 91.0)}, "Row 1 has another weight"),
        ({"name": "kind"}, "Unknown head 'label'"),
        ({"index": [0] * 90}, "repeated"),
        (
            {
                "head": Head("multilabel", ("a", "b", "c")),
                "labels": np.eye(3, dtype=int)[pair()[0]],
            },
            "of one kind. Received: multiclass and multilabel",
        ),
    ],
)
def test_mistakes(changes, match):
    labels, logits = pair()
    first = made(HEAD, labels, logits[0])
    arguments = {"head": HEAD, "labels": labels, "logits": logits[1], **changes}
    with pytest.raises(ValueError, match=match):
        compare_predictions(first, made(**arguments))


def test_fewer_rows_are_other_rows():
    labels, logits = pair()
    first, second = (
        made(HEAD, labels[:count], part[:count])
        for count, part in zip((90, 80), logits, strict=True)
    )
    with pytest.raises(ValueError, match="Only the first have row 80 and 9 more"):
        compare_predictions(first, second)
    with pytest.raises(ValueError, match="Only the second have row 80"):
        compare_predictions(second, first)


def test_results_of_repeated_indexes_are_compared_if_they_are_equal():
    labels, logits = pair()
    index = pd.Index(["x", "y", "z"] * 30)
    got = compare_predictions(*(made(HEAD, labels, part, index=index) for part in logits))
    assert got.num_rows == 90
