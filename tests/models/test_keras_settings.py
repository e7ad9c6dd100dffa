"""The user's global Keras settings change nothing of a model, and are left as they were."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager

import keras
import numpy as np
import pytest

import keras_mm
from keras_mm.models.heads import heads_alone, with_heads
from keras_mm.models.image_format import check_channels_last
from keras_mm.models.keras_settings import build_settings, default_settings
from keras_mm.models.multimodal import create_multimodal_model, parts
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder
from tests.conftest import tensorflow_functions
from tests.families import image_converter, randomise, vision_network
from tests.models.conftest import LENGTH, SIZE, logits_of, make_inputs, make_model

pytestmark = pytest.mark.eager

NAMES = ("floatx", "image_data_format", "epsilon")
HOSTILE = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1}
SETTINGS = [
    {"image_data_format": "channels_first"},
    {"floatx": "float64"},
    {"floatx": "bfloat16"},
    {**HOSTILE, "dtype_policy": "float16"},  # the policy that follows `floatx`
]


def settings_now() -> dict:
    found = {name: getattr(keras.config, name)() for name in NAMES}
    return {**found, "dtype_policy": keras.config.dtype_policy().name}


@contextmanager
def of_the_user(**settings):
    """The user's settings inside, which must still be there at the end."""
    before = settings_now()
    for name, value in settings.items():
        getattr(keras.config, f"set_{name}")(value)
    try:
        yield
        assert settings_now() == {**before, **settings}
    finally:
        for name, value in before.items():
            getattr(keras.config, f"set_{name}")(value)


def answers(model, inputs) -> np.ndarray:
    """Traced anew, under the settings of now."""
    model.predict_function = None
    return logits_of(model, inputs)


@pytest.fixture(scope="module")
def reference():
    """A model made under the default settings, its inputs and answers."""
    model, inputs = make_model("cross_attention", compare=True), make_inputs(3)
    return model, inputs, logits_of(model, inputs)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_built_and_run_under_other_settings(reference, settings):
    _, inputs, wanted = reference
    with of_the_user(**settings):
        model = make_model("cross_attention", compare=True)
        np.testing.assert_array_equal(answers(model, inputs), wanted)
    assert {v.dtype for v in model.weights if "seed" not in v.path} == {"float32"}


def test_saved_loaded_cloned_and_run_under_other_settings(reference, tmp_path):
    model, inputs, wanted = reference
    model.save(tmp_path / "model.keras")
    with of_the_user(**SETTINGS[-1]):
        np.testing.assert_array_equal(answers(model, inputs), wanted)
        for loaded in (
            keras.models.load_model(tmp_path / "model.keras"),
            keras_mm.load_model(tmp_path / "model.keras"),
        ):
            np.testing.assert_array_equal(logits_of(loaded, inputs), wanted)
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        np.testing.assert_array_equal(logits_of(clone, inputs), wanted)


@pytest.mark.slow
def test_trained_saved_and_loaded_under_other_settings(fitted, sample, tmp_path):
    rows = sample[1][:20]
    hostile = of_the_user(**HOSTILE, dtype_policy="mixed_float16")
    with hostile, tensorflow_functions(eager=False):  # as `fitted` was
        found = keras_mm.MultimodalClassifier(preset="tiny", epochs=1, verbose=0)
        found.fit(sample[0][:128], validation_split=0.25)
        found.save(tmp_path / "model")
        loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
        probabilities = loaded.predict_proba(rows)
        np.testing.assert_array_equal(probabilities, fitted.predict_proba(rows))
    assert found.history_ == fitted.history_


@pytest.mark.slow
def test_a_keras_json_of_the_user(once, fitted, sample, tmp_path):
    fitted.save(tmp_path / "model")
    sample[1][:20].to_parquet(tmp_path / "rows.parquet")
    settings = {**HOSTILE, "backend": "tensorflow"}
    (tmp_path / "keras.json").write_text(json.dumps(settings), encoding="utf-8")
    code = (
        "import sys, keras, keras_mm, numpy\n"
        "model = keras_mm.MultimodalClassifier.load(sys.argv[1] + '/model')\n"
        "assert keras.config.image_data_format() == 'channels_first'\n"
        "numpy.save(sys.argv[1] + '/out.npy', model.predict_proba(sys.argv[1] + '/rows.parquet'))\n"
    )
    run_fresh(code, tmp_path, KERAS_HOME=str(tmp_path))
    wanted = fitted.predict_proba(sample[1][:20])
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), wanted, atol=1e-6, rtol=0)


def run_fresh(code: str, *arguments, **environment) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def vision_answers(encoder, images) -> np.ndarray:
    encoder.predict_function = None
    found = encoder.predict_on_batch({"image_1": images})["sequence_output"]
    return np.asarray(found)


