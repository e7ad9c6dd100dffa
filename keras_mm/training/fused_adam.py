"""Updates of Adam and AdamW by one kernel for each weight.

Keras computes an update on TensorFlow and PyTorch operation by operation, each with a pass over all
weights and an array of its own. On JAX the compiler joins them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras

from keras_mm.keras_internals import adam_moments
from keras_mm.load_order import load_tensorflow

Update = Callable[[Sequence[Any], Sequence[Any], Any], None]


def fused_update(optimizer: keras.optimizers.Optimizer) -> Update | None:
    """Returns a faster update step of an optimizer, which computes the same.

    Args:
        optimizer: A Keras optimizer.

    Returns:
        A function of gradients, variables and the learning rate that updates the variables and the
        moments of the optimizer; weight decay and clipping are not part of it. `None` if the
        optimizer is not Adam or AdamW, the backend has no such kernel, or TensorFlow distributes
        the training: Keras' own update adds the gradients of all replicas.

    Reference:
        Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980.
    """
    backend = keras.backend.backend()
    update = {"tensorflow": _on_tensorflow, "torch": _on_torch}.get(backend)
    is_adam = isinstance(optimizer, keras.optimizers.Adam) and not optimizer.amsgrad
    if update is None or not is_adam:
        return None
    if backend == "tensorflow" and load_tensorflow().distribute.has_strategy():
        return None
    return partial(update, optimizer)


def _on_tensorflow(
    optimizer: keras.optimizers.Adam, grads: Sequence[Any], variables: Sequence[Any], rate: Any
) -> None:
    tf = load_tensorflow()
    moments = adam_moments(optimizer, variables)
    for grad, variable, (momentum, velocity) in zip(grads, variables, moments, strict=True):
        dtype = variable.dtype
        step = tf.cast(optimizer.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.value.handle,
            m=momentum.value.handle,
            v=velocity.value.handle,
            beta1_power=tf.pow(tf.cast(optimizer.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(optimizer.beta_2, dtype), step),
            lr=tf.cast(rate, dtype),
            beta1=tf.cast(optimizer.beta_1, dtype),
            beta2=tf.cast(optimizer.beta_2, dtype),
            epsilon=tf.cast(optimizer.epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(grad), dtype),  # that of an embedding is sparse
        )


def _on_torch(
    optimizer: keras.optimizers.Adam, grads: Sequence[Any], variables: Sequence[Any], rate: Any
) -> None:
    import torch
    from torch.optim.adam import adam

    moments = adam_moments(optimizer, variables)
    step = int(optimizer.iterations) + 1
    # PyTorch corrects the bias before it adds epsilon, Keras after that.
    epsilon = optimizer.epsilon / (1 - optimizer.beta_2**step) ** 0.5
    before = torch.tensor(float(step - 1), device=variables[0].value.device)
    with torch.no_grad():
        adam(
            [variable.value for variable in variables],
            [grad.to(v.value.dtype) for grad, v in zip(grads, variables, strict=True)],
            [momentum.value for momentum, _ in moments],
            [velocity.value for _, velocity in moments],
            [],
            [before.clone() for _ in variables],
            fused=True,
            amsgrad=False,
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            lr=float(rate),
            weight_decay=0.0,
            eps=epsilon,
            maximize=False,
        )
