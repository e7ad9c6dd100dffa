"""What Keras users do with a model: save, load, clone, pickle, export, quantize."""

import io
import pickle
from contextlib import redirect_stderr, redirect_stdout

import keras
import numpy as np
import pytest

import keras_mm
from keras_mm.models.multimodal import attention_model, create_multimodal_model, input_names
from keras_mm.models.multimodal_model import MultimodalModel
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder
from keras_mm.settings.heads import Head
from keras_mm.subprocesses import ChildError
from keras_mm.training.trainer import Trainer
from tests.models.conftest import LENGTH, SIZE, called, make_inputs, make_model
from tests.models.test_keras_settings import run_fresh

pytestmark = pytest.mark.eager

HEADS = {"mood": Head(classes=3), "stars": Head("regression")}
# Fusion, images, heads, compared (and then with separate texts).
CASES = {
    "concat": ("concat", 2, 3, False),
    "bilinear": ("bilinear", 1, HEADS, False),
    "gated": ("gated", 2, 3, False),
    "cross_attention": ("cross_attention", 2, HEADS, True),
    "bottleneck": ("bottleneck", 1, 3, False),
    "mmbt": ("mmbt", 2, HEADS, False),
}


def answers(model, inputs) -> dict[str, np.ndarray]:
    found = model.predict_on_batch(inputs)
    found = found if isinstance(found, dict) else {"": found}
    return {name: np.asarray(value) for name, value in found.items()}


def assert_same(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.fixture(scope="module", params=CASES)
def model(request):
    """`(model, inputs, answers)` of each fusion."""
    fusion, images, heads, compare = CASES[request.param]
    made = make_model(fusion, compare, compare, images, heads)
    inputs = make_inputs(3, images, separate=compare)
    return made, inputs, answers(made, inputs)


def test_saved_and_loaded(model, tmp_path):
    made, inputs, wanted = model
    made.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is MultimodalModel
    assert_same(answers(loaded, inputs), wanted)


@pytest.mark.slow
def test_cloned_and_pickled(model):
    made, inputs, wanted = model
    clone = keras.models.clone_model(made)
    assert type(clone) is MultimodalModel
    assert all(v is not w for v, w in zip(clone.weights, made.weights, strict=True))
    clone.set_weights(made.get_weights())
    assert_same(answers(clone, inputs), wanted)
    again = pickle.loads(pickle.dumps(made))
    for mine, its in zip(made.weights, again.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (mine, its)))


@pytest.mark.many_networks
def test_config_weights_and_summary(model, tmp_path):
    made, inputs, wanted = model
    made.save_weights(tmp_path / "model.weights.h5")
    again = type(made).from_config(made.get_config())
    again.load_weights(tmp_path / "model.weights.h5")
    assert_same(answers(again, inputs), wanted)
    with redirect_stdout(io.StringIO()) as out:
        made.summary(expand_nested=True)
    assert "trunk" in out.getvalue()


@pytest.fixture(scope="module")
def plain():
    """A model of `concat`, its inputs and answers."""
    made, inputs = make_model(), make_inputs(3)
    return made, inputs, answers(made, inputs)


@pytest.mark.graphs
def test_exported_on_each_backend(plain, tmp_path):
    import tensorflow as tf

    made, inputs, wanted = plain
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        made.export(tmp_path / "saved")
    assert str(tmp_path / "saved") in out.getvalue()
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    sequences = ("token_ids", "segment_ids", "padding_mask")
    longer = {name: np.pad(inputs[name], [(0, 0), (0, 5)]) for name in sequences}
    for given in (inputs, {**inputs, **longer}):  # of any length
        found = loaded.serve({name: tf.constant(given[name]) for name in input_names(made)})
        np.testing.assert_allclose(found.numpy(), wanted[""], atol=1e-4)


@pytest.mark.many_networks
def test_an_export_that_fails_says_where(plain, tmp_path):
    if keras.backend.backend() == "tensorflow":
        pytest.skip("exports in this process")
    inputs = keras.Input((7,))
    own = MultimodalModel(inputs, Trebled()(inputs))
    with pytest.raises(ChildError, match="(?s)in a TensorFlow process.*Trebled"):
        own.export(tmp_path / "saved")


@keras.saving.register_keras_serializable("elsewhere")
class Trebled(keras.layers.Layer):
    """A layer of the user's own."""

    def call(self, x):
        return x * 3


