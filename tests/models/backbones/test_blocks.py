"""Blocks of every kind of backbone, what of it is trained, and adapters."""

import re

import keras
import numpy as np
import pytest

from keras_mm.models.backbones.blocks import (
    attention_blocks,
    backbone_blocks,
    freeze_batch_norm,
    top_blocks,
    train_only,
)
from keras_mm.models.backbones.keras_hub import text_tower, vision_tower
from keras_mm.models.backbones.lora import enable_lora, merge_lora
from keras_mm.models.vision_encoder import create_vision_encoder
from tests.families import POSITIONS, randomise, shapes_only, text_network, vision_network

pytestmark = [pytest.mark.many_networks, pytest.mark.slow]

TEXT = ["bert", "distil_bert", "roberta", "xlm_roberta", "deberta_v3", "albert", "electra"]
# Blocks at the sizes of tests/families.py; ALBERT shares its weights, in one group.
NUM_BLOCKS = {**dict.fromkeys(TEXT, 2), "albert": 1, "vit": 2, "dinov2": 2}


def names(block):
    return [variable.path for variable in block]


def assert_from_the_bottom(blocks):
    """Layers count themselves: the numbers in their names rise from block to block."""
    numbers = [[int(n) for n in re.findall(r"\d+", names(block)[0])] for block in blocks[1:]]
    assert numbers == sorted(numbers) and len(set(map(tuple, numbers))) == len(blocks) - 1


@pytest.mark.parametrize("family", NUM_BLOCKS)
def test_blocks_of_a_transformer(family):
    network = vision_network(family) if family in ("vit", "dinov2") else text_network(family)
    blocks = backbone_blocks(network)
    assert len(blocks) == 1 + NUM_BLOCKS[family]
    found = [v.path for block in blocks for v in block]
    assert sorted(found) == sorted(v.path for v in network.weights)
    assert all("attention" in " ".join(names(block)) for block in blocks[1:])
    assert "embedding" in " ".join(names(blocks[0]))
    assert "attention" not in " ".join(names(blocks[0])).replace("disentangled_attention", "")
    assert_from_the_bottom(blocks)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_blocks_of_towers(family):
    for network in (
        text_tower(text_network(family), "text"),
        vision_tower(text_network(family), "vision", (28, 28), 1.0, 0.0),
    ):
        blocks = backbone_blocks(network)
        assert len(blocks) == 3
        assert "embedding" in " ".join(names(blocks[0]))
        assert sum(map(len, blocks)) == len(network.weights)
        assert_from_the_bottom(blocks)


@pytest.mark.parametrize(
    ("create", "count", "first", "last"),
    [
        ("MobileNetV2", 17, "expanded_conv_depthwise", "Conv_1"),
        ("MobileNet", 13, "conv_dw_1", "conv_pw_13"),
        ("ResNet50V2", 16, "conv2_block1", "post_bn"),
        ("EfficientNetB0", 16, "block1a_", "top_conv"),
        ("VGG16", 5, "block1_conv1", "block5_conv3"),
        ("InceptionV3", 0, "", ""),
    ],
)
def test_blocks_of_a_convolutional_network(create, count, first, last):
    with shapes_only():
        network = getattr(keras.applications, create)(
            weights=None, include_top=False, input_shape=(75, 75, 3)
        )
    blocks = backbone_blocks(network)
    assert len(blocks) == 1 + count
    assert sum(map(len, blocks)) == len(network.weights)
    if count:
        assert first in names(blocks[1])[0] and any(last in name for name in names(blocks[-1]))


def test_blocks_of_the_small_network():
    network = small_network()
    assert [len(block) for block in backbone_blocks(network)] == [0, 5, 5, 5, 5]
    inputs = keras.Input((32, 32, 3))
    nested = keras.Model(inputs, network(inputs))
    assert_from_the_bottom(backbone_blocks(nested))
    assert [v.path for v in top_blocks(nested, 1, "vision")][0].startswith("block_4")


def small_network():
    from keras_mm.models.backbones.lookup import vision_backbone

    return vision_backbone("tiny_cnn", "random", (32, 32))[0]


