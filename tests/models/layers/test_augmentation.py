"""Augmentation: what it changes, for whom, and that inference knows nothing of it."""

import keras
import numpy as np
import pytest

from keras_mm.models.keras_settings import build_settings
from keras_mm.models.layers.augmentation import ImageAugmentation, sample
from keras_mm.models.multimodal import create_multimodal_model, cut, input_names
from keras_mm.models.vision_encoder import create_vision_encoder
from keras_mm.settings.augmentation import Augmentation
from tests.models.conftest import SIZE, logits_of, make_inputs

# One shape for all: under jax each new one is compiled anew.
ROWS, HEIGHT, WIDTH = 101, 11, 13
ALL = {"flip": True, "crop": 0.3, "rotation": 20, "brightness": 0.4, "contrast": 0.5,
       "saturation": 0.6}  # fmt: skip
GEOMETRY, COLOUR = ("flip", "crop", "rotation"), ("brightness", "contrast", "saturation")


def images_of(low=0, high=256):
    shape = (ROWS, 2, HEIGHT, WIDTH, 3)
    return np.random.default_rng(0).integers(low, high, shape).astype("float32")


def augmented(images, seed=1, times=1, **options):
    layer = ImageAugmentation(options, seed=seed)
    found = [keras.ops.convert_to_numpy(layer(images, training=True)) for _ in range(times)]
    return found[0] if times == 1 else found


def ramps():
    """Images whose channels say where a pixel was: its column, its row, nothing."""
    image = np.zeros((HEIGHT, WIDTH, 3), "float32")
    image[..., 0], image[..., 1] = np.arange(WIDTH), np.arange(HEIGHT)[:, None]
    return np.tile(image, (ROWS, 2, 1, 1, 1))


# --- in training only ----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_in_inference_images_are_what_they_were(policy):
    images = images_of() + 0.3  # no number of bfloat16
    with build_settings(policy):
        layer = ImageAugmentation(ALL)
    for options in ({}, {"training": False}):
        found = layer(images, **options)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), images)


def test_what_is_off_changes_nothing():
    np.testing.assert_array_equal(augmented(images_of()), images_of())


# --- for whom ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_row_has_changes_of_its_own(name):
    rows = np.repeat(images_of()[:1], ROWS, axis=0)
    found = augmented(rows, **{name: ALL[name]})
    distinct = {image.tobytes() for image in found}
    assert len(distinct) == 2 if name == "flip" else len(distinct) > 0.9 * ROWS
    assert np.abs(found - rows).max() > 1


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("same", [True, False])
def test_images_of_a_row_share_changes_or_not(name, same):
    rows = np.repeat(images_of()[:, :1], 2, axis=1)
    switch, other = ("same_geometry", "same_colour")[:: 1 if name in GEOMETRY else -1]
    options = {name: ALL[name], switch: same, other: not same}
    first, second = np.moveaxis(augmented(rows, **options), 1, 0)
    assert np.array_equal(first, second) == same


def test_one_image_knows_nothing_of_another():
    images = images_of()
    changed = images.copy()
    changed[:, 1], changed[3] = np.nan, 7
    before, after = augmented(images, **ALL), augmented(changed, **ALL)
    others = np.arange(ROWS) != 3
    np.testing.assert_array_equal(after[others, 0], before[others, 0])


def test_a_missing_images_zeros_stay_zeros():
    images = images_of()
    images[:, 1] = 0
    found = augmented(images, **ALL)
    assert not found[:, 1].any() and found[:, 0].all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("seed", [5, None])
def test_one_seed_gives_one_result(seed):
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(11)
        found.append(augmented(images_of(), seed, times=2, **ALL))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0][0] != found[0][1]).any()  # each step draws anew
    assert (augmented(images_of(), 6, **ALL) != found[0][0]).any()


# --- what ----------------------------------------------------------------------------------------


def test_values_stay_in_range():
    images = images_of()
    images[::2] = np.where(images[::2] < 128, 0, 255)  # the hardest contrast
    extreme = {"brightness": 0.99, "contrast": 0.99, "saturation": 0.99, "rotation": 180}
    for options in (ALL, {**ALL, **extreme}):
        found = augmented(images, **options)
        assert found.min() >= 0 and found.max() <= 255 and found.dtype == "float32"


def test_flip_mirrors_half_of_the_rows_exactly():
    images = images_of()
    found = augmented(images, flip=True, same_geometry=False)
    flipped = (found == images[..., ::-1, :]).all(axis=(2, 3, 4))
    kept = (found == images).all(axis=(2, 3, 4))
    assert (flipped ^ kept).all() and 0.35 < flipped.mean() < 0.65


