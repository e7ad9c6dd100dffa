"""Initialises new heads so that they predict the frequencies of the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mm.models.heads import logits_layer
from keras_mm.models.layers.scaling import standardized
from keras_mm.settings.by_head import by_head
from keras_mm.training.objectives import Objective

_ROWS = 64  # number of training rows that the logits are measured on
_SPREAD = 0.25  # largest standard deviation of the first logits over rows


def start_heads(model: keras.Model, dataset: Any, objectives: Mapping[str, Objective]) -> None:
    """Initialises new heads so that each row is predicted nearly as the labels are distributed.

    The scale of the features depends on the fusion, and most of the output of a random linear layer
    is the same for all rows. Therefore, over some training rows, the mean of the logits is
    subtracted, the kernel is scaled down until the standard deviation of the logits is at most
    0.25, and the bias is set to `initial_bias`. With every fusion, the first loss is then close to
    the entropy of the label frequencies. The kernel keeps its random directions.

    Logits with a bias of 0 are new, as training changes every bias: those of a model that was just
    built, of an added head, or of classes added to a head. A logits layer is not changed if it is
    frozen, has no bias, or has other trainable weights than kernel and bias.

    Args:
        model: A model whose outputs are the logits of `objectives`; changed in place.
        dataset: The training data; only some of its first batches are read.
        objectives: The heads' objectives by name.

    Reference:
        Mishkin and Matas 2016, "All you need is a good init", arXiv:1511.06422; Karpathy 2019, "A
        Recipe for Training Neural Networks": "init well".
    """
    new = {}
    for name in objectives:
        layer = logits_layer(model, name)
        if layer is None or layer.bias is None or len(layer.trainable_weights) != 2:
            continue
        chosen = keras.ops.convert_to_numpy(layer.bias) == 0
        if chosen.any():
            new[name] = layer, chosen
    if not new:
        return
    logits = by_head(objectives, _first_logits(model, dataset))
    for name, (layer, chosen) in new.items():
        values = standardized(model, name, logits[name].astype("float64"))
        if np.isfinite(values).all():  # or else training raises the error
            _start(layer, chosen, values, objectives[name])


def _start(
    layer: keras.layers.Dense, new: np.ndarray, logits: np.ndarray, objective: Objective
) -> None:
    """Sets kernel and bias of the new logits.

    Args:
        layer: The logits layer.
        new: Which logits are new: bools, shape `(num_logits,)`.
        logits: The present logits of some rows, shape `(num_rows, num_logits)`.
        objective: The head's objective.
    """
    variables = layer.trainable_weights
    kernel, bias = (np.array(keras.ops.convert_to_numpy(v), "float64") for v in variables)
    wanted = np.zeros(len(bias)) if objective.bias is None else objective.bias
    if not new.all() and objective.kind == "multiclass":
        # Softmax depends on differences only, and training may have shifted the old logits. The
        # new ones are shifted to the same level.
        level = np.logaddexp.reduce(logits[:, ~new], axis=1).mean()
        wanted = wanted + level - np.logaddexp.reduce(wanted[~new])
    spread = np.sqrt(logits.var(axis=0)[new].mean())
    factor = min(1.0, _SPREAD / spread) if spread > 0 else 1.0
    kernel[:, new] *= factor
    bias[new] = wanted[new] - factor * logits.mean(axis=0)[new]
    for variable, value in zip(variables, (kernel, bias), strict=True):
        variable.assign(value.astype("float32"))


def _first_logits(model: keras.Model, dataset: Any) -> Any:
    """Logits of the first full batches: an array, or with several heads a dict by head."""
    outputs: list = []
    count = 0
    for index in range(len(dataset)):
        batch = dataset[index][0]
        size = len(keras.tree.flatten(batch)[0])
        if count >= _ROWS or (outputs and size < count / len(outputs)):
            break  # the model would be compiled again for a smaller batch
        outputs.append(keras.tree.map_structure(np.asarray, model.predict_on_batch(batch)))
        count += size
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *outputs)
