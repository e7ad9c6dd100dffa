"""Local folders in Hugging Face's format: what is converted answers as it should."""

import json

import keras
import numpy as np
import pytest

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder
from tests.hugging_face import NAMES, POSITIONS, forward, write_text_folder

pytestmark = [pytest.mark.many_networks, pytest.mark.slow]

SIZES = {"bert": 9, "distilbert": 9, "roberta": 270, "xlm-roberta": 67, "albert": 61}


@pytest.mark.parametrize("family", NAMES)
def test_a_text_folder_gives_the_published_answers(family, tmp_path):
    """Tokens by the folder's vocabulary, features as by its weights, computed in NumPy."""
    folder = tmp_path / family
    weights = write_text_folder(folder, family, SIZES[family])
    encoder = create_text_encoder(str(folder), sequence_length=POSITIONS, pooling="mean")
    preprocessor = Preprocessor(tokenizer=folder, sequence_length=POSITIONS, num_texts=2)
    rows = read_rows([{"a": "the red", "b": "left"}, {"a": "red", "b": None}], texts=["a", "b"])
    inputs = {name: value for name, value in preprocessor(rows).items() if name != "text_mask"}
    assert inputs["token_ids"].max() < SIZES[family]
    out = encoder.predict_on_batch(inputs)
    tokens, pooled = np.asarray(out["sequence_output"]), np.asarray(out["pooled_output"])
    for row, mask in enumerate(inputs["padding_mask"]):
        ids, segments = (inputs[name][row][mask] for name in ("token_ids", "segment_ids"))
        wanted = forward(weights, family, ids, segments)
        np.testing.assert_allclose(tokens[row][mask], wanted, atol=1e-4)
        np.testing.assert_allclose(pooled[row, 0], wanted.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("family", NAMES)
def test_more_tokens_than_the_folder_has(family, tmp_path):
    """The old ones' answers stay to the bit, and new ones have an embedding each."""
    write_text_folder(tmp_path, family, SIZES[family])
    keras.utils.set_random_seed(1)  # new embeddings are random, and may be nearly equal
    before, after = (
        create_text_encoder(
            str(tmp_path), sequence_length=POSITIONS, pooling="mean", vocabulary_size=size
        )
        for size in (SIZES[family], SIZES[family] + 2)
    )
    ids = np.array([[1, 3, 5, 2], [4, 4, 4, 4]], "int32")
    new = np.where(ids == 4, [[0], [SIZES[family] + 1]], ids).astype("int32")

    def run(encoder, ids):
        mask = np.ones(ids.shape, bool)
        inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": mask}
        return np.asarray(encoder.predict_on_batch(inputs)["pooled_output"])

    np.testing.assert_array_equal(run(before, ids), run(after, ids))
    others = run(after, np.where(new == SIZES[family] + 1, SIZES[family], new))
    assert np.abs(run(after, new) - others)[1].max() > 1e-5


@pytest.mark.parametrize("family", ["electra", "deberta-v2", "siglip", "clip", "mpnet"])
def test_other_families_are_refused_by_name(family, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    words = f"Hugging Face model of the family '{family}', which KerasHub does not convert"
    with pytest.raises(ValueError, match=words):
        create_text_encoder(str(tmp_path), sequence_length=8)
    with pytest.raises(ValueError, match=words):
        create_vision_encoder(str(tmp_path), image_size=(28, 28))


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """`(folder, weights)` of a ViT."""
    from safetensors.numpy import save_file

    folder, rng = tmp_path_factory.mktemp("vit"), np.random.default_rng(3)
    shapes = {
        "embeddings.patch_embeddings.projection": (6, 3, 7, 7),
        "encoder.layer.0.attention.attention.query": (6, 6),
        "encoder.layer.0.attention.attention.key": (6, 6),
        "encoder.layer.0.attention.attention.value": (6, 6),
        "encoder.layer.0.attention.output.dense": (6, 6),
        "encoder.layer.0.intermediate.dense": (5, 6),
        "encoder.layer.0.output.dense": (6, 5),
        "encoder.layer.0.layernorm_before": (6,),
        "encoder.layer.0.layernorm_after": (6,),
        "layernorm": (6,),
    }
    weights = {
        "vit.embeddings.cls_token": (1, 1, 6),
        "vit.embeddings.position_embeddings": (1, 17, 6),
    }
    for name, shape in shapes.items():
        weights |= {f"vit.{name}.weight": shape, f"vit.{name}.bias": shape[:1]}
    weights = {name: rng.normal(0, 0.4, shape).astype("float32") for name, shape in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "vit", "image_size": 28, "patch_size": 7, "num_hidden_layers": 1,
        "num_attention_heads": 2, "hidden_size": 6, "intermediate_size": 5, "qkv_bias": True,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder, weights


def test_an_image_folder_with_its_own_normalisation(vit):
    folder, weights = vit
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.25, 0.1], "image_std": [0.5, 0.2, 0.3]})
    )
    encoder = create_vision_encoder(str(folder), image_size=(28, 28), num_images=1, pooling="cls")
    tower = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    pixel = np.full((1, 1, 1, 3), 255.0, "float32")
    found = keras.ops.convert_to_numpy(tower.layers[1](pixel)).ravel()
    np.testing.assert_allclose(found, [1, 0.75 / 0.2, 3], rtol=1e-5)
    kernel = tower.layers[2].layers[1].patch_embedding.kernel
    wanted = weights["vit.embeddings.patch_embeddings.projection.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), wanted)
    out = encoder.predict_on_batch({"image_1": np.full((2, 28, 28, 3), 77.0, "float32")})
    assert np.isfinite(np.asarray(out["pooled_output"])).all()


def test_an_image_folder_that_does_not_say_its_normalisation(vit):
    (vit[0] / "preprocessor_config.json").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="which states how images are normalised"):
        create_vision_encoder(str(vit[0]), image_size=(28, 28))
