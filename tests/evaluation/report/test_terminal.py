"""What a terminal shows of an evaluation."""

import numpy as np
import pandas as pd
import pytest

from keras_mm.evaluation.report.model_card import render_model_card
from keras_mm.evaluation.report.report import render_report
from keras_mm.evaluation.report.terminal import render_baselines, render_text
from keras_mm.settings.heads import Head
from tests.evaluation.report.test_report import Page, evaluation_of, result_of, with_mistakes

pytestmark = pytest.mark.backend_free


def regression_of(num_targets):
    head = Head("regression", tuple(f"t{i}" for i in range(num_targets)))
    labels = np.arange(5.0 * num_targets).reshape(5, num_targets)
    one = result_of(head, labels, labels + 1)
    evaluation = evaluation_of([0, 1], [0, 1], ["no", "yes"])
    evaluation.heads.update(label=one)
    return evaluation


def test_every_report_has_scikit_learns_averages():
    """Precision of "yes" 0.4: 2 of 5 answers; of "no" 1: the 3 that are given are right."""
    evaluation = evaluation_of([0] * 6 + [1] * 2, [0] * 3 + [1] * 5, ["no", "yes"])
    rows = {
        "macro avg": ["0.700", "0.750", "0.619", "8"],
        "weighted avg": ["0.850", "0.625", "0.643", "8"],
    }
    table = evaluation.heads["label"].classification_report()
    page, card = Page(render_report(evaluation)), render_model_card(evaluation, {})
    lines = [line.split() for line in render_text(evaluation).split("\n")]
    for name, cells in rows.items():
        np.testing.assert_allclose(table.loc[name].astype(float), np.float64(cells), atol=5e-4)
        assert page.cells(name) == cells
        assert f"| {name} | {' | '.join(cells)} |" in card
        assert [*name.split(), *cells] in lines
    assert table.loc["no", "support"] == 6 and pd.api.types.is_integer_dtype(table["support"])


def test_a_class_may_be_called_as_an_average():
    table = with_mistakes(20, 3, classes=("macro avg", "b")).heads["label"].classification_report()
    assert list(table.index) == ["macro avg", "b", "macro avg", "weighted avg"]


def test_lines_are_aligned():
    lines = render_text(with_mistakes(20, 3, classes=("no", "a longer name"))).split("\n")
    assert lines[0].startswith("accuracy 0.8500")
    assert [line.split("  ")[0] for line in lines[1:-1]] == [
        "Class", "no", "a longer name", "macro avg", "weighted avg",
    ]  # fmt: skip
    assert len({len(line) for line in lines[1:-1]}) == 1
    assert lines[-1].startswith("Accuracy .850")


def test_baselines_are_listed_before_the_verdict():
    labels = np.resize([0, 0, 0, 1], 100)
    rivals = {"lexical": np.where(np.eye(2)[labels] > 0, 0.8, 0.2)}
    evaluation = evaluation_of(labels, labels, ["no", "yes"], rivals=rivals, notes=("A note.",))
    *table, note, verdict = render_baselines(evaluation).split("\n")
    assert [line.split()[0] for line in table] == ["Baseline", "majority", "lexical"]
    assert "75.0%" in table[1] and "+25.0" in table[1] and "100.0%" in table[2]
    assert note == "A note." and verdict == evaluation.verdict


@pytest.mark.parametrize(("count", "listed"), [(20, True), (21, False)])
def test_of_many_classes_there_are_averages_only(count, listed):
    labels = np.arange(count)
    text = render_text(evaluation_of(labels, labels, [f"class {i}" for i in labels]))
    assert ("class 7" in text) == listed and ("21 classes" in text) != listed
    assert "macro avg" in text


def test_numbers_have_no_averages():
    assert len(render_text(regression_of(1)).split("\n")) == 2
    lines = render_text(regression_of(2)).split("\n")
    assert [line.split()[0] for line in lines[1:-1]] == ["Target", "t0", "t1"]


def test_tables_of_weighted_labels_have_sums_of_weights():
    head = Head("multilabel", ("a", "b"))
    labels, weights = np.array([[1, 0], [1, 1], [0, 1]]), np.array([0.5, 1.25, 2.0])
    logits = np.array([[3.0, -3.0], [3.0, 3.0], [3.0, -3.0]])
    evaluation = evaluation_of([0, 1], [0, 1], ["no", "yes"])
    one = result_of(head, labels, logits, sample_weight=weights)
    evaluation.heads.update(label=one)
    table = one.classification_report()
    assert table.loc[["a", "b"], ["tp", "fp", "fn", "support"]].to_numpy().tolist() == [
        [1.75, 2, 0, 1.75], [1.25, 0, 2, 3.25],
    ]  # fmt: skip
    assert table.loc["micro avg", "support"] == 5
    assert "1.75" in render_text(evaluation)
