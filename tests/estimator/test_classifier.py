import inspect
import json
from dataclasses import asdict, fields

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import keras_mm
from keras_mm.inference import predictor as module
from keras_mm.inference.manifest import write_manifest
from keras_mm.models.multimodal import parts
from keras_mm.settings.settings import ConfigError, Settings

TEXT_ONLY = {"texts": ["text_1", "text_2"], "preset": "tiny", "epochs": 1, "verbose": 0}


@pytest.fixture(scope="module")
def text_classifier(sample):
    """Frozen text encoder, int labels in an order of the user's own."""
    table = sample[0][:90].assign(label=lambda t: t["label"].str.len())
    model = keras_mm.MultimodalClassifier(**TEXT_ONLY, text_trainable=False, classes=[13, 12, 7])
    return model.fit(table)


def test_the_keywords_are_the_settings():
    """The constructor repeats their declarations, as scikit-learn needs."""
    parameters = inspect.signature(keras_mm.MultimodalClassifier).parameters
    assert [(name, one.default) for name, one in parameters.items()] == [
        (f.name, f.default) for f in fields(Settings)
    ]


def test_labels_come_back_as_given(fitted, text_classifier, sample):
    assert fitted.classes_.tolist() == ["Contradictory", "Implies", "NoEntailment"]
    assert set(fitted.predict(sample[1][:9])) <= set(fitted.classes_)
    assert text_classifier.classes_.tolist() == [13, 12, 7]
    assert text_classifier.predict(sample[1][:2]).dtype.kind == "i"


def test_the_order_of_classes_outlives_a_save(text_classifier, tmp_path):
    text_classifier.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    assert loaded.get_params()["classes"] == [13, 12, 7] == loaded.classes_.tolist()


def test_probabilities(fitted, sample):
    rows = sample[1][:37]
    found = fitted.predict_proba(rows)
    assert found.shape == (37, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    frame = fitted.predict_frame(rows)
    assert list(frame.columns)[0] == "prediction"
    np.testing.assert_array_equal(frame["probability_Implies"], found[:, 1])
    np.testing.assert_array_equal(frame.index, rows.index)


def test_a_row_alone_is_the_row_in_a_batch(fitted, sample):
    together = fitted.predict_proba(sample[1][:33])
    for row in (0, 32):
        one = sample[1].iloc[row].to_dict()
        np.testing.assert_allclose(fitted.predict_proba(one)[0], together[row], atol=1e-6)


def test_rows_may_lack_inputs(fitted, sample):
    row = sample[1].iloc[0].to_dict()
    for name in ("image_1", "text_1", "text_2"):
        found = fitted.predict_proba({**row, name: None})
        assert np.isfinite(found).all()


def test_score_and_evaluate_agree(fitted, sample, tmp_path):
    rows = sample[1][:50]
    report = fitted.evaluate(rows)
    assert report.metrics["accuracy"] == pytest.approx(fitted.score(rows, rows["label"]))
    assert report.baselines["majority"]["accuracy"] == (rows["label"] == "NoEntailment").mean()
    low, high = report.metrics["accuracy_interval"]
    assert low < report.metrics["accuracy"] < high
    report.save(tmp_path / "report.html")
    assert "NoEntailment" in (tmp_path / "report.html").read_text()
    assert (report.predictions["prediction"] == fitted.predict(rows)).all()


def test_frozen_encoders_train_on_features(text_classifier, sample):
    history = text_classifier.history_
    assert {"loss", "val_loss", "val_accuracy", "val_macro_f1"} <= set(history)
    encoder = text_classifier.model_.get_layer("text_encoder")
    assert not encoder.trainable_weights


def test_scikit_learns_contract(sample):
    model = keras_mm.MultimodalClassifier(**TEXT_ONLY, training={"clipnorm": 2.0})
    copy = clone(model)
    assert copy.get_params() == model.get_params() and copy is not model
    assert copy.set_params(loss="focal").loss == "focal"
    with pytest.raises(NotFittedError):
        model.predict(sample[1])


@pytest.mark.backend_free
@pytest.mark.eager
def test_y_replaces_the_label_column(sample):
    table = sample[0][:60]
    labels = np.where(table["label"] == "NoEntailment", "no", "yes")
    model = keras_mm.MultimodalClassifier(**TEXT_ONLY, text_trainable=False, head="binary")
    model.fit(table.drop(columns="label"), labels)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.predict_proba(table[:5]).shape == (5, 2)
    assert model.model_.output_shape == (None, 1)
    assert 0 <= model.score(table, labels) <= 1


@pytest.mark.backend_free
@pytest.mark.eager
def test_what_counts_the_training_labels_has_its_knobs(sample):
    table = sample[0][:60].assign(label=lambda t: t["label"] == "NoEntailment")
    counting = {"loss": "logit_adjusted", "class_weight": "effective_number"}
    answers = []
    for options in ({}, *({**counting, "training": {"tau": k, "beta": k}} for k in (0, 0.5))):
        model = keras_mm.MultimodalClassifier(
            **TEXT_ONLY, text_trainable=False, head="binary", **options
        )
        answers.append(model.fit(table).predict_proba(table))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)
    assert np.abs(answers[2] - answers[0]).min() > 1e-2


