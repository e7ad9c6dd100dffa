"""Slots to rows and back: every slot of a row goes through the backbone as a row of its own."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_mm")
class SlotsToRows(layers.Layer):
    """From `(batch, S, L)` to `(batch * S, L)`, of any length L."""

    def call(self, x: Any) -> Any:
        """Merges the first two axes."""
        return ops.reshape(x, (-1, ops.shape(x)[-1]))

    def compute_output_spec(self, x: Any) -> Any:
        """`(None, L)`."""
        return keras.KerasTensor((None, x.shape[-1]), dtype=x.dtype)


@keras.saving.register_keras_serializable("keras_mm")
class JoinSlots(layers.Layer):
    """From `(batch * S, L, ...)` to `(batch, S * L, ...)`: the tokens of all slots of a row.

    Args:
        slots: S, slots of a row.
    """

    def __init__(self, slots: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.slots = slots

    def call(self, x: Any) -> Any:
        """Puts the slots of a row one after the other."""
        rows, length, *rest = ops.shape(x)
        return ops.reshape(x, (rows // self.slots, self.slots * length, *rest))

    def compute_output_spec(self, x: Any) -> Any:
        """`(None, S * L, ...)`."""
        length = None if x.shape[1] is None else self.slots * x.shape[1]
        return keras.KerasTensor((None, length, *x.shape[2:]), dtype=x.dtype)

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "slots": self.slots}
