"""A row may lack an image or a text: a learned vector stands in for it."""

from __future__ import annotations

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_mm")
class MissingModality(layers.Layer):
    """Puts a learned vector, and one valid learned token, where a slot is missing.

    Selection is by `where`, so that nothing of what stood there (not even a NaN) gets through.

    Call arguments:
        features: dict of `pooled_output` `(batch, S, width)` and, optionally, `sequence_output`
            `(batch, S * T, width)` with `sequence_mask` `(batch, S * T)`; and `mask`, bool
            `(batch, M)`, true where an input is there. M = S, or S = 1: one slot that is missing
            only when all M are (a packed text pair).

    Returns:
        The same dict without `mask`, missing slots replaced.
    """

    def build(self, shapes):
        """Creates the learned vectors, one per slot."""
        _, slots, width = shapes["pooled_output"]
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.vector = self.add_weight(shape=(slots, width), initializer=start, name="vector")
        if "sequence_output" in shapes:
            self.token = self.add_weight(shape=(slots, width), initializer=start, name="token")

    def call(self, features):
        """Replaces what is missing."""
        pooled, mask = features["pooled_output"], features["mask"]
        slots = pooled.shape[1]
        present = mask if slots == mask.shape[1] else ops.any(mask, axis=1, keepdims=True)
        result = {"pooled_output": ops.where(present[..., None], pooled, self.vector[None])}
        if "sequence_output" in features:
            result.update(self._tokens(features, present, slots))
        return result

    def _tokens(self, features, present, slots: int) -> dict:
        sequence, valid = features["sequence_output"], features["sequence_mask"]
        width = sequence.shape[-1]
        length = ops.shape(sequence)[1] // slots
        sequence = ops.reshape(sequence, (-1, slots, length, width))
        valid = ops.reshape(valid, (-1, slots, length))
        first = ops.arange(length) == 0
        sequence = ops.where(present[..., None, None], sequence, self.token[None, :, None])
        valid = ops.where(present[..., None], valid, first[None, None])
        return {
            "sequence_output": ops.reshape(sequence, (-1, slots * length, width)),
            "sequence_mask": ops.reshape(valid, (-1, slots * length)),
        }
