"""Scores by the values of a column."""

import json

import numpy as np
import pandas as pd
import pytest

from keras_mm.evaluation.report.report import render_report
from keras_mm.evaluation.report.slice_table import slice_tables
from keras_mm.evaluation.report.terminal import render_text
from keras_mm.evaluation.slices import with_slices
from keras_mm.metrics.head_metrics import head_metrics, head_prior, prior_metrics
from keras_mm.settings.heads import Head
from tests.evaluation.made import logits_of, made

HEAD = Head(classes=("a", "b", "c"))
LANGUAGES = pd.Series(["en"] * 40 + ["de"] * 30 + ["<b>fr</b>"] * 7 + [None] * 3, name="language")


def rows(seed=0, wrong=("de",)):
    """Eighty rows, of which those in these languages are mostly wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 80)
    is_wrong = LANGUAGES.isin(wrong).to_numpy() & (rng.random(80) < 0.8)
    logits = logits_of((labels + is_wrong) % 3, 3) + rng.normal(scale=0.2, size=(80, 3))
    return labels, logits


def sliced(labels, logits, head=HEAD, cells=LANGUAGES, **more):
    evaluation = made(head, labels, logits, **more)
    return with_slices(evaluation, cells, {"label": head_prior(head, labels)})


@pytest.mark.backend_free
def test_scores_are_those_of_the_rows_alone():
    labels, logits = rows()
    slices = sliced(labels, logits).slices["language"]
    assert list(slices) == ["en", "de", "<b>fr</b>", "(missing)"]
    part = slice(40, 70)
    metrics = head_metrics(HEAD, labels[part], logits[part], intervals=True)
    baseline = prior_metrics(HEAD, head_prior(HEAD, labels), labels[part])
    names = ("num_rows", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval",
             "log_loss", "log_loss_interval")  # fmt: skip
    expected = {name: metrics[name] for name in names}
    assert slices["de"] == expected | {"majority_accuracy": baseline["accuracy"], "small": False}
    assert [scores["small"] for scores in slices.values()] == [False, False, True, True]


@pytest.mark.backend_free
def test_rows_are_found_by_their_index():
    """Rows that were left out, and another order of the column, change no slice."""
    labels, logits = rows()
    kept = np.flatnonzero(np.arange(80) % 5 > 0)
    expected = sliced(labels[kept], logits[kept], cells=LANGUAGES.iloc[kept].reset_index(drop=True))
    shuffled = LANGUAGES.sample(frac=1, random_state=1)
    got = sliced(labels[kept], logits[kept], cells=shuffled, index=kept)
    assert got.slices == expected.slices


@pytest.mark.backend_free
def test_report_and_terminal():
    labels, logits = rows()
    evaluation = sliced(labels, logits)
    table = slice_tables(evaluation.heads["label"])["language"]
    assert [row[1] for row in table.rows] == ["40", "30", "7 (few)", "3 (few)"]
    page = render_report(evaluation)
    assert "By “language”" in page and "<b>fr</b>" not in page and "&lt;b&gt;fr" in page
    *_, last, _ = render_text(evaluation).splitlines()
    assert last.startswith("by 'language': accuracy ") and "('de') to 100.0% [" in last
    assert last.endswith("2 of 4 values with fewer than 20 rows, not compared")
    values = json.loads(json.dumps(evaluation.to_dict()))
    assert values["slices"] == evaluation.slices
    plain = made(HEAD, labels, logits)
    assert "slices" not in plain.to_dict() and "By “" not in render_report(plain)


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_other_heads(kind):
    rng = np.random.default_rng(4)
    head = Head(kind, ("x", "y"))
    labels = rng.integers(0, 2, (80, 2)) if kind == "multilabel" else rng.normal(size=(80, 2))
    evaluation = sliced(labels, labels + rng.normal(size=(80, 2)), head=head)
    baseline = f"baseline_{'subset_accuracy' if kind == 'multilabel' else 'mean_absolute_error'}"
    for scores in evaluation.slices["language"].values():
        assert baseline in scores
    json.dumps(evaluation.to_dict())
    assert "by 'language'" in render_text(evaluation)
    assert "By “language”" in render_report(evaluation)


@pytest.mark.backend_free
def test_weights_and_rows_without_labels():
    labels, logits = rows()
    labels[70:77] = -1
    weights = np.where(np.arange(80) < 77, 2.0, 0.0)
    slices = sliced(labels, logits, weights=weights).slices["language"]
    assert list(slices) == ["en", "de"]
    assert slices["de"]["effective_rows"] == pytest.approx(30)


def test_evaluate_by_a_column(fitted, sample):
    table = sample[1][:40].assign(half=["x", "y"] * 20)
    evaluation = fitted.evaluate(table, by="half")
    slices = evaluation.slices["half"]
    assert {name: scores["num_rows"] for name, scores in slices.items()} == {"x": 20, "y": 20}
    alone = fitted.evaluate(table[::2]).metrics
    assert slices["x"]["accuracy"] == alone["accuracy"]
    assert slices["x"]["log_loss"] == pytest.approx(alone["log_loss"], abs=1e-5)
    with pytest.raises(ValueError, match="`by`: no column 'halv'"):
        fitted.evaluate(table, by="halv")
