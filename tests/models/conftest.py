"""Small encoders with prime, all-different sizes."""

import keras
import numpy as np
import pytest

from keras_mm.models.multimodal import create_multimodal_model
from keras_mm.models.text_encoder import create_text_encoder
from keras_mm.models.vision_encoder import create_vision_encoder

LENGTH, SIZE = 13, (32, 48)


def make_inputs(rows: int, num_images: int = 2, num_texts: int = 2, separate: bool = False, seed=0):
    """Random inputs in the contract's names, dtypes and shapes; every text of another length."""
    rng = np.random.default_rng(seed)
    shape = (rows, 2, LENGTH) if separate else (rows, LENGTH)
    lengths = rng.integers(3, LENGTH - 2, shape[:-1])
    padding_mask = np.arange(LENGTH) < lengths[..., None]
    inputs = {
        f"image_{i + 1}": rng.integers(0, 256, (rows, *SIZE, 3)).astype("float32")
        for i in range(num_images)
    }
    inputs["image_mask"] = np.ones((rows, num_images), bool)
    inputs["token_ids"] = (rng.integers(5, 97, shape) * padding_mask).astype("int32")
    inputs["segment_ids"] = (rng.integers(0, 2, shape) * padding_mask).astype("int32")
    inputs["padding_mask"] = padding_mask
    inputs["text_mask"] = np.ones((rows, num_texts), bool)
    return inputs


def make_model(fusion="concat", compare=False, separate=False, num_images=2, heads=3, **options):
    keras.utils.set_random_seed(3)
    vision = create_vision_encoder(
        "tiny_cnn", weights="random", image_size=SIZE, num_images=num_images
    )
    text = create_text_encoder(
        "tiny_bert",
        weights="random",
        sequence_length=LENGTH,
        text_pairing="separate" if separate else "packed",
    )
    model = create_multimodal_model(
        vision, text, heads, fusion=fusion, compare=compare, projection_dims=11, **options
    )
    randomise(model)
    return model


def randomise(model) -> None:
    """Gives every weight a value of its own, so that nothing hides behind a zero."""
    rng = np.random.default_rng(7)
    for weight in model.weights:
        if weight.dtype.startswith("float"):
            value = rng.normal(0, 0.2, weight.shape)
            if "variance" in weight.path:
                value = np.abs(value) + 0.3
            elif weight.path.endswith("gamma"):
                value += 1  # or each normalisation would hide most of what came before
            weight.assign(value)


def logits_of(model, inputs) -> np.ndarray:
    """As compiled: JAX would compile each operation of a plain call by itself."""
    return np.asarray(model.predict_on_batch(inputs))


def called(model, inputs) -> np.ndarray:
    """By a plain call, operation by operation: to the last bits the same in any model."""
    tensors = {name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()}
    return keras.ops.convert_to_numpy(model(tensors, training=False))


# Of each fusion JAX compiles one case only: what is compared and packed is the same there.
MORE = pytest.mark.many_networks


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(("concat", False, False), marks=MORE),
        pytest.param(("concat", True, False), marks=MORE),
        ("concat", True, True),
        pytest.param(("bilinear", False, True), marks=MORE),
        ("bilinear", True, False),
        ("gated", False, False),
        pytest.param(("cross_attention", False, False), marks=MORE),
        ("cross_attention", True, True),
        ("bottleneck", True, False),
        ("mmbt", True, False),
    ],
    ids=lambda p: f"{p[0]}-compare_{p[1]}-separate_{p[2]}",
)
def case(request):
    """`(model, separate)` of each fusion, with and without comparison, packed and separate."""
    fusion, compare, separate = request.param
    return make_model(fusion, compare, separate), separate