@pytest.mark.backend_free
def test_all_mistakes_of_a_call_are_told_at_once(sample):
    model = keras_mm.MultimodalClassifier(
        preset="tinny", epochs=0, loss="focall", training={"gama": 1}
    )
    with pytest.raises(ConfigError) as error:
        model.fit(sample[0])
    text = str(error.value)
    assert len(error.value.problems) == 4
    for word in ("'tiny'", "`epochs`", "`loss`", "'training.gamma'"):
        assert word in text


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, {"label": "x"}, "one class only"),
        ({"texts": ["text1"]}, {}, "Did you mean 'text_1'"),
        ({"labels": "labell"}, {}, "Did you mean 'label'"),
        ({"texts": ["text_1"], "images": [], "compare": True}, {}, "compare=True needs"),
        ({"augmentation": {"flip": True}}, {}, "there is no image column"),
        ({"augmentation": {"flip": True}, "vision_trainable": False}, {}, "vision_trainable=True"),
    ],
)
def test_bad_requests(sample, options, change, message):
    keywords = {**TEXT_ONLY, **options}
    with pytest.raises(ValueError, match=message):
        keras_mm.MultimodalClassifier(**keywords).fit(sample[0][:90].assign(**change))


def test_a_label_never_seen_in_training(fitted, sample):
    rows = sample[1][:3].copy()
    rows.loc[rows.index[1], "label"] = "Maybe"
    with pytest.raises(keras_mm.TableError, match=r"row 1, column 'label': unknown label 'Maybe'"):
        fitted.evaluate(rows)


@pytest.mark.backend_free
@pytest.mark.eager
def test_skipped_rows_are_listed(sample):
    table = sample[0][:60].copy()
    table["text_1"] = table["text_1"].astype(object)
    table.loc[table.index[3], "text_1"] = 7
    model = keras_mm.MultimodalClassifier(**TEXT_ONLY, text_trainable=False)
    with pytest.warns(UserWarning, match="1 of"):
        model.fit(table, on_error="skip", validation_split=0)
    assert [problem.row for problem in model.skipped_] == [3]


def test_a_table_without_the_models_columns(fitted):
    with pytest.raises(keras_mm.TableError, match="no column 'image_1'"):
        fitted.predict([{"text_1": "a", "text_2": "b"}])


@pytest.mark.backend_free
@pytest.mark.eager
def test_images_only_and_text_only_are_dropped_sides(sample):
    model = keras_mm.MultimodalClassifier(images="image_1", preset="tiny", epochs=1, verbose=0)
    model.fit(sample[0][:40], validation_split=0)
    assert [layer.name for layer in model.model_.layers if layer.count_params()] == [
        "vision_encoder",
        "trunk",
    ]


