"""Every text family of KerasHub, at tiny random size, as an encoder."""

import json

import keras
import numpy as np
import pytest

from keras_mm.models.text_encoder import create_text_encoder
from tests.families import POSITIONS, randomise, text_network

pytestmark = [pytest.mark.many_networks, pytest.mark.slow, pytest.mark.eager]

FAMILIES = ["bert", "distil_bert", "roberta", "xlm_roberta", "deberta_v3", "albert", "electra",
            "clip", "siglip"]  # fmt: skip
POOLED = {"bert": 6, "albert": 6, "electra": 6, "clip": 5, "siglip": 5}
UNCLASSED = ("clip", "siglip")
LENGTHS = (9, 5, POSITIONS)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """`(name, folder)` of a family's KerasHub preset."""
    folder = str(tmp_path_factory.mktemp("presets") / request.param)
    randomise(text_network(request.param)).save_to_preset(folder)
    return request.param, folder


def inputs(length=POSITIONS, separate=False):
    rng = np.random.default_rng(5)
    ids = rng.integers(3, 60, (len(LENGTHS), POSITIONS))
    mask = np.arange(POSITIONS) < np.array(LENGTHS)[:, None]
    # The last token has the highest id, which is where CLIP's pooler looks.
    ids[np.arange(len(LENGTHS)), np.array(LENGTHS) - 1] = 60
    found = {
        "token_ids": np.where(mask, ids, 1).astype("int32"),
        "segment_ids": (mask & (np.arange(POSITIONS) > 3)).astype("int32"),
        "padding_mask": mask,
    }
    found = {name: value[:, :length] for name, value in found.items()}
    if separate:
        found = {name: np.stack([value, value[::-1]], axis=1) for name, value in found.items()}
    return found


def encode(encoder, given):
    return {name: np.asarray(value) for name, value in encoder.predict_on_batch(given).items()}


def poolings(name):
    found = ["mean", "max"] + ([] if name in UNCLASSED else ["cls"])
    return found + (["pooler"] if name in POOLED else [])


def test_a_family_as_an_encoder(family):
    """Tokens, their mask, every pooling, two texts: one model each, since building is slow."""
    name, folder = family
    encoder = create_text_encoder(folder, sequence_length=POSITIONS)
    out = encode(encoder, inputs())
    assert out["sequence_output"].shape == (3, POSITIONS, 6)
    np.testing.assert_array_equal(out["sequence_mask"], inputs()["padding_mask"])
    assert all(np.isfinite(value).all() for value in out.values())
    tokens = [out["sequence_output"][row, :length] for row, length in enumerate(LENGTHS)]
    wanted = {
        "mean": [x.mean(axis=0) for x in tokens],
        "max": [x.max(axis=0) for x in tokens],
        "cls": [x[0] for x in tokens],
    }
    for pooling in poolings(name):
        other = create_text_encoder(folder, sequence_length=POSITIONS, pooling=pooling)
        pooled = encode(other, inputs())["pooled_output"][:, 0]
        if pooling == "pooler":
            assert pooled.shape == (3, POOLED[name]) and np.abs(pooled).std() > 0
        else:
            np.testing.assert_allclose(pooled, wanted[pooling], atol=1e-5)
        if pooling == ("pooler" if name in UNCLASSED else "cls"):  # what None stands for
            np.testing.assert_allclose(out["pooled_output"][:, 0], pooled, atol=1e-6)


def test_two_texts_and_less_padding_give_the_same(family):
    name, folder = family
    pooling = "pooler" if name in UNCLASSED else "mean"
    whole = create_text_encoder(folder, sequence_length=POSITIONS, pooling=pooling)
    wanted = encode(whole, inputs())["pooled_output"][:, 0]
    both = create_text_encoder(
        folder, sequence_length=POSITIONS, pooling=pooling, text_pairing="separate"
    )
    pairs = encode(both, inputs(separate=True))
    assert pairs["sequence_output"].shape == (3, 2 * POSITIONS, 6)
    np.testing.assert_allclose(pairs["pooled_output"][:, 0], wanted, atol=1e-5)
    np.testing.assert_allclose(pairs["pooled_output"][:, 1], wanted[::-1], atol=1e-5)
    if name == "siglip":  # reads its padding, and so one length only
        assert whole.input["token_ids"].shape == (None, POSITIONS)
        return
    short = encode(whole, {key: value[:2] for key, value in inputs(length=9).items()})
    np.testing.assert_allclose(short["pooled_output"][:, 0], wanted[:2], atol=1e-5)


@pytest.mark.graphs  # each family once
def test_rebuilt_from_its_architecture(family, tmp_path):
    from keras_mm.inference.bundle import _rebuild

    name, folder = family
    first = create_text_encoder(folder, sequence_length=POSITIONS, pooling="mean")
    network = next(layer for layer in first.layers if isinstance(layer, keras.Model))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
    again = create_text_encoder(
        _rebuild(config, None), weights="random", sequence_length=POSITIONS, pooling="mean"
    )
    first.save_weights(tmp_path / "x.weights.h5")
    again.load_weights(tmp_path / "x.weights.h5")
    found, wanted = encode(again, inputs()), encode(first, inputs())
    for key in wanted:
        np.testing.assert_allclose(found[key], wanted[key], atol=1e-6)
    if name in UNCLASSED:
        with pytest.raises(ValueError, match="pooling='cls' needs a backbone with a class"):
            create_text_encoder(_rebuild(config, None), sequence_length=POSITIONS, pooling="cls")


def test_what_a_family_cannot_do(family):
    name, folder = family
    only = f"must be {POSITIONS}, the only length" if name == "siglip" else f"<= {POSITIONS}"
    with pytest.raises(ValueError, match=f"`sequence_length` .*{only}.*Received: .*=24"):
        create_text_encoder(folder, sequence_length=POSITIONS + 1)
    for pooling in {"mean", "max", "cls", "pooler"} - set(poolings(name)):
        others = {"cls": "'mean', 'max' or 'pooler'", "pooler": "'mean', 'max' or 'cls'"}
        with pytest.raises(ValueError, match=f"pooling={pooling!r} .*Use {others[pooling]}"):
            create_text_encoder(folder, sequence_length=POSITIONS, pooling=pooling)


def test_a_network_without_texts(tmp_path):
    from tests.families import vision_network

    vision_network("vit").save_to_preset(str(tmp_path))
    with pytest.raises(ValueError, match=r"A text backbone must .* with the inputs \['images'\]"):
        create_text_encoder(str(tmp_path))
    with pytest.raises(ValueError, match="'dinov2_base' is a vision backbone. A text backbone is"):
        create_text_encoder("dinov2_base", weights="random")
