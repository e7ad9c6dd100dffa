"""The zoo: what it says about its networks is true of the networks."""

import keras
import pytest

from keras_mm.config import Settings
from keras_mm.models.backbones import text_backbone, vision_backbone
from keras_mm.presets import Preset, get_preset, list_presets, unknown_name
from keras_mm.zoo import BACKBONES


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_has_as_many_weights_as_it_says(name):
    backbone = BACKBONES[name]
    with keras.StatelessScope(initialize_variables=False):  # shapes are enough, and quick
        if backbone.modality == "text":
            model = text_backbone(name, "random")
        else:
            model = vision_backbone(name, "random", (64, 64))[0]
    assert model.count_params() == backbone.parameters


@pytest.mark.parametrize("name", list_presets())
def test_preset_is_made_of_what_there_is(name):
    preset = get_preset(name)
    assert preset.name == name and preset.description.endswith(".")
    given = (preset.vision_backbone, preset.text_backbone)
    assert [b.name for b in preset.backbones] == [b for b in given if b is not None]
    if preset.vision_backbone:
        assert BACKBONES[preset.vision_backbone].modality == "vision"
    if preset.text_backbone:
        backbone = BACKBONES[preset.text_backbone]
        assert backbone.modality == "text"
        assert preset.sequence_length <= backbone.config["max_sequence_length"]
    assert preset.parameters == sum(b.parameters for b in preset.backbones) > 0
    assert preset.license == "Apache-2.0"


def test_only_presets_with_pretrained_weights_download():
    for preset in list_presets().values():
        pretrained = "pretrained" in (preset.vision_weights, preset.text_weights)
        assert (preset.download_mb > 0) == pretrained == any(b.handle for b in preset.backbones)
    assert get_preset("tiny").download_mb == 0


def test_every_field_is_the_default_of_a_setting():
    names = set(Preset.__dataclass_fields__) - {"name", "description"}
    assert names <= set(Settings.__dataclass_fields__)


def test_list_presets_is_a_copy():
    presets = list_presets()
    presets.clear()
    assert "tiny" in list_presets()
    with pytest.raises(TypeError):
        BACKBONES["tiny_cnn"] = None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tinny", "Unknown preset 'tinny'. Did you mean 'tiny'"),
        ("resnet50_bert", "Did you mean 'resnet50v2_bert_base'"),
        ("zzz", "Known: 'tiny', 'mobilenet_v2_minilm'"),
        (None, "Unknown preset None"),
        (["tiny"], "Unknown preset"),
    ],
)
def test_unknown_preset(name, words):
    with pytest.raises(ValueError) as error:
        get_preset(name)
    assert words in str(error.value)


def test_unknown_name():
    assert (
        unknown_name("fusion", "concta", ["concat"])
        == "Unknown fusion 'concta'. Did you mean 'concat'?"
    )
    assert unknown_name("fusion", "x", ["a", "b"]) == "Unknown fusion 'x'. Known: 'a', 'b'."
