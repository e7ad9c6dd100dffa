"""The outputs of a model that is trained: one array of logits, or a dict of them by head."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras

from keras_mm.errors import InvalidValueError


def is_bare(model: keras.Model) -> bool:
    """Whether the output of a model is an array of logits instead of a dict by head.

    Args:
        model: A Keras model.

    Returns:
        False for a model whose output is a dict.
    """
    return not isinstance(getattr(model, "output", None), dict)


def check_label_names(model: keras.Model, names: Collection[str], labels: Any) -> None:
    """Checks that labels are a dict with the names of the outputs, if these are a dict.

    Args:
        model: A Keras model.
        names: Names of the heads.
        labels: An array, a dict of arrays by head, or `None` if they are not known.

    Raises:
        ValueError: if they are not.
    """
    if is_bare(model) and isinstance(labels, Mapping):
        raise InvalidValueError(
            "The labels of a model with one output must be one array. Received: a dict with the "
            f"keys {list(labels)}"
        )
    if is_bare(model) or labels is None:
        return
    if not isinstance(labels, Mapping) or set(labels) != set(names):
        received = list(labels) if isinstance(labels, Mapping) else "one array"
        raise InvalidValueError(
            f"The labels must be a dict with the names of the model's outputs, {list(names)}. A "
            f"missing label is -1, or NaN for regression. Received: {received}"
        )


def num_logits(model: keras.Model, names: Iterable[str]) -> dict[str, int]:
    """The number of logits of each head.

    Args:
        model: A Keras model with one output, or with a dict of outputs by head.
        names: Names of the heads; the first is that of a single output.

    Returns:
        Numbers by head.

    Raises:
        ValueError: if the model has a list of outputs, or an output of unknown shape.
    """
    output = getattr(model, "output", None)  # a Sequential model without an Input has none
    if isinstance(output, list | tuple):
        raise InvalidValueError(
            "A model with several outputs must return them as a dict by head. Received: "
            f"{len(output)} outputs"
        )
    if isinstance(output, dict):
        return {name: logits.shape[-1] for name, logits in output.items()}
    try:
        width = model.output_shape[-1] if output is None else output.shape[-1]
    except AttributeError:
        raise InvalidValueError(
            f"The outputs of the model {model.name!r} are not known before it is called. Use a "
            "functional model, or a Sequential one with an Input."
        ) from None
    return {next(iter(names)): width}
