"""Weights of rows in the estimator, and scikit-learn's routing of them."""

import json

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn import metrics as sk
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline

import keras_mm
from keras_mm import Head, MultimodalClassifier

pytestmark = pytest.mark.eager

OPTIONS = {
    "texts": ["text_1"], "preset": "tiny", "text_trainable": False, "epochs": 1, "verbose": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def tables(sample):
    """Training and test rows; every fourth has the weight 0."""
    found = []
    for table in sample:
        table = table[:64].reset_index(drop=True)
        weights = np.resize([1, 0, 2, 0.5], len(table)) * (1 + table.index % 3)
        size = table["text_1"].str.len()
        tags = [[[], ["a"], ["a", "b"]][i % 3] for i in range(len(table))]
        found.append(table.assign(weight=weights, size=size, tags=tags))
    return found


@pytest.fixture(scope="module")
def weighted(tables):
    """Trained on weighted rows, with weighted validation rows."""
    train, test = tables
    classifier = MultimodalClassifier(**OPTIONS, class_weight="balanced")
    return classifier.fit(train, sample_weight="weight", validation_data=test)


def test_validation_is_what_evaluate_finds(weighted, tables):
    found = weighted.evaluate(tables[1], sample_weight="weight").metrics
    history = weighted.history_
    for name in ("accuracy", "macro_f1"):
        assert history[f"val_{name}"] == [found[name]]


def test_score_and_evaluate_give_scikit_learns_numbers(weighted, tables):
    test = tables[1]
    weights = test["weight"].to_numpy()
    labels, answers, found = test["label"], weighted.predict(test), weighted.predict_proba(test)
    report = weighted.evaluate(test, sample_weight=weights)
    expected = {
        "accuracy": sk.accuracy_score(labels, answers, sample_weight=weights),
        "log_loss": sk.log_loss(labels, found, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, answers, sample_weight=weights),
    }
    assert {name: report.metrics[name] for name in expected} == pytest.approx(expected)
    assert weighted.score(test, sample_weight="weight") == pytest.approx(expected["accuracy"])
    assert weighted.score(test, test["label"], weights) == pytest.approx(expected["accuracy"])
    assert weighted.score(test) != pytest.approx(expected["accuracy"])
    assert report.predictions["sample_weight"].tolist() == weights.tolist()
    assert report.metrics["num_rows"] == (weights > 0).sum()
    assert "effective_rows" not in weighted.evaluate(test).metrics


def test_the_prior_and_the_baseline_are_weighted(weighted, tables):
    train, test = tables
    shares = train.groupby("label")["weight"].sum() / train["weight"].sum()
    np.testing.assert_allclose(weighted.priors_["label"], shares[weighted.classes_])
    baseline = weighted.evaluate(test, sample_weight="weight").baselines["majority"]
    right = test["weight"][test["label"] == shares.idxmax()].sum()
    assert baseline["accuracy"] == pytest.approx(right / test["weight"].sum())


def test_the_report_says_that_rows_are_weighted(weighted, tables, tmp_path):
    evaluation = weighted.evaluate(tables[1], sample_weight="weight")
    evaluation.save(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "The test rows are weighted: 48 test rows count like" in text
    assert "Weight of test rows" in text and "Weights of the test rows" in text
    assert "48 rows (weighted, " in str(evaluation)
    json.dumps(evaluation.to_dict())
    counted, frame = tables[1]["weight"] > 0, evaluation.predictions
    mistakes = ((frame["label"] != frame["prediction"]) & counted.to_numpy()).sum()
    assert mistakes > 0 and f" of {mistakes} mistake" in text
    matrix = evaluation.heads["label"].confusion_matrix()
    assert matrix.to_numpy().sum() == pytest.approx(tables[1]["weight"].sum())
    weighted.evaluate(tables[1]).save(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "rows are weighted" not in text and "Weight of test rows" not in text


def test_rows_of_weight_0_change_no_bit(tables):
    train, test = tables
    classifier = MultimodalClassifier(**OPTIONS, class_weight="balanced")
    found = []
    for rows in (train, train[train["weight"] > 0]):
        classifier.fit(rows, sample_weight="weight", validation_split=0.25)
        found.append((classifier.predict_proba(test), dict(classifier.history_)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert classifier.num_rows_ == 36
    # Weights that are given as an array are the same weights.
    classifier.fit(train, sample_weight=train["weight"].tolist(), validation_split=0.25)
    np.testing.assert_array_equal(classifier.predict_proba(test), found[0][0])


def test_weights_of_an_array_are_not_those_of_validation_rows(tables):
    train, test = tables
    test = test.assign(sample_weight=test["weight"])
    classifier = MultimodalClassifier(**OPTIONS)
    classifier.fit(train, sample_weight=train["weight"], validation_data=test)
    assert classifier.history_["val_accuracy"] == [classifier.score(test)]


@pytest.mark.graphs
def test_weighted_and_unweighted_trainings_in_turn(tables):
    """The compiled step of one is not that of the other."""
    train, test = tables
    classifier, found = MultimodalClassifier(**OPTIONS), []
    for weights in (None, "weight", None, "weight"):
        classifier.fit(train, sample_weight=weights, validation_split=0)
        found.append(classifier.predict_proba(test))
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])
    assert np.abs(found[0] - found[1]).max() > 1e-4


@pytest.mark.many_networks
def test_several_heads_and_single_heads(tables):
    train, test = tables
    heads = {
        "label": Head(column="label"),
        "tags": Head("multilabel"),
        "size": Head("regression"),
    }
    classifier = MultimodalClassifier(**OPTIONS, labels=heads)
    classifier.fit(train, sample_weight="weight", validation_data=test)
    report = classifier.evaluate(test, sample_weight="weight")
    for name, metric in (("label", "accuracy"), ("tags", "lrap"), ("size", "r2")):
        found = report.metrics[name]
        assert classifier.history_[f"val_{name}_{metric}"] == [
            pytest.approx(found[metric], abs=1e-6)
        ]
        assert found["num_rows"] == 48 and found["effective_rows"] < 48
    assert report.metrics["size"]["r2"] == pytest.approx(
        sk.r2_score(test["size"], classifier.predict(test)["size"], sample_weight=test["weight"]),
        abs=1e-6,  # it is nearly 0
    )
    mean = np.average(train["size"], weights=train["weight"])
    assert classifier.priors_["size"] == [pytest.approx(mean)]
    assert str(report).count("weighted") == 3
    tuned = classifier.tune_thresholds(test, sample_weight="weight")
    classifier.tune_thresholds(test[test["weight"] > 0], sample_weight="weight")
    assert dict(zip("ab", classifier.heads_["tags"].threshold, strict=True)) == tuned

    classifier.add_head("other", Head(column="label"))
    answers = []
    for rows in (train, train[train["weight"] > 0]):
        classifier.fit_head("other", rows, sample_weight="weight", validation_split=0)
        answers.append(classifier.predict_proba(test)["other"])
    np.testing.assert_array_equal(*answers)
    share = train["weight"][train["label"] == "Implies"].sum() / train["weight"].sum()
    assert classifier.priors_["other"][1] == pytest.approx(share)


def test_weights_that_are_refused(tables):
    train, _ = tables
    classifier = MultimodalClassifier(**OPTIONS)
    bad = train["weight"].astype(object).tolist()
    bad[3], bad[5], bad[7] = np.nan, -1, "heavy"
    with pytest.raises(keras_mm.TableError) as error:
        classifier.fit(train, sample_weight=bad)
    assert [p.row for p in error.value.problems] == [3, 5, 7]
    assert "sample data (train), row 5, column 'sample_weight'" in str(error.value)
    with pytest.raises(ValueError, match="all weights are 0"):
        classifier.fit(train, sample_weight=np.zeros(64))
    with pytest.raises(ValueError, match="one weight per row, 64 in all"):
        classifier.fit(train, sample_weight=[1, 2])
    with pytest.raises(ValueError, match="no column 'wieght'. Did you mean 'weight'"):
        classifier.fit(train, sample_weight="wieght")
    # The validation rows of a table may be the only ones with a problem.
    with pytest.raises(ValueError, match="row 1, column 'weight'"):
        classifier.fit(train, sample_weight="weight", validation_data=train.assign(weight=-1))
    assert not hasattr(classifier, "model_")


@pytest.mark.many_networks
def test_scikit_learn_routes_the_weights(tables):
    train, _ = tables
    labels, weights = train["label"], train["weight"].to_numpy()
    plain = {"validation_split": 0.0}
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = MultimodalClassifier(**OPTIONS)
        classifier.set_fit_request(sample_weight=True, validation_split=True)
        request = classifier.get_metadata_routing()
        assert "data" not in request.fit.requests and request.fit.requests["sample_weight"]
        classifier.set_score_request(sample_weight=True)
        folds = StratifiedKFold(2)
        given = {"params": {"sample_weight": weights, **plain}, "cv": folds}
        scores = cross_val_score(classifier, train, labels, **given)
        expected = []
        for rows, others in folds.split(train, labels):
            fold = MultimodalClassifier(**OPTIONS)
            fold.fit(train.iloc[rows], labels.iloc[rows], weights[rows], **plain)
            expected.append(fold.score(train.iloc[others], labels.iloc[others], weights[others]))
        assert scores.tolist() == expected
        pipeline = Pipeline([("model", classifier)])
        search = GridSearchCV(pipeline, {"model__epochs": [1]}, cv=folds)
        search.fit(train, labels, sample_weight=weights, **plain)
        assert search.best_score_ == pytest.approx(np.mean(expected))
        unset = MultimodalClassifier(**OPTIONS)
        with pytest.raises(ValueError, match="sample_weight.* are passed but are not explicitly"):
            cross_val_score(unset, train, labels, **given)


def test_a_column_of_a_file(tables, tmp_path):
    train, test = tables
    names = ["text_1", "label", "weight"]
    train[names].to_csv(tmp_path / "train.csv", index=False)
    test[names].to_csv(tmp_path / "test.csv", index=False)
    classifier = MultimodalClassifier(**OPTIONS)
    classifier.fit(tmp_path / "train.csv", sample_weight="weight")
    found = classifier.score(tmp_path / "test.csv", sample_weight="weight")
    assert found == classifier.score(test, sample_weight="weight")
    (tmp_path / "bad.csv").write_text(
        (tmp_path / "test.csv").read_text().replace(",0.5\n", ",\n", 1)
    )
    with pytest.raises(
        keras_mm.TableError, match=r"bad.csv, row 3, column 'weight': the weight is"
    ):
        classifier.evaluate(tmp_path / "bad.csv", sample_weight="weight")
    with pytest.warns(UserWarning, match="1 of 64 rows left out"):
        report = classifier.evaluate(tmp_path / "bad.csv", sample_weight="weight", on_error="skip")
    assert len(report.predictions) == 63 and isinstance(report.predictions, pd.DataFrame)
