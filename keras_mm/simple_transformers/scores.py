"""Results of an evaluation, with their names in Simple Transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.metrics.head_metrics import measure
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head, resolve_threshold
from keras_mm.settings.training import LossSettings
from keras_mm.training.objectives import create_objectives

Metric = Callable[[Any, Any], Any]


def answers(head: Head, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes predictions, encoded as labels are, and probabilities.

    Args:
        head: The head.
        logits: Logits, shape `(num_rows, num_logits)`.

    Returns:
        Predictions and probabilities. For a multiclass head, predictions are indices of classes,
        shape `(num_rows,)`; for a multilabel head 0 or 1, shape `(num_rows, num_labels)`.
        Probabilities have the shape `(num_rows, num_labels)`. For a regression both are the
        numbers, shape `(num_rows,)`.
    """
    if head.kind == "regression":
        numbers = np.asarray(logits, "float64")[:, 0]
        return numbers, numbers
    proba = probabilities(logits, head.kind)
    if head.kind == "multilabel":
        return (proba >= resolve_threshold(head.threshold, head.names)).astype(int), proba
    return proba.argmax(axis=1), proba


def results(
    head: Head,
    labels: np.ndarray,
    logits: np.ndarray,
    metrics: Mapping[str, Metric],
    *,
    loss: str = "cross_entropy",
    gamma: float = 2.0,
    of_probabilities: bool = False,
) -> dict[str, float]:
    """Computes all results of an evaluation.

    Args:
        head: The head, with its classes and class weights.
        labels: Encoded labels, as in `keras_mm.data.tables.targets.Encoded`.
        logits: Logits, shape `(num_rows, num_logits)`.
        metrics: Functions of labels and predictions by name. A function whose name begins with
            `prob_` receives probabilities instead of predictions.
        loss: Name of the loss that `eval_loss` reports.
        gamma: Exponent of the focal loss, >= 0.
        of_probabilities: Whether all functions receive probabilities for a multilabel head.

    Returns:
        Values by name. For two classes `mcc accuracy f1_score tp tn fp fn`, and `auroc auprc` if
        the rows have both; for more classes `mcc accuracy f1_score`; for a multilabel head
        `LRAP accuracy f1_score`, and `auroc auprc` if they are defined; for a regression
        `mae rmse r2`. `eval_loss` is the loss over all rows. The results of the functions have the
        names of these. `f1_score` is macro-F1; for a multilabel head, `accuracy` is the share of
        rows whose labels are all correct.
    """
    settings = LossSettings(loss=loss, gamma=gamma)
    objective = create_objectives(
        {"label": head}, {"label": head.num_logits}, {"label": labels}, {}, settings
    )["label"]
    predicted, proba = answers(head, logits)
    true = labels[:, 0] if head.kind == "regression" else labels
    columns = proba[:, None] if proba.ndim == 1 else proba
    scores = _SCORES[head.kind](measure(head, labels, columns, extended=False))
    of_probabilities = of_probabilities and head.kind == "multilabel"
    for name, metric in metrics.items():
        takes_proba = of_probabilities or name.startswith("prob_")
        scores[name] = metric(true, proba if takes_proba else predicted)
    return {**scores, "eval_loss": objective.measure(labels, logits)["loss"]}


def names_of(head: Head) -> list[str]:
    """The names of all results of a head, also of metrics that are undefined for some rows.

    Args:
        head: The head.

    Returns:
        The names in `results`, without those of the user's functions.
    """
    areas = ["auroc", "auprc"]
    if head.kind == "regression":
        return ["eval_loss", "mae", "rmse", "r2"]
    if head.kind == "multilabel":
        return ["eval_loss", "LRAP", "accuracy", "f1_score", *areas]
    two = ["tp", "tn", "fp", "fn", *areas] if head.num_classes == 2 else []
    return ["eval_loss", "mcc", "accuracy", "f1_score", *two]


def check_metric_name(name: str, head: Head, metrics: Iterable[str]) -> None:
    """Checks that `results` has the metric that early stopping monitors.

    Args:
        name: The setting `early_stopping_metric`.
        head: The head.
        metrics: Names of the user's own metrics.

    Raises:
        ValueError: if there is no such metric, with the nearest name.
    """
    known = [*names_of(head), *metrics]
    if name not in known:
        raise InvalidValueError(unknown_name("early_stopping_metric", name, known))


def _of_classes(values: Mapping[str, Any]) -> dict[str, float]:
    scores = {"mcc": values["mcc"], "accuracy": values["accuracy"], "f1_score": values["macro_f1"]}
    if len(values["per_class"]) == 2:
        (scores["tn"], scores["fp"]), (scores["fn"], scores["tp"]) = values["confusion_matrix"]
    return {**scores, **_areas(values)}


def _of_labels(values: Mapping[str, Any]) -> dict[str, float]:
    scores = {"LRAP": values["lrap"]} if "lrap" in values else {}
    return {
        **scores,
        "accuracy": values["subset_accuracy"],
        "f1_score": values["macro_f1"],
        **_areas(values),
    }


def _of_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        "mae": values["mean_absolute_error"],
        "rmse": values["root_mean_squared_error"],
        "r2": values["r2"],
    }


def _areas(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: values[name] for name in ("auroc", "auprc") if name in values}


_SCORES = {"multiclass": _of_classes, "multilabel": _of_labels, "regression": _of_numbers}
