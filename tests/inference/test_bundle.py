import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.base import clone

import keras_mm
from keras_mm.errors import KerasMMError
from keras_mm.inference.bundle import load_bundle
from keras_mm.inference.manifest import write_manifest

pytestmark = pytest.mark.eager


@pytest.fixture(scope="module")
def folder(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "model"
    fitted.save(path)
    return path


def edit(folder, target, change):
    shutil.copytree(folder, target)
    spec = json.loads((target / "model.json").read_text())
    change(spec)
    (target / "model.json").write_text(json.dumps(spec))
    write_manifest(target)
    return target


def test_a_bundle_is_json_weights_and_vocabulary(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "manifest.json",
        "model.json",
        "model.weights.h5",
        "vocabulary.txt",
    ]
    spec = json.loads((folder / "model.json").read_text())
    assert spec["format_version"] == 6 and spec["heads"]["label"]["classes"][0] == "Contradictory"


@pytest.mark.graphs
def test_loaded_in_a_fresh_process_it_gives_the_same_bits(
    fitted, folder, sample, tmp_path, elsewhere
):
    rows = sample[1][:40]
    rows.to_parquet(tmp_path / "rows.parquet")
    code = (
        "import keras_mm, numpy, sys\n"
        "model = keras_mm.MultimodalClassifier.load(sys.argv[1])\n"
        "numpy.save(sys.argv[3], model.predict_proba(sys.argv[2]))\n"
    )
    out = tmp_path / "out.npy"
    elsewhere(code, folder, tmp_path / "rows.parquet", out)
    found = np.load(out)
    tolerance = 1e-6 if keras.backend.backend() == "tensorflow" else 0
    np.testing.assert_allclose(found, fitted.predict_proba(rows), atol=tolerance, rtol=0)


def test_weights_are_the_same_after_loading(fitted, folder):
    loaded = keras_mm.MultimodalClassifier.load(folder)
    for mine, its in zip(fitted.model_.weights, loaded.model_.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(its))
    assert loaded.history_ == fitted.history_
    assert loaded.get_params()["images"] == ["image_1", "image_2"]


def test_saving_again_writes_the_same_model(folder, tmp_path):
    keras_mm.MultimodalClassifier.load(folder).save(tmp_path / "again")
    assert (tmp_path / "again/model.json").read_text() == (folder / "model.json").read_text()


def test_a_newer_format_is_refused(folder, tmp_path):
    newer = edit(folder, tmp_path / "newer", lambda spec: spec.update(format_version=99))
    with pytest.raises(ValueError, match="format_version 99.*Upgrade keras_mm"):
        keras_mm.MultimodalClassifier.load(newer)


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(FileNotFoundError, match="No saved model"):
        keras_mm.MultimodalClassifier.load(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        keras_mm.MultimodalClassifier.load(tmp_path)


@pytest.mark.parametrize(
    ("file", "length"),
    [
        ("model.weights.h5", 0),
        ("model.weights.h5", 2000),
        ("vocabulary.txt", 0),
        ("manifest.json", 0),
        ("manifest.json", 30),
    ],
)
def test_files_that_were_not_copied_whole(folder, tmp_path, file, length):
    target = shutil.copytree(folder, tmp_path / "copy")
    data = (target / file).read_bytes()
    (target / file).unlink()
    if length:
        (target / file).write_bytes(data[:length])
    with pytest.raises(KerasMMError, match=f"{file}.*Copy the whole folder again"):
        load_bundle(target)


def test_a_file_that_was_changed_is_named(folder, tmp_path):
    target = shutil.copytree(folder, tmp_path / "copy")
    words = (target / "vocabulary.txt").read_text().splitlines()
    (target / "vocabulary.txt").write_text("\n".join([words[1], words[0], *words[2:]]))
    with pytest.raises(KerasMMError, match=r"vocabulary\.txt changed after the model was saved"):
        load_bundle(target)
    (target / "notes.txt").write_text("a file of the user's own is no part of the model")
    shutil.copy(folder / "vocabulary.txt", target)
    load_bundle(target)


def test_an_output_that_is_not_empty_is_left_alone(fitted, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        fitted.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    fitted.save(tmp_path, overwrite=True)
    assert (tmp_path / "model.json").is_file() and not (tmp_path / "mine.txt").exists()


def test_an_empty_folder_that_has_to_stay_is_filled(fitted, tmp_path, monkeypatch):
    working, target = tmp_path / "working", tmp_path / "target"
    working.mkdir()
    target.mkdir()
    (tmp_path / "link").symlink_to(target)
    monkeypatch.chdir(working)
    inode = working.stat().st_ino
    for folder in (".", tmp_path / "link"):
        fitted.save(folder)
        assert {"model.json", "model.weights.h5"} <= {p.name for p in Path(folder).iterdir()}
    assert working.stat().st_ino == inode and (tmp_path / "link").is_symlink()
    assert {p.name for p in tmp_path.iterdir()} == {"working", "target", "link"}


def test_nothing_is_left_when_writing_fails(fitted, tmp_path, monkeypatch):
    def broken(self, path):
        raise OSError("disk full")

    monkeypatch.setattr(keras.Model, "save_weights", broken)
    with pytest.raises(OSError, match="disk full"):
        fitted.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@keras.saving.register_keras_serializable("elsewhere")
class Doubled(keras.layers.Layer):
    """A layer of the user's own."""

    def call(self, x):
        return x * 2


def own_backbone():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = Doubled()(keras.layers.Conv2D(5, 3, strides=4)(x))
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def own(sample, tmp_path_factory):
    """A classifier on a backbone of the user's own, and where it was saved."""
    classifier = keras_mm.MultimodalClassifier(
        images=["image_1"], preset="tiny", vision_backbone=own_backbone(), image_size=32,
        epochs=1, verbose=0,
    )  # fmt: skip
    classifier.fit(sample[0][:40], validation_split=0)
    folder = tmp_path_factory.mktemp("own") / "model"
    classifier.save(folder)
    return classifier, folder


def test_a_backbone_of_the_users_own_is_copied(own, sample):
    classifier, _ = own
    mine = classifier.vision_backbone
    before = [np.array(keras.ops.convert_to_numpy(w)) for w in mine.weights]
    again = (
        clone(classifier).set_params(vision_backbone=mine).fit(sample[0][:40], validation_split=0)
    )
    for weight, value in zip(mine.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)
    for ours, theirs in zip(again.model_.weights, classifier.model_.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (ours, theirs)))


def test_layers_of_the_users_own_need_custom_objects(own, sample):
    classifier, folder = own
    with pytest.raises(ValueError, match="not allowed: elsewhere>Doubled.*custom_objects"):
        keras_mm.MultimodalClassifier.load(folder)
    loaded = keras_mm.MultimodalClassifier.load(folder, custom_objects={"Doubled": Doubled})
    np.testing.assert_allclose(
        loaded.predict_proba(sample[1][:7]), classifier.predict_proba(sample[1][:7]), atol=1e-6
    )


def test_a_loaded_classifier_does_not_train_another_network_unasked(own, sample):
    folder, few = own[1], sample[0][:40]
    loaded = keras_mm.MultimodalClassifier.load(folder, custom_objects={"Doubled": Doubled})
    with pytest.raises(ValueError, match=r"set_params\(vision_backbone="):
        loaded.fit(few, validation_split=0)
    loaded.set_params(vision_backbone=own_backbone()).fit(few, validation_split=0)
    assert any("conv2d" in v.path for v in loaded.model_.weights)


def test_nothing_in_a_bundle_is_executed(own, tmp_path):
    marker = tmp_path / "executed"

    def evil(spec):
        backbone = spec["vision_encoder"]["backbone"]
        backbone["config"]["layers"][2] = {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"function": f"__import__('pathlib').Path({str(marker)!r}).touch()"},
            "registered_name": None,
        }
        backbone["config"]["layers"][1]["module"] = "os"
        backbone["config"]["layers"][1]["class_name"] = "system"

    folder = edit(own[1], tmp_path / "evil", evil)
    with pytest.raises(ValueError, match="not allowed.*Lambda.*system"):
        load_bundle(folder, custom_objects={"Doubled": Doubled})
    assert not marker.exists()


def test_the_optimizer_is_not_saved(fitted, folder):
    import h5py

    assert fitted.model_.trainable_variables
    with h5py.File(folder / "model.weights.h5") as file:
        names = []
        file.visit(names.append)
        size = sum(file[name].size for name in names if isinstance(file[name], h5py.Dataset))
    assert not [name for name in names if "optimizer" in name]
    assert size == sum(np.prod(weight.shape) for weight in fitted.model_.weights)


BUNDLES = sorted((Path(__file__).parent / "bundles").glob("*.zip"))


@pytest.mark.parametrize("archive", BUNDLES, ids=lambda path: path.stem)
def test_models_of_earlier_formats_answer_as_they_did(archive, tmp_path):
    """What was saved before, and what it answered when it was."""
    shutil.unpack_archive(archive, tmp_path)
    asked = json.loads((tmp_path / "answers.json").read_text())
    given, where = asked.get("rows", asked.get("texts")), {"image_dir": tmp_path}
    model = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    expected = np.array(asked["probabilities"])
    np.testing.assert_allclose(model.predict_proba(given, **where), expected, atol=1e-5)
    assert model.predict(given, **where).tolist() == [
        model.classes_[i] for i in expected.argmax(axis=1)
    ]
    rows = [{**row, "label": x} for row, x in zip(given, asked["labels"], strict=True)]
    found = model.evaluate(rows, **where)
    assert found.metrics["num_rows"] == len(rows) and found.about["training_rows"] > 0
    assert 0 < found.baselines["majority"]["accuracy"] <= 1
    model.save(tmp_path / "again")
    again = keras_mm.MultimodalClassifier.load(tmp_path / "again")
    np.testing.assert_array_equal(
        again.predict_proba(given, **where), model.predict_proba(given, **where)
    )
