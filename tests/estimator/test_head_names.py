import pytest

from keras_mm.estimator.head_names import check_new_head, choose_heads, choose_multilabel
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

HEADS = {"mood": Head(classes=("bad", "good")), "words": Head("multilabel", ("old", "red"))}


def test_heads_come_in_the_order_of_their_names():
    assert list(choose_heads(["words", "mood"], HEADS)) == ["words", "mood"]
    assert choose_heads("mood", HEADS) == {"mood": HEADS["mood"]}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "At least one head"),
        ("moods", "Did you mean 'mood'"),
        (["mood", "age"], "`fit_head` has not trained it yet"),
    ],
)
def test_wrong_names(names, words):
    with pytest.raises(ValueError, match=words):
        choose_heads(names, HEADS, untrained=("age",))


@pytest.mark.parametrize(
    ("name", "words"), [("mood", "`fit_head` trains it again"), ("a b", "name")]
)
def test_heads_that_cannot_be_added(name, words):
    with pytest.raises(ValueError, match=words):
        check_new_head(name, Head(), HEADS, {})


def test_a_new_head_is_accepted():
    check_new_head("age", Head("regression"), HEADS, {"size": Head("regression")})


def test_the_only_multilabel_head_needs_no_name():
    assert choose_multilabel(HEADS, None) == choose_multilabel(HEADS, "words") == "words"
    for heads, name in ((HEADS, "mood"), ({**HEADS, "more": HEADS["words"]}, None)):
        with pytest.raises(ValueError, match="must be a multilabel head"):
            choose_multilabel(heads, name)
