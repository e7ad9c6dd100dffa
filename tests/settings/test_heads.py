"""Heads: plain data that cannot be wrong once it is made."""

import numpy as np
import pytest

from keras_mm.settings.heads import HEAD_LOSSES, Head, as_heads

pytestmark = pytest.mark.backend_free


def test_logits():
    assert (Head().num_classes, Head().num_logits) == (2, 2)
    assert (Head(classes=7).num_classes, Head(classes=7).num_logits) == (7, 7)
    binary = Head("binary", classes=["no", "yes"])
    assert (binary.num_classes, binary.num_logits) == (2, 1)
    assert binary.classes == ("no", "yes")
    assert Head(classes=np.array(["a", "b", "c"])).num_logits == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "many"}, "kind='many'"),
        ({"kind": "multilabel", "classes": 0}, "at least one label"),
        ({"kind": "multilabel", "classes": ()}, "at least one label"),
        ({"kind": "regression", "classes": 0}, "at least one target"),
        ({"kind": "regression", "class_weight": "balanced"}, "no classes to weigh"),
        ({"kind": "regression", "loss": "cross_entropy"}, "regression head must be one of"),
        ({"kind": "multilabel", "classes": 3, "loss": "logit_adjusted"}, "multilabel head must"),
        ({"loss": "focla"}, "Did you mean 'focal'"),
        ({"kind": "multilabel", "classes": 3, "threshold": [0.5]}, "3 in all"),
        ({"kind": "multilabel", "classes": ("a", "b"), "threshold": {"c": 0.5}}, "'c'"),
        ({"kind": "multilabel", "classes": 3, "threshold": 2}, r"in \[0, 1\]"),
        ({"threshold": 0.3}, "for multilabel heads"),
        ({"threshold": np.array([0.5, 0.5])}, "for multilabel heads"),
        ({"kind": "multilabel", "threshold": 7}, r"in \[0, 1\]"),
        ({"class_weight": "balancd"}, "class_weight='balancd'"),
        ({"classes": {"a", "b"}}, "must be a list of label names"),
        ({"classes": 3.0}, "must be a list of label names"),
        ({"classes": [["a"], ["b"]]}, "must be a list of label names"),
        ({"column": 5}, "`column` must be a column name"),
        ({"column": ()}, "`column` must be a column name"),
        (
            {"kind": "multilabel", "classes": 3, "column": ["a", "b"]},
            "a column for each class, 3 in all",
        ),
        (
            {"kind": "regression", "classes": 2, "column": "a"},
            "a column for each target, 2 in all",
        ),
        (
            {"kind": "multilabel", "classes": ("b", "a"), "column": ["a", "b"]},
            "must have the order of the columns",
        ),
        ({"loss_weight": -1}, "`loss_weight` must be >= 0"),
        ({"l2": float("nan")}, "`l2` must be >= 0"),
        ({"dropout_rate": 1.0}, r"`dropout_rate` must be in \[0, 1\)"),
        ({"classes": 1}, "at least two classes. Received: classes=1"),
        ({"classes": 0}, "at least two"),
        ({"classes": -3}, "at least two"),
        ({"classes": True}, "classes=True"),
        ({"classes": ("a",)}, "at least two"),
        ({"classes": ()}, "at least two"),
        ({"classes": ("a", "b", "a")}, "repeats a name"),
        ({"classes": "ab"}, "classes='ab'"),
        ({"kind": "binary", "classes": 3}, "exactly two classes"),
        ({"kind": "binary", "classes": ("a", "b", "c")}, "exactly two classes"),
    ],
)
def test_bad_heads(options, words):
    with pytest.raises(ValueError, match=words):
        Head(**options)


def test_kinds():
    labels = Head("multilabel", classes=("red", "round", "old"), threshold=(0.5, 0.2, 0.9))
    assert (labels.num_logits, labels.names) == (3, ("red", "round", "old"))
    assert Head("multilabel", classes=1).num_logits == 1
    assert (Head("regression").num_logits, Head("regression", classes=("x", "y")).num_logits) == (
        1,
        2,
    )
    assert Head(classes=3).names == (0, 1, 2)
    with pytest.raises(ValueError, match="needs `classes`"):
        _ = Head("multilabel").num_logits
    assert Head(column=["a", "b"]).column == ("a", "b")
    assert Head(classes=np.int64(3)) == Head(classes=3)


def test_all_mistakes_are_told_together():
    with pytest.raises(ValueError) as error:
        Head(classes=("a", "a"), loss="huber", l2=-1)
    for words in ("repeats a name", "loss='huber'", "l2=-1"):
        assert words in str(error.value)


def test_the_losses_are_those_that_can_be_created():
    from keras_mm.losses import _LOSSES

    assert {kind: tuple(losses) for kind, losses in _LOSSES.items()} == HEAD_LOSSES


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["Mood", "mood"], "'Mood' and 'mood' collide"),
        (["a b"], "'a b' cannot be the name"),
        ([""], "cannot be the name"),
        (["1st"], "cannot be the name"),
        (["a.b"], "cannot be the name"),
        ([3], "3 cannot be"),
    ],
)
def test_names(names, words):
    with pytest.raises(ValueError, match=words):
        as_heads(dict.fromkeys(names, Head()))


def test_heads_do_not_change():
    with pytest.raises(AttributeError):
        Head().classes = 3
    assert Head(classes=["a", "b"]) == Head(classes=("a", "b"))


def test_as_heads():
    head = Head(classes=5)
    assert as_heads(5) == as_heads(head) == {"label": head}
    given = {"a": head, "b": Head("binary")}
    assert as_heads(given) == given and as_heads(given) is not given
    assert list(as_heads(given)) == ["a", "b"]


@pytest.mark.parametrize("heads", [True, {}, None, "3", [3], {"a": 3}, 2.0])
def test_what_are_no_heads(heads):
    with pytest.raises(ValueError, match="`heads` must be"):
        as_heads(heads)
    with pytest.raises(ValueError, match="`labels` must be"):
        as_heads(heads, argument="labels")
    with pytest.raises(ValueError, match="at least two"):
        as_heads(1)
