"""Searches of a model, and their honest scores."""

import json

import numpy as np
import pytest

import keras_mm
from keras_mm.cli.main import main
from keras_mm.errors import ConfigError
from keras_mm.estimator.choice import candidates
from keras_mm.experiments.search_score import score_logits
from keras_mm.metrics.classification import classification_metrics
from keras_mm.settings.heads import Head
from keras_mm.settings.members import Member

# A search trains classifiers, which other tests check on each backend.
pytestmark = [pytest.mark.eager, pytest.mark.backend_free]

SETTINGS = {
    "texts": ["text_1"], "preset": "tiny", "text_trainable": False, "verbose": 0, "epochs": 1,
    "folds": 2, "time_limit": 1000, "training": {"projection_dims": 16},
}  # fmt: skip


@pytest.fixture(scope="module")
def table(sample):
    """Rows whose label is whether the text is long."""
    rows = sample[0][:120].reset_index(drop=True)
    length = rows["text_1"].str.len()
    label = np.where(length > length.median(), "long", "short")
    return rows.assign(label=label, owner=rows.index // 4)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Leaves few candidates, so that a search ends by itself."""
    known = [
        Member("trunk", ("text",)),
        Member("linear", ("text",)),
        Member("trunk", ("text",), (("num_projection_layers", 0),)),
    ]
    monkeypatch.setattr(candidates.Candidates, "_known", lambda self: iter(known))
    monkeypatch.setattr(candidates, "_TRIES", 0)


def test_its_score_is_that_of_rows_which_no_choice_saw(table, monkeypatch, tmp_path):
    test = table[90:]
    found = keras_mm.search(table[:90], test_data=test, **SETTINGS)
    predicted = found.best.predict_proba(test)
    codes = np.searchsorted(found.best.classes_, test["label"])
    metrics = classification_metrics(codes, predicted, list(found.best.classes_))
    assert found.metric == "macro_f1"
    assert found.score == pytest.approx(metrics["macro_f1"], abs=1e-6)
    low, high = found.interval
    assert low <= found.score <= high and low < high
    frame = found.best.out_of_fold_
    out_of_fold = frame[[f"probability_{name}" for name in found.best.classes_]].to_numpy()
    codes = np.searchsorted(found.best.classes_, frame["label"])
    expected = classification_metrics(codes, out_of_fold, list(found.best.classes_))["macro_f1"]
    assert found.optimistic == pytest.approx(expected, abs=1e-6)
    assert found.about["rows"] == 90 and found.about["held_out"] == 30
    assert found.best.num_rows_ == 90  # not trained again: the test rows are the user's


def test_without_test_rows_the_chosen_members_are_trained_on_all_rows(table):
    found = keras_mm.search(table, groups="owner", metric="accuracy", **SETTINGS)
    assert found.about["held_out"] == 24 and found.best.num_rows_ == 120
    assert found.metric == "accuracy" and f"accuracy {found.score:.3f} [" in found.summary
    assert found.best.get_params()["members"] == found.settings["members"]
    assert set(found.leaderboard["member"]) >= {"trunk:text", "linear:text"}
    assert "(num_projection_layers=0)" in str(found)


def test_a_search_that_was_stopped_goes_on_to_the_same_result(table, tmp_path):
    folder = tmp_path / "run"
    first = keras_mm.search(table, output=folder, **SETTINGS)
    files = sorted((folder / "trials").iterdir())
    assert len(files) == 3
    files[1].unlink()
    before = files[0].stat().st_mtime_ns
    again = keras_mm.search(table, output=folder, **SETTINGS)
    assert files[1].is_file() and files[0].stat().st_mtime_ns == before
    columns = ["member", "state", "score", "weight"]
    assert again.leaderboard[columns].equals(first.leaderboard[columns])
    assert (again.score, again.interval) == (first.score, first.interval)
    np.testing.assert_array_equal(again.best.predict_proba(table), first.best.predict_proba(table))
    with pytest.raises(ConfigError, match="content of the rows"):
        keras_mm.search(table[:100], output=folder, **SETTINGS)
    with pytest.raises(ConfigError, match="settings"):
        keras_mm.search(table, output=folder, learning_rate=0.01, **SETTINGS)


def test_few_rows_are_said_to_be_few(table):
    found = keras_mm.search(table[:40], **SETTINGS)
    assert "40 rows are few: the score of 8 of them says little" in found.remarks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"time_limit": 0}, "`time_limit` must be a number > 0"),
        ({"folds": 1}, "`folds` must be an integer >= 2"),
        ({"members": "trunk"}, "`members` is what a search chooses"),
        ({"metric": "macro_f2"}, "macro_f1"),
        ({"metric": "r2"}, "r2"),
        ({"text_trainable": True}, "train an encoder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(table, options, words):
    with pytest.raises(ValueError, match=words):
        keras_mm.search(table, **{**SETTINGS, **options})


def test_the_score_of_several_heads_is_their_mean(table):
    from keras_mm.data.tables.rows import read_rows

    rows = read_rows(
        [{"text": "a", "label": 0, "size": 1.0}, {"text": "b", "label": 1, "size": 3.0}],
        texts=["text"],
        labels={"label": Head(classes=(0, 1)), "size": Head("regression")},
    )
    heads = {"label": Head(classes=(0, 1)), "size": Head("regression", classes=("size",))}
    logits = {"label": np.array([[2.0, 0.0], [2.0, 0.0]]), "size": np.array([[1.0], [3.0]])}
    found = score_logits(heads, rows, logits, None)
    assert found.metric == "main score" and found.value == pytest.approx((1 / 3 + 1) / 2)
    assert np.isnan(found.interval[0])
    assert score_logits(heads, rows, logits, "accuracy").value == 0.5


def test_the_command_writes_model_and_tables(table, tmp_path, capsys):
    table.drop(columns=["image_1", "image_2"]).to_csv(tmp_path / "rows.csv", index=False)
    output = tmp_path / "run"
    arguments = [
        "search", "--data", str(tmp_path / "rows.csv"), "--texts", "text_1", "--preset", "tiny",
        "--set", "text_trainable=false", "--epochs", "1", "--folds", "2", "--quiet",
        "--set", "training.projection_dims=16", "--time-limit", "1000", "--output", str(output),
    ]  # fmt: skip
    assert main(arguments) == 0
    assert "rows that no choice saw" in capsys.readouterr().out
    values = json.loads((output / "leaderboard.json").read_text())
    assert values["about"]["rows"] == 120 and len(values["leaderboard"]) == 3
    assert "trunk:text" in (output / "leaderboard.html").read_text()
    model = keras_mm.MultimodalClassifier.load(output / "model")
    assert model.predict(table[:4]).shape == (4,)
    assert main(["search"]) == 2
    assert "a table is needed: --data rows.csv" in capsys.readouterr().err
