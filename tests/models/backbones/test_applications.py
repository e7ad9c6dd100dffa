"""Every network of `keras.applications`: its name, its own preprocessing, its smallest image."""

import keras
import numpy as np
import pytest

from keras_mm.checks import unknown_name
from keras_mm.downloads import PretrainedError
from keras_mm.models.backbones.applications import (
    ApplicationsPreprocessing,
    application_names,
    application_options,
)
from keras_mm.models.backbones.lookup import vision_backbone
from keras_mm.models.vision_encoder import create_vision_encoder
from tests.families import shapes_only

CLASSES = application_names()
# The smallest network of each module.
REPRESENTATIVES = [
    "convnexttiny", "densenet121", "efficientnetb0", "efficientnetv2b0", "inceptionresnetv2",
    "inceptionv3", "mobilenet_0.25", "mobilenetv2_0.35", "mobilenetv3small", "nasnetmobile",
    "resnet50", "resnet50v2", "vgg16", "vgg19", "xception",
]  # fmt: skip
QUICK = ["mobilenetv2_0.35"]
SMALLEST = {"inceptionresnetv2": 75, "inceptionv3": 75, "xception": 71}

BGR_MEAN = np.array([103.939, 116.779, 123.68])
RGB_MEAN, RGB_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
RANGES = {
    "as they are": lambda x: x,
    "-1 to 1": lambda x: x / 127.5 - 1,
    "BGR, centred": lambda x: x[..., ::-1] - BGR_MEAN,
    "RGB, standardised": lambda x: (x / 255 - RGB_MEAN) / RGB_STD,
}
MODULES = {
    "convnext": "as they are", "densenet": "RGB, standardised", "efficientnet": "as they are",
    "efficientnet_v2": "as they are", "inception_resnet_v2": "-1 to 1", "inception_v3": "-1 to 1",
    "mobilenet": "-1 to 1", "mobilenet_v2": "-1 to 1", "mobilenet_v3": "as they are",
    "nasnet": "-1 to 1", "resnet": "BGR, centred", "resnet_v2": "-1 to 1",
    "vgg16": "BGR, centred", "vgg19": "BGR, centred", "xception": "-1 to 1",
}  # fmt: skip


def images(size, rows=2):
    return np.random.default_rng(3).integers(0, 256, (rows, size, size, 3)).astype("float32")


def build(name, size):
    return create_vision_encoder(name, weights="random", image_size=(size, size), num_images=1)


def forward(name):
    size = SMALLEST.get(name, 32)
    encoder = build(name, size)
    out = encoder.predict_on_batch({"image_1": images(size)})
    pooled = np.asarray(out["pooled_output"])
    assert np.isfinite(pooled).all() and pooled[0].std() > 0
    tokens = np.asarray(out["sequence_output"])
    np.testing.assert_allclose(tokens.mean(axis=1), pooled[:, 0], rtol=1e-4, atol=1e-5)
    assert tokens.shape[1] == out["sequence_mask"].shape[1]


@pytest.mark.many_networks
@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_its_own_preprocessing(module):
    x = images(5)
    found = keras.ops.convert_to_numpy(ApplicationsPreprocessing(module)(x))
    np.testing.assert_allclose(found, RANGES[MODULES[module]](x), atol=1e-4)


def test_every_class_is_known_with_its_module():
    """All of them, by shape alone, with what stands before them; once, where it is quick."""
    if keras.backend.backend() != "jax":
        pytest.skip("runs once, under jax")
    found = {}
    for name, class_name in CLASSES.items():
        size = SMALLEST.get(name, 32)
        with shapes_only():
            model, (preprocessing,) = vision_backbone(name, "random", (size, size))
        found[class_name] = preprocessing.module
        assert None not in model.output.shape[1:] and model.output.shape[-1] >= 512
    assert len(found) >= 38 and set(found.values()) == set(MODULES)
    assert found["MobileNetV3Small"] == "mobilenet_v3" and found["ResNet50"] == "resnet"


@pytest.mark.parametrize("name", QUICK)
def test_features_of_images(name):
    forward(name)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(REPRESENTATIVES) - set(QUICK)))
def test_features_of_images_of_each_module(name):
    forward(name)


def test_the_representatives_are_of_all_modules():
    found = {application_options(name)["class_name"] for name in REPRESENTATIVES}
    modules = {getattr(keras.applications, name).__module__.rsplit(".", 1)[-1] for name in found}
    assert modules == set(MODULES) and set(QUICK) <= set(REPRESENTATIVES)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenet_v3_small", {"class_name": "MobileNetV3Small"}),
        ("MobileNetV3Large_0.75", {"class_name": "MobileNetV3Large", "alpha": 0.75}),
        ("efficientnet_v2_b0", {"class_name": "EfficientNetV2B0"}),
        ("mobilenet_v2_0.35", {"class_name": "MobileNetV2", "alpha": 0.35}),
        ("mobilenet_v3", None),
        ("resnet", None),
    ],
)
def test_names(name, options):
    assert application_options(name) == options


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("xception", 64, r"'xception' cannot take images of \(64, 64\): .*at least 71x71"),
        ("inception_v3", 74, r"cannot take images of \(74, 74\): .*at least 75x75"),
        ("resnet50v2", 31, r"cannot take images of \(31, 31\): .*at least 32x32"),
        ("resnet50v2_0.35", 32, "ResNet50V2 has only one width.*Use 'resnet50v2'"),
    ],
)
def test_what_a_network_cannot_take(name, size, words):
    with pytest.raises(ValueError, match=words):
        build(name, size)


def test_a_size_is_told_from_a_failed_download(monkeypatch):
    def create(weights, include_top, input_shape):
        if input_shape[0] < 9:
            raise ValueError("too small")
        raise Exception("URL fetch failure")

    create.__module__ = "keras.src.applications.vgg16"
    monkeypatch.setattr(keras.applications, "VGG16", create)
    with pytest.raises(ValueError, match=r"'vgg16' cannot take images of \(8, 8\): too small"):
        create_vision_encoder("vgg16", image_size=(8, 8))
    monkeypatch.setattr("keras_mm.models.backbones.applications._random", lambda *_: None)
    with pytest.raises(PretrainedError, match="ImageNet weights of 'vgg16'.*URL fetch failure"):
        create_vision_encoder("vgg16", image_size=(32, 32))


def test_a_near_name_is_offered():
    assert "Did you mean 'efficientnetb0'" in unknown_name("x", "efficientnet_b0", CLASSES)
    with pytest.raises(ValueError, match="Unknown vision backbone 'resnet51v2'. Did you mean"):
        create_vision_encoder("resnet51v2")
