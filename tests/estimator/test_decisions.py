"""Decisions of the estimator: fitted on held-out rows, predicted, evaluated and saved."""

import json
from dataclasses import replace

import numpy as np
import pytest

import keras_mm
from keras_mm import Head, MultimodalClassifier
from keras_mm.cli.main import main as cli
from keras_mm.errors import InvalidValueError
from keras_mm.estimator.decisions import default_decisions
from keras_mm.evaluation.report.model_card import render_model_card
from keras_mm.evaluation.report.report import render_report
from keras_mm.evaluation.report.terminal import render_text

pytestmark = [pytest.mark.eager, pytest.mark.backend_free]

HEADS = {
    "kind": Head(column="label"),
    "words": Head("multilabel"),
    "size": Head("regression", column="length"),
}


@pytest.fixture(scope="module")
def tables(sample):
    def with_labels(table):
        said = table["text_1"].str.lower().str.findall("light|bright|size|wide")
        return table.assign(words=said, length=table["text_2"].str.len().astype(float))

    train, test = (with_labels(table).reset_index(drop=True) for table in sample)
    return train[:160], test[:80]


@pytest.fixture(scope="module")
def trained(tables):
    return MultimodalClassifier(
        texts=["text_1", "text_2"], images=[], labels=HEADS, preset="tiny", epochs=2, verbose=0,
        text_trainable=False, modality_dropout=0.0,
    ).fit(tables[0], validation_split=0.4)  # fmt: skip


@pytest.fixture
def classifier(trained):
    """A classifier whose decisions may be fitted: the model is that of the others."""
    return trained._with(trained._trained)


def test_the_validation_rows_of_the_training_are_held_out(classifier, tables):
    held_out = classifier._trained.held_out
    assert held_out.source == "validation" and len(held_out) == 64
    rows = classifier.predictor_.rows(tables[0].loc[held_out.numbers], heads=classifier.heads_)
    for name, logits in classifier.predictor_.logits(rows).items():
        np.testing.assert_allclose(held_out.logits[name], logits, atol=1e-5)
        np.testing.assert_array_equal(held_out.labels[name], rows.labels[name])


def test_sets_and_abstentions_of_each_kind(classifier, tables):
    proba, before = classifier.predict_proba(tables[1]), classifier.predict(tables[1])
    classifier.fit_decisions(error=0.6)
    assert set(classifier.decisions_) == set(HEADS)
    assert {d.source for d in classifier.decisions_.values()} == {"validation"}
    for name, values in classifier.predict_proba(tables[1]).items():
        np.testing.assert_array_equal(values, proba[name])
    np.testing.assert_array_equal(classifier.predict(tables[1])["kind"], before["kind"])
    calibrated = classifier.predict_proba(tables[1], calibrated=True)
    assert calibrated["kind"].sum(axis=1) == pytest.approx(1)
    assert np.abs(calibrated["kind"] - proba["kind"]).max() > 1e-4
    sets = classifier.predict(tables[1], decide="set")
    assert all(isinstance(one, list) for one in [*sets["kind"], *sets["words"]])
    assert sets["size"].shape == (80, 2) and (sets["size"][:, 0] < before["size"]).all()
    frame = classifier.predict_frame(tables[1], decide="set")
    assert frame["kind_prediction"].tolist() == sets["kind"].tolist()
    np.testing.assert_array_equal(frame[["size_low", "size_high"]], sets["size"])
    sure = classifier.predict(tables[1], decide="abstain")
    assert {type(one) for one in sure["words"]} <= {list, type(None)}
    rows = tables[1].head(3).assign(text_1=[b"bad", "light", "size"])
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        skipped = classifier.predict(rows, decide="set", on_error="skip")
    assert skipped["kind"][0] is None and np.isnan(skipped["size"][0]).all()


def test_decisions_of_one_head_are_saved_and_others_refused(classifier, tables, tmp_path):
    classifier.fit_decisions(tables[1], head="kind", costs={"Implies": 5}, error=0.6)
    assert list(classifier.decisions_) == ["kind"]
    assert classifier.decisions_["kind"].source == "rows"
    with pytest.raises(InvalidValueError, match=r"not fitted for the heads \['words', 'size'\]"):
        classifier.predict(tables[1], decide="set")
    with pytest.raises(InvalidValueError, match=r"calibrated=True needs .* \['words'\]"):
        classifier.predict_proba(tables[1], calibrated=True)
    chosen = classifier.predict(tables[1], decide="threshold")
    assert chosen["kind"].tolist() != classifier.predict(tables[1])["kind"].tolist()
    classifier.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model").set_params(verbose=0)
    assert loaded.decisions_ == classifier.decisions_ and loaded._trained.held_out is None
    again = loaded.predict(tables[1], decide="threshold")
    assert again["kind"].tolist() == chosen["kind"].tolist()
    with pytest.raises(InvalidValueError, match=r"\['kind', 'words', 'size'\] have no held-out"):
        loaded.fit_decisions()
    spec = json.loads((tmp_path / "model" / "model.json").read_text())
    assert list(spec.pop("decisions")) == ["kind"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(spec))