@pytest.mark.many_networks
@pytest.mark.eager
def test_augmentation_is_saved_with_the_model(sample, tmp_path):
    augmentation = keras_mm.Augmentation(flip=True, contrast=0.2, same_colour=False)
    model = keras_mm.MultimodalClassifier(
        images="image_1", preset="tiny", epochs=1, verbose=0, augmentation=augmentation
    ).fit(sample[0][:40], validation_split=0)
    model.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    layer = loaded.model_.get_layer("vision_encoder").get_layer("augmentation")
    assert layer.augmentation == augmentation
    np.testing.assert_array_equal(
        loaded.predict_proba(sample[1][:7]), model.predict_proba(sample[1][:7])
    )
    assert clone(loaded).augmentation == asdict(augmentation)

    spec = tmp_path / "model" / "model.json"
    written = json.loads(spec.read_text())
    for part in ("vision_encoder", "settings"):  # as saved before there was any
        del written[part]["augmentation"]
    spec.write_text(json.dumps(written))
    write_manifest(tmp_path / "model")
    plain = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    names = [layer.name for layer in plain.model_.get_layer("vision_encoder").layers]
    assert "augmentation" not in names
    np.testing.assert_array_equal(
        plain.predict_proba(sample[1][:7]), model.predict_proba(sample[1][:7])
    )


def test_pandas_and_csv_give_the_same(fitted, sample, tmp_path):
    rows = sample[1][:5]
    for i, (first, second) in enumerate(zip(rows["image_1"], rows["image_2"], strict=True)):
        (tmp_path / f"{i}_1.png").write_bytes(first["bytes"])
        (tmp_path / f"{i}_2.png").write_bytes(second["bytes"])
    table = pd.DataFrame(
        {
            "text_1": rows["text_1"],
            "text_2": rows["text_2"],
            "image_1": [f"{i}_1.png" for i in range(5)],
            "image_2": [f"{i}_2.png" for i in range(5)],
        }
    )
    table.to_csv(tmp_path / "rows.csv", index=False)
    np.testing.assert_array_equal(
        fitted.predict_proba(tmp_path / "rows.csv"), fitted.predict_proba(rows)
    )


@pytest.mark.eager
def test_bfloat16_encoders_under_a_float32_trunk(sample, tmp_path):
    rows = sample[1][:50]
    model = keras_mm.MultimodalClassifier(
        preset="tiny", precision="bfloat16", epochs=1, verbose=0, seed=0
    ).fit(sample[0][:64], validation_split=0)
    encoders, trunk = parts(model.model_)
    for encoder in encoders.values():
        (network,) = [layer for layer in encoder.layers if isinstance(layer, keras.Model)]
        widths = {layer.compute_dtype for layer in network.layers if layer.weights}
        assert widths == {"bfloat16"}
    assert {layer.compute_dtype for layer in trunk.layers} == {"float32"}
    assert {w.dtype for w in model.model_.trainable_variables} == {"float32"}

    # The same weights at full precision: near, and not the same.
    model.save(tmp_path / "model")
    spec = tmp_path / "model" / "model.json"
    written = json.loads(spec.read_text())
    assert written["precision"] == "bfloat16"
    spec.write_text(json.dumps({**written, "precision": "float32"}))
    write_manifest(tmp_path / "model")
    exact = keras_mm.MultimodalClassifier.load(tmp_path / "model").predict_proba(rows)
    deviations = np.abs(model.predict_proba(rows) - exact)
    assert 0 < deviations.max() < 0.02 and deviations.mean() < 0.004


def test_a_large_table_is_answered_in_parts(fitted, sample, monkeypatch):
    rows = sample[1][:70].reset_index(drop=True)
    whole = fitted.predict_frame(rows)
    monkeypatch.setattr(module, "_PART", 32)
    parts = fitted.predict_frame(rows)
    pd.testing.assert_frame_equal(parts, whole, atol=1e-6)
    np.testing.assert_allclose(fitted.predict_proba(rows), whole.iloc[:, 1:], atol=1e-6)
    assert fitted.predict(rows).tolist() == whole["prediction"].tolist()
    bad = rows.assign(image_1=None, image_2=None, text_1=rows["text_1"].astype(object))
    bad.loc[[3, 68], "text_1"] = 7
    with pytest.raises(keras_mm.TableError) as caught:
        fitted.predict(bad)
    assert [problem.row for problem in caught.value.problems] == [3, 68]


def test_one_row_is_answered_as_among_others(fitted, sample):
    rows = sample[1][:5].copy()
    rows["image_2"] = rows["image_2"].astype(object)
    rows.iloc[2, rows.columns.get_loc("image_2")] = None
    together = fitted.predict_proba(rows)
    for position in range(5):
        alone = fitted.predict_proba(rows[position : position + 1])
        np.testing.assert_allclose(alone, together[position : position + 1], atol=1e-6)
