"""Thousands of classes: time, memory and pages grow with the classes, not with their square."""

import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from keras_mm.data.tables.splits import stratified_split
from keras_mm.evaluation.evaluate import Evaluation
from keras_mm.evaluation.report import report
from keras_mm.evaluation.report.classes import MOST_CLASSES, class_table, frequent_confusions
from keras_mm.evaluation.report.findings import find_limits, find_remarks
from keras_mm.evaluation.report.formats import plain
from keras_mm.evaluation.report.model_card import render_model_card
from keras_mm.evaluation.report.report import render_report
from keras_mm.inference.answers import answer_frame
from keras_mm.metrics import classification, classification_metrics
from keras_mm.metrics.head_metrics import head_metrics, head_prior, prior_metrics
from keras_mm.metrics.window_votes import join_windows
from keras_mm.settings.heads import Head
from tests.evaluation.report.test_report import Page, evaluation_of, result_of

pytestmark = pytest.mark.backend_free

K, EACH = 1000, 5


def evaluate(head, labels, logits):
    """The evaluation of a head on rows that it also has its prior from."""
    one = result_of(head, labels, logits)
    index = pd.RangeIndex(len(labels))
    frame = answer_frame({"label": head}, {"label": logits}, index, {"label": labels})
    frame.insert(0, "row", index)
    return Evaluation(heads={"label": one}, predictions=frame)


@pytest.fixture(scope="module")
def many():
    """1,000 classes; 5 rows each of the first 990. Some answers are wrong."""
    labels = np.repeat(np.arange(K - 10), EACH)
    answers = labels.copy()
    answers[labels == 7] = 8
    answers[np.flatnonzero(labels == 3)[:2]] = 4
    answers[np.flatnonzero((labels >= 500) & (labels < 600))[::EACH]] = 0
    return evaluation_of(labels, answers, [f"class {i}" for i in range(K)])