def test_evaluation_and_reports_show_decisions(classifier, tables):
    assert "decisions" not in classifier.evaluate(tables[1]).metrics["kind"]
    classifier.fit_decisions(error=0.6)
    evaluation = classifier.evaluate(tables[1])
    json.dumps(evaluation.to_dict(), allow_nan=False)
    found = evaluation.metrics["kind"]["decisions"]
    assert found["log_loss_before"] == pytest.approx(evaluation.metrics["kind"]["log_loss"])
    sets = classifier.predict(tables[1], decide="set")["kind"]
    covered = [label in one for label, one in zip(tables[1]["label"], sets, strict=True)]
    assert found["coverage"] == pytest.approx(np.mean(covered))
    assert found["mean_set_size"] == pytest.approx(np.mean([len(one) for one in sets]))
    sure = classifier.predict(tables[1], decide="abstain")["kind"]
    assert found["abstention_rate"] == pytest.approx(np.mean([one is None for one in sure]))
    for text in (render_text(evaluation), render_report(evaluation)):
        assert f"{found['coverage']:.1%}" in text
    assert "Labels in a set, mean" in render_model_card(evaluation, {})


def test_the_command_decides(classifier, tables, tmp_path, capsys):
    data, model = str(tmp_path / "rows.csv"), str(tmp_path / "model")
    tables[1][["text_1", "text_2"]].head(4).to_csv(data, index=False)
    classifier.save(model)
    ask = ["predict", "--model", model, "--data", data, "--json", "--quiet", "--decide"]
    assert cli(ask + ["set"]) == 2 and "needs decisions" in capsys.readouterr().err
    assert cli(ask + ["sets"]) == 2 and "Did you mean 'set'" in capsys.readouterr().err
    classifier.fit_decisions(error=0.6).save(model, overwrite=True)
    assert cli(ask + ["set"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(isinstance(row["kind_prediction"], list) for row in rows)


def test_out_of_fold_rows_give_thresholds_by_default(classifier, tables):
    trained = classifier._trained
    assert default_decisions(trained) is trained  # validation rows decide nothing by themselves
    folds = replace(trained, held_out=replace(trained.held_out, source="out_of_fold"))
    found = default_decisions(folds)
    assert found.heads["words"].threshold != 0.5 and found.heads["kind"] == trained.heads["kind"]
    assert default_decisions(found).heads == found.heads


def test_a_label_of_fewer_rows_than_folds_keeps_its_threshold(classifier):
    trained = classifier._trained
    held_out, labels = trained.held_out, trained.held_out.labels["words"].copy()
    labels[:, 0] = np.arange(len(labels)) == 3
    fold = np.arange(len(labels)) % 2 + 1
    held_out = replace(
        held_out, source="out_of_fold", fold=fold, labels={**held_out.labels, "words": labels}
    )
    found = default_decisions(replace(trained, held_out=held_out))
    thresholds = found.heads["words"].threshold
    assert thresholds[0] == 0.5 and set(thresholds[1:]) != {0.5}


def test_a_training_with_folds_decides_by_its_out_of_fold_rows(tables):
    model = MultimodalClassifier(
        texts=["text_1"], images=[], labels="words", head="multilabel", preset="tiny", folds=2,
        epochs=1, text_trainable=False, verbose=0,
    ).fit(tables[0][:80])  # fmt: skip
    thresholds = model.heads_["label"].threshold
    assert len(thresholds) == 4 and set(thresholds) != {0.5}
    model.fit_decisions(error=0.6)
    decisions = model.decisions_["label"]
    assert (decisions.source, decisions.num_rows) == ("out_of_fold", 80)
    assert model.heads_["label"].threshold == thresholds
    assert len(model.predict(tables[1], decide="set")) == 80


def test_bad_requests(classifier, tables):
    with pytest.raises(InvalidValueError, match="`sample_weight` and `image_dir` describe `rows`"):
        classifier.fit_decisions(sample_weight="length")
    with pytest.raises(InvalidValueError, match="`costs` names 'Implied'"):
        classifier.fit_decisions(head="kind", costs={"Implied": 2})
    with pytest.raises(InvalidValueError, match="Unknown head 'kinds'"):
        classifier.fit_decisions(head="kinds")
    with pytest.raises(keras_mm.TableError, match="label"):
        classifier.fit_decisions(tables[1].drop(columns="label"), head="kind")
    with pytest.warns(UserWarning, match="needs 9"):
        classifier.fit_decisions(tables[1][:1], head="kind")
    assert classifier.predict(tables[1][:2], decide=None)["kind"].shape == (2,)


def test_heads_that_are_trained_again_lose_their_decisions(classifier, tables):
    classifier.fit_decisions(error=0.6)
    classifier.set_params(epochs=1).fit_head("kind", tables[0][:60])
    assert set(classifier.decisions_) == {"words", "size"}
    with pytest.raises(InvalidValueError, match=r"'size'\] have no held-out rows"):
        classifier.fit_decisions()
    with pytest.warns(UserWarning, match="freeze=False"):
        classifier.fit_head("size", tables[0][:60], freeze=False)
    assert classifier.decisions_ == {}
