"""KerasHub's image networks, at tiny random size, as encoders."""

import json

import keras
import numpy as np
import pytest

from keras_mm.models.vision_encoder import create_vision_encoder
from tests.families import image_converter, randomise, vision_network

pytestmark = [pytest.mark.many_networks, pytest.mark.slow, pytest.mark.eager]

SIZE = (28, 28)
# Tokens or places of a map, width, and the poolings besides mean and max.
FAMILIES = {
    "vit": (17, 6, ["cls"]),
    "dinov2": (20, 6, ["cls"]),
    "resnet_v2": (16, 12, []),
    "efficientnet": (49, 1280, []),
    "mobilenet": (49, 16, []),
    "clip": (17, 6, ["cls", "pooler"]),
    "siglip": (16, 6, ["pooler"]),
}
ANY_SIZE = ("resnet_v2", "efficientnet", "mobilenet")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """`(name, folder)` of a family's KerasHub preset."""
    folder = str(tmp_path_factory.mktemp("presets") / request.param)
    randomise(vision_network(request.param)).save_to_preset(folder)
    image_converter(request.param).save_to_preset(folder)
    return request.param, folder


def images(size=SIZE):
    return np.random.default_rng(5).integers(0, 256, (3, *size, 3)).astype("float32")


def encode(encoder, **given):
    return {name: np.asarray(value) for name, value in encoder.predict_on_batch(given).items()}


def network_of(encoder):
    return next(layer for layer in encoder.layers if isinstance(layer, keras.Model))


def test_a_family_as_an_encoder(family):
    name, folder = family
    count, width, own = FAMILIES[name]
    encoder = create_vision_encoder(folder, image_size=SIZE)
    first, second = images(), images()[::-1].copy()
    out = encode(encoder, image_1=first, image_2=second)
    assert out["sequence_output"].shape == (3, 2 * count, width)
    assert out["sequence_mask"].shape == (3, 2 * count) and out["sequence_mask"].all()
    assert np.isfinite(out["pooled_output"]).all() and out["pooled_output"].std() > 0
    np.testing.assert_allclose(  # swapped images, swapped features
        out["pooled_output"][:, 0], out["pooled_output"][::-1, 1], atol=1e-4
    )
    tokens = out["sequence_output"][:, :count]
    wanted = {"mean": tokens.mean(axis=1), "max": tokens.max(axis=1), "cls": tokens[:, 0]}
    for pooling in ["mean", "max", *own]:
        one = create_vision_encoder(folder, image_size=SIZE, num_images=1, pooling=pooling)
        pooled = encode(one, image_1=first)["pooled_output"][:, 0]
        if pooling == "pooler":
            assert pooled.shape == (3, {"clip": 5, "siglip": 6}[name]) and pooled.std() > 0
        else:
            np.testing.assert_allclose(pooled, wanted[pooling], rtol=1e-4, atol=1e-4)


def test_pixels_are_rescaled_as_the_preset_says(family):
    """The converter's scale .01 and offset -.5 are inside: raw pixels in, the same out."""
    name, folder = family
    encoder = create_vision_encoder(folder, image_size=SIZE, num_images=1)
    rescaling = network_of(encoder).layers[1]
    assert isinstance(rescaling, keras.layers.Rescaling)
    assert (rescaling.scale, rescaling.offset) == (0.01, -0.5)
    if name == "vit":
        raw = keras.ops.convert_to_tensor(images() * 0.01 - 0.5)
        import keras_hub

        wanted = keras_hub.models.ViTBackbone.from_preset(folder)({"images": raw})
        found = encode(encoder, image_1=images())["sequence_output"]
        np.testing.assert_allclose(found, keras.ops.convert_to_numpy(wanted), atol=1e-4)


@pytest.mark.graphs  # each family once
def test_rebuilt_from_its_architecture(family, tmp_path):
    from keras_mm.inference.bundle import _rebuild

    name, folder = family
    options = {"image_size": SIZE, "num_images": 1}
    first = create_vision_encoder(folder, **options)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(network_of(first))))
    again = create_vision_encoder(_rebuild(config, None), weights="random", **options)
    first.save_weights(tmp_path / "x.weights.h5")
    again.load_weights(tmp_path / "x.weights.h5")
    found, wanted = encode(again, image_1=images()), encode(first, image_1=images())
    for key in wanted:
        np.testing.assert_allclose(found[key], wanted[key], atol=1e-6)


