"""Trains a linear member: the strength of its regularisation is chosen on validation rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_mm.checks import require
from keras_mm.estimator.options import loss_settings
from keras_mm.estimator.prepare import Prepared
from keras_mm.estimator.statistics import standardize, standardize_features
from keras_mm.estimator.trained import Trained
from keras_mm.features.table import FeatureTable
from keras_mm.models.heads import body_of, logits_layer
from keras_mm.models.layers.scaling import standardized
from keras_mm.models.multimodal import join, parts
from keras_mm.training.callbacks import ValidationResult
from keras_mm.training.linear import PENALTIES, Linear, fit_linear
from keras_mm.training.objectives import Objective, create_objectives
from keras_mm.training.stages import StagesResult

_USUAL = 100.0  # the penalty if there are no validation rows


_MOST = 200_000  # rows times logits


def takes_long(prepared: Prepared) -> bool:
    """Whether a linear model takes much longer than a trunk, because of its rows and classes.

    Args:
        prepared: Heads and rows.

    Returns:
        True if they are too many for the linear members that a table gets by default.
    """
    most = max(head.num_logits for head in prepared.heads.values())
    return len(prepared.rows) * most > _MOST


def train_linear(
    trained: Trained, prepared: Prepared, features: Sequence[Mapping[str, FeatureTable]]
) -> StagesResult:
    """Fits the heads of a new model whose trunk is linear.

    Penalties are tried from the strongest on, as long as the loss over the validation rows falls;
    without validation rows, a middle one is taken.

    Args:
        trained: The new model, whose weights are changed in place.
        prepared: Resolved settings, heads and rows.
        features: The features of the training and of the validation rows.

    Returns:
        An empty history, the batch size, and the logits of the validation rows.
    """
    model, heads = trained.model, prepared.heads
    standardize([model], heads, prepared.rows)
    windows, _ = trained.preprocessor.windows(prepared.rows)
    standardize_features([model], windows, trained.preprocessor, features[0])
    body = join(parts(model).encoders, body_of(parts(model).trunk, next(iter(heads))))
    predictor = trained.predictor(cache=False, engine="auto", progress=False)
    objectives = create_objectives(
        heads,
        {name: head.num_logits for name, head in heads.items()},
        windows.labels,
        {},
        loss_settings(prepared.settings),
        sample_weight=windows.sample_weight,
    )
    inputs = np.asarray(predictor.run(body, windows, features=features[0]), "float32")
    fits = {
        name: partial(
            fit_linear,
            objective,
            inputs,
            standardized(model, name, windows.labels[name]),
            sample_weight=windows.sample_weight,
        )
        for name, objective in objectives.items()
    }
    size = require(prepared.settings.batch_size, "batch_size")
    if prepared.validation is None:
        for name, fit in fits.items():
            _set(model, name, fit(_USUAL))
        return StagesResult({}, size)
    rows, _ = trained.preprocessor.windows(prepared.validation)
    val_inputs = np.asarray(predictor.run(body, rows, features=features[1]), "float32")
    for name, fit in fits.items():
        labels = standardized(model, name, rows.labels[name])
        loss = partial(_loss, objectives[name], labels, val_inputs, rows.sample_weight)
        _set(model, name, _best(fit, loss))
    logits = predictor.logits(prepared.validation, features[1])
    known = {name: prepared.validation.labels[name] for name in heads}
    return StagesResult({}, size, validation=ValidationResult({}, known, logits))


def _best(fit: Callable[[float], Linear], loss: Callable[[Linear], float]) -> Linear:
    """The layer with the lowest loss; the first penalty after which it rises is the last."""
    best, least = None, np.inf
    for penalty in PENALTIES:
        linear = fit(penalty)
        found = loss(linear)
        if found >= least:
            break
        best, least = linear, found
    return fit(_USUAL) if best is None else best


def _loss(
    objective: Objective, labels: np.ndarray, inputs: np.ndarray, weights: Any, linear: Linear
) -> float:
    """The loss over validation rows; infinite if none has a label."""
    logits = (inputs @ linear.kernel + linear.bias).astype("float32")
    return objective.measure(labels, logits, weights).get("loss", np.inf)


def _set(model: keras.Model, name: str, linear: Linear) -> None:
    layer = logits_layer(model, name)
    if layer is not None:
        layer.kernel.assign(linear.kernel.astype("float32"))
        layer.bias.assign(linear.bias.astype("float32"))
