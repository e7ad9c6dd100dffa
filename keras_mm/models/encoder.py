"""The class of encoders, which are a backbone and its pooling; and the poolings."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.models.image_format import check_images
from keras_mm.models.keras_settings import build_settings, default_settings

POOLINGS = ("mean", "max", "cls", "pooler")


@keras.saving.register_keras_serializable("keras_mm")
class Encoder(keras.Model):
    """A functional model that stays in inference mode while it is frozen.

    A frozen encoder must compute the same features in training as in inference, so that they can be
    computed once. With `trainable=False`, Keras freezes the weights of a model and the statistics
    of its batch normalisation, but dropout stays active; here it is off, too.

    Outputs:
        float32: `pooled_output` `(batch, num_slots, width)`; unless the backbone returns only
        vectors, also `sequence_output` `(batch, num_slots * tokens, width)` and `sequence_mask`
        `(batch, num_slots * tokens)`, bool.
    """

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> keras.Model:
        """Creates the encoder of a config, with new weights, under `build_settings`."""
        with build_settings():
            return super().from_config(config, custom_objects=custom_objects)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs the encoder; inputs of too few images are refused."""
        check_images(self, inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Runs the encoder; a frozen one always in inference mode."""
        check_images(self, inputs)  # JAX's steps come here directly
        training = bool(training) and self.trainable
        with default_settings():  # some layers read Keras' global settings in each call
            return super().call(inputs, training=training, mask=mask)


def pool(
    sequence: Any,
    mask: Any,
    pooling: str,
    pooler_output: Any = None,
    *,
    has_class_token: bool = True,
) -> Any:
    """Reduces each sequence to one vector.

    Args:
        sequence: `(batch, tokens, width)`.
        mask: bool `(batch, tokens)`, True for valid tokens; `None` if all are valid.
        pooling: `"mean"` or `"max"` over the valid tokens, `"cls"` (the first token), or
            `"pooler"` (the pooled output of the backbone).
        pooler_output: `(batch, width)`, for `"pooler"`.
        has_class_token: Whether the first token represents the whole sequence.

    Returns:
        float32 `(batch, width)`.

    Raises:
        ValueError: for an unknown pooling, `"pooler"` without a pooled output, or `"cls"` without
            a class token.
    """
    if pooling not in POOLINGS:
        raise InvalidValueError(unknown_name("pooling", pooling, POOLINGS))
    if pooling == "pooler":
        if pooler_output is None:
            raise InvalidValueError(
                "pooling='pooler' needs a backbone with a pooled output; this one has none. "
                f"Use {_listed(has_class_token, pooler_output)}."
            )
        return ops.cast(pooler_output, "float32")
    if pooling == "cls" and not has_class_token:
        raise InvalidValueError(
            "pooling='cls' needs a backbone with a class token; this one has none. "
            f"Use {_listed(has_class_token, pooler_output)}."
        )
    sequence = ops.cast(sequence, "float32")  # before sums, which lose precision in bfloat16
    if pooling == "cls":
        return sequence[:, 0]
    if mask is None:
        return ops.mean(sequence, axis=1) if pooling == "mean" else ops.max(sequence, axis=1)
    valid = ops.expand_dims(mask, -1)
    if pooling == "max":
        return ops.max(ops.where(valid, sequence, -1e9), axis=1)
    # `where` and not a product: padding may hold any value, also NaN.
    total = ops.sum(ops.where(valid, sequence, 0.0), axis=1)
    return total / ops.maximum(ops.sum(ops.cast(valid, "float32"), axis=1), 1.0)


def _listed(has_class_token: bool, pooler_output: Any) -> str:
    """The poolings that a backbone has, as a phrase."""
    has = {"cls": has_class_token, "pooler": pooler_output is not None}
    *first, last = [repr(name) for name in POOLINGS if has.get(name, True)]
    return f"{', '.join(first)} or {last}"
