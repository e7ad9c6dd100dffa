"""The fused update computes what Keras' update computes."""

import keras
import numpy as np
import pytest

from keras_mm.settings.training import Optimization
from keras_mm.training.fused_adam import fused_update
from keras_mm.training.optimizers import create_optimizer


def updated(optimizer) -> list[np.ndarray]:
    """Weights and the optimizer's variables after some updates by random gradients."""
    rng = np.random.default_rng(0)
    shapes = [(6, 5), (5,), (5, 1)]
    weights = [keras.Variable(rng.normal(size=shape), dtype="float32") for shape in shapes]
    optimizer.build(weights)
    for _ in range(4):
        gradients = [rng.normal(size=shape).astype("float32") for shape in shapes]
        optimizer.apply([keras.ops.convert_to_tensor(each) for each in gradients], weights)
    return [keras.ops.convert_to_numpy(each) for each in (*weights, *optimizer.variables)]


def embedded(optimizer) -> np.ndarray:
    """An embedding after a training, whose gradients are sparse on TensorFlow."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        keras.Input((4,), dtype="int32"),
        keras.layers.Embedding(10, 8),
        keras.layers.Flatten(),
        keras.layers.Dense(1),
    ])  # fmt: skip
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.integers(0, 7, (8, 4)), rng.normal(size=(8, 1)), batch_size=4, verbose=0)
    return keras.ops.convert_to_numpy(model.trainable_variables[0])


def schedule():
    return keras.optimizers.schedules.CosineDecay(0.05, 10)


@pytest.mark.parametrize("knobs", [
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "adam", "adam_betas": (0.8, 0.95), "adam_epsilon": 1e-3},
    {"optimizer": "adamw", "ema_momentum": 0.9},
    {"optimizer": "adamw", "accumulation_steps": 2},
])  # fmt: skip
def test_weights_and_moments_are_those_of_keras(knobs):
    optimization = Optimization(**knobs)
    fused, plain = (create_optimizer(optimization, schedule()) for _ in range(2))
    has_kernel = keras.backend.backend() != "jax"
    assert (fused_update(fused) is not None) == has_kernel
    if has_kernel:
        del plain._backend_update_step
    for one, other in zip(updated(fused), updated(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_an_embedding_has_a_gradient_of_some_rows():
    fused, plain = (create_optimizer(Optimization(), 0.01) for _ in range(2))
    if keras.backend.backend() != "jax":
        del plain._backend_update_step
    np.testing.assert_allclose(embedded(fused), embedded(plain), atol=1e-6)


def test_only_adam_has_one():
    assert fused_update(create_optimizer(Optimization(optimizer="sgd"), 0.1)) is None
    assert fused_update(keras.optimizers.Adam(amsgrad=True)) is None


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's strategies")
def test_a_distributed_training_adds_the_gradients_by_keras():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert fused_update(create_optimizer(Optimization(), 0.1)) is None
    assert fused_update(create_optimizer(Optimization(), 0.1)) is not None


def test_a_saved_model_has_the_optimizer_of_keras(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(create_optimizer(Optimization(), 0.1), "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    optimizer = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert type(optimizer).__module__.startswith("keras.")
    assert int(optimizer.iterations) == 1
