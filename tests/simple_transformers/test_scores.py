"""Results, with the figures that Simple Transformers' own tests and code give."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.scores import answers, check_metric_name, results

pytestmark = pytest.mark.backend_free


def logit(probability):
    return np.log(probability) - np.log1p(-np.asarray(probability))


def test_weighted_cross_entropy():
    logits, labels = np.array([[2.0, 0], [2, 0]], "float32"), np.array([1, 0])
    plain = results(Head(classes=2), labels, logits, {})
    weighted = results(Head(classes=2, class_weight=(1, 3)), labels, logits, {})
    assert plain["eval_loss"] == pytest.approx(1.126928, abs=1e-6)
    assert weighted["eval_loss"] == pytest.approx(1.626928, abs=1e-6)


def test_weighted_labels():
    logits, labels = np.zeros((1, 3), "float32"), np.array([[1, 0, 1]])
    plain = results(Head("multilabel", 3), labels, logits, {})
    weighted = results(Head("multilabel", 3, class_weight=(1, 2, 3)), labels, logits, {})
    assert plain["eval_loss"] == pytest.approx(0.693147, abs=1e-6)
    assert weighted["eval_loss"] == pytest.approx(1.155245, abs=1e-6)


@pytest.mark.parametrize(
    ("threshold", "expected"), [((0.25, 0.9, 0.6), [1, 0, 1]), (0.5, [0, 1, 1]), (0, [1, 1, 1])]
)
def test_thresholds(threshold, expected):
    head = Head("multilabel", 3, threshold=threshold)
    found, _ = answers(head, logit(np.array([[0.3, 0.8, 0.6 + 1e-9]])))
    assert found[0].tolist() == expected


def test_two_classes():
    logits = np.array([[0, 2], [2, 0], [2, 0], [2, 0]], "float32")
    found = results(Head(classes=2), np.array([1, 0, 1, 0]), logits, {})
    assert (found["tp"], found["tn"], found["fp"], found["fn"]) == (1, 2, 0, 1)
    assert found["mcc"] == pytest.approx(0.57735, abs=1e-5)
    assert found["f1_score"] == pytest.approx(0.73333, abs=1e-5)
    assert (found["accuracy"], found["auroc"], found["auprc"]) == (0.75, 0.75, 0.75)


def test_many_classes():
    found = results(Head(classes=3), np.array([0, 1, 2]), np.eye(3, dtype="float32"), {})
    assert set(found) == {"mcc", "accuracy", "f1_score", "eval_loss"}
    assert found["mcc"] == found["accuracy"] == found["f1_score"] == 1


def test_several_labels():
    probabilities = np.array([[0.75, 0.5, 1 - 1e-9], [1 - 1e-9, 0.2, 0.1]])
    labels = np.array([[1, 0, 0], [0, 0, 1]])
    found = results(Head("multilabel", 3), labels, logit(probabilities), {})
    assert found["LRAP"] == pytest.approx(0.416667, abs=1e-6)
    assert {"accuracy", "f1_score", "auroc", "auprc", "eval_loss"} < set(found)


def test_numbers():
    labels, logits = np.array([[1.0], [3.0]]), np.array([[1.0], [5.0]], "float32")
    found = results(
        Head("regression"), labels, logits, {"most": lambda y, p: abs(y - p).max()},
        loss="mean_squared_error",
    )  # fmt: skip
    assert found["eval_loss"] == pytest.approx(2) and found["mae"] == 1 and found["most"] == 2


def test_functions_get_answers_or_probabilities():
    logits, labels = np.array([[2.0, 0], [0, 1]], "float32"), np.array([1, 1])
    seen = {}

    def keep(name):
        return lambda y, answered: seen.setdefault(name, (y, answered)) and 7

    found = results(
        Head(classes=("no", "yes")), labels, logits, {"a": keep("a"), "prob_b": keep("b")}
    )
    assert found["a"] == found["prob_b"] == 7
    assert seen["a"][0].tolist() == [1, 1] and seen["a"][1].tolist() == [0, 1]
    assert seen["b"][1].shape == (2, 2) and seen["b"][1].sum() == pytest.approx(2)
    real = results(Head(classes=2), labels, logits, {"f1": f1_score, "prob_loss": log_loss_of_two})
    assert real["f1"] == pytest.approx(2 / 3)
    assert real["prob_loss"] == pytest.approx(real["eval_loss"], abs=1e-6)


def log_loss_of_two(labels, probabilities):
    return log_loss(labels, probabilities, labels=[0, 1])


def test_functions_of_several_labels_may_all_get_probabilities():
    logits, labels, seen = np.array([[2.0, -1, 0]]), np.array([[1, 0, 1]]), []

    def keep(given, answered):
        seen.append((given.tolist(), answered))
        return 0

    for of_probabilities in (True, False):
        head = Head("multilabel", 3)
        results(head, labels, logits, {"a": keep}, of_probabilities=of_probabilities)
    assert seen[0][0] == seen[1][0] == [[1, 0, 1]]
    assert np.allclose(logit(seen[0][1]), logits) and seen[1][1].tolist() == [[1, 0, 1]]
    results(Head(classes=3), np.array([2]), logits, {"a": keep}, of_probabilities=True)
    assert seen[2][1].tolist() == [0]  # of classes there are no others than answers


def test_the_metric_of_early_stopping_must_be_one_of_the_results():
    for name in ("eval_loss", "mcc", "tp", "auroc", "mine"):
        check_metric_name(name, Head(classes=2), ["mine"])
    with pytest.raises(ValueError, match="'acuracy'. Did you mean 'accuracy'"):
        check_metric_name("acuracy", Head(classes=2), [])
    with pytest.raises(ValueError, match="'tp'"):
        check_metric_name("tp", Head(classes=3), [])
