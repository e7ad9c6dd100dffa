"""Reshapes slots to rows and back: a backbone encodes each slot as a separate row.

These are layers instead of `ops.reshape`, because the number of tokens L may be unknown when the
model is built.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_mm")
class SlotsToRows(layers.Layer):
    """Turns the slots of rows into separate rows.

    Call arguments:
        x: `(batch, S, L)`, with any length L.

    Call returns:
        `(batch * S, L)`.
    """

    def call(self, x: Any) -> Any:
        """Merges the first two axes."""
        return ops.reshape(x, (-1, ops.shape(x)[-1]))

    def compute_output_spec(self, x: Any) -> Any:
        """`(None, L)`."""
        return keras.KerasTensor((None, x.shape[-1]), dtype=x.dtype)


@keras.saving.register_keras_serializable("keras_mm")
class JoinSlots(layers.Layer):
    """Joins the tokens of all slots of a row to one sequence.

    Args:
        slots: S, the number of slots per row, >= 1.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        x: `(batch * S, L, ...)`.

    Call returns:
        `(batch, S * L, ...)`.
    """

    def __init__(self, slots: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.slots = slots

    def call(self, x: Any) -> Any:
        """Concatenates the slots of a row."""
        rows, length, *rest = ops.shape(x)
        return ops.reshape(x, (rows // self.slots, self.slots * length, *rest))

    def compute_output_spec(self, x: Any) -> Any:
        """`(None, S * L, ...)`."""
        length = None if x.shape[1] is None else self.slots * x.shape[1]
        return keras.KerasTensor((None, length, *x.shape[2:]), dtype=x.dtype)

    def get_config(self) -> dict:
        """The layer's arguments."""
        return {**super().get_config(), "slots": self.slots}
