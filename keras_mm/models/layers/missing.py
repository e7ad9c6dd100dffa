"""A row may lack an image or a text, or be made to in training: a learned vector stands in."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_mm.errors import InvalidValueError


@keras.saving.register_keras_serializable("keras_mm")
class MissingModality(layers.Layer):
    """Puts a learned vector, and one valid learned token, where a slot is missing.

    Selection is by `where`, so that nothing of what stood there (not even a NaN) gets through. Only
    batch normalisation that is in training still counts a stand-in among its batch.

    Args:
        slots: S, inputs of a row that can be missing.

    Call arguments:
        features: dict of `pooled_output` `(batch, S, width)`, or `sequence_output`
            `(batch, S * T, width)` with `sequence_mask` `(batch, S * T)`, or all three; and `mask`,
            bool `(batch, M)`, true where an input is there. M = S, or S = 1: one slot that is
            missing only when all M are (a packed text pair).

    Call returns:
        The same dict without `mask`, missing slots replaced.
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
        """Replaces what is missing."""
        mask, result = features["mask"], {}
        present = mask if self.slots == mask.shape[1] else ops.any(mask, axis=1, keepdims=True)
        if "pooled_output" in features:
            pooled = features["pooled_output"]
            result["pooled_output"] = ops.where(present[..., None], pooled, self.vector[None])
        if "sequence_output" in features:
            result.update(self._tokens(features, present, self.slots))
        return result

    def compute_output_spec(self, features: Any) -> Any:
        """What came in, without the mask."""
        return {
            name: keras.KerasTensor(x.shape, dtype=x.dtype)
            for name, x in features.items()
            if name != "mask"
        }

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "slots": self.slots}

    def _tokens(self, features: Any, present: Any, slots: int) -> dict:
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
    """Takes whole modalities from rows, in training only; never the last one of a row.

    The model learns to answer from what is left: no modality hides behind another, and the learned
    vectors for missing ones are trained even where no row of the table lacks anything.

    Args:
        rate: Probability with which a modality that is there is taken away, in [0, 1). Where all
            of a row's would go, one of them stays, each as likely as the others.

    Call arguments:
        masks: list of bool `(batch, M_i)`, one per modality, true where an input is there.

    Call returns:
        The masks with the dropped modalities all false.

    Raises:
        ValueError: if `rate` is not in [0, 1).

    Reference:
        Neverova et al. 2016, "ModDrop", arXiv:1501.00102, section 3.3.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise InvalidValueError(f"`modality_dropout` must be in [0, 1). Received: {rate}")
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, masks: Any, training: bool = False) -> Any:
        """Drops modalities in training."""
        if not training:
            return masks
        present = ops.stack([ops.any(mask, axis=1) for mask in masks], axis=1)
        draw = keras.random.uniform(ops.shape(present), dtype="float32", seed=self.seed_generator)
        draw = ops.where(present, draw, -1.0)
        stays = ops.logical_or(draw >= self.rate, draw >= ops.max(draw, axis=1, keepdims=True))
        return [ops.logical_and(mask, stays[:, i, None]) for i, mask in enumerate(masks)]

    def compute_output_shape(self, shapes: Any) -> list:
        """The masks' own shapes."""
        return shapes

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "rate": self.rate}
