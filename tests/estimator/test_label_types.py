"""One label in several types, from training on a file to answers about a DataFrame; multi-hot."""

import numpy as np
import pandas as pd
import pytest

import keras_mm
from keras_mm import Head
from keras_mm.data.tables.rows import TableError
from keras_mm.estimator.classes import with_old_classes

pytestmark = [pytest.mark.backend_free, pytest.mark.eager]

WORDS = ["red", "blue"] * 8
OTHERS = {
    "int": [0, 1],
    "float": [0.0, 1.0],
    "float as text": ["0.0", "1.0"],
    "bool": [False, True],
    "bool as text": ["False", "True"],
    "numpy": np.array([0, 1], "int8"),
}


def table(zero="0", one="1", column="label"):
    return pd.DataFrame({"text": WORDS, column: pd.Series([zero, one] * 8, dtype=object)})


def create(**options):
    return keras_mm.MultimodalClassifier(
        **{"texts": ["text"], "preset": "tiny", "epochs": 1, "verbose": 0, **options}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trained on a CSV file, validated on bools, weighted by ints: all labels are text."""
    path = tmp_path_factory.mktemp("labels") / "train.csv"
    table().to_csv(path, index=False)
    options = {"class_weight": {0: 1.0, 1.0: 3.0}, "sliding_window": {"tie_value": 1}}
    return create(**options).fit(path, validation_data=table(False, True))


@pytest.mark.parametrize("name", OTHERS)
def test_a_model_of_a_file_is_asked_about_other_types(trained, name):
    zero, one = OTHERS[name]
    assert trained.classes_.tolist() == ["0", "1"] and "val_accuracy" in trained.history_
    truth = trained.evaluate(table())
    found = trained.evaluate(table(zero, one))
    assert found.metrics == truth.metrics
    assert found.predictions["label"].tolist() == ["0", "1"] * 8
    score = trained.score(table()[["text"]], [zero, one] * 8)
    assert score == trained.score(table(zero, one)) == truth.metrics["accuracy"]
    with pytest.raises(TableError, match="row 0, column 'label': unknown label 2"):
        trained.evaluate(table(2, one))


def test_a_saved_model_goes_on_with_another_type(trained, tmp_path):
    trained.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model").set_params(warm_start=True)
    assert loaded.score(table(0, 1)) == trained.score(table())
    loaded.fit(table(False, True), validation_split=0)
    assert loaded.classes_.tolist() == ["0", "1"]


def grown(old, head):
    found = with_old_classes(head, old)
    return found.classes, found.multi_hot


def test_labels_that_a_model_goes_on_with():
    text, hot = Head(classes=("0", "1")), Head("multilabel", classes=(0, 1, 2), multi_hot=True)
    assert grown(text, Head(classes=(False, True))) == (("0", "1"), None)
    assert grown(text, Head(classes=(0.0, 2.0))) == (("0", "1", 2.0), None)
    names = Head("multilabel", classes=("a", "b", "c"))
    assert grown(names, hot) == (("a", "b", "c"), None)  # whose places are no names
    assert grown(hot, names) == ((0, 1, 2), True)  # and rows of names are refused
    assert grown(names, Head("multilabel", classes=("b", "d"))) == (("a", "b", "c", "d"), None)
    wider = Head("multilabel", classes=tuple(range(5)), multi_hot=True)
    assert grown(hot, wider) == (wider.classes, True)
    listed = Head("multilabel", classes=(0, 1, 2), multi_hot=False)
    assert grown(listed, Head("multilabel", classes=(3,))) == ((0, 1, 2, 3), False)
    assert grown(listed, wider) == ((0, 1, 2), False)
    former = Head("multilabel", classes=(0, 1, 2))  # saved before heads knew their form
    assert grown(former, wider) == (wider.classes, True)


def test_classes_that_are_told_in_another_type():
    heads = {
        "sure": Head("binary", classes=("0", "1"), class_weight={False: 2.0, 1: 1.0}),
        "kind": Head(classes=(1, 0)),
        "tags": Head("multilabel", classes=("1", "2"), threshold={1: 0.3, 2.0: 0.4}),
    }
    rows = table(0, 1, "sure").assign(kind=["0", "1"] * 8, tags=[["1"], [2, 1.0]] * 8)
    found = create(labels=heads).fit(rows, validation_split=0)
    other = rows.assign(sure=[False, True] * 8, kind=[0.0, 1.0] * 8, tags=["1", "2|1"] * 8)
    assert found.evaluate(other).metrics == found.evaluate(rows).metrics
    assert found.heads_["tags"].multi_hot is False
    for given, words in (({"0": 1, 0: 2}, "names the class 0 twice"), ({"2": 1}, "'2', which is")):
        with pytest.raises(ValueError, match=words):
            create(class_weight=given).fit(table(0, 1))


@pytest.mark.parametrize("other", [1, True, 1.0, "1.0", "true"])
def test_a_column_of_mixed_types_is_refused(other):
    rows = table().assign(label=["0", "1"] * 7 + ["0", other])
    with pytest.raises(ValueError, match="row 15, column 'label': .* mean the same value"):
        create().fit(rows)
    with pytest.raises(ValueError, match="mean the same value"):
        create().fit(rows[["text"]], list(rows["label"]))


def test_validation_rows_are_of_the_form_of_the_training_rows(tmp_path):
    hot = table([1, 0, 0], [0, 1, 1])
    bad = pd.DataFrame({"text": ["a"] * 3, "label": [[2, 0, 0], [1, 2], 1]})
    one = create(head="multilabel")
    with pytest.raises(TableError) as error:
        one.fit(pd.concat([hot, bad]), validation_data=bad)
    assert [problem.row for problem in error.value.problems] == [0, 1, 2] * 2
    one.fit(hot, validation_split=0).save(tmp_path / "model")
    one = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    assert one.heads_["label"].multi_hot is True
    with pytest.raises(TableError) as error:
        one.evaluate(bad)
    assert [problem.row for problem in error.value.problems] == [0, 1, 2]
    matrix = np.array([[1, 0, 0], [0, 1, 1]] * 8)
    assert one.score(hot[["text"]], matrix) == one.score(hot)
    with pytest.raises(TableError, match="0 or 1 for each of 3 labels"):
        one.set_params(warm_start=True).fit(table([1, 2], ["red"]), validation_split=0)