def peak_of(function):
    """Megabytes that a call allocates at most."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_a_report_of_a_thousand_classes_is_quick_and_small(many):
    begun = time.process_time()
    page, card, text = render_report(many), render_model_card(many, {}), str(many)
    assert time.process_time() - begun < 3
    assert len(page) < 3e5 and len(card) < 1e4 and len(text) < 200


def test_it_shows_the_worst_classes_and_the_most_frequent_confusions(many):
    page = Page(render_report(many))
    text = " ".join("".join(page.text).split())
    start = page.rows.index(["Class", "Precision", "Recall", "F1", "Test rows"])
    assert page.rows[start + 1][:2] == ["class 7", "–"]
    assert page.rows[start + 2][0] == "class 3" and page.rows[start + 2][-1] == "5"
    assert page.rows[start + 3][0] == "class 500"
    assert page.rows[start + 31][0] == "macro avg" and page.rows[start + 32][-1] == "4950"
    assert page.rows[start + 33] == ["Label", "Prediction", "Rows", "Share of the label's rows"]
    assert "The averages include all classes." in text
    assert "The 30 classes of 1,000 with the lowest recall" in text
    assert "970 are not shown, including 10 without a test row" in text
    start = page.rows.index(["Label", "Prediction", "Rows", "Share of the label's rows"])
    assert page.rows[start + 1] == ["class 7", "class 8", "5", "100.0%"]
    assert page.rows[start + 2] == ["class 3", "class 4", "2", "40.0%"]
    assert page.rows[start + 3] == ["class 500", "class 0", "1", "20.0%"]
    assert "30 of 102 pairs" in text and "72 with 72 rows are not shown" in text
    assert "label ↓" not in text and "Worst classes" in text and "By class" not in text


@pytest.mark.parametrize("count", [12, 13, MOST_CLASSES, MOST_CLASSES + 1])
def test_few_classes_have_all_their_figures(count):
    labels = np.repeat(np.arange(count), 2)
    answers = labels.copy()
    answers[0] = 1
    text = "".join(Page(render_report(evaluation_of(labels, answers, range(count)))).text)
    few = count <= MOST_CLASSES
    assert ("label ↓" in text) == few and ("By class" in text) == few
    assert ("are not shown" in text) == (not few)
    assert ("Most frequent confusions" in text) == (count > 12)


def test_no_confusion_among_many_classes():
    labels = np.arange(200)
    evaluation = evaluation_of(labels, labels, range(200))
    found, note = frequent_confusions(evaluation.heads["label"])
    assert found == [] and note.startswith("0 of 0 pairs")
    assert "Most frequent confusions" not in render_report(evaluation)


def test_metrics_by_cells_are_those_of_the_matrix(monkeypatch):
    labels, answers = np.random.default_rng(0).integers(0, 7, (2, 53))
    whole = evaluation_of(labels, answers, range(7)).heads["label"]
    monkeypatch.setattr(classification, "LARGEST_MATRIX", 6)
    cells = evaluation_of(labels, answers, range(7)).heads["label"]
    assert "confusion_matrix" not in cells.metrics
    assert sum(rows for *_, rows in cells.metrics["confusions"]) == 53
    same = {name: value for name, value in whole.metrics.items() if name != "confusion_matrix"}
    assert {name: cells.metrics[name] for name in same} == same
    pd.testing.assert_frame_equal(cells.confusion_matrix(), whole.confusion_matrix())
    assert class_table(cells) == class_table(whole)
    assert frequent_confusions(cells) == frequent_confusions(whole)
    assert find_remarks(cells) == find_remarks(whole)


def test_classes_take_no_memory_by_their_square():
    labels, logits = np.arange(31), np.random.default_rng(0).normal(size=(31, 5000))
    head = Head(classes=tuple(f"class {i}" for i in range(5000)))
    # The matrix would take 200 MB.
    assert peak_of(lambda: head_metrics(head, labels, logits)) < 30
    assert peak_of(lambda: prior_metrics(head, head_prior(head, labels), labels)) < 30
    window_rows = np.repeat(np.arange(10), [4, *[3] * 9])
    assert (
        peak_of(lambda: join_windows(logits, window_rows, head.kind, vote="majority", tie=3)) < 30
    )
    evaluation = evaluate(head, labels, logits)
    assert len(render_report(evaluation)) < 1e5 and len(render_model_card(evaluation, {})) < 1e4


def test_many_labels():
    generator = np.random.default_rng(0)
    labels = (generator.random((211, K)) < 0.02).astype("int8")
    logits = np.where(labels == 1, 2.0, -4.0) + generator.normal(size=labels.shape)
    head = Head("multilabel", tuple(f"tag {i}" for i in range(K)))
    begun = time.process_time()
    page = render_report(evaluate(head, labels, logits))
    assert time.process_time() - begun < 5 and len(page) < 3e5
    text = "".join(Page(page).text)
    assert "Worst labels" in text and "The 30 labels of 1,000" in text


def test_many_targets(monkeypatch):
    monkeypatch.setattr(report, "_MOST_PANELS", 2)
    generator = np.random.default_rng(0)
    labels = generator.normal(size=(13, 120))
    answers = labels + generator.normal(size=labels.shape) * np.linspace(2, 0.1, 120)
    evaluation = evaluate(Head("regression", tuple(f"t{i}" for i in range(120))), labels, answers)
    page = render_report(evaluation)
    text = "".join(Page(page).text)
    assert len(page) < 1e6 and "Only the first 2 targets" in text and "Worst targets" in text
    one = evaluation.heads["label"]
    assert "of 120 targets" in find_remarks(one)
    assert len(" ".join(find_limits(one, {}))) < 500
    assert class_table(one)[0].rows[0][0] in {f"t{i}" for i in range(20)}


def test_long_settings_and_messages_are_cut():
    weights = {f"class {i}": 1.0 for i in range(K)}
    assert plain(weights).endswith("class 19: 1.0 and 980 more")
    assert plain(list(range(21))).endswith("19 and 1 more") and plain(range(20)).endswith(", 19")
    table = pd.DataFrame({"text": [""] * K, "label": list(weights)})
    with pytest.raises(ValueError, match="and 980 more") as caught:
        stratified_split(table, "label", val_size=0.5)
    assert len(str(caught.value)) < 1500


def test_more_than_a_thousand_classes_have_cells():
    found = classification_metrics([5, 1, 1], np.eye(1001)[[5, 2, 2]], range(1001))
    assert found["confusions"] == [[1, 2, 2], [5, 5, 1]] and "confusion_matrix" not in found
    assert len(found["per_class"]) == 1001
