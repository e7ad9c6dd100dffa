import keras
import numpy as np
import pytest

from keras_mm.models.fusion import CrossAttention, create_fusion
from keras_mm.models.fusion.mmbt import GRIDS, cell_weights
from keras_mm.models.multimodal import attention_model, create_multimodal_model
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder
from tests.models.conftest import LENGTH, MORE, SIZE, make_inputs, make_model, randomise

WIDTH, ROWS, REGIONS, WORDS = 11, 5, 6, 13


def vectors(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(ROWS, WIDTH)).astype("float32") for _ in range(2)]


def token_sides(seed=0):
    """Image and text with tokens, of which some are masked."""
    rng = np.random.default_rng(seed)
    sides = []
    for vector, length in zip(vectors(seed), (REGIONS, WORDS), strict=True):
        mask = np.arange(length) < rng.integers(2, length, (ROWS, 1))
        tokens = rng.normal(size=(ROWS, length, WIDTH)).astype("float32")
        sides.append({"pooled_output": vector, "sequence_output": tokens, "sequence_mask": mask})
    return sides


def called(layer, sides, **options):
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, sides)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, layer(tensors, **options))


def test_gated_is_the_papers_formula():
    x, y = vectors()
    layer = create_fusion({"name": "gated", "units": 7})
    found = called(layer, [x, y])
    w = {v.path.split("/", 1)[1]: keras.ops.convert_to_numpy(v) for v in layer.weights}
    h = [
        np.tanh(e @ w[f"transform_{i}/kernel"] + w[f"transform_{i}/bias"])
        for i, e in ((1, x), (2, y))
    ]
    z = 1 / (1 + np.exp(-(np.hstack([x, y]) @ w["gate/kernel"] + w["gate/bias"])))
    np.testing.assert_allclose(found, z * h[0] + (1 - z) * h[1], atol=1e-5)


@pytest.mark.parametrize("name", ["cross_attention", "bottleneck"])
def test_a_masked_token_is_not_read(name):
    layer = create_fusion(name)
    sides = token_sides()
    before = called(layer, sides)
    for side in sides:
        side["sequence_output"][~side["sequence_mask"]] = 1e3
    np.testing.assert_array_equal(called(layer, sides), before)


@pytest.mark.parametrize("name", ["cross_attention", "bottleneck"])
@pytest.mark.parametrize("side", [0, 1])
def test_each_sides_tokens_reach_what_comes_of_the_other(name, side):
    """Half of the result is the other side's: it must change with this side's tokens."""
    layer = create_fusion(name)
    sides = token_sides()
    before = called(layer, sides)
    sides[side]["sequence_output"] = sides[side]["sequence_output"][::-1].copy()
    other = slice(WIDTH, 2 * WIDTH) if side == 0 else slice(0, WIDTH)
    assert np.abs(called(layer, sides) - before)[:, other].max() > 1e-3


def test_attention_weights_are_a_distribution_over_what_counts():
    sides = token_sides()
    _, weights = called(CrossAttention(num_heads=3), sides, return_attention=True)
    for name, query, context in (("text_to_image", 1, 0), ("image_to_text", 0, 1)):
        found = weights[name]
        lengths = [sides[i]["sequence_mask"].shape[1] + 1 for i in (query, context)]
        assert found.shape == (ROWS, 3, *lengths)
        np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
        hidden = ~sides[context]["sequence_mask"]
        assert (
            found[..., 1:][np.broadcast_to(hidden[:, None, None], found[..., 1:].shape)].max() == 0
        )


def test_attention_is_not_degenerate():
    """Rows attend differently, and keys and values are different things."""
    layer = CrossAttention()
    sides = token_sides()
    called(layer, sides)
    for weight in layer.weights:
        if weight.path.endswith("kernel"):
            weight.assign(weight * 3)
    before, weights = called(layer, sides, return_attention=True)
    found = weights["text_to_image"][:, 0, 0]
    entropy = -np.sum(found * np.log(np.maximum(found, 1e-9)), axis=-1)
    assert np.ptp(entropy) > 1e-3
    by_path = {weight.path: weight for weight in layer.weights}
    for path, key in by_path.items():
        if path.endswith("key/kernel"):
            value = by_path[path.replace("key/", "value/")]
            numbers = keras.ops.convert_to_numpy(key)
            key.assign(value)
            value.assign(numbers)
    assert np.abs(called(layer, sides) - before).max() > 1e-2


