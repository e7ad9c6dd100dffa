import numpy as np
import pandas as pd
import pytest

from keras_mm.inference.answers import answer_frame, predictions
from keras_mm.inference.decisions.answers import check_decide, decided, decided_frame
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.inference.decisions.measure import measure_decisions
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

KIND = Head(classes=("no", "yes", 7))
TAGS = Head("multilabel", ("old", "red"), threshold=(0.5, 0.9))
SIZE = Head("regression", ("height", "width"))
AGE = Head("regression")
HEADS = {"kind": KIND, "tags": TAGS, "size": SIZE}


def logs(*shares):
    return np.log(np.asarray(shares))


def odds(*shares):
    shares = np.asarray(shares)
    return np.log(shares) - np.log1p(-shares)


LOGITS = {
    "kind": logs([0.8, 0.15, 0.05], [0.45, 0.15, 0.4]),
    "tags": odds([0.7, 0.8], [0.6, 0.1]),
    "size": np.array([[1.0, 2.0], [3.0, 4.0]]),
}
FITTED = {
    "kind": HeadDecisions("rows", 99, 0.1, offsets=(0, 0, 1.0), set_limits=(0.2,),
                          min_confidence=0.5),
    "tags": HeadDecisions("rows", 99, 0.1, set_limits=(0.65, 0.05), min_confidence=0.5),
    "size": HeadDecisions("rows", 99, 0.1, half_widths=(0.5, None)),
}  # fmt: skip


def answers(name, decide):
    return decided(HEADS[name], FITTED[name], LOGITS[name], decide).tolist()


def test_classes():
    assert answers("kind", None) == ["no", "no"] == predictions(KIND, LOGITS["kind"]).tolist()
    assert answers("kind", "threshold") == ["no", 7]
    assert answers("kind", "set") == [["no"], ["no", 7]]
    assert answers("kind", "abstain") == ["no", None]  # 7 has the probability 0.4


def test_several_labels():
    assert answers("tags", None) == answers("tags", "threshold") == [[1, 0], [1, 0]]
    assert answers("tags", "set") == [["old", "red"], ["red"]]
    assert answers("tags", "abstain") == [None, ["old"]]  # 0.7 * 0.2 and 0.6 * 0.9


def test_numbers():
    assert answers("size", None) == answers("size", "abstain") == [[1, 2], [3, 4]]
    low, high = decided(SIZE, FITTED["size"], LOGITS["size"], "set")[0].T
    assert low.tolist() == [0.5, -np.inf] and high.tolist() == [1.5, np.inf]
    one = decided(AGE, HeadDecisions("rows", 9, 0.1, half_widths=(2.0,)), np.ones((3, 1)), "set")
    assert one.tolist() == [[-1, 3]] * 3


def test_a_row_without_numbers_may_be_anything_and_is_not_answered():
    logits = np.full((1, 3), np.nan)
    assert decided(KIND, FITTED["kind"], logits, "set").tolist() == [["no", "yes", 7]]
    assert decided(KIND, FITTED["kind"], logits, "abstain").tolist() == [None]


def test_a_table_of_decisions():
    index = pd.Index(["x", "x"])
    plain = decided_frame(HEADS, FITTED, LOGITS, index, None)
    pd.testing.assert_frame_equal(plain, answer_frame(HEADS, LOGITS, index))
    sets = decided_frame(HEADS, FITTED, LOGITS, index, "set")
    assert [*sets] == [*plain, *(f"size_{e}_{n}" for n in SIZE.names for e in ("low", "high"))]
    assert sets["kind_prediction"].tolist() == [["no"], ["no", 7]]
    assert sets["size_low_height"].tolist() == [0.5, 2.5] and list(sets.index) == ["x", "x"]
    sure = decided_frame(HEADS, FITTED, LOGITS, index, "abstain")
    assert sure["kind_prediction"].tolist() == ["no", None]
    assert sure["tags_prediction"].tolist() == [None, ["old"]]
    names = {"kind": Head(classes=("no", "yes", "7"))}
    one = {"kind": LOGITS["kind"]}
    assert decided_frame(names, FITTED, one, index, "abstain")["prediction"].tolist() == [
        "no", None,
    ]  # fmt: skip
    assert decided_frame(HEADS, FITTED, LOGITS, index, "threshold")["tags_prediction"].tolist() == [
        ["old"], ["old"],
    ]  # fmt: skip
    empty = {name: logits[:0] for name, logits in LOGITS.items()}
    for decide in ("threshold", "set", "abstain"):
        assert len(decided_frame(HEADS, FITTED, empty, index[:0], decide)) == 0


def test_what_was_not_fitted_is_refused():
    check_decide(None, HEADS, {})
    check_decide("set", HEADS, FITTED)
    check_decide("threshold", {"tags": TAGS, "size": SIZE}, {})
    check_decide("abstain", {"kind": KIND, "size": SIZE}, {"kind"})
    for decide, missing in (("set", "tags', 'size"), ("abstain", "tags")):
        with pytest.raises(ValueError, match=rf"not fitted for the heads \['{missing}'\]"):
            check_decide(decide, HEADS, {"kind"})
    with pytest.raises(ValueError, match="Did you mean 'set'"):
        check_decide("sets", HEADS, FITTED)
    with pytest.raises(ValueError, match="decide='set' gives its intervals"):
        check_decide("abstain", {"age": AGE}, {"age"})


def test_decisions_are_measured():
    labels = np.array([0, 1, -1])
    logits = np.concatenate([LOGITS["kind"], np.full((1, 3), np.nan)])
    found = measure_decisions(KIND, FITTED["kind"], labels, logits)
    assert found["coverage"] == 0.5 and found["mean_set_size"] == 1.5
    assert found["abstention_rate"] == 0.5 and found["answered_accuracy"] == 1
    assert found["threshold_accuracy"] == 0.5 and found["error"] == 0.1
    assert found["log_loss_before"] == pytest.approx(-np.log([0.8, 0.15]).mean())
    weighted = measure_decisions(KIND, FITTED["kind"], labels, logits, [3, 1, 5])
    assert weighted["coverage"] == 0.75 and weighted["mean_set_size"] == 1.25
    costs = HeadDecisions(
        "rows", 99, 0.1, costs=((0, 1, 1), (1, 0, 9), (9, 1, 0)), set_limits=(0.9, 0.9, 0),
        classwise=True, min_confidence=2.0,
    )  # fmt: skip
    found = measure_decisions(KIND, costs, labels, logits)
    assert "answered_accuracy" not in found and found["empty_sets"] == 0
    assert found["coverage_per_class"] == {"no": 0.0, "yes": 0.0}
    assert (found["mean_cost"], found["mean_cost_before"]) == (0.0, 0.5)


def test_decisions_of_labels_and_numbers_are_measured():
    labels = np.array([[1, 1], [1, -1]])
    found = measure_decisions(TAGS, FITTED["tags"], labels, LOGITS["tags"])
    assert found["coverage"] == 0.5 and found["answered_accuracy"] == 1
    both = measure_decisions(TAGS, FITTED["tags"], np.ones((2, 2)), LOGITS["tags"])
    assert both["coverage"] == 0.5 and both["answered_accuracy"] == 0
    targets = np.array([[1.2, 9.0], [9.0, np.nan]])
    found = measure_decisions(SIZE, FITTED["size"], targets, LOGITS["size"])
    assert found["per_target"]["height"]["coverage"] == 0.5
    assert found["per_target"]["width"]["width"] is None and found["mean_width"] is None
    assert found["coverage"] == 0.75
