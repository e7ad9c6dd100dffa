"""Equal for encoders that give the same features, and only for those."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mm.features import fingerprint as module
from keras_mm.features.fingerprint import fingerprint, weights_check
from keras_mm.models.encoder import Encoder
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder

pytestmark = pytest.mark.many_networks

SIZE = {"weights": "random", "image_size": (32, 32)}


def encoder(seed: int = 0, **options):
    keras.utils.set_random_seed(seed)
    return create_vision_encoder("tiny_cnn", **{**SIZE, **options})


def test_equal_for_equal_encoders():
    digest = fingerprint(encoder())
    layers.Dense(3)(keras.Input((2,)))  # which moves Keras' count of names on
    assert fingerprint(encoder()) == digest
    assert fingerprint(encoder(trainable=True)) == digest
    texts = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        text = create_text_encoder("tiny_bert", weights="random", sequence_length=16)
        texts.append(fingerprint(text))
    assert texts[0] == texts[1] != digest


def test_different_for_everything_that_changes_features():
    base = encoder()
    digests = [
        fingerprint(base),
        fingerprint(base, together=4),
        fingerprint(base, together=8),
        fingerprint(encoder(1)),
        fingerprint(encoder(pooling="max")),
        fingerprint(encoder(image_size=(48, 32))),
        fingerprint(encoder(num_images=1)),
    ]
    last = base.weights[-1]
    last.assign(last + 1e-7)
    digests.append(fingerprint(base))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        digests.append(fingerprint(encoder()))
    finally:
        keras.config.set_dtype_policy("float32")
    assert None not in digests
    assert len(set(digests)) == len(digests)


def named(activation: str) -> Encoder:
    """A model in which a layer is called as its activation is."""
    image = keras.Input((4, 4, 3), name="image_1")
    x = layers.Activation(activation, name=activation)(layers.Flatten()(image))
    return Encoder({"image_1": image}, {"pooled_output": layers.Reshape((1, -1))(x)})


def test_a_layers_name_hides_no_difference():
    assert fingerprint(named("relu")) == fingerprint(named("relu")) != fingerprint(named("tanh"))


class Half(layers.Layer):
    def call(self, x):
        return x / 2


def twice(x):
    return 2 * x


def own(layer) -> Encoder:
    image = keras.Input((4, 4, 3), name="image_1")
    x = layer(layers.Flatten()(image))
    return Encoder({"image_1": image}, {"pooled_output": layers.Reshape((1, -1))(x)})


@pytest.mark.parametrize(
    "layer", [Half(), layers.Lambda(twice), layers.Activation(twice), layers.Dense(2, twice)]
)
def test_code_of_the_users_own_has_no_fingerprint(layer):
    """Another class or function may have the same name."""
    assert fingerprint(own(layer)) is None
    assert fingerprint(own(layers.Activation("relu"))) is not None


@pytest.mark.parametrize("package", ["keras", "keras_hub", "keras_mm", "numpy", "PIL", "skimage"])
def test_another_version_of_what_computes(package, monkeypatch):
    model = encoder()
    before = fingerprint(model)
    monkeypatch.setattr(f"{package}.__version__", "0.0.0")
    assert fingerprint(model) != before


def test_other_code_of_this_package(monkeypatch):
    model = encoder()
    before = fingerprint(model)
    monkeypatch.setattr(module, "_code", lambda: "other")
    assert fingerprint(model) != before


def test_another_precision_set_in_place():
    model = encoder()
    before = fingerprint(model)
    next(layer for layer in model._flatten_layers() if layer.weights).dtype_policy = "float16"
    assert fingerprint(model) != before


def test_values_that_change_places():
    base = encoder()
    variable = next(v for v in base.weights if len(v.shape) > 1)
    before = np.array(keras.ops.convert_to_numpy(variable))
    first = weights_check(base), fingerprint(base)
    variable.assign(before[..., ::-1].copy())
    swapped = weights_check(base), fingerprint(base)
    assert first[0] != swapped[0] and first[1] != swapped[1]
    variable.assign(before)
    assert (weights_check(base), fingerprint(base)) == first
