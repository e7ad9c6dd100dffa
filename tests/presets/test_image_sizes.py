"""Images have the size that a backbone was trained with, where the user does not say otherwise."""

import json
import os

import pytest

from keras_mm.models.backbones.applications import application_names
from keras_mm.presets.image_sizes import _APPLICATIONS, trained_image_size
from keras_mm.presets.presets import list_presets
from keras_mm.settings.settings import Settings

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    ("backbone", "side"),
    [
        ("mobilenet_v2_0.35", 224),
        ("resnet50v2", 224),
        ("tiny_cnn", 64),
        ("siglip2_base_patch16_224", 224),
        ("Inception_V3", 299),
        ("efficientnetv2s", 384),
        ("densenet121", 224),
        ("hf://somebody/something", 224),
        (None, 224),
    ],
)
def test_by_name(backbone, side):
    assert trained_image_size(backbone) == (side, side)


def test_sizes_are_of_networks_that_there_are():
    assert set(_APPLICATIONS) <= set(application_names())


def test_of_a_model():
    import keras

    fixed, free = (
        keras.Sequential([keras.Input(shape), keras.layers.GlobalAveragePooling2D()])
        for shape in ((30, 40, 3), (None, None, 3))
    )
    assert trained_image_size(fixed) == (30, 40)
    assert trained_image_size(free) == (224, 224)


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({"config.json": {"model_type": "vit", "image_size": 28}}, (28, 28)),
        ({"config.json": {"image_size": [28, 35]}}, (28, 35)),
        ({"config.json": {"class_name": "X", "config": {"image_shape": [42, 56, 3]}}}, (42, 56)),
        (
            {
                "config.json": {"image_size": 518},
                "preprocessor_config.json": {
                    "size": {"shortest_edge": 256},
                    "crop_size": {"height": 224, "width": 196},
                },
            },
            (224, 196),
        ),
        (
            {
                "config.json": {"image_size": 32},
                "preprocessor_config.json": {"size": {"shortest_edge": 256}},
            },
            (32, 32),
        ),
        ({"config.json": {"image_size": None}}, (224, 224)),
        ({"config.json": [1, 2]}, (224, 224)),
    ],
)
def test_of_a_folder(files, size, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert trained_image_size(os.fspath(tmp_path)) == trained_image_size(tmp_path) == size


@pytest.mark.parametrize("preset", list_presets())
def test_settings_follow_the_backbone(preset):
    resolved = Settings(preset=preset).resolved()
    wanted = trained_image_size(resolved.vision_backbone)
    assert list_presets()[preset].image_size == resolved.image_size == wanted
    assert Settings(preset=preset, image_size=33).resolved().image_size == (33, 33)
    other = Settings(preset=preset, vision_backbone="xception").resolved()
    assert other.image_size == (299, 299)
