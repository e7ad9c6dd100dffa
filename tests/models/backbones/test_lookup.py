import keras
import numpy as np
import pytest

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.downloads import PretrainedError
from keras_mm.features.encode import encode_rows
from keras_mm.models.multimodal import create_multimodal_model
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder
from keras_mm.presets.presets import list_presets
from tests.families import shapes_only

TEXTS = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Shares fell sharply today."]


def embed(encoder, tokenizer, length=16):
    preprocessor = Preprocessor(tokenizer=tokenizer, sequence_length=length, num_texts=1)
    rows = read_rows([{"text": text} for text in TEXTS], texts=["text"])
    found = encode_rows({"text": encoder}, rows, preprocessor)["text_pooled_output"][:][:, 0]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.pretrained
def test_a_real_bert_from_a_hugging_face_folder(minilm):
    encoder = create_text_encoder("all_minilm_l6_v2", weights=minilm, sequence_length=16)
    found = embed(encoder, minilm)
    assert found[0] @ found[1] > 0.6 > 0.2 > found[0] @ found[2]
    # By folder alone, pooled by name: the same weights, the same features.
    again = create_text_encoder(minilm, sequence_length=16, pooling="mean")
    np.testing.assert_allclose(embed(again, minilm), found, atol=1e-6)
    assert again.output["pooled_output"].shape == (None, 1, 384)


@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "pooler"])
def test_text_pooling_by_name(pooling):
    keras.utils.set_random_seed(0)
    encoder = create_text_encoder(
        "tiny_bert", weights="random", sequence_length=11, pooling=pooling
    )
    ids = np.array([[2, 9, 8, 3, 0, 0, 0]], "int32")
    inputs = {
        "token_ids": keras.ops.convert_to_tensor(ids),
        "segment_ids": keras.ops.zeros_like(ids),
        "padding_mask": keras.ops.convert_to_tensor(ids > 0),
    }
    out = {k: keras.ops.convert_to_numpy(v) for k, v in encoder(inputs).items()}
    valid = out["sequence_output"][0, :4]
    pooled = out["pooled_output"][0, 0]
    wanted = {"mean": valid.mean(0), "max": valid.max(0), "cls": valid[0]}.get(pooling)
    if wanted is None:
        assert np.abs(pooled).max() <= 1  # a tanh of the first token
    else:
        np.testing.assert_allclose(pooled, wanted, atol=1e-6)
    assert out["sequence_mask"].tolist() == [[True] * 4 + [False] * 3]


def test_a_keras_hub_folder_of_each_side(tmp_path):
    import keras_hub

    text = keras_hub.models.DistilBertBackbone(
        vocabulary_size=31, num_layers=1, num_heads=2, hidden_dim=6, intermediate_dim=7,
        max_sequence_length=13,
    )  # fmt: skip
    text.save_to_preset(str(tmp_path / "text"))
    encoder = create_text_encoder(str(tmp_path / "text"), sequence_length=13, pooling="mean")
    assert encoder.output["pooled_output"].shape == (None, 1, 6)
    stored = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    for mine, its in zip(stored.weights, text.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(its)
        )
    with pytest.raises(ValueError, match="`sequence_length` must be <= 13"):
        create_text_encoder(str(tmp_path / "text"), sequence_length=14)


def test_weights_by_path(shared):
    path = shared / "weights/mobilenet_v2_0.35_224_notop.weights.h5"
    encoder = create_vision_encoder(
        "mobilenet_v2_0.35", weights=path, image_size=(96, 96), num_images=1
    )
    other = create_vision_encoder(
        "mobilenet_v2_0.35", weights="random", image_size=(96, 96), num_images=1
    )
    assert encoder.count_params() == other.count_params() == 410_208
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3)).astype("float32")
    found = keras.ops.convert_to_numpy(encoder({"image_1": images})["pooled_output"])
    raw = keras.applications.MobileNetV2(
        alpha=0.35, include_top=False, weights=None, input_shape=(96, 96, 3), pooling="avg"
    )
    raw.load_weights(path)
    wanted = keras.ops.convert_to_numpy(raw(images / 127.5 - 1))
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "mobilenet_v3"}, "Unknown vision backbone 'mobilenet_v3'"),
        ({"backbone": "resnet50v2", "weights": "nowhere.h5"}, "existing path"),
        ({"backbone": "tiny_cnn", "pooling": "cls", "weights": "random"}, "pooling='cls'"),
        ({"backbone": "tiny_cnn", "pooling": "meen", "weights": "random"}, "Did you mean 'mean'"),
        ({"backbone": "tiny_cnn", "num_images": 0, "weights": "random"}, "num_images"),
    ],
)
def test_bad_vision_requests(options, message):
    with pytest.raises(ValueError, match=message):
        create_vision_encoder(options.pop("backbone"), image_size=(64, 64), **options)


def test_a_weights_file_that_does_not_fit(tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(ValueError, match="does not fit 'tiny_cnn'"):
        create_vision_encoder("tiny_cnn", weights=path, image_size=(64, 64))


@pytest.mark.filterwarnings("error:Skipping")
def test_weights_of_other_shapes_are_told_in_short(tmp_path):
    path = tmp_path / "other.weights.h5"
    x = inputs = keras.Input((8, 8, 3))
    for number in (1, 2):
        x = keras.layers.Conv2D(5, 3, padding="same", name=f"block_{number}_conv")(x)
    keras.Model(inputs, x).save_weights(path)
    with pytest.raises(ValueError, match="does not fit 'tiny_cnn'.*block_") as error:
        create_vision_encoder("tiny_cnn", weights=path, image_size=(64, 64))
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)


def test_a_failed_download_says_what_to_do(monkeypatch):
    import keras_hub

    def refuse(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", refuse)
    with pytest.raises(PretrainedError) as error:
        create_text_encoder("all_minilm_l6_v2")
    for words in ("91 MB", "hf://sentence-transformers/all-MiniLM-L6-v2", "no route", "by hand",
                  "`text_weights`"):  # fmt: skip
        assert words in str(error.value)


@pytest.mark.slow
def test_every_preset_can_be_drawn(once):
    """As a graph, for Graphviz to lay out where it is installed."""
    for preset in list_presets().values():
        if preset.parameters > 2e8:  # too large to be built for a picture
            continue
        with shapes_only():
            vision = preset.vision_backbone and create_vision_encoder(
                preset.vision_backbone, weights="random", image_size=preset.image_size
            )
            text = preset.text_backbone and create_text_encoder(
                preset.text_backbone,
                weights="random",
                sequence_length=preset.sequence_length,
                text_pairing=preset.text_pairing,
                pooling=preset.text_pooling,
            )
            model = create_multimodal_model(
                vision, text, fusion=preset.fusion, compare=preset.compare
            )
        graph = keras.utils.model_to_dot(model, show_shapes=True, show_layer_names=True)
        assert len(graph.get_edges()) >= len(model.layers) - 1
        text = graph.to_string()
        assert [layer.name for layer in model.layers if f"<b>{layer.name}</b>" not in text] == []
