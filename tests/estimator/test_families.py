"""Rows to labels with families other than BERT: their own tokens, saved, loaded, exported."""

import keras
import numpy as np
import pytest

import keras_mm
from tests.families import POSITIONS, byte_pairs, image_converter, text_network, vision_network
from tests.hugging_face import write_text_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """A KerasHub folder: network and byte-pair tokenizer."""
    import keras_hub

    folder = str(tmp_path_factory.mktemp("roberta"))
    vocabulary, merges = byte_pairs()
    text_network("roberta", len(vocabulary)).save_to_preset(folder)
    keras_hub.models.RobertaTokenizer(vocabulary, merges).save_to_preset(folder)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("vit"))
    vision_network("vit").save_to_preset(folder)
    image_converter("vit").save_to_preset(folder)
    return folder


def fit(sample, **options):
    classifier = keras_mm.MultimodalClassifier(
        images=["image_1"], preset="tiny", compare=False, epochs=1, batch_size=16, verbose=0,
        text_weights="pretrained", sequence_length=19, **options,
    )  # fmt: skip
    return classifier.fit(sample[0][:48], validation_split=0)


@pytest.fixture(scope="module")
def classifier(sample, roberta, vit):
    """RoBERTa on packed pairs of texts, and a ViT; the text side is trained."""
    return fit(
        sample, texts=["text_1", "text_2"], text_backbone=roberta, text_pooling="cls",
        vision_backbone=vit, vision_weights="pretrained", vision_trainable=False, image_size=28,
        vision_pooling="cls",
    )  # fmt: skip


@pytest.mark.many_networks
def test_byte_pairs_and_a_vit(classifier, sample, tmp_path):
    assert classifier.preprocessor_.tokenizer.family.name == "roberta"
    wanted = classifier.predict_proba(sample[1][:9])
    classifier.save(tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {
        "manifest.json",
        "model.json",
        "model.weights.h5",
        "vocabulary.json",
        "merges.txt",
    }
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(sample[1][:9]), wanted, atol=1e-6)
    rescaling = [
        layer for layer in loaded.model_._flatten_layers()
        if isinstance(layer, keras.layers.Rescaling)
    ]  # fmt: skip
    assert [layer.scale for layer in rescaling] == [0.01]  # saved with the network


def test_a_special_token_in_a_row_is_plain_text(classifier, sample):
    rows = sample[1][:1].assign(text_1="up </s> <s>", text_2="down")
    packed = classifier.preprocessor_.tokenizer.pack(
        [list(rows[name]) for name in ("text_1", "text_2")], POSITIONS
    )
    assert packed["token_ids"][0].tolist().count(2) == 3  # </s></s> between, </s> at the end
    assert np.isfinite(classifier.predict_proba(rows)).all()


@pytest.mark.eager
def test_sentence_pieces_of_a_hugging_face_folder(sample, tmp_path):
    write_text_folder(tmp_path / "folder", "xlm-roberta", 67)
    classifier = fit(
        sample, texts=["text_1", "text_2"], text_backbone=str(tmp_path / "folder"),
        text_pairing="separate", text_pooling="mean", text_trainable=False, vision_trainable=False,
    )  # fmt: skip
    wanted = classifier.predict_proba(sample[1][:9])
    classifier.save(tmp_path / "model")
    assert (tmp_path / "model" / "vocabulary.spm").is_file()
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(sample[1][:9]), wanted, atol=1e-6)


def test_weights_and_vocabulary_of_a_folder_for_a_backbone_of_the_zoo(tmp_path):
    """`text_weights=` a folder: the network and its tokenizer both come from there."""
    write_text_folder(tmp_path, "albert", 61)
    tokenizer = keras_mm.Preprocessor(tokenizer=tmp_path, sequence_length=8, num_texts=1).tokenizer
    encoder = keras_mm.create_text_encoder(
        "albert_base_en_uncased", weights=tmp_path, sequence_length=8
    )
    assert tokenizer.family.name == "albert" and encoder.output["pooled_output"].shape[-1] == 6


@pytest.mark.eager
def test_two_towers_of_one_network(sample, tmp_path):
    """Both sides of a SigLIP-shaped preset: pooled as it does, one vocabulary, one length."""
    import keras_hub

    from tests.families import sentence_piece

    folder = str(tmp_path / "siglip")
    text_network("siglip", 60).save_to_preset(folder)
    image_converter("siglip").save_to_preset(folder)
    keras_hub.models.SigLIPTokenizer(sentence_piece("siglip")).save_to_preset(folder)
    classifier = keras_mm.MultimodalClassifier(
        images=["image_1", "image_2"], texts=["text_1", "text_2"], preset="siglip2_base", epochs=1,
        batch_size=16, verbose=0, vision_backbone=folder, text_backbone=folder, image_size=28,
        sequence_length=POSITIONS, folds=1,
    )  # fmt: skip
    classifier.fit(sample[0][:48], validation_split=0)
    wanted = classifier.predict_proba(sample[1][:9])
    classifier.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(sample[1][:9]), wanted, atol=1e-6)
    with pytest.raises(ValueError, match="two texts in one sequence. Use text_pairing='separate'"):
        classifier.set_params(text_pairing="packed", compare=False).fit(sample[0][:48])


def test_byte_pairs_in_a_saved_model(once, classifier, tmp_path):
    """The artefact tokenises by itself, in a process without this package or KerasHub."""
    found = classifier.export(tmp_path / "served")
    assert found["labels_equal"] and found["max_difference"] <= 1e-4
