"""Batch normalisation that trains faster on TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_mm")
class BatchNormalization(layers.BatchNormalization):
    """Keras' batch normalisation, with a faster training step on TensorFlow.

    Keras computes the statistics and the result in about twenty operations, each of which reads the
    whole feature map. TensorFlow has one operation for all of them, and one for the gradient; the
    results are the same up to rounding. In inference, on other backends, and for other shapes and
    dtypes, the layer of Keras is used. The class has the same name as in Keras, because weights
    files name layers by their class.

    Call arguments:
        inputs: `(batch, height, width, channels)`.
        training: Whether to normalise with the statistics of the batch, and to update the moving
            statistics.
        mask: As in the layer of Keras.

    Call returns:
        The same shape.

    Example:
        >>> layer = BatchNormalization()
        >>> layer(keras.ops.ones((2, 4, 4, 3)), training=True).shape == (2, 4, 4, 3)
        True
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalises."""
        if not (training and self.trainable and mask is None and self._is_fused(inputs)):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf  # only where TensorFlow is the backend

        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            ops.convert_to_tensor(self.gamma),
            ops.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            is_training=True,
        )
        # TensorFlow returns the unbiased variance (divided by n - 1), Keras uses the biased one.
        count = ops.cast(ops.size(inputs) // inputs.shape[-1], "float32")
        variance = variance * (count - 1) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs

    def _is_fused(self, inputs: Any) -> bool:
        """Whether TensorFlow's operation can be used for these inputs and settings."""
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.center
            and self.scale
            and not (self.renorm or self.synchronized)
            and keras.backend.standardize_dtype(inputs.dtype) == "float32"
            and self.compute_dtype == "float32"
        )