def test_only_the_top_is_trained():
    network = text_network("bert")
    chosen = top_blocks(network, 1, "text")
    train_only(network, chosen)
    assert {v.path for v in network.trainable_variables} == {v.path for v in chosen}
    train_only(network, top_blocks(network, "all", "text"))
    assert len(network.trainable_variables) == len(network.weights)
    train_only(network, [])
    assert not network.trainable_variables
    with pytest.raises(ValueError, match="of the text encoder has 2 blocks, but a stage trains"):
        top_blocks(network, 3, "text")


def test_frozen_batch_normalisation_keeps_its_statistics():
    network = small_network()
    train_only(network, top_blocks(network, 1, "vision"))
    before = {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in network.weights}
    network(np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype("float32"), training=True)
    moved = {
        v.path
        for v in network.weights
        if not np.array_equal(before[v.path], keras.ops.convert_to_numpy(v))
    }
    assert moved and all("block_4_norm/moving" in path for path in moved)
    freeze_batch_norm(network)
    assert not any("norm" in v.path for v in network.trainable_variables)


def test_pretrained_statistics_stay_in_training(tmp_path):
    options = {"image_size": (32, 32), "num_images": 1, "trainable": True}
    fresh = create_vision_encoder("tiny_cnn", weights="random", **options)
    path = tmp_path / "network.weights.h5"
    next(layer for layer in fresh.layers if isinstance(layer, keras.Model)).save_weights(path)
    pretrained = create_vision_encoder("tiny_cnn", weights=path, **options)
    images = {"image_1": np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))}
    for encoder, moves in ((fresh, True), (pretrained, False)):
        before = [np.array(keras.ops.convert_to_numpy(v)) for v in encoder.weights]
        encoder(images, training=True)
        after = [keras.ops.convert_to_numpy(v) for v in encoder.weights]
        assert moves != all(map(np.array_equal, before, after))
    trained = {v.path.split("/")[-1] for v in pretrained.trainable_variables}
    assert "kernel" in trained and "gamma" not in trained


@pytest.mark.parametrize("family", [*TEXT, "clip", "siglip", "vit", "dinov2"])
def test_adapters_change_nothing_until_they_learn_and_are_merged_exactly(family):
    network = vision_network(family) if family in ("vit", "dinov2") else text_network(family)
    network = randomise(network if family in ("vit", "dinov2") else text_tower(network, family))
    given = inputs_of(network)
    before = flat(network(given))
    count = len(network.weights)
    adapters = enable_lora(network, 2, alpha=3.0)
    assert len(network.weights) == count + len(adapters) and len(adapters) % 4 == 0
    np.testing.assert_allclose(flat(network(given)), before, atol=1e-6)
    train_only(network, adapters)
    assert {v.path for v in network.trainable_variables} == {v.path for v in adapters}
    rng = np.random.default_rng(4)
    for variable in adapters:
        variable.assign(rng.normal(size=variable.shape))
    learned = flat(network(given))
    assert np.abs(learned - before).max() > 1e-3
    merge_lora(network)
    merged = flat(network(given))
    np.testing.assert_allclose(merged, learned, rtol=1e-3, atol=1e-4)


def inputs_of(network):
    rng = np.random.default_rng(1)
    found = {}
    tensors = network.input if isinstance(network.input, dict) else {"": network.input}
    for name, tensor in tensors.items():
        shape = [2, *(POSITIONS if size is None else size for size in tensor.shape[1:])]
        if name == "padding_mask":
            found[name] = np.ones(shape, tensor.dtype)
        elif "int" in str(tensor.dtype):
            found[name] = rng.integers(0, 2 if name == "segment_ids" else 50, shape).astype("int32")
        else:
            found[name] = rng.normal(size=shape).astype("float32")
    return found.get("", found)


def flat(outputs):
    outputs = outputs if isinstance(outputs, dict) else {"": outputs}
    values = [np.array(keras.ops.convert_to_numpy(outputs[name])) for name in sorted(outputs)]
    return np.concatenate([value.ravel() for value in values])


def test_adapters_stand_in_the_blocks_only():
    """SigLIP's pooling head attends too, and mean pooling does not use it."""
    network = vision_tower(text_network("siglip"), "vision", (28, 28), 1.0, 0.0)
    found = " ".join(v.path for v in enable_lora(network, 2))
    assert len(attention_blocks(network)) == 2 and "head" not in found


def test_adapters_need_attention():
    with pytest.raises(ValueError, match="LoRA adapts the attention layers of transformers"):
        enable_lora(small_network(), 4)
