"""What new heads begin with: the shares of the classes, and little else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mm.models.heads import logits_layer
from keras_mm.models.layers.scaling import standardized
from keras_mm.settings.by_head import by_head
from keras_mm.training.objectives import Objective

_ROWS = 64
_SPREAD = 0.25


def start_heads(model: keras.Model, dataset: Any, objectives: Mapping[str, Objective]) -> None:
    """Makes the first logits of new heads those of the labels' shares, nearly the same in each row.

    A fusion's features have a scale of their own, and most of what a random linear layer makes of
    them is the same in all rows. So the mean of the logits over some training rows is taken out,
    the layer is scaled down until they deviate from it by 0.25 at most, and the bias becomes that
    of `initial_bias`. The first loss is then near the entropy of the labels' shares with each
    fusion, and the layer keeps the random directions that the fusion learns along.

    New is what has a bias of 0, which no training leaves: the heads of a model that was just built,
    a head that was added, a head's classes that were added. A layer that is frozen, has no bias or
    has more than kernel and bias stays as it is.

    Args:
        model: A model whose outputs are the logits of `objectives`.
        dataset: Its training data; some of its first batches are taken.
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
        found = standardized(model, name, logits[name].astype("float64"))
        if np.isfinite(found).all():  # else the training itself says what is wrong
            _start(layer, chosen, found, objectives[name])


def _start(
    layer: keras.layers.Dense, new: np.ndarray, logits: np.ndarray, objective: Objective
) -> None:
    """Starts the logits that are new, a mask of shape `(num_logits,)`."""
    variables = layer.trainable_weights
    kernel, bias = (np.array(keras.ops.convert_to_numpy(v), "float64") for v in variables)
    wanted = np.zeros(len(bias)) if objective.bias is None else objective.bias
    if not new.all() and objective.kind == "multiclass":
        # Softmax sees differences only: training may have shifted the logits that are there.
        level = np.logaddexp.reduce(logits[:, ~new], axis=1).mean()
        wanted = wanted + level - np.logaddexp.reduce(wanted[~new])
    spread = np.sqrt(logits.var(axis=0)[new].mean())
    factor = min(1.0, _SPREAD / spread) if spread > 0 else 1.0
    kernel[:, new] *= factor
    bias[new] = wanted[new] - factor * logits.mean(axis=0)[new]
    for variable, value in zip(variables, (kernel, bias), strict=True):
        variable.assign(value.astype("float32"))


def _first_logits(model: keras.Model, dataset: Any) -> Any:
    """Logits of the first full batches; of several heads a dict of them by head."""
    found: list = []
    count = 0
    for index in range(len(dataset)):
        batch = dataset[index][0]
        size = len(keras.tree.flatten(batch)[0])
        if count >= _ROWS or (found and size < count / len(found)):
            break  # a batch of another size would be compiled for itself
        found.append(keras.tree.map_structure(np.asarray, model.predict_on_batch(batch)))
        count += size
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *found)
