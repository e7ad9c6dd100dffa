"""Scores by modality: against the same rows asked for through the table."""

import json
from dataclasses import replace

import numpy as np
import pytest

from keras_mm.evaluation.modalities import evaluate_modalities, hide
from keras_mm.features import encode as engine
from keras_mm.metrics import classification_metrics
from keras_mm.metrics.probabilities import probabilities

IMAGES, TEXTS = ["image_1", "image_2"], ["text_1", "text_2"]


@pytest.fixture(scope="module")
def table(sample):
    """Rows 0 to 10 hold both sides (one of them in part), 11 to 17 texts, 18 to 22 images."""
    table = sample[1][:23].astype(object).reset_index(drop=True)
    table.loc[3, ["image_1", "text_2"]] = None
    table.loc[11:17, IMAGES] = None
    table.loc[18:22, TEXTS] = None
    return table


@pytest.fixture(scope="module")
def evaluation(fitted, table):
    return fitted.evaluate(table)


def expected(fitted, table):
    """Scores by way of `predict_proba`, which knows nothing of modalities."""
    classes = list(fitted.classes_)
    labels = np.array([classes.index(label) for label in table["label"]])
    metrics = classification_metrics(labels, fitted.predict_proba(table), classes)
    names = ("num_rows", "accuracy", "accuracy_interval", "macro_f1")
    majority = classes[int(np.argmax(fitted.priors_["label"]))]
    share = float((table["label"] == majority).mean())
    return {name: metrics[name] for name in names} | {"majority_accuracy": share}


def test_rows_are_scored_by_what_they_hold(fitted, table, evaluation):
    held = evaluation.modalities["held"]
    assert held == {
        "image_and_text": expected(fitted, table[:11]),
        "image_only": expected(fitted, table[18:]),
        "text_only": expected(fitted, table[11:18]),
    }
    assert sum(scores["num_rows"] for scores in held.values()) == len(table)


def test_hidden_is_the_same_as_empty_cells(fitted, table, evaluation):
    complete, hidden = table[:11], evaluation.modalities["hidden"]
    assert hidden == {
        "images": expected(fitted, complete.assign(**dict.fromkeys(IMAGES))),
        "texts": expected(fitted, complete.assign(**dict.fromkeys(TEXTS))),
    }


def test_hiding_gives_the_probabilities_of_empty_cells(fitted, table):
    rows = fitted.predictor_.rows(table[:11], None)
    features = fitted.predictor_.features(rows)
    for side, columns in (("images", IMAGES), ("texts", TEXTS)):
        found = probabilities(fitted.predictor_.logits(hide(rows, side), features)["label"])
        emptied = fitted.predict_proba(table[:11].assign(**dict.fromkeys(columns)))
        np.testing.assert_allclose(found, emptied, atol=1e-6)
        assert np.abs(found - fitted.predict_proba(table[:11])).max() > 1e-3
    assert all(cell is not None for cells in rows.images for cell in cells[:3])


def test_encoders_run_once(fitted, table, monkeypatch):
    ran, create = [], engine.create_network
    monkeypatch.setattr(
        engine, "create_network", lambda encoder, *a: ran.append(encoder) or create(encoder, *a)
    )
    fitted.evaluate(table)
    assert len(ran) == len(set(map(id, ran))) == 2


def test_subsets_without_rows_are_left_out(fitted, table):
    modalities = fitted.evaluate(table[11:]).modalities
    assert sorted(modalities["held"]) == ["image_only", "text_only"]
    assert modalities["hidden"] == {}


def test_a_model_of_one_side_has_none(fitted, table):
    rows = fitted.predictor_.rows(table, None, heads=fitted.heads_)
    for side in ("images", "texts"):
        assert (
            evaluate_modalities(
                fitted.predictor_, replace(rows, **{side: ()}), {}, {}, fitted.priors_
            )
            == {}
        )


def test_they_are_in_the_metrics(evaluation):
    assert json.loads(json.dumps(evaluation.to_dict()))["modalities"] == evaluation.modalities
    (one,) = evaluation.heads.values()
    without = replace(evaluation, heads={"label": replace(one, modalities={})})
    assert "modalities" not in without.to_dict()
