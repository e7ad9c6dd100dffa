"""A trained model's answers to rows, by head."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import keras_mm
from keras_mm.errors import TableError
from keras_mm.metrics.probabilities import probabilities


@pytest.fixture(scope="module")
def trained(sample):
    """A classifier of both sides, and rows of which some lack a side."""
    table = sample[1][:21].reset_index(drop=True).astype({"image_1": object})
    table.loc[:4, ["image_1", "image_2"]] = None
    table.loc[5:9, ["text_1", "text_2"]] = None
    model = keras_mm.MultimodalClassifier(
        preset="tiny", vision_trainable=False, text_trainable=False, epochs=1, verbose=0,
        cache=False,
    )  # fmt: skip
    return model.fit(sample[0][:80]), table


def test_logits_are_by_head(trained):
    model, table = trained
    predictor = model.predictor_
    rows = predictor.rows(table)
    logits = predictor.logits(rows)
    assert list(logits) == list(predictor.heads) == ["label"]
    assert logits["label"].shape == (21, 3) and logits["label"].dtype == np.float32
    found = probabilities(logits["label"], "multiclass")
    np.testing.assert_array_equal(found, model.predict_proba(table))
    again = predictor.all_logits(table)["label"]
    np.testing.assert_array_equal(again, logits["label"])


def test_features_that_are_there_give_the_same(trained):
    model, table = trained
    predictor = model.predictor_
    rows = predictor.rows(table)
    features = predictor.features(rows)
    found = predictor.logits(rows, features)["label"]
    np.testing.assert_allclose(found, predictor.logits(rows)["label"], atol=1e-6)


def test_no_answer_depends_on_the_batch(trained):
    model, table = trained
    predictor = model.predictor_
    wanted = predictor.all_logits(table)["label"]
    small = replace(predictor, batch_size=5)
    np.testing.assert_allclose(small.all_logits(table)["label"], wanted, atol=1e-5)
    for row in (0, 7, 20):
        alone = small.logits(predictor.rows(table.iloc[[row]]))["label"]
        np.testing.assert_allclose(alone, wanted[[row]], atol=1e-5)


def test_labels_are_read_where_heads_are_named(trained):
    model, table = trained
    predictor = model.predictor_
    assert predictor.rows(table).labels == {}
    labels = predictor.rows(table, heads=model.heads_).labels["label"]
    assert [model.classes_[i] for i in labels] == table["label"].tolist()
    with pytest.raises(TableError, match="'image_1'"):
        predictor.rows(table.assign(image_1="no.png"))


def test_of_no_rows(trained):
    model, table = trained
    assert model.predictor_.all_logits(table[:0])["label"].shape == (0, 3)


def test_only_of_a_trained_model():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError, match="call fit or load"):
        keras_mm.MultimodalClassifier().predictor_  # noqa: B018


def test_a_polars_frame_and_a_generator_are_predicted_as_the_same_rows(trained, sample):
    import polars as pl

    model, table = trained
    folder = sample[1].attrs["keras_mm"]["image_dir"]
    expected = model.predict_frame(table)
    cells = [
        {name: None if pd.isna(cell) else cell for name, cell in row.items()}
        for row in table.to_dict("records")
    ]
    for rows in (pl.DataFrame(cells), pl.DataFrame(cells).to_arrow(), (row for row in cells)):
        found = model.predict_frame(rows, image_dir=folder)
        pd.testing.assert_frame_equal(found, expected)
    frame = pl.DataFrame(cells)
    assert model.score(frame, image_dir=folder) == model.score(table)
    labels = frame.select("label")  # `y` as a frame and as a column
    for y in (labels, labels["label"], labels.to_arrow()["label"]):
        assert model.score(frame.drop("label"), y, image_dir=folder) == model.score(table)


def test_images_in_one_cell_are_predicted_as_those_of_two_columns(trained, sample, tmp_path):
    """The same slots, whether a row names them in two columns or in a list; also once saved."""
    model, table = trained
    trained_on = model._trained
    settings = replace(trained_on.settings, images={"photos": 2})
    several = model._with(replace(trained_on, settings=settings))
    listed = table.assign(photos=pd.Series(zip(table["image_1"], table["image_2"], strict=True)))
    listed = listed.drop(columns=["image_1", "image_2"])
    listed.attrs = table.attrs
    expected = model.predict_proba(table)
    np.testing.assert_array_equal(several.predict_proba(listed), expected)
    texts = ["|".join("" if pd.isna(path) else path for path in cell) for cell in listed["photos"]]
    texts = listed.assign(photos=texts)
    texts.attrs = table.attrs
    np.testing.assert_array_equal(several.predict_proba(texts), expected)
    assert several.score(texts) == model.score(table)
    several.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model").set_params(cache=False)
    assert loaded.get_params()["images"] == {"photos": 2}
    np.testing.assert_allclose(loaded.predict_proba(listed), expected, atol=1e-6)