@pytest.mark.slow
def test_quantized_saved_and_loaded(tmp_path):
    text = create_text_encoder(
        "tiny_bert", weights="random", sequence_length=LENGTH, text_pairing="separate"
    )
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE)
    made = create_multimodal_model(vision, text, 3, fusion="gated", projection_dims=11)
    inputs = make_inputs(3, separate=True)
    wanted = answers(made, inputs)[""]
    made.quantize("int8", filters=["dense", "logits", "gate", "key"])
    quantized = {la.name for la in made._flatten_layers() if getattr(la, "quantization_mode", None)}
    assert "label_logits" in quantized and "key" in quantized
    assert "gate" not in quantized and "query" not in quantized
    found = answers(made, inputs)
    assert 0 < np.abs(found[""] - wanted).max() < 0.3
    made.save(tmp_path / "model.keras")
    assert_same(answers(keras_mm.load_model(tmp_path / "model.keras"), inputs), found)


def test_checkpoints_of_a_training(tmp_path):
    """With rates of the encoders' own, losses of ours, and in a plain fit."""
    vision = create_vision_encoder(
        "tiny_cnn", weights="random", image_size=SIZE, num_images=1, trainable=True
    )
    made = create_multimodal_model(vision, None, HEADS, projection_dims=11)
    inputs = {name: make_inputs(6, 1)[name] for name in input_names(made)}
    labels = {"mood": np.arange(6) % 3, "stars": np.arange(6.0)}
    file = tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(file)
    trainer = Trainer(
        made, heads=HEADS, epochs=1, encoder_learning_rate=1e-5, decay="linear", verbose=0,
        callbacks=[checkpoint],
    )  # fmt: skip
    trainer.fit((inputs, labels))
    loaded = keras.models.load_model(file)
    assert_same(answers(loaded, inputs), answers(made, inputs))
    rates = loaded.optimizer.get_config()["rates"]
    assert rates == made.optimizer.get_config()["rates"]
    assert sorted(set(rates)) == pytest.approx([0.01, 1.0])
    loaded.fit(inputs, labels, verbose=0, callbacks=[checkpoint])  # with its own losses
    assert_same(answers(keras.models.load_model(file), inputs), answers(loaded, inputs))


def test_an_attention_model_is_saved_too(tmp_path):
    made, inputs = make_model("cross_attention"), make_inputs(2)
    attention = attention_model(made)
    attention.save(tmp_path / "attention.keras")
    loaded = keras.models.load_model(tmp_path / "attention.keras")
    assert_same(answers(loaded, inputs), answers(attention, inputs))


def test_a_folder_of_the_estimator_is_no_keras_file(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    with pytest.raises(ValueError, match="MultimodalClassifier.load"):
        keras_mm.load_model(tmp_path / "model")
    with pytest.raises(ValueError, match="not found"):
        keras_mm.load_model(tmp_path / "nothing.keras")


LOADING = {
    "keras first": "import keras, keras_mm; load = keras.models.load_model",
    "keras_mm first": (
        "import keras_mm, keras\n"
        "def load(file):\n"
        "    mine, its = keras_mm.load_model(file), keras.models.load_model(file)\n"
        "    assert type(mine) is type(its) and type(mine.loss) is type(its.loss)\n"
        "    for one, other in zip(mine.get_weights(), its.get_weights(), strict=True):\n"
        "        assert (one == other).all()\n"
        "    return its"
    ),
    "a part first": "import keras_mm.losses, keras; load = keras.models.load_model",
    "pickle alone": "import pickle; load = lambda file: pickle.load(open(file, 'rb'))",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", LOADING)
def test_loaded_in_a_fresh_process(once, how, tmp_path):
    # Once with KerasHub, which such a process imports for ten seconds and more.
    if how == "keras first":
        text = create_text_encoder("tiny_bert", weights="random", sequence_length=LENGTH)
        made = create_multimodal_model(None, text, 3, projection_dims=11)
    else:
        vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE)
        made = create_multimodal_model(vision, None, 3, projection_dims=11)
    made.compile("sgd", keras_mm.create_loss("focal"))
    inputs = {name: make_inputs(3)[name] for name in input_names(made)}
    if how == "pickle alone":
        (tmp_path / "model").write_bytes(pickle.dumps(made))
    else:
        made.save(tmp_path / "model.keras")
    file = tmp_path / ("model" if how == "pickle alone" else "model.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    code = (
        f"{LOADING[how]}\n"
        "import sys, numpy\n"
        "model = load(sys.argv[1])\n"
        "assert type(model.loss).__name__ == 'FocalLoss', model.loss\n"
        "out = model(dict(numpy.load(sys.argv[2] + '/inputs.npz')), training=False)\n"
        "numpy.save(sys.argv[2] + '/out.npy', out)\n"
    )
    run_fresh(code, file, tmp_path)
    found = np.load(tmp_path / "out.npy")  # TensorFlow rounds apart in another process
    np.testing.assert_allclose(found, called(made, inputs), atol=1e-6, rtol=0)