@pytest.mark.eager
def test_attention_weights_of_a_model():
    model = make_model("cross_attention")
    inputs = make_inputs(3)
    inputs["image_mask"][1, 1] = False
    found = attention_model(model).predict_on_batch(inputs)["text_to_image"]
    assert found.shape[-2:] == (1 + LENGTH, 1 + 2 * 6)
    found = np.asarray(found)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    # Of a missing image only the token that stands in for it is looked at.
    assert found[1, ..., 8:].max() == 0 and found[1, ..., 7].min() > 0
    with pytest.raises(ValueError, match="Only a model with fusion='cross_attention'"):
        attention_model(make_model("gated"))


@pytest.mark.eager
@pytest.mark.parametrize("fusion", ["gated", "cross_attention", "bottleneck", "mmbt"])
def test_gradients_reach_every_trainable_weight(fusion):
    """A step of plain descent moves each of them."""
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE, trainable=True)
    text = create_text_encoder(
        "tiny_bert", weights="random", sequence_length=LENGTH, pooling="mean", trainable=True
    )
    model = create_multimodal_model(
        vision, text, 3, fusion=fusion, compare=True, projection_dims=WIDTH
    )
    randomise(model)
    inputs = make_inputs(7)
    inputs["image_mask"][0] = [True, False]
    inputs["image_mask"][1] = [False, True]
    inputs["image_mask"][2] = False
    inputs["text_mask"][3] = False
    model.compile(
        optimizer=keras.optimizers.SGD(1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    model.train_on_batch(inputs, np.array([0, 1, 2, 0, 1, 2, 0]))
    still = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(keras.ops.convert_to_numpy(weight), old)
    ]
    # The gradient of attention by a bias of its keys is 0 for ever: softmax does not see it.
    assert [path for path in still if not path.endswith("key/bias")] == []


def test_cells_are_those_of_adaptive_average_pooling():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    for grid in ((4, 4), (7, 5), (2, 3)):
        image = rng.normal(size=grid).astype("float32")
        for cells in GRIDS.values():
            weights = cell_weights(grid, cells)
            found = weights @ image.ravel() / weights.sum(axis=1)
            pooled = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(image)[None], cells)
            np.testing.assert_allclose(found, pooled.numpy().ravel(), atol=1e-5)


@pytest.mark.parametrize("count", [pytest.param(1, marks=MORE), 4, pytest.param(9, marks=MORE)])
def test_mmbt_is_one_bert_over_both(count):
    """The result is the backbone's own on the same embeddings, written out here once more."""
    model = make_model({"name": "mmbt", "num_image_tokens": count}, num_images=1)
    fusion = model.get_layer("trunk").get_layer("mmbt_fusion")
    network, inputs = fusion.backbone, make_inputs(1, num_images=1)
    length = int(inputs["padding_mask"].sum())
    ids = inputs["token_ids"][:, :length]
    rng = np.random.default_rng(2)
    regions = rng.normal(size=(1, 6, 64)).astype("float32")
    found = fusion(
        [
            {"sequence_output": regions, "sequence_mask": np.ones((1, 6), bool)},
            {
                "token_ids": inputs["token_ids"],
                "segment_ids": inputs["segment_ids"],
                "padding_mask": inputs["padding_mask"],
                "text_mask": inputs["text_mask"],
            },
        ]
    )
    weights = cell_weights((2, 3), GRIDS[count])
    cells = np.einsum("cr,brd->bcd", weights / weights.sum(axis=1, keepdims=True), regions)
    embed = network.token_embedding
    image = keras.ops.concatenate(
        [embed(ids[:, :1]), fusion.project(cells), embed(ids[:, -1:])], axis=1
    )
    parts = []
    for segment, tokens in enumerate((image, embed(ids[:, 1:]))):
        number = tokens.shape[1]
        table = network.position_embedding.position_embeddings[:number]
        kind = network.segment_embedding(np.full((1, number), segment))
        parts.append(tokens + table[None] + kind)
    x = network.embeddings_layer_norm(keras.ops.concatenate(parts, axis=1))
    for layer in network.transformer_layers:
        x = layer(x)
    places = GRIDS[count][0] * GRIDS[count][1]
    image, words = (
        keras.ops.mean(part, axis=1) for part in (x[:, 1 : 1 + places], x[:, 2 + places :])
    )
    expected = keras.ops.concatenate([network.pooled_dense(x[:, 0]), image * words], axis=-1)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected), atol=1e-5
    )


