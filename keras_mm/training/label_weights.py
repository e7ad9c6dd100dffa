"""Moves class weights from the losses of a training to the weights of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mm.data.dataset import RowBatches
from keras_mm.losses.base import WeightedLoss
from keras_mm.settings.by_head import by_head, one_or_all
from keras_mm.training.objectives import Objective


def weigh_by_label(
    dataset: Any, objectives: Mapping[str, Objective]
) -> dict[str, keras.losses.Loss]:
    """Weighs each row of a dataset by its class, and returns losses without class weights.

    Both ways compute the same. The class weights of another fold differ, and a compiled step
    contains the loss: with the weights in the rows, it serves for all folds.

    Args:
        dataset: The training data. Its `label_weights` are set, if it is a `RowBatches` and a loss
            has class weights; set them to `None` after the training.
        objectives: Objectives by head.

    Returns:
        The losses to compile, by head.
    """
    losses = {name: objective.loss for name, objective in objectives.items()}
    weighted = {
        name: loss
        for name, loss in losses.items()
        if isinstance(loss, WeightedLoss) and loss.class_weight is not None
    }
    if not weighted or not isinstance(dataset, RowBatches) or dataset.labels is None:
        return losses
    labels = by_head(objectives, dataset.labels)
    factors = {name: np.ones(len(values)) for name, values in labels.items()}
    for name, loss in weighted.items():
        encoded = np.asarray(labels[name]).reshape(-1).astype(int)
        # A row without a label has no loss, whatever its weight.
        factors[name] = np.where(encoded < 0, 1.0, np.asarray(loss.class_weight)[encoded])
        losses[name] = type(loss).from_config({**loss.get_config(), "class_weight": None})
    dataset.label_weights = factors if isinstance(dataset.labels, Mapping) else one_or_all(factors)
    return losses
