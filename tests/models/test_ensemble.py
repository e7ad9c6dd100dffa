"""Models that average several members."""

import keras
import numpy as np
import pytest

from keras_mm import Head, create_multimodal_model, create_text_encoder, create_vision_encoder
from keras_mm.metrics.probabilities import probabilities
from keras_mm.models.ensemble import MemberWeights, average, member_weights, members, own_sides
from keras_mm.models.layers.average import AveragePrediction
from keras_mm.models.multimodal import parts

HEADS = {
    "kind": Head(classes=3),
    "is": Head("binary", classes=("no", "yes")),
    "tags": Head("multilabel", classes=("x", "y", "z", "u", "v")),
    "size": Head("regression"),
}


def encoder(side):
    if side == "vision":
        return create_vision_encoder(
            "tiny_cnn", weights="random", image_size=(16, 16), num_images=1, trainable=True
        )
    return create_text_encoder("tiny_bert", weights="random", sequence_length=7, trainable=True)


def build(own, heads=HEADS, count=3):
    shared = {side: encoder(side) for side in ("vision", "text")}
    models = []
    for _ in range(count):
        sides = [encoder(side) if side in own else shared[side] for side in ("vision", "text")]
        models.append(create_multimodal_model(*sides, heads, fusion="cross_attention"))
    return models


def inputs_of(model, rows=5):
    rng, inputs = np.random.default_rng(0), {}
    for tensor in model.inputs:
        shape = (rows, *(size or 7 for size in tensor.shape[1:]))
        if tensor.dtype == "bool":
            inputs[tensor.name] = np.ones(shape, bool)
        elif "int" in tensor.dtype:
            inputs[tensor.name] = rng.integers(0, 2, shape).astype("int32")
        else:
            inputs[tensor.name] = rng.uniform(0, 255, shape).astype("float32")
    return inputs


def predict(model, inputs):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(inputs))


MORE = pytest.mark.many_networks


@pytest.mark.parametrize(
    "own", [(), pytest.param(("text",), marks=MORE), pytest.param(("vision", "text"), marks=MORE)]
)
def test_the_average_of_probabilities_and_its_members(own, tmp_path):
    models, shares = build(own), np.array([0.5, 0.3, 0.2])
    weights = {name: MemberWeights(tuple(shares)) for name in HEADS}
    model = average(models, HEADS, weights=weights, own_sides=own)
    inputs = inputs_of(model)
    found, each = predict(model, inputs), [predict(one, inputs) for one in models]
    for name, head in HEADS.items():
        if head.kind == "regression":
            mean = sum(share * one[name] for share, one in zip(shares, each, strict=True))
            np.testing.assert_allclose(found[name], mean, atol=1e-5)
            continue
        wanted = sum(
            share * probabilities(one[name], head.kind)
            for share, one in zip(shares, each, strict=True)
        )
        np.testing.assert_allclose(probabilities(found[name], head.kind), wanted, atol=1e-6)
    taken = members(model)
    assert own_sides(taken) == set(own)
    assert member_weights(model) == weights
    for one, again in zip(each, (predict(one, inputs) for one in taken), strict=True):
        for name in HEADS:
            np.testing.assert_array_equal(one[name], again[name])
    assert ("member_1" in {la.name for la in parts(model).trunk.layers}) and members(models[0])
    model.save(tmp_path / "model.keras")
    loaded = predict(keras.models.load_model(tmp_path / "model.keras"), inputs)
    for name in HEADS:
        np.testing.assert_allclose(loaded[name], found[name], atol=1e-6)


def test_a_single_member_is_the_model_itself():
    (model,) = build((), {"label": Head(classes=2)}, count=1)
    assert average([model], {"label": Head(classes=2)}) is model
    assert members(model) == [model] and member_weights(model) == {}


def test_members_of_one_side_answer_rows_that_lack_the_other(tmp_path):
    heads = {"kind": Head(classes=3), "size": Head("regression")}
    vision, text = encoder("vision"), encoder("text")
    sides = [(vision, text), (vision, None), (None, text)]
    models = [create_multimodal_model(*one, heads, fusion="concat") for one in sides]
    weights = {
        "kind": MemberWeights((0.5, 0.3, 0.2), {"image": (0.0, 0.0, 1.0), "text": (0.4, 0.6, 0.0)}),
        "size": MemberWeights((1.0, 0.0, 0.0), {"image": (0.5, 0.0, 0.5), "text": (0.0, 1.0, 0.0)}),
    }
    model = average(models, heads, weights=weights)
    assert member_weights(model) == weights
    inputs = inputs_of(model, rows=4)
    inputs["image_mask"][[1, 3]] = False
    inputs["text_mask"][[2, 3]] = False
    used = ["everywhere", "image", "text", "everywhere"]  # without both, as with both
    own = [
        {tensor.name: inputs[tensor.name] for tensor in member.inputs} for member in members(model)
    ]
    each = [predict(one, of) for one, of in zip(members(model), own, strict=True)]
    found = predict(model, inputs)
    for row, key in enumerate(used):
        for name, head in heads.items():
            shares = weights[name].without.get(key, weights[name].everywhere)
            values = [one[name][row : row + 1] for one in each]
            if head.kind != "regression":
                values = [probabilities(value, head.kind) for value in values]
            wanted = sum(share * value for share, value in zip(shares, values, strict=True))
            got = found[name][row : row + 1]
            got = got if head.kind == "regression" else probabilities(got, head.kind)
            np.testing.assert_allclose(got, wanted, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = predict(keras.models.load_model(tmp_path / "model.keras"), inputs)
    np.testing.assert_allclose(loaded["kind"], found["kind"], atol=1e-6)


@pytest.mark.parametrize("kind", ["multiclass", "binary", "multilabel"])
def test_extreme_logits_stay_finite(kind):
    width = 1 if kind == "binary" else 3
    high = np.full((2, width), 0.0, "float32")
    high[0, 0], high[1, 0] = 2e4, -2e4
    layer = AveragePrediction(kind, [0.5, 0.5])
    found = np.asarray(keras.ops.convert_to_numpy(layer([high, high])))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(
        probabilities(found, kind), probabilities(high, kind), atol=1e-6, rtol=1e-6
    )
