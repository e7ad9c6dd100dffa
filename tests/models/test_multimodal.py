import keras
import numpy as np
import pytest

from keras_mm.models.multimodal import create_multimodal_model, cut, input_names, parts
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder
from keras_mm.settings.heads import Head
from tests.families import shapes_only
from tests.models.conftest import (
    LENGTH,
    SIZE,
    called,
    logits_of,
    make_inputs,
    make_model,
    randomise,
)

pytestmark = pytest.mark.eager

ROWS = 32  # in each test: a shape of its own would be compiled by itself


def take(inputs, rows):
    return {name: value[rows] for name, value in inputs.items()}


def test_a_row_alone_is_the_row_in_a_batch(case):
    model, separate = case
    inputs = make_inputs(ROWS, separate=separate)
    together = logits_of(model, inputs)
    assert np.ptp(together, axis=0).min() > 1e-3  # the rows do differ
    for row in (0, 17, 31):
        alone = logits_of(model, take(inputs, [row]))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


def test_more_padding_changes_nothing(case):
    model, separate = case
    inputs = make_inputs(ROWS, separate=separate)
    longer = dict(inputs)
    for name in ("token_ids", "segment_ids", "padding_mask"):
        widths = [(0, 0)] * (inputs[name].ndim - 1) + [(0, 23)]
        longer[name] = np.pad(inputs[name], widths)
    np.testing.assert_allclose(logits_of(model, longer), logits_of(model, inputs), atol=1e-5)


def test_what_stands_behind_the_padding_is_not_read(case):
    model, separate = case
    inputs = make_inputs(ROWS, separate=separate)
    changed = {**inputs, "token_ids": np.where(inputs["padding_mask"], inputs["token_ids"], 42)}
    np.testing.assert_array_equal(logits_of(model, changed), logits_of(model, inputs))


def test_rows_of_fewer_images_name_num_images():
    model, inputs = make_model(), make_inputs(3, num_images=1)
    encoder, image = parts(model).encoders["vision"], inputs["image_1"]
    for call in (
        lambda: model(inputs),
        lambda: model.predict_on_batch(inputs),
        lambda: encoder({"image_1": image}),
        lambda: encoder(image),
        lambda: encoder([image]),
    ):
        with pytest.raises(ValueError, match=r"takes 2 images a row.*num_images=1\)"):
            call()
    with pytest.raises(ValueError, match=r"Received: none\."):
        model({name: value for name, value in inputs.items() if name != "image_1"})
    assert encoder([image, image])["pooled_output"].shape[:2] == (3, 2)


def test_every_input_counts(case):
    model, separate = case
    inputs = make_inputs(ROWS, separate=separate)
    before = logits_of(model, inputs)
    for name in ("image_1", "image_2", "token_ids", "image_mask", "text_mask"):
        changed = np.roll(inputs[name], 1, axis=0)
        if name.endswith("_mask"):
            changed = np.zeros_like(inputs[name])
        assert np.abs(logits_of(model, {**inputs, name: changed}) - before).max() > 1e-4, name


def test_swapping_the_images_changes_the_answer(case):
    model, separate = case
    inputs = make_inputs(ROWS, separate=separate)
    swapped = {**inputs, "image_1": inputs["image_2"], "image_2": inputs["image_1"]}
    assert np.abs(logits_of(model, swapped) - logits_of(model, inputs)).max() > 1e-3


def test_a_missing_images_pixels_are_not_read(case):
    model, separate = case
    inputs = make_inputs(ROWS, separate=separate)
    inputs["image_mask"][:, 1] = False
    changed = {**inputs, "image_2": np.full_like(inputs["image_2"], np.nan)}
    np.testing.assert_array_equal(logits_of(model, changed), logits_of(model, inputs))


@pytest.mark.parametrize("text_pairing", ["packed", "separate"])
def test_a_sequences_mask_is_bool(text_pairing):
    encoder = create_text_encoder(
        "tiny_bert", weights="random", sequence_length=LENGTH, text_pairing=text_pairing
    )
    assert encoder.output["sequence_mask"].dtype == "bool"
    assert encoder.output["sequence_output"].dtype == "float32"


def test_a_packed_pair_is_missing_only_when_both_texts_are():
    model = make_model()
    inputs = make_inputs(3)
    whole = logits_of(model, inputs)
    for mask, equal in (([True, False], True), ([False, True], True), ([False, False], False)):
        found = logits_of(model, {**inputs, "text_mask": np.tile(mask, (3, 1))})
        assert np.array_equal(found, whole) is equal


def test_a_row_with_nothing_present_has_an_answer(case):
    model, separate = case
    inputs = make_inputs(ROWS, separate=separate)
    for name in ("image_mask", "text_mask"):
        inputs[name][:] = False
    found = logits_of(model, inputs)
    assert np.isfinite(found).all()
    # Not to the bit: the places in a batch are rounded apart on some processors.
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_the_cut_model_on_features_answers_as_the_whole(case):
    model, separate = case
    inputs = make_inputs(ROWS, separate=separate)
    encoders, trunk = parts(model)
    features = {}
    for side, encoder in encoders.items():
        found = encoder({name: inputs[name] for name in input_names(encoder)})
        features.update({f"{side}_{name}": value for name, value in found.items()})
    features.update(inputs)
    trained = cut(model)
    features = {name: features[name] for name in input_names(trained)}
    assert not any(name.startswith("image_") and name != "image_mask" for name in features)
    np.testing.assert_allclose(called(trained, features), called(model, inputs), atol=1e-6)
    assert {w.path for w in trained.trainable_weights} == {w.path for w in trunk.trainable_weights}