def test_what_a_family_cannot_do(family):
    name, folder = family
    for pooling in {"cls", "pooler"} - set(FAMILIES[name][2]):
        with pytest.raises(ValueError, match=f"pooling={pooling!r} needs a backbone"):
            create_vision_encoder(folder, image_size=SIZE, pooling=pooling)
    if name in ANY_SIZE:
        other = create_vision_encoder(folder, image_size=(32, 48), num_images=1)
        assert np.isfinite(encode(other, image_1=images((32, 48)))["pooled_output"]).all()
    elif name != "dinov2":
        with pytest.raises(ValueError, match=r"takes images of \(28, 28\) only. Received: .*35"):
            create_vision_encoder(folder, image_size=(35, 35))


def dinov2_at(folder, side):
    return create_vision_encoder(folder, image_size=(side, side), num_images=1, trainable=True)


def test_dinov2_at_other_sizes(tmp_path):
    """Positions are interpolated, once; what is trained comes back from a file as it was."""
    folder = str(tmp_path / "preset")
    randomise(vision_network("dinov2")).save_to_preset(folder)
    image_converter("dinov2").save_to_preset(folder)
    native, larger = dinov2_at(folder, 35), dinov2_at(folder, 42)
    embeddings = network_of(larger).layers[2].embeddings
    positions = keras.ops.convert_to_numpy(embeddings.position_embeddings)
    assert positions.shape == (1, 37, 6)
    np.testing.assert_array_equal(
        positions, keras.ops.convert_to_numpy(embeddings.interpolated_position_embeddings)
    )
    before = network_of(native).layers[2].embeddings.position_embeddings
    np.testing.assert_array_equal(positions[:, 0], keras.ops.convert_to_numpy(before)[:, 0])
    assert encode(larger, image_1=images((42, 42)))["sequence_output"].shape == (3, 40, 6)

    trained = {variable.path for variable in larger.trainable_variables}
    assert trained and not any("position" in path for path in trained)
    larger.save_weights(tmp_path / "x.weights.h5")
    again = dinov2_at(folder, 42)
    randomise(again, seed=3)
    again.load_weights(tmp_path / "x.weights.h5")
    for mine, its in zip(again.weights, larger.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(its)
        )
    for size in ((30, 30), (28, 35)):
        with pytest.raises(ValueError, match="square images whose side is a multiple of 7, such"):
            create_vision_encoder(folder, image_size=size)


def test_a_vit_without_a_class_token(tmp_path):
    import keras_hub

    network = keras_hub.models.ViTBackbone(
        image_shape=(28, 28, 3), patch_size=7, num_layers=1, num_heads=2, hidden_dim=6, mlp_dim=5,
        use_class_token=False,
    )  # fmt: skip
    network.save_to_preset(str(tmp_path))
    image_converter("vit").save_to_preset(str(tmp_path))
    with pytest.raises(ValueError, match="pooling='cls' needs a backbone with a class"):
        create_vision_encoder(str(tmp_path), image_size=SIZE, pooling="cls")


def test_a_network_without_images(tmp_path):
    from tests.families import text_network

    text_network("bert").save_to_preset(str(tmp_path))
    with pytest.raises(ValueError, match="'bge_m3' is a text backbone. A vision backbone is"):
        create_vision_encoder("bge_m3", weights="random")
    text = keras.Model(
        inputs := {name: keras.Input((3,), name=name) for name in ("a", "b")},
        keras.layers.Add()(list(inputs.values())),
    )
    with pytest.raises(ValueError, match=r"must have one input, .* with the inputs \['a', 'b'\]"):
        create_vision_encoder(text, weights="random")


def test_a_backbone_of_vectors():
    shape = keras.Input((8, 12, 3))
    vectors = keras.Model(shape, keras.layers.GlobalAveragePooling2D()(shape))
    options = {"weights": "random", "image_size": (8, 12)}
    encoder = create_vision_encoder(vectors, **options)
    assert set(encoder.output) == {"pooled_output"}
    with pytest.raises(ValueError, match="returns one vector per image. Leave `pooling`"):
        create_vision_encoder(vectors, pooling="max", **options)
    with pytest.raises(ValueError, match="Did you mean 'mean'"):
        create_vision_encoder(vectors, pooling="meen", **options)
