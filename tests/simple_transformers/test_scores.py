"""Results, with the figures that Simple Transformers' own tests and code give."""

from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.label_checks import (
    check_count,
    check_each,
    check_goes_on,
    check_number,
    check_trained_count,
)
from keras_mm.simple_transformers.labels import (
    automatic_weights,
    classes_of,
    in_order,
    label_form,
    label_problems,
)
from keras_mm.simple_transformers.scores import answers, results

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


def cells(*labels):
    import pandas as pd

    index = range(5, 5 + len(labels))
    return pd.DataFrame({"labels": pd.Series(labels, index=index, dtype=object)})


@pytest.mark.parametrize(
    ("labels", "table", "expected"),
    [
        (("0", "1"), cells(["0"], ["1"], ["1", "0"], [], None), False),
        ((0, 1), cells("1", "0|1", '["0"]'), False),
        (("a", "b"), cells(["b"], ["x", "b"], [1]), False),
        # A table without any text holds bits, as does one whose texts are no names.
        (("a", "b"), cells([0, 1], [1, 1]), None),
        (("a", "b"), cells(["0", "1"], ["1", "1"]), None),
        (3, cells(["0", "1", "1"], [1, 1, 0]), True),  # labels without names
        (None, cells(["a"], ["b"]), None),
    ],
)
def test_names_that_look_like_bits_are_names(labels, table, expected):
    assert label_form(table, Head("multilabel", labels)) is expected


def test_cells_that_are_no_label_of_one_class():
    found = label_problems(cells("a", ["b"], 3, None, object(), Fraction(1, 2), True, 0.5))
    assert [problem.row for problem in found] == [6, 9, 10]
    assert all("must be a text, a number or a bool" in str(problem) for problem in found)


def test_labels_in_order():
    assert in_order(["a", "b"]) == in_order([], {"b": 1, "a": 0}) == ["a", "b"]
    assert in_order(["a", "b"], {"a": 0, "b": 1}) == ["a", "b"]
    assert in_order(np.array([3, 1])) == [3, 1] and in_order(None) == []
    with pytest.raises(ValueError, match="must be a list"):
        in_order({"a", "b"})
    with pytest.raises(ValueError, match="differ"):
        in_order(["b", "a"], {"a": 0, "b": 1})
    with pytest.raises(ValueError, match="places 0, 1, 2"):
        in_order([], {"a": 1, "b": 2})


def test_counts():
    check_count("labels_list", ["a", "b"], 2)
    check_count("labels_list", [], 2)
    with pytest.raises(ValueError, match="`labels_list` must have `num_labels` labels.*2 labels"):
        check_count("labels_list", ["a", "b"], 3)
    with pytest.raises(ValueError, match="twice"):
        check_count("label_list", ["a", "a"], None)
    for right in (None, "balanced", {"a": 2}, [1, 2], np.ones(2), (1, 2)):
        check_each("weight", right, 2)
    check_each("threshold", 0.5, 2, single=True)
    with pytest.raises(ValueError, match="`weight` must have a number for each label. Received: 3"):
        check_each("weight", 3.0, 2)
    for wrong in ([1, -1], [1, None], ["1", 2], [1, float("nan")], [True, 1]):
        with pytest.raises(ValueError, match="`weight` must have a finite number >= 0 for each"):
            check_each("weight", wrong, 2)
    check_number(None)
    for wrong in (0, "2", 2.0, True):
        with pytest.raises(ValueError, match="`num_labels` must be an integer >= 1"):
            check_number(wrong)
    for wrong in ([1], [1, 2, 3], np.ones(3)):
        with pytest.raises(ValueError, match="`weight` must have a number for each label, 2"):
            check_each("weight", wrong, 2)


@pytest.mark.parametrize(
    ("cells", "labels", "number", "expected"),
    [
        ([1, 0], [], 2, (0, 1)),
        ([1, 1], [], 2, (0, 1)),
        ([1, 0], [], 4, (0, 1, 2, 3)),
        (["1", "0"], [], 3, ("0", "1", "2")),
        (["b", "a"], [], 2, ("a", "b")),
        ([3, 1, 2], [], 3, (1, 2, 3)),
        (["b", "a", "c"], [], None, ("a", "b", "c")),
        (["b", "a"], ["b", "c", "a"], 3, ("b", "c", "a")),
    ],
)
def test_classes(cells, labels, number, expected):
    import pandas as pd

    assert classes_of(pd.DataFrame({"labels": cells}), labels, number) == expected


def test_other_classes_than_are_said():
    import pandas as pd

    with pytest.raises(ValueError, match="All rows have the label 'a'"):
        classes_of(pd.DataFrame({"labels": ["a", "a"]}), [], 2)
    with pytest.raises(ValueError, match=r"3 labels \('a', 'b', 'c'\), and num_labels is 2"):
        classes_of(pd.DataFrame({"labels": ["a", "b", "c"]}), [], 2)


def test_automatic_weights():
    import pandas as pd

    table = pd.DataFrame({"labels": [[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]]})
    head = Head("multilabel", 3, "labels")
    assert automatic_weights(table, head) == (4 / 3, 4, 4)
    classes = pd.DataFrame({"labels": ["a", "b", "b", "b"]})
    found = automatic_weights(classes, Head("multiclass", ("a", "b"), "labels"))
    assert found[0] == pytest.approx(3 * found[1])
    assert automatic_weights(classes.assign(labels=1.0), Head("regression", None, "labels")) is None


def test_labels_of_a_model_that_goes_on():
    check_goes_on("labels_list", ["a", "b", "c"], ("a", "b"))
    check_goes_on("labels_list", [], ("a", "b"))
    with pytest.raises(ValueError, match="must begin with the labels"):
        check_goes_on("labels_list", ["b", "a"], ("a", "b"))
    head = Head("multilabel", 3)
    check_trained_count(3, [], head)
    check_trained_count(4, list("abcd"), head)
    with pytest.raises(ValueError, match="must be 3, what the model was trained with"):
        check_trained_count(4, [], head)


def test_a_tie_is_a_label_or_the_place_of_one():
    from keras_mm.simple_transformers.args import ClassificationArgs
    from keras_mm.simple_transformers.translation import window_settings

    def tie(value, head):
        args = ClassificationArgs(sliding_window=True, tie_value=value)
        return window_settings(args, head, False)["tie_value"]

    assert tie(1, Head(classes=("x", "y"))) == "y" and tie("x", Head(classes=("x", "y"))) == "x"
    assert tie(1, Head(classes=(1, 0))) == 1 and tie(1, Head("regression")) is None
    with pytest.raises(ValueError, match="`tie_value` must be one of"):
        tie(2, Head(classes=("x", "y")))
    assert window_settings(ClassificationArgs(), Head(classes=2), False) is None