def test_crop_enlarges_a_window_that_lies_inside():
    found = augmented(ramps(), crop=0.3)[:, 0]
    across, down = found[..., 0], found[..., 1]
    size = (across[:, 0, -1] - across[:, 0, 0]) / (WIDTH - 1)
    assert (size >= 0.7 - 1e-5).all() and (size <= 1 + 1e-5).all() and np.ptp(size) > 0.25
    np.testing.assert_allclose((down[:, -1, 0] - down[:, 0, 0]) / (HEIGHT - 1), size, atol=1e-5)
    steps = np.diff(across, axis=2)  # straight, and the same in every line
    np.testing.assert_allclose(steps, np.broadcast_to(size[:, None, None], steps.shape), atol=1e-5)
    middle = found.mean(axis=(1, 2))[:, :2]
    assert (np.ptp(middle, axis=0) > 2).all()  # at many places
    assert abs(np.corrcoef(middle.T)[0, 1]) < 0.3  # and not along a diagonal


def test_rotation_turns_about_the_middle_up_to_its_limit():
    found = augmented(ramps(), rotation=20)[:, 0]
    around = found[:, 4:7, 5:8]  # nothing of the outside comes in here
    np.testing.assert_allclose(around[:, 1, 1, :2], [[6, 5]] * ROWS, atol=1e-4)
    cos, sin = np.moveaxis(around[:, 1, 2, :2] - around[:, 1, 0, :2], -1, 0) / 2
    np.testing.assert_allclose(cos**2 + sin**2, 1, atol=1e-4)
    angle = np.degrees(np.arctan2(sin, cos))
    assert np.abs(angle).max() <= 20.01 and angle.min() < -15 and angle.max() > 15


@pytest.mark.parametrize("name", COLOUR)
def test_colour_changes_are_what_they_say(name):
    images = images_of(90, 130)  # nothing is clipped
    found, limit = augmented(images, **{name: 0.5}), 0.5
    grey, new = (x @ np.array([0.299, 0.587, 0.114], "float32") for x in (images, found))
    kept = {
        "brightness": np.zeros_like(images),
        "contrast": np.broadcast_to(grey.mean(axis=(2, 3))[..., None, None, None], images.shape),
        "saturation": np.repeat(grey[..., None], 3, axis=-1),
    }[name]
    strong = np.abs(images - kept) > 5
    factor = np.where(strong, (found - kept) / np.where(strong, images - kept, 1), np.nan)
    low, high = np.nanmin(factor, axis=(1, 2, 3, 4)), np.nanmax(factor, axis=(1, 2, 3, 4))
    np.testing.assert_allclose(low, high, atol=1e-3)  # one factor for all pixels and channels
    assert (np.abs(low - 1) <= limit + 1e-3).all() and np.ptp(low) > 0.8
    if name == "contrast":
        np.testing.assert_allclose(new.mean(axis=(2, 3)), grey.mean(axis=(2, 3)), atol=1e-2)
    if name == "saturation":
        np.testing.assert_allclose(new, grey, atol=1e-2)


def test_sampling():
    image = images_of()
    y, x = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")

    def at(y, x):
        places = (np.asarray(v, "float32")[None, None] for v in (y, x))
        return keras.ops.convert_to_numpy(sample(keras.ops.convert_to_tensor(image), *places))

    np.testing.assert_array_equal(at(y, x), image)
    np.testing.assert_array_equal(at(y[::-1], x), image[:, :, ::-1])
    half = at(y, x + 0.5)[:, :, :, :-1]
    np.testing.assert_allclose(half, (image[..., :-1, :] + image[..., 1:, :]) / 2, atol=1e-4)
    np.testing.assert_array_equal(at(y - 2, x)[:, :, :2], image[:, :, 2:0:-1])
    np.testing.assert_array_equal(at(y, x + 3)[:, :, :, -3:], image[:, :, :, -2:-5:-1])
    square = image[..., :HEIGHT, :]
    np.testing.assert_array_equal(at(x[:, :HEIGHT], y[:, :HEIGHT]), np.swapaxes(square, 2, 3))


# --- in a model ----------------------------------------------------------------------------------


def backbone():
    """A network that knows every pixel's place, and draws nothing itself."""
    inputs = keras.Input((*SIZE, 3))
    x = keras.layers.AveragePooling2D(8)(inputs)
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Flatten()(x)), name="backbone")


def make_encoder(augmentation=None, **options):
    keras.utils.set_random_seed(3)
    options = {"image_size": SIZE, "trainable": True, **options}
    return create_vision_encoder(backbone(), augmentation=augmentation, **options)


def make_model(augmentation=ALL):
    encoder = make_encoder(augmentation)
    return create_multimodal_model(encoder, None, projection_dims=7, dropout_rate=0.0)


