"""Which network `model_type` and `model_name` mean. Loads no backend."""

import json

import pytest

from keras_mm.simple_transformers.weights import MODEL_TYPES, text_backbone, text_pooling

pytestmark = pytest.mark.backend_free


def folder(path, **config):
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_a_folder_of_its_type(tmp_path):
    for stated, kind in (
        ("bert", "bert"),
        ("xlm-roberta", "xlmroberta"),
        ("deberta-v2", "debertav2"),
    ):
        assert text_backbone(kind, folder(tmp_path, model_type=stated)) == str(tmp_path)
        assert text_backbone("auto", tmp_path) == str(tmp_path)


def test_a_folder_of_another_type_names_both(tmp_path):
    folder(tmp_path, model_type="distilbert")
    with pytest.raises(
        ValueError, match="model_type='roberta', but the config.json of .* says 'distilbert'"
    ):
        text_backbone("roberta", tmp_path)


def test_a_keras_hub_folder(tmp_path):
    folder(tmp_path, class_name="XLMRobertaBackbone")
    assert text_backbone("xlmroberta", tmp_path) == str(tmp_path)
    with pytest.raises(ValueError, match="'bert'.*'xlmroberta'"):
        text_backbone("bert", tmp_path)


def test_a_folder_that_says_nothing_is_believed(tmp_path):
    assert text_backbone("bert", tmp_path) == str(tmp_path)


def test_names_of_the_zoo_and_of_hubs():
    assert text_backbone("bert", "all_minilm_l6_v2") == "all_minilm_l6_v2"
    assert text_backbone("bert", "bert_base_en") == "bert_base_en"
    assert text_backbone("bert", "hf://a/b") == "hf://a/b"
    assert text_backbone("bert", "bert-base-uncased") == "hf://bert-base-uncased"
    assert text_backbone("roberta", "org/name") == "hf://org/name"
    with pytest.raises(ValueError, match="model_type='roberta'.*'all_minilm_l6_v2' is 'bert'"):
        text_backbone("roberta", "all_minilm_l6_v2")


@pytest.mark.parametrize("name", ["/no/such/folder", "./outputs", "outputs/"])
def test_a_folder_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="must be a folder that exists"):
        text_backbone("bert", name)


def test_an_unknown_type_offers_the_nearest():
    with pytest.raises(ValueError, match="'distillbert'. Did you mean 'distilbert'"):
        text_backbone("distillbert", "any")
    with pytest.raises(ValueError, match="'xlnet'. KerasHub converts 'albert', 'bert'"):
        text_backbone("xlnet", "any")


def test_pooling_is_what_the_weights_were_made_for(tmp_path):
    bert = folder(tmp_path, model_type="bert")
    assert text_pooling("bert", str(bert)) == "pooler" == text_pooling("auto", str(bert))
    assert text_pooling("roberta", str(tmp_path / "a")) == "cls"
    (tmp_path / "1_Pooling").mkdir()
    for mode, pooling in (("mean_tokens", "mean"), ("cls_token", "cls"), ("max_tokens", "max")):
        folder(
            tmp_path / "1_Pooling",
            **{"pooling_mode_cls_token": False, f"pooling_mode_{mode}": True},
        )
        assert text_pooling("bert", str(bert)) == pooling
    assert text_pooling("bert", "all_minilm_l6_v2") == "mean"


def test_all_types_have_a_family():
    from keras_mm.presets.backbones import BACKBONES

    known = {backbone.family for backbone in BACKBONES.values()}
    assert {"bert", "distil_bert", "xlm_roberta"} <= set(MODEL_TYPES.values()) & known
