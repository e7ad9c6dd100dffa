"""Value and gradient of a loss, on whichever backend runs."""

import keras
import numpy as np
import pytest


def _jax(loss, labels, logits, sample_weight):
    import jax

    value, gradient = jax.value_and_grad(lambda z: loss(labels, z, sample_weight))(logits)
    return float(value), np.asarray(gradient)


def _tensorflow(loss, labels, logits, sample_weight):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(labels, logits, sample_weight)
    return float(value), np.asarray(tape.gradient(value, logits))


def _torch(loss, labels, logits, sample_weight):
    logits = logits.requires_grad_(True)
    value = loss(labels, logits, sample_weight)
    value.backward()
    return value.item(), keras.ops.convert_to_numpy(logits.grad)


@pytest.fixture
def value_and_gradient():
    """`f(loss, labels, logits, sample_weight=None)` -> (float, array shaped as the logits)."""
    differentiate = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
    run = differentiate[keras.backend.backend()]

    def call(loss, labels, logits, sample_weight=None):
        return run(loss, labels, keras.ops.convert_to_tensor(logits, "float32"), sample_weight)

    return call
