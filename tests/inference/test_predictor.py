"""A trained model's answers to rows, by head."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

import keras_mm
from keras_mm.data.tables.labels import is_missing
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


def rows_of(table):
    """The rows as dicts, with `None` for empty cells."""
    return [
        {name: None if is_missing(cell) else cell for name, cell in row.items()}
        for row in table.to_dict("records")
    ]


def test_a_polars_frame_and_a_generator_are_predicted_as_the_same_rows(trained):
    model, table = trained
    expected, score = model.predict_frame(table), model.score(table)
    frame = pl.DataFrame(rows_of(table), infer_schema_length=None)
    for rows in (frame, frame.to_arrow(), iter(rows_of(table))):
        pd.testing.assert_frame_equal(model.predict_frame(rows), expected)
    assert model.score(frame) == score
    labels = frame.select("label")  # `y` as a frame and as a column
    for y in (labels, labels["label"], labels.to_arrow()["label"]):
        assert model.score(frame.drop("label"), y) == score


def test_images_in_one_cell_are_predicted_as_those_of_two_columns(trained, tmp_path):
    """The same slots, whether a row has them in two columns, in a list or as paths in a text."""
    model, table = trained
    trained_on = model._trained
    settings = replace(trained_on.settings, images={"photos": 2})
    several = model._with(replace(trained_on, settings=settings))
    expected = model.predict_proba(table)
    lists, texts = rows_of(table), rows_of(table)
    for number, (row, text) in enumerate(zip(lists, texts, strict=True)):
        row["photos"] = [row.pop("image_1"), row.pop("image_2")]
        text["photos"] = "|".join(f"{number}-{i}.png" if row["photos"][i] else "" for i in (0, 1))
        for i, image in enumerate(row["photos"]):
            if image is not None:
                (tmp_path / f"{number}-{i}.png").write_bytes(image["bytes"])
    np.testing.assert_array_equal(several.predict_proba(lists), expected)
    found = several.predict_proba(texts, image_dir=tmp_path)
    # Equal bytes are encoded once, files each by itself: so images have other places in a batch.
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert several.score(lists) == model.score(table)
    several.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model").set_params(cache=False)
    assert loaded.get_params()["images"] == {"photos": 2}
    np.testing.assert_allclose(loaded.predict_proba(lists), expected, atol=1e-6)