@pytest.mark.many_networks
@pytest.mark.parametrize("name", ["mobilenet_v2_0.35", "resnet_v2", "siglip"])
def test_networks_of_keras_and_keras_hub(name, tmp_path):
    images = np.random.default_rng(5).integers(0, 256, (2, 28, 28, 3)).astype("float32")
    options = {"image_size": (28, 28), "num_images": 1}
    if name == "mobilenet_v2_0.35":
        images, backbone = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)]), name
        options.update(image_size=(32, 32), weights="random")
    else:
        backbone = str(tmp_path / "preset")
        randomise(vision_network(name)).save_to_preset(backbone)
        converter = image_converter(name, scale=[0.01, 0.02, 0.03], offset=[-0.5, 0.1, 0.2])
        converter.save_to_preset(backbone)
    encoder = create_vision_encoder(backbone, **options)
    wanted = vision_answers(encoder, images)
    create_multimodal_model(encoder, None, 3).save(tmp_path / "model.keras")
    with of_the_user(**SETTINGS[-1]):
        np.testing.assert_array_equal(vision_answers(encoder, images), wanted)
        model = keras.models.load_model(tmp_path / "model.keras")
        for other in (create_vision_encoder(backbone, **options), parts(model).encoders["vision"]):
            other.set_weights(encoder.get_weights())
            np.testing.assert_array_equal(vision_answers(other, images), wanted)


def test_mixed_precision_is_asked_for_by_the_policy():
    with of_the_user(dtype_policy="mixed_bfloat16"):
        text = create_text_encoder("tiny_bert", weights="random", sequence_length=LENGTH)
        model = create_multimodal_model(None, text, 3)
    layers = {layer.compute_dtype for layer in text._flatten_layers() if layer.weights}
    assert "bfloat16" in layers and model.dtype_policy.name == "float32"
    trunk = parts(model).trunk
    assert {layer.compute_dtype for layer in trunk._flatten_layers()} == {"float32"}


@pytest.mark.parametrize("policy", ["float64", "float16", "bfloat16", "int8_from_float32"])
def test_a_policy_that_encoders_cannot_have_is_refused(policy):
    with of_the_user(dtype_policy=policy):
        for create in (create_vision_encoder, create_text_encoder):
            with pytest.raises(ValueError, match=f"'{policy}'.*set_dtype_policy"):
                create("tiny_bert" if create is create_text_encoder else "tiny_cnn")


def test_a_trained_encoder_in_float16_is_refused():
    with of_the_user(dtype_policy="mixed_float16"):
        with pytest.raises(ValueError, match="mixed_float16.*mixed_bfloat16"):
            create_vision_encoder("tiny_cnn", weights="random", trainable=True)
        create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE)


def test_a_fusion_made_under_another_policy_is_in_float32():
    with of_the_user(dtype_policy="mixed_float16"):
        fusion = keras_mm.models.fusion.CrossAttention(num_heads=2)
    model = make_model(fusion)
    trunk = parts(model).trunk
    assert {layer.compute_dtype for layer in trunk._flatten_layers()} == {"float32"}


def test_layers_inside_a_layer_have_its_policy():
    fusion = keras_mm.models.fusion.Gated(dtype="float32")
    with of_the_user(dtype_policy="mixed_float16"):
        fusion.build([(None, 3), (None, 5)])
    assert {layer.dtype_policy.name for layer in fusion._flatten_layers()} == {"float32"}


def test_heads_made_later_are_in_float32():
    trunk = parts(make_model()).trunk
    with of_the_user(**SETTINGS[-1]):
        made = with_heads(trunk, {"mood": keras_mm.Head(classes=2)}, ["label"])
        alone = heads_alone(made, ["mood"])
    assert made.dtype_policy.name == "float32" and alone.inputs[0].dtype == "float32"


def test_settings_come_back_after_an_exception():
    with of_the_user(**SETTINGS[-1]), pytest.raises(ValueError, match="cannot take"):
        create_vision_encoder("mobilenet_v2_0.35", weights="random", image_size=(7, 7))
    with of_the_user(**HOSTILE), pytest.raises(RuntimeError), default_settings():
        assert settings_now().items() >= {"image_data_format": "channels_last"}.items()
        raise RuntimeError


def test_threads_that_build_at_once_leave_the_settings():
    inside, leave = threading.Event(), threading.Event()

    def build():
        with build_settings():
            inside.set()
            leave.wait(10)

    with of_the_user(**HOSTILE):
        thread = threading.Thread(target=build)
        with build_settings():
            thread.start()
            inside.wait(10)
        assert keras.config.floatx() == "float32"  # the other thread is still at work
        leave.set()
        thread.join()


def network(data_format: str, *, transposed: bool = False) -> keras.Model:
    x = inputs = keras.Input((28, 28, 3))
    x = keras.layers.Rescaling([0.1, 0.2, 0.3], [0.0, 0.5, 1.0])(x)
    x = keras.layers.Permute((3, 1, 2))(x) if transposed else x
    return keras.Model(inputs, keras.layers.AveragePooling2D(2, data_format=data_format)(x))


def test_a_network_that_reads_channels_first_is_refused_by_name():
    with pytest.raises(ValueError, match="average_pooling2d.*data_format='channels_last'"):
        check_channels_last(network("channels_first"))
    check_channels_last(network("channels_first", transposed=True))


def test_a_rescaling_by_channel_does_not_follow_the_setting():
    own = network("channels_last")
    check_channels_last(own)
    images = np.random.default_rng(5).random((2, 28, 28, 3), "float32")
    wanted = own.predict_on_batch(images)
    with of_the_user(image_data_format="channels_first"):
        own.predict_function = None
        np.testing.assert_array_equal(own.predict_on_batch(images), wanted)