def batch(rows=5):
    inputs = make_inputs(rows)
    return {name: inputs[name] for name in ("image_1", "image_2", "image_mask")}


def features(encoder, inputs, training):
    images = {name: inputs[name] for name in input_names(encoder)}
    return keras.ops.convert_to_numpy(encoder(images, training=training)["pooled_output"])


def test_an_encoder_augments_in_training_alone():
    plain, encoder = make_encoder(), make_encoder(ALL)
    encoder.set_weights(plain.get_weights())
    expected = features(plain, batch(), False)
    np.testing.assert_array_equal(features(plain, batch(), True), expected)
    np.testing.assert_array_equal(features(encoder, batch(), False), expected)
    first, second = (features(encoder, batch(), True) for _ in range(2))
    assert np.abs(first - expected).max() > 1 and np.abs(first - second).max() > 1
    encoder.trainable = False  # frozen later
    np.testing.assert_array_equal(features(encoder, batch(), True), expected)
    model = create_multimodal_model(encoder, None)
    assert "vision_pooled_output" in input_names(cut(model))


def test_without_augmentation_no_layer_is_there():
    for augmentation in (None, {}, Augmentation()):
        names = [layer.name for layer in make_encoder(augmentation).layers]
        assert "augmentation" not in names
    assert "augmentation" in [layer.name for layer in make_encoder({"flip": True}).layers]


def test_a_frozen_encoder_is_refused():
    with pytest.raises(ValueError, match="`augmentation` needs trainable=True.*flip=True"):
        make_encoder({"flip": True}, trainable=False)
    make_encoder({"flip": False}, trainable=False)
    with pytest.raises(ValueError, match="Did you mean 'flip'"):
        make_encoder({"flp": True})


def test_a_missing_image_stays_irrelevant_in_training():
    found = []
    for pixels in (0, 200):
        model, inputs = make_model(), batch()
        inputs["image_mask"][:, 1] = False
        inputs["image_2"] = np.full_like(inputs["image_2"], pixels)
        found.append(keras.ops.convert_to_numpy(model(inputs, training=True)))
    np.testing.assert_array_equal(*found)
    assert np.abs(found[0] - logits_of(model, inputs)).max() > 1e-3  # it was augmented


def test_one_seed_trains_one_model():
    weights = []
    for _ in range(2):
        model = make_model()
        state = model.get_layer("vision_encoder").get_layer("augmentation").seed_generator.state
        before = keras.ops.convert_to_numpy(state)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss)
        for _ in range(2):
            model.train_on_batch(batch(), np.arange(5) % 3)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
        assert (keras.ops.convert_to_numpy(state) != before).any()  # it did draw
    np.testing.assert_array_equal(*weights)
    assert np.isfinite(weights[0]).all()


def test_in_mixed_precision():
    with build_settings("mixed_bfloat16"):
        plain, encoder = make_encoder(), make_encoder(ALL)
    assert encoder.get_layer("augmentation").compute_dtype == "float32"
    assert encoder.get_layer("backbone").layers[-1].compute_dtype == "bfloat16"
    encoder.set_weights(plain.get_weights())
    expected = features(plain, batch(), False)
    np.testing.assert_array_equal(features(encoder, batch(), False), expected)
    trained = features(encoder, batch(), True)
    assert np.isfinite(trained).all() and np.abs(trained - expected).max() > 1


def test_it_can_be_compiled_by_xla():
    if keras.backend.backend() == "torch":
        pytest.skip("torch has no XLA")
    inputs = keras.Input((2, HEIGHT, WIDTH, 3))
    x = keras.layers.GlobalAveragePooling3D()(ImageAugmentation(ALL, seed=3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse", jit_compile=True)
    assert np.isfinite(model.train_on_batch(images_of(), np.zeros((ROWS, 1))))


def test_saved_as_a_config_and_back():
    layer = ImageAugmentation(Augmentation(**ALL, same_colour=False), seed=5, name="changes")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert (again.augmentation, again.seed, again.name) == (layer.augmentation, 5, "changes")
    assert again.compute_dtype == "float32"
    found = [keras.ops.convert_to_numpy(la(images_of(), training=True)) for la in (layer, again)]
    np.testing.assert_array_equal(*found)


def test_nothing_of_it_is_in_an_inference_graph(once):
    import tensorflow as tf

    def operations(encoder):
        specs = {t.name: tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in encoder.inputs}
        graph = tf.function(lambda images: encoder(images, training=False))
        return sorted(op.type for op in graph.get_concrete_function(specs).graph.get_operations())

    assert operations(make_encoder(ALL)) == operations(make_encoder())