def test_one_encoder_frozen_and_the_other_not():
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE, trainable=True)
    text = create_text_encoder("tiny_bert", weights="random", sequence_length=LENGTH)
    model = create_multimodal_model(vision, text, 3)
    names = input_names(cut(model))
    assert "image_1" in names and "text_pooled_output" in names and "token_ids" not in names


@pytest.mark.parametrize("side", ["vision", "text"])
def test_a_frozen_encoder_is_the_same_in_training(side):
    model = make_model()
    encoder = parts(model).encoders[side]
    inputs = take(make_inputs(3), [0, 1, 2])
    inputs = {name: inputs[name] for name in input_names(encoder)}
    outputs = [
        keras.ops.convert_to_numpy(encoder(inputs, training=training)["pooled_output"])
        for training in (True, False)
    ]
    np.testing.assert_array_equal(*outputs)
    encoder.trainable = True
    trained = keras.ops.convert_to_numpy(encoder(inputs, training=True)["pooled_output"])
    assert np.abs(trained - outputs[1]).max() > 1e-3  # dropout, or batch statistics


def test_trainable_encoders_train_all_they_use():
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE, trainable=True)
    text = create_text_encoder(
        "tiny_bert", weights="random", sequence_length=LENGTH, trainable=True, pooling="mean"
    )
    model = create_multimodal_model(vision, text, 3, fusion="bilinear", compare=True)
    randomise(model)
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    inputs = make_inputs(7)
    inputs["image_mask"][0] = inputs["image_mask"][1, 0] = inputs["text_mask"][2] = False
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss)
    model.train_on_batch(inputs, np.array([0, 1, 2, 0, 1, 2, 0]))
    still = [
        w.path
        for w, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(keras.ops.convert_to_numpy(w), old)
    ]
    # A key's bias adds the same to every score; the softmax takes no notice of it.
    assert [path for path in still if "key/bias" not in path] == []


def test_text_only_and_images_only():
    text = create_text_encoder("tiny_bert", weights="random", sequence_length=LENGTH)
    model = create_multimodal_model(None, text, 3)
    assert sorted(input_names(model)) == ["padding_mask", "segment_ids", "text_mask", "token_ids"]
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE, num_images=1)
    model = create_multimodal_model(vision, None, 3)
    assert sorted(input_names(model)) == ["image_1", "image_mask"]


def test_heads():
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE, num_images=1)
    heads = {"mood": Head(classes=5), "spam": Head("binary")}
    model = create_multimodal_model(vision, None, heads)
    shapes = {name: logits.shape for name, logits in model.output.items()}
    assert shapes == {"mood": (None, 5), "spam": (None, 1)}
    assert create_multimodal_model(vision, None, Head("binary")).output_shape == (None, 1)


def test_dropout_and_penalty_of_a_head_are_its_own():
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE, num_images=1)
    heads = {"mood": Head(classes=5, l2=0.5), "stars": Head("regression", dropout_rate=0.9)}
    model = create_multimodal_model(vision, None, heads, dropout_rate=0.0)
    trunk = parts(model).trunk
    kernel = np.asarray(keras.ops.convert_to_numpy(trunk.get_layer("mood_logits").kernel))
    (penalty,) = model.losses
    penalty = float(keras.ops.convert_to_numpy(penalty))
    assert penalty == pytest.approx(0.5 * np.sum(kernel**2), rel=1e-5)
    x = {
        "vision_pooled_output": np.ones((7, 1, vision.output["pooled_output"].shape[-1])),
        "image_mask": np.ones((7, 1), bool),
    }
    plain, dropped = trunk(x, training=False), trunk(x, training=True)
    for name, same in (("mood", True), ("stars", False)):
        values = [np.asarray(keras.ops.convert_to_numpy(found[name])) for found in (plain, dropped)]
        assert np.allclose(*values, atol=1e-6) == same, name


def test_the_examples_model_by_name_with_random_weights():
    with shapes_only():
        model = create_multimodal_model(vision_weights="random", text_weights="random")
    encoders, trunk = parts(model)
    assert encoders["vision"].count_params() == 23_564_800
    assert encoders["text"].count_params() == 109_482_240
    assert encoders["vision"].output["pooled_output"].shape == (None, 2, 2048)
    assert encoders["text"].output["pooled_output"].shape == (None, 1, 768)
    assert not encoders["vision"].trainable_weights and not encoders["text"].trainable_weights
    assert model.output_shape == (None, 3)
    assert model.get_layer("trunk").get_layer("label_logits").kernel.shape == (512, 3)


def test_what_cannot_be_built_says_why():
    vision = create_vision_encoder("tiny_cnn", weights="random", image_size=SIZE, num_images=1)
    with pytest.raises(ValueError, match="At least one of"):
        create_multimodal_model(None, None)
    with pytest.raises(ValueError, match="compare=True needs two images"):
        create_multimodal_model(vision, None, compare=True)
    with pytest.raises(ValueError, match="'concatt'. Did you mean 'concat'"):
        text = create_text_encoder("tiny_bert", weights="random", sequence_length=LENGTH)
        create_multimodal_model(vision, text, fusion="concatt")
    with pytest.raises(ValueError, match="pooled_output"):
        create_multimodal_model(keras.Sequential([keras.layers.Dense(2)]), None)
    with pytest.raises(ValueError, match="`heads` must be"):
        create_multimodal_model(vision, None, "three")
