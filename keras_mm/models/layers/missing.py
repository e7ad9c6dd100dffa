"""Learned vectors for missing images and texts, and random removal of modalities in training."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_mm.errors import InvalidValueError


@keras.saving.register_keras_serializable("keras_mm")
class MissingModality(layers.Layer):
    """Replaces missing slots by a learned vector, and their tokens by one valid learned token.

    It selects with `where`, so that no value of a missing slot, not even NaN, reaches the result.
    But a trained encoder's batch normalisation still includes the zeros of such a slot.

    Args:
        slots: S, the number of inputs per row that can be missing, >= 1.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        features: dict of `pooled_output` `(batch, S, width)`, or `sequence_output`
            `(batch, S * T, width)` with `sequence_mask` `(batch, S * T)`, or all three; and `mask`,
            bool `(batch, M)`, False where an input is missing. M = S; or S = 1, for a slot that is
            missing only if all M inputs are missing (a packed text pair).

    Call returns:
        The dict without `mask`, with missing slots replaced.
    """

    def __init__(self, slots: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.slots = slots

    def build(self, shapes: Any) -> None:
        """Creates the learned vectors, one per slot."""
        start = keras.initializers.RandomNormal(stddev=0.02)
        for name, output in (("vector", "pooled_output"), ("token", "sequence_output")):
            if output in shapes:
                shape = (self.slots, shapes[output][-1])
                setattr(self, name, self.add_weight(shape=shape, initializer=start, name=name))

    def call(self, features: Any) -> Any:
        """Replaces missing slots."""
        mask, result = features["mask"], {}
        present = mask if self.slots == mask.shape[1] else ops.any(mask, axis=1, keepdims=True)
        if "pooled_output" in features:
            pooled = features["pooled_output"]
            result["pooled_output"] = ops.where(present[..., None], pooled, self.vector[None])
        if "sequence_output" in features:
            result.update(self._tokens(features, present, self.slots))
        return result

    def compute_output_spec(self, features: Any) -> Any:
        """The features' shapes and types, without the mask."""
        return {
            name: keras.KerasTensor(x.shape, dtype=x.dtype)
            for name, x in features.items()
            if name != "mask"
        }

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "slots": self.slots}

    def _tokens(self, features: Any, present: Any, slots: int) -> dict:
        """The tokens and their mask; a missing slot has one valid token, the learned one."""
        sequence, valid = features["sequence_output"], features["sequence_mask"]
        width = sequence.shape[-1]
        length = ops.shape(sequence)[1] // slots
        sequence = ops.reshape(sequence, (-1, slots, length, width))
        valid = ops.reshape(valid, (-1, slots, length))
        first = ops.arange(length, dtype="int32") == 0
        sequence = ops.where(present[..., None, None], sequence, self.token[None, :, None])
        valid = ops.where(present[..., None], valid, first[None, None])
        return {
            "sequence_output": ops.reshape(sequence, (-1, slots * length, width)),
            "sequence_mask": ops.reshape(valid, (-1, slots * length)),
        }


@keras.saving.register_keras_serializable("keras_mm")
class ModalityDropout(layers.Layer):
    """Hides all images or all texts of a row at random, in training only; never both.

    So the model learns to predict from each modality alone, and the learned vectors for missing
    modalities are trained even if no row of the table misses one.

    Args:
        rate: Probability of hiding a modality that is present, in [0, 1). If all modalities of a
            row would be hidden, a random one of them is kept.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        masks: list of bool `(batch, M_i)`, one per modality, False where an input is missing.
        training: Whether to hide modalities.

    Call returns:
        The masks, all False for hidden modalities.

    Raises:
        ValueError: if `rate` is not in [0, 1).

    Example:
        >>> masks = [ops.ones((4, 1), dtype="bool"), ops.ones((4, 2), dtype="bool")]
        >>> images, texts = ModalityDropout(0.9)(masks, training=True)
        >>> bool(ops.all(images[:, 0] | texts[:, 0]))  # no row loses both
        True

    Reference:
        Neverova et al. 2016, "ModDrop", arXiv:1501.00102, section 3.3.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise InvalidValueError(
                f"`modality_dropout` must be in [0, 1). Received: modality_dropout={rate}"
            )
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, masks: Any, training: bool = False) -> Any:
        """Drops modalities in training."""
        if not training:
            return masks
        present = ops.stack([ops.any(mask, axis=1) for mask in masks], axis=1)
        draw = keras.random.uniform(ops.shape(present), dtype="float32", seed=self.seed_generator)
        draw = ops.where(present, draw, -1.0)  # a missing modality is never the one that is kept
        stays = ops.logical_or(draw >= self.rate, draw >= ops.max(draw, axis=1, keepdims=True))
        return [ops.logical_and(mask, stays[:, i, None]) for i, mask in enumerate(masks)]

    def compute_output_shape(self, shapes: Any) -> list:
        """The shapes of the masks."""
        return shapes

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "rate": self.rate}