def test_a_fusion_by_dict_and_by_layer():
    assert create_fusion({"name": "bottleneck", "num_bottlenecks": 3}).num_bottlenecks == 3
    mine = keras.layers.Concatenate(name="mine")
    copy = create_fusion(mine)
    assert copy is not mine and copy.name == "mine"
    assert make_model(mine).output_shape == (None, 3)


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ("gatd", "Did you mean 'gated'"),
        ({"num_heads": 2}, "Unknown fusion None"),
        ({"name": "gated", "num_heads": 2}, "argument of the fusion 'gated': 'num_heads'"),
        ({"name": "bottleneck", "num_layers": 1}, "`num_layers` must be an integer >= 2"),
        ({"name": "bottleneck", "num_bottlenecks": 0}, "num_bottlenecks=0"),
        ({"name": "bottleneck", "dropout_rate": 1}, r"in \[0, 1\)"),
        ({"name": "cross_attention", "num_heads": "4"}, "num_heads='4'"),
        ({"name": "cross_attention", "num_heads": True}, "num_heads=True"),
        ({"name": "cross_attention", "num_heads": None}, "num_heads=None"),
        ({"name": "cross_attention", "num_layers": 0}, "num_layers=0"),
        ({"name": "cross_attention", "dropout_rate": "no"}, "dropout_rate='no'"),
        ({"name": "bilinear", "rank": 0}, "rank=0"),
        ({"name": "gated", "units": 0}, "units=0"),
        ({"name": "mmbt", "num_image_tokens": 10}, "must be 1 to 9"),
    ],
)
def test_wrong_fusions(fusion, message):
    with pytest.raises(ValueError, match=message):
        create_fusion(fusion)


class Stacked(keras.layers.Layer):
    """A fusion that forgets to make one vector of its sides."""

    def call(self, sides):
        return keras.ops.stack(sides, axis=1)


def test_a_fusion_that_gives_no_vector():
    with pytest.raises(ValueError, match=r"the fusion 'mine' must return .* \(None, 2, 11\)"):
        make_model(Stacked(name="mine"))


def test_tokens_that_an_encoder_lacks():
    inputs = keras.Input((*SIZE, 3))
    vectors_only = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    vision = create_vision_encoder(vectors_only, image_size=SIZE)
    text = create_text_encoder("tiny_bert", weights="random", sequence_length=LENGTH)
    for fusion, message in (("cross_attention", "returns only vectors"), ("mmbt", "feature map")):
        with pytest.raises(ValueError, match=message):
            create_multimodal_model(vision, text, 3, fusion=fusion)
    assert create_multimodal_model(vision, text, 3, fusion="gated").output_shape == (None, 3)


def test_mmbt_refuses_other_texts():
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE)
    separate = create_text_encoder(
        "tiny_bert", weights="random", sequence_length=LENGTH, text_pairing="separate"
    )
    with pytest.raises(ValueError, match="text_pairing='packed'"):
        create_multimodal_model(vision, separate, 3, fusion="mmbt")
    import keras_hub

    network = keras_hub.models.DistilBertBackbone(
        vocabulary_size=97, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    )
    other = create_text_encoder(network, sequence_length=LENGTH, pooling="cls")
    with pytest.raises(ValueError, match="is a DistilBertBackbone"):
        create_multimodal_model(vision, other, 3, fusion="mmbt")
