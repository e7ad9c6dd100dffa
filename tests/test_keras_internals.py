"""What is private in Keras and TensorFlow, and still there: where one of these fails, a new version
has changed it, and `keras_mm/keras_internals.py` or the named module needs another way."""

import inspect
import random

import keras
import numpy as np
from keras import layers

from keras_mm import keras_internals as internals
from keras_mm.settings.training import Optimization
from keras_mm.training.optimizers import create_optimizer


def test_layers_inside_layers():
    """Fingerprints, stages, LoRA and quantization go through all layers."""
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="deep")], name="inner")
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dense(1, name="top")(inner(x)))
    names = [layer.name for layer in internals.all_layers(model)]
    assert names[0] == model.name and {"inner", "deep", "top"} <= set(names)
    assert model not in internals.all_layers(model, itself=False)
    direct = [one.name for one in internals.all_layers(model, itself=False, nested=False)]
    assert "inner" in direct and "deep" not in direct


def test_the_averages_of_an_optimizer():
    """`ema_momentum` puts them in the weights' place between epochs."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False)])
    optimizer = create_optimizer(Optimization(ema_momentum=0.5), 0.1)
    model.compile(optimizer, "mse")
    model.fit(np.ones((4, 3)), np.zeros((4, 2)), epochs=2, verbose=0)
    (average,) = internals.moving_averages(model.optimizer)
    assert average.shape == (3, 2)
    assert np.abs(keras.ops.convert_to_numpy(average)).max() > 0


def test_the_kernel_under_an_adapter():
    """`merge_lora` adds the adapter to it."""
    layer = layers.Dense(4)
    layer.build((None, 5))
    before = keras.ops.convert_to_numpy(layer.kernel)
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 4)))
    kernel = internals.kernel_without_lora(layer)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), before)
    assert np.abs(keras.ops.convert_to_numpy(layer.kernel) - before).max() > 0


def test_the_seed_of_keras():
    """`seeded` decides by it what layers without a seed draw."""
    put_back, state = internals.keep_keras_seed(), random.getstate()
    drawn = []
    for begun_anew in (True, True, False):
        random.seed(5)
        if begun_anew:
            internals.set_keras_seed(5)
        drawn.append(keras.ops.convert_to_numpy(keras.random.uniform((4,))))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[2] != drawn[1]).any()
    put_back()
    random.setstate(state)


def test_the_seed_of_tensorflow():
    """`seeded` decides by it what TensorFlow's own random operations draw."""
    import tensorflow as tf

    put_back = internals.keep_tensorflow_seed()
    state, drawn = random.getstate(), []
    for set_seed in (internals.set_tensorflow_seed, tf.random.set_seed):
        set_seed(7)
        drawn.append([tf.compat.v1.get_seed(None) for _ in range(3)])
    assert drawn[0] == drawn[1] and drawn[0][0] != drawn[0][1]
    internals.set_tensorflow_seed(7)
    keep = internals.keep_tensorflow_seed()
    assert tf.compat.v1.get_seed(None) == drawn[0][0]
    keep()
    assert tf.compat.v1.get_seed(None) == drawn[0][0]
    assert random.getstate() == state
    put_back()


def test_the_methods_of_optimizers_that_are_overridden():
    """`keras_mm.training.optimizers` gives each variable its own rate and weight decay by them."""
    parameters = {"_backend_update_step": ["grads", "trainable_variables", "learning_rate"],
                  "_apply_weight_decay": ["variables"]}  # fmt: skip
    for base in (keras.optimizers.AdamW, keras.optimizers.Adam, keras.optimizers.SGD,
                 keras.optimizers.Adafactor):  # fmt: skip
        for name, wanted in parameters.items():
            found = list(inspect.signature(getattr(base, name)).parameters)
            assert found == ["self", *wanted], (base, name)
