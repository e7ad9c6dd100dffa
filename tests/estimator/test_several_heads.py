"""The estimator on labels, numbers and several heads: trained, answered, saved and exported."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_score

import keras_mm
from keras_mm import Head, MultimodalClassifier, TableError
from keras_mm.cli import main as cli
from keras_mm.load_order import load_tensorflow
from keras_mm.settings.settings import ConfigError
from tests.conftest import tensorflow_functions

pytestmark = pytest.mark.eager

WORDS = ("up", "down", "size", "light")
HEADS = {
    "kind": Head(column="label"),
    "moved": Head("binary", class_weight="balanced"),
    "words": Head("multilabel", threshold=0.4, l2=1e-4),
    "size": Head("regression", column=("length", "tenths"), dropout_rate=0.1),
}
TEXTS = {"texts": ["text_1", "text_2"], "images": []}


def with_labels(table):
    """Labels of all kinds, which the texts tell; the lengths in metres, far from 0."""
    said = (table["text_1"] + " " + table["text_2"]).str.replace(".", "", regex=False).str.split()
    words = [[word for word in WORDS if word in text] for text in said]
    length = table["text_2"].str.len().astype(float)
    return table.assign(
        moved=["yes" if "up" in text else "no" for text in said],
        words=words,
        length=length * 1000 + 5e4,
        tenths=length / 10,
    )


@pytest.fixture(scope="module")
def tables(sample):
    train, test = (with_labels(table).reset_index(drop=True) for table in sample)
    train = train[:320].copy()
    train.loc[:30, "length"] = None
    train["words"] = train["words"].astype(object)
    train.loc[40:60, "words"] = None
    train.loc[20:30, "moved"] = None
    return train, test[:60]


@pytest.fixture(scope="module")
def several(tables):
    model = MultimodalClassifier(
        labels=HEADS, preset="tiny", text_trainable=True, epochs=6, verbose=0, batch_size=16,
        modality_dropout=0.0, learning_rate=3e-3, **TEXTS,
    )  # fmt: skip
    with tensorflow_functions(eager=False):  # of so many steps, faster than without graphs
        return model.fit(tables[0])


@pytest.mark.backend_free
def test_the_labels_are_what_the_texts_say(tables):
    assert {w for cell in tables[1]["words"] for w in cell} <= set(WORDS)
    assert tables[1]["moved"].nunique() == 2 and set(tables[1]["words"].map(len)) == {1, 2}


def test_answers_are_by_head(several, tables):
    test = tables[1]
    found = several.predict(test)
    assert list(found) == list(HEADS)
    assert set(found["kind"]) <= set(test["label"]) and set(found["moved"]) <= {"no", "yes"}
    assert found["words"].shape == (60, 4) and set(np.unique(found["words"])) <= {0, 1}
    assert found["size"].shape == (60, 2)
    shares = several.predict_proba(test)
    assert {name: array.shape for name, array in shares.items()} == {
        "kind": (60, 3), "moved": (60, 2), "words": (60, 4),
    }  # fmt: skip
    np.testing.assert_array_equal(found["words"], shares["words"] >= 0.4)
    assert {name: names.tolist() for name, names in several.classes_.items()} == {
        "kind": ["Contradictory", "Implies", "NoEntailment"],
        "moved": ["no", "yes"],
        "words": sorted(WORDS),
        "size": ["length", "tenths"],
    }


def test_each_head_learns_what_the_texts_say(several, tables):
    found = several.evaluate(tables[1])
    assert found.metrics["moved"]["accuracy"] > found.baselines["moved"]["majority"]["accuracy"]
    assert found.metrics["words"]["lrap"] > found.baselines["words"]["frequency"]["lrap"]
    size, mean = found.metrics["size"]["per_target"], found.baselines["size"]["mean"]["per_target"]
    for name in ("length", "tenths"):  # in their own unit
        assert size[name]["mean_absolute_error"] < mean[name]["mean_absolute_error"]
    assert size["length"]["mean_absolute_error"] > 100 * size["tenths"]["mean_absolute_error"]


def test_answers_do_not_depend_on_the_batch(several, tables):
    together, alone = several.predict(tables[1][:5]), several.predict(tables[1][2:3])
    np.testing.assert_allclose(together["size"][2:3], alone["size"], rtol=1e-4)
    assert together["kind"][2] == alone["kind"][0]


@pytest.mark.backend_free
def test_skipped_rows_are_missing_in_each_head(several, tables):
    kept, bad = [0, 2, 4], tables[1][:5].astype({"text_1": object})
    bad.loc[[1, 3], "text_1"] = 7
    with pytest.warns(UserWarning, match="2 of 5 rows have no prediction"):
        found = several.predict(bad, on_error="skip")
        shares = several.predict_proba(bad, on_error="skip")
        frame = several.predict_frame(bad, on_error="skip")
    expected = several.predict(tables[1].loc[kept])
    assert {name: array.dtype for name, array in found.items()} == {
        "kind": "object", "moved": "object", "words": "float64", "size": "float64",
    }  # fmt: skip
    for name, array in found.items():
        np.testing.assert_array_equal(array[kept], expected[name])
        assert pd.isna(array[[1, 3]]).all() and array.shape == (5, *expected[name].shape[1:])
    for name, array in several.predict_proba(tables[1].loc[kept]).items():
        np.testing.assert_array_equal(shares[name][kept], array)
        assert np.isnan(shares[name][[1, 3]]).all()
    columns = [name for name in frame if name != "error"]
    assert columns == list(several.predict_frame(tables[1][:2])) and frame.columns[-1] == "error"
    assert frame[columns].isna().all(axis=1).tolist() == [False, True, False, True, False]
    for column in ("kind_prediction", "words_prediction", "error"):
        assert [cell is None for cell in frame[column]] == [
            row not in kept if column != "error" else row in kept for row in range(5)
        ]


@pytest.mark.backend_free
def test_a_row_with_a_bad_label_of_one_head_is_left_out(several, tables):
    bad = tables[1].astype({"moved": object})
    bad.loc[3, "moved"] = "sideways"
    with pytest.warns(UserWarning, match="1 of 60 rows left out: .*column 'moved'"):
        found = several.evaluate(bad, on_error="skip")
    assert found.metrics == several.evaluate(tables[1].drop(index=3)).metrics
    assert str(found).endswith("\n1 of 60 rows left out")


@pytest.mark.backend_free
def test_an_evaluation_is_by_head(several, tables, tmp_path):
    found = several.evaluate(tables[1])
    stored = json.loads(json.dumps(found.to_dict()))
    assert list(stored["test"]) == list(HEADS) == list(stored["baselines"])
    assert list(stored["baselines"]["words"]) == ["frequency"]
    report = found.heads["words"].classification_report()
    averages = [f"{name} avg" for name in ("micro", "macro", "weighted", "samples")]
    assert list(report.index) == [*sorted(WORDS), *averages]
    assert report["threshold"].tolist()[:4] == [0.4] * 4
    assert report.loc["macro avg", "f1"] == stored["test"]["words"]["macro_f1"]
    assert stored["test"]["kind"]["averages"]["weighted avg"]["support"] == 60
    matrix = found.heads["kind"].confusion_matrix()
    assert matrix.to_numpy().sum() == 60 and list(matrix) == found.classes["kind"]
    with pytest.raises(ValueError, match="regression head has no confusion matrix"):
        found.heads["size"].confusion_matrix()
    for line in ("kind: accuracy", "words: subset accuracy", "size: mean absolute error"):
        assert line in str(found)
    found.save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert all(f"<h2>{name} " in page for name in HEADS)
    assert "Predictions and labels" in page and "Largest errors" in page


@pytest.mark.backend_free
def test_rows_may_lack_a_head_s_labels(several, tables):
    test = tables[1].astype({"words": object}).assign(words=None)
    found = several.evaluate(test)
    assert found.metrics["words"] == {} and found.metrics["kind"]["num_rows"] == 60
    assert "no row has a label" in str(found)
    short = test.assign(label=None, moved=None, length=None, tenths=None)
    with pytest.raises(TableError, match="all labels are missing"):
        several.evaluate(short)


@pytest.mark.backend_free
@pytest.mark.slow
def test_a_saved_model_answers_the_same_in_a_fresh_process(several, tables, tmp_path, elsewhere):
    several.save(tmp_path / "model")
    rows = tables[1][["text_1", "text_2"]]
    rows.to_csv(tmp_path / "rows.csv", index=False)
    code = (
        "import keras_mm, sys\n"
        "model = keras_mm.MultimodalClassifier.load(sys.argv[1])\n"
        "model.predict_frame(sys.argv[2]).to_pickle(sys.argv[3])\n"
    )
    out = tmp_path / "out.pkl"
    elsewhere(code, tmp_path / "model", tmp_path / "rows.csv", out)
    mine, its = several.predict_frame(rows), pd.read_pickle(out)
    assert list(mine) == list(its)
    for column in mine:
        if mine[column].dtype.kind == "f":
            np.testing.assert_allclose(mine[column], its[column], rtol=1e-5, atol=1e-6)
        else:
            assert mine[column].tolist() == its[column].tolist()
    loaded = MultimodalClassifier.load(tmp_path / "model")
    assert loaded.heads_ == several.heads_ and loaded.priors_ == several.priors_
    assert loaded.evaluate(tables[1]).metrics["kind"] == several.evaluate(tables[1]).metrics["kind"]


@pytest.mark.backend_free
def test_thresholds_are_tuned_and_stored(several, tables, tmp_path):
    before = several.heads_
    try:
        found = several.tune_thresholds(tables[0][100:])
        assert set(found) == set(WORDS) and several.heads_["words"].threshold == tuple(
            found.values()
        )
        tuned = several.evaluate(tables[0][100:]).metrics["words"]["per_label"]
        several.save(tmp_path / "model")
        assert MultimodalClassifier.load(tmp_path / "model").heads_ == several.heads_
    finally:
        several.heads_ = before
    plain = several.evaluate(tables[0][100:]).metrics["words"]["per_label"]
    assert all(tuned[word]["f1"] >= plain[word]["f1"] for word in WORDS)
    for head in ("kind", "wrods"):
        with pytest.raises(ValueError, match=r"one of \['words'\]"):
            several.tune_thresholds(tables[0], head=head)


@pytest.mark.slow
def test_the_export_answers_for_each_head(several, tables, tmp_path, once):
    tf = load_tensorflow()
    import tensorflow_text  # noqa: F401

    several = several._with(several._trained).fit_decisions(error=0.3)
    found = several.export(tmp_path / "out", data=tables[1])
    assert found["rows"] == 60 and found["max_difference"] < 1e-4
    serve = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    answers = serve(**{n: tf.constant(tables[1][n].tolist()) for n in ("text_1", "text_2")})
    assert set(answers) == {
        "kind_probabilities", "kind_label", "moved_probabilities", "moved_label",
        "words_probabilities", "words_label", "size_prediction", "size_interval",
        *(f"{head}_{output}" for head in ("kind", "moved", "words")
          for output in ("calibrated_probabilities", "set", "answered")),
    }  # fmt: skip
    intervals = several.predict(tables[1], decide="set")["size"]
    np.testing.assert_allclose(answers["size_interval"], intervals, rtol=1e-4)
    mine = several.predict(tables[1])
    np.testing.assert_allclose(answers["size_prediction"], mine["size"], rtol=1e-4)
    given = (answers["words_label"].numpy() != b"").astype(int)
    np.testing.assert_array_equal(given, mine["words"])


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("labels", "head", "shape"),
    [
        (["length", "tenths"], "regression", (4, 2)),
        ("tenths", "regression", (4,)),
        ("words", "multilabel", (4, 4)),
        (["up", "down"], "multilabel", (4, 2)),
        ("moved", "binary", (4,)),
    ],
)
def test_one_head_of_columns(tables, labels, head, shape):
    train = tables[0].assign(
        up=["1" if w and "up" in w else "0" for w in tables[0]["words"]],
        down=[bool(w and "down" in w) for w in tables[0]["words"]],
    )[61:200]
    model = MultimodalClassifier(
        labels=labels, head=head, preset="tiny", text_trainable=False, epochs=1, verbose=0, **TEXTS
    ).fit(train)
    assert list(model.heads_) == ["label"]
    assert model.predict(tables[1][:4]).shape == shape
    assert np.isfinite(model.score(train))
    if head == "regression":
        with pytest.raises(ValueError, match="has no probabilities"):
            model.predict_proba(tables[1][:4])


@pytest.mark.backend_free
def test_several_columns_of_classes_are_several_heads(tables):
    model = MultimodalClassifier(
        labels=["label", "moved"], preset="tiny", text_trainable=False, epochs=1, verbose=0, **TEXTS
    ).fit(tables[0][61:200])
    assert {name: head.kind for name, head in model.heads_.items()} == {
        "label": "multiclass", "moved": "multiclass",
    }  # fmt: skip
    assert 0 <= model.score(tables[1]) <= 1


@pytest.mark.slow
@pytest.mark.backend_free
def test_scikit_learn_s_cross_validation(tables):
    model = MultimodalClassifier(
        labels="tenths", head="regression", preset="tiny", text_trainable=False, epochs=1,
        verbose=0, **TEXTS,
    )  # fmt: skip
    table = tables[0][61:181]
    scores = cross_val_score(model, table, table["tenths"], cv=2)
    assert scores.shape == (2,) and np.isfinite(scores).all()
    lists = MultimodalClassifier(
        labels="tags", head="multilabel", preset="tiny", text_trainable=False, epochs=1, verbose=0,
        **TEXTS,
    )  # fmt: skip
    lists.fit(table, y=table["words"].tolist())
    assert lists.classes_.tolist() == sorted(WORDS)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": {"kind": Head(column="labl")}}, "Did you mean 'label'"),
        ({"labels": {"a b": Head(column="label")}}, "cannot be the name of a head"),
        ({"labels": ["label", "no way"]}, "'no way' cannot be the name of a head"),
        ({"labels": ["label", "noway"]}, "no column 'noway'"),
        ({"labels": {"x": Head(column="label", class_weight={"Implise": 2.0})}}, "Implise"),
        ({"labels": "label", "class_weight": [1.0, 2.0]}, "3"),
        ({"labels": "id_1", "head": "regression"}, "must be a finite number"),
    ],
)
def test_bad_heads_are_told_before_any_work(tables, change, words):
    model = MultimodalClassifier(
        **{"preset": "tiny", "text_trainable": False, "epochs": 1, "verbose": 0, **TEXTS, **change}
    )
    with pytest.raises((ConfigError, ValueError), match=words):
        model.fit(tables[0])
    assert not hasattr(model, "model_")


@pytest.mark.backend_free
def test_the_command_line_trains_several_heads(tables, tmp_path, capsys):
    for name, table in zip(("train", "test"), tables, strict=True):
        table.drop(columns=["image_1", "image_2"]).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "run.toml").write_text(
        "preset = 'tiny'\nepochs = 1\ntexts = ['text_1', 'text_2']\ntext_trainable = false\n"
        "[heads.kind]\ncolumn = 'label'\n[heads.words]\nkind = 'multilabel'\n"
        "[heads.size]\nkind = 'regression'\ncolumn = ['length', 'tenths']\n"
    )
    arguments = ["train", "--config", tmp_path / "run.toml", "--data", tmp_path / "train.csv",
                 "--test-data", tmp_path / "test.csv", "--output", tmp_path / "run",
                 "--quiet"]  # fmt: skip
    assert cli.main([str(a) for a in arguments]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.startswith("test kind: accuracy")
    run = tmp_path / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["test"]) == ["kind", "words", "size"]
    assert "[heads.words]" in (run / "config.toml").read_text()
    card = (run / "README.md").read_text()
    assert "### `size`" in card and "Label columns: `label`, `words`, `length`, `tenths`" in card
    again = ["evaluate", "--model", run, "--data", tmp_path / "test.csv", "--json"]
    assert cli.main([str(a) for a in again]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == metrics["test"]
    one = tables[1][["text_1", "text_2", "words"]]
    one.to_csv(tmp_path / "one.csv", index=False)
    again[4] = tmp_path / "one.csv"
    assert cli.main([*map(str, again), "--heads", "words"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == {"words": metrics["test"]["words"]}
    frame = pd.read_csv(run / "predictions.csv")
    assert {"kind_label", "words_prediction", "size_prediction_length"} <= set(frame)


def test_the_sample_s_own_columns_are_unchanged():
    assert "moved" not in keras_mm.load_sample_data()[0]


FROZEN = {"preset": "tiny", "text_trainable": False, "epochs": 1, "verbose": 0, **TEXTS}


@pytest.mark.backend_free
def test_labels_of_which_each_row_has_some_are_validated(tables):
    """Not one row knows both labels, and yet there is a loss to stop by."""
    table = tables[0][61:181].reset_index(drop=True)
    odd = np.arange(120) % 2 == 1
    up = [float("up" in words) for words in table["words"]]
    table = table.assign(a=np.where(odd, np.nan, up), b=np.where(odd, up, np.nan))
    settings = {**FROZEN, "labels": ["a", "b"], "head": "multilabel", "epochs": 3}
    model = MultimodalClassifier(**settings).fit(table)
    assert min(model.history_["val_loss"]) > 0.1 and len(model.history_["val_loss"]) == 3
    found = model.evaluate(table).metrics
    assert found["num_rows"] == 120 and "lrap" not in found
    assert found["per_label"]["a"]["support"] == sum(np.array(up)[~odd])
    assert model.score(table) == found["subset_accuracy"]


@pytest.mark.backend_free
def test_a_target_that_no_test_row_has(tables, tmp_path):
    model = MultimodalClassifier(labels=["length", "tenths"], head="regression", **FROZEN)
    model.fit(tables[0][61:181])
    found = model.evaluate(tables[1].assign(tenths=None))
    assert list(found.metrics["per_target"]) == ["length"]
    found.save(tmp_path / "report.html")
    assert "length: label" in (tmp_path / "report.html").read_text()


@pytest.mark.backend_free
def test_labels_by_y_are_taken_by_name(tables):
    table = tables[0][61:181]
    model = MultimodalClassifier(labels=["label", "moved"], **FROZEN)
    model.fit(table.drop(columns=["label", "moved"]), y=table[["moved", "label"]])
    assert model.classes_["moved"].tolist() == ["no", "yes"]
    with pytest.raises(ValueError, match="must have the columns"):
        model.fit(table, y=table[["moved", "length"]])
    one = MultimodalClassifier(labels="moved", **FROZEN)
    for y in (table[["moved"]], table[["moved"]].to_numpy(), table["moved"].tolist()):
        one.fit(table.drop(columns="moved"), y=y)
        assert one.classes_.tolist() == ["no", "yes"]
    large = MultimodalClassifier(labels="id", **FROZEN)
    large.fit(table, y=[2**53 + i % 2 for i in range(120)])
    assert large.classes_.tolist() == [2**53, 2**53 + 1]


@pytest.mark.backend_free
def test_a_label_is_never_read_as_a_text(tables):
    table = tables[0][61:181].drop(columns=["image_1", "image_2"])
    settings = {**FROZEN, "texts": (), "labels": "text_2", "head": "multiclass"}
    model = MultimodalClassifier(**settings).fit(table, validation_split=0.0)
    assert model._trained.settings.texts == ("text_1",)
    with pytest.raises(ConfigError, match="cannot be both an input and the label"):
        MultimodalClassifier(**{**settings, "texts": ["text_2"]}).fit(table)


@pytest.mark.backend_free
def test_numbers_that_float32_cannot_tell_apart_are_refused(tables):
    table = tables[0][61:181].assign(seconds=1.7e9 + np.arange(120))
    model = MultimodalClassifier(labels="seconds", head="regression", **FROZEN)
    with pytest.raises(ValueError, match="too far from 0"):
        model.fit(table)
    table = table.assign(seconds=table["seconds"] - 1.7e9)
    model.fit(table)
    assert model.evaluate(table).predictions["label"].nunique() == 120


def test_a_head_without_labels_is_refused(tables):
    heads = {"kind": Head(column="label"), "x": Head(classes=("a", "b"))}
    model = MultimodalClassifier(labels=heads, **FROZEN)
    with pytest.raises(ValueError, match="No training row has a label of the head 'x'"):
        model.fit(tables[0][61:181].assign(x=None))


@pytest.mark.backend_free
def test_integers_that_a_file_spells_as_floats(tables):
    table = tables[0][61:181].assign(three=np.arange(120) % 3)
    model = MultimodalClassifier(labels="three", **FROZEN).fit(table)
    assert model.score(table.assign(three=table["three"].map("{}.0".format))) == model.score(table)


@pytest.mark.backend_free
def test_a_head_is_scored_and_tuned_by_its_own_column(several, tables):
    before, rows = several.heads_, tables[0][100:][["text_1", "text_2", "words"]]
    try:
        assert set(several.tune_thresholds(rows)) == set(WORDS)
    finally:
        several.heads_ = before
    assert 0 <= several.score(tables[1].astype({"words": object}).assign(words=None)) <= 1
    with pytest.raises(ValueError, match="At least one head"):
        several.evaluate(rows, heads=[])


@pytest.mark.backend_free
@pytest.mark.parametrize("name", ["val", "val_x", "Val"])
def test_names_of_validation_metrics_are_no_heads(name):
    from keras_mm.settings.heads import as_heads

    with pytest.raises(ValueError, match="names of validation metrics begin with 'val_'"):
        as_heads({name: Head()})
