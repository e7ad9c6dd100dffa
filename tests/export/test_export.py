import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_mm
from keras_mm.export import export
from keras_mm.export.export import ExportError
from keras_mm.load_order import load_tensorflow
from tests.conftest import tensorflow_functions

SCRIPT = Path(export.__file__).with_name("check_saved_model.py")


@pytest.fixture(scope="module")
def classifier(once, sample):
    """A small model of one image and one text, labels that are ints."""
    table = sample[0][:120].assign(label=lambda t: (t["label"] == "NoEntailment").astype(int))
    model = keras_mm.MultimodalClassifier(
        images=["image_1"], texts=["text_2"], preset="tiny", compare=False, head="binary",
        epochs=1, verbose=0,
    )  # fmt: skip
    with tensorflow_functions(eager=True):  # the export traces graphs of its own
        return model.fit(table, validation_split=0.2).fit_decisions(error=0.2, costs={1: 2})


@pytest.fixture(scope="module")
def artefact(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "saved_model"
    # What lies in the working folder is not taken for a library.
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "pandas").mkdir()
    (elsewhere / "tensorflow.py").write_text("raise ImportError('a file of the working folder')")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        found = classifier.export(folder)
    assert found["rows"] == 32 and found["max_difference"] <= 1e-4
    return folder


# The script as it is run, from a shell whose backend is PyTorch. (TensorFlow loads JAX by itself.)
CHECK = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
found = {name for name in ("keras_hub", "keras_mm", "torch", "triton") if sys.modules.get(name)}
assert not found, found
"""


def ask(folder, tmp_path, columns, batch_sizes=(2,)):
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    request.write_text(json.dumps({"columns": columns, "batch_sizes": batch_sizes}))
    done = subprocess.run(
        [sys.executable, "-I", "-c", CHECK, str(SCRIPT), str(folder), str(request), str(answer)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "torch"},
    )
    return done, (json.loads(answer.read_text()) if answer.exists() else None)


def test_missing_inputs_and_integer_labels(classifier, artefact, sample, tmp_path):
    import base64

    image = base64.b64encode(sample[1]["image_1"].iloc[0]["bytes"]).decode()
    text = base64.b64encode(b"It goes up.").decode()
    cut = base64.b64encode(b"It\0 goes up.\x7f").decode()
    done, answers = ask(
        artefact, tmp_path, {"image_1": [image, image, ""], "text_1": [cut, "", text]}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    picture = sample[1]["image_1"].iloc[0]
    rows = [
        {"image_1": picture, "text_2": "It\0 goes up.\x7f"},
        {"image_1": picture, "text_2": None},
        {"image_1": None, "text_2": "It goes up."},
    ]
    np.testing.assert_allclose(
        answers[0]["probabilities"], classifier.predict_proba(rows), atol=1e-4
    )
    whole = {"image_1": picture, "text_2": "It goes up."}
    np.testing.assert_array_equal(*classifier.predict_proba([rows[0], whole]))
    assert answers[0]["label"] == classifier.predict(rows).tolist()
    assert {type(label) for label in answers[0]["label"]} == {int}


@pytest.fixture(scope="module")
def signatures(artefact):
    """The artefact's signatures, loaded once; the model is kept as long as they are asked."""
    model = load_tensorflow().saved_model.load(str(artefact))
    yield model.signatures
    del model


def test_decisions_are_those_of_the_classifier(classifier, signatures, sample):
    tf = load_tensorflow()

    from keras_mm.data.tables.rows import read_rows

    rows = read_rows(sample[1][:40], images=["image_1"], texts=["text_2"])
    inputs = classifier.preprocessor_(rows)
    found = signatures["encoded"](**{name: tf.constant(value) for name, value in inputs.items()})
    sets = [[int(one) for one in row if one] for row in found["set"].numpy().astype(str)]
    assert sets == classifier.predict(sample[1][:40], decide="set").tolist()
    sure = classifier.predict(sample[1][:40], decide="abstain")
    labels = found["threshold_label"].numpy()
    assert [
        label if answered else None
        for label, answered in zip(labels, found["answered"].numpy(), strict=True)
    ] == sure.tolist()
    assert labels.tolist() == classifier.predict(sample[1][:40], decide="threshold").tolist()


def test_what_is_no_image_is_refused_by_the_artefact(signatures):
    tf = load_tensorflow()
    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG"):
        signatures["serving_default"](
            image_1=tf.constant([b"hello"]), text_1=tf.constant(["hello"])
        )


def test_the_encoded_signature_takes_the_tensors(classifier, signatures, sample):
    tf = load_tensorflow()

    from keras_mm.data.tables.rows import read_rows

    rows = read_rows(sample[1][:3], images=["image_1"], texts=["text_2"])
    inputs = classifier.preprocessor_(rows)
    found = signatures["encoded"](**{name: tf.constant(value) for name, value in inputs.items()})
    np.testing.assert_allclose(
        found["probabilities"].numpy(), classifier.predict_proba(sample[1][:3]), atol=1e-5
    )


@pytest.mark.slow
def test_an_artefact_that_answers_otherwise_is_not_kept(
    classifier, artefact, tmp_path, monkeypatch
):
    def written(module, bundle, target, doing):  # as it was before: that takes half a minute
        shutil.copytree(artefact, target, dirs_exist_ok=True)

    monkeypatch.setattr(export, "run_on_tensorflow", written)
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="differ from the model's"):
        classifier.export(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("classes", "answered"),
    [
        ([1, 1.5, 2], [1.0, 1.5, 2.0]),
        ([0.1, 0.2], [0.1, 0.2]),
        ([3, 5], [3, 5]),
        (["a", 7], [b"a", b"7"]),
        (["a", "b"], [b"a", b"b"]),
    ],
)
def test_labels_are_answered_as_they_are(once, classes, answered):
    from keras_mm.export.saved_model import class_names

    assert class_names(classes).numpy().tolist() == answered


def test_bad_requests(classifier, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'tf_saved_model'"):
        classifier.export(tmp_path / "out", format="saved_model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        classifier.export(tmp_path / "full")
    assert (tmp_path / "full" / "file").read_text() == "mine"
