"""Heads: plain data that cannot be wrong once it is made."""

import numpy as np
import pytest

from keras_mm.heads import Head, as_heads


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
        ({"kind": "multilabel"}, "kind='multilabel'"),
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
    with pytest.raises(ValueError, match="at least two"):
        as_heads(1)
