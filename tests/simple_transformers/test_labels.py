"""Labels: which there are, in which order, and their weights."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

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
    class_weight,
    classes_of,
    in_order,
    label_form,
    label_problems,
)

pytestmark = pytest.mark.backend_free


def cells(*labels):
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
    with pytest.raises(ValueError, match="the same labels in the same order"):
        in_order(["b", "a"], {"a": 0, "b": 1})
    with pytest.raises(ValueError, match="indices 0, 1, 2"):
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
    assert classes_of(pd.DataFrame({"labels": cells}), labels, number) == expected


def test_other_classes_than_are_said():
    with pytest.raises(ValueError, match="at least two labels. Received: all rows have 'a'"):
        classes_of(pd.DataFrame({"labels": ["a", "a"]}), [], 2)
    with pytest.raises(ValueError, match=r"3 labels \('a', 'b', 'c'\), but num_labels is 2"):
        classes_of(pd.DataFrame({"labels": ["a", "b", "c"]}), [], 2)


def test_automatic_weights():
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
    with pytest.raises(ValueError, match="must be 3, as in the trained model"):
        check_trained_count(4, [], head)


def test_class_weights_of_a_training():
    table = pd.DataFrame({"labels": ["a", "b", "b", "b"]})
    head, plain = Head("multiclass", ("a", "b"), "labels"), {"automatic": False, "trained": None}
    balanced = automatic_weights(table, head)
    assert class_weight(table, head, None, automatic=True, trained=None) == balanced
    assert class_weight(table, head, "balanced", **plain) == balanced
    assert class_weight(table, head, [1, 2], **plain) == (1, 2)
    assert class_weight(table, head, {"a": 2}, **plain) == {"a": 2}
    assert class_weight(table, head, None, **plain) is None


def test_a_trained_model_keeps_its_class_weights_until_labels_are_added():
    table = pd.DataFrame({"labels": ["a", "b", "b", "b"]})
    trained = Head("multiclass", ("a", "b"), "labels", class_weight=(1, 3))
    head = Head("multiclass", ("a", "b"), "labels")
    options = {"automatic": False, "trained": trained}
    assert class_weight(table, head, None, **options) == (1, 3)
    assert class_weight(table, head, [2, 1], **options) == (2, 1)
    wider = Head("multiclass", ("a", "b", "c"), "labels")
    assert class_weight(table, wider, None, **options) is None


def test_a_regression_has_no_class_weights():
    table, head = pd.DataFrame({"labels": [0.5, 1.5]}), Head("regression", None, "labels")
    assert class_weight(table, head, None, automatic=False, trained=None) is None
    with pytest.warns(UserWarning, match="A regression has no classes"):
        assert class_weight(table, head, None, automatic=True, trained=None) is None
