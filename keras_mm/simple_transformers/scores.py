"""Results under the names that Simple Transformers gives them."""

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
    """Predictions in the form of encoded labels, and probabilities.

    Args:
        head: The head.
        logits: `(num_rows, num_logits)`.

    Returns:
        For classes their indices, `(num_rows,)`; for several labels a row 0 or 1 for each,
        `(num_rows, num_labels)`; for a regression the numbers, `(num_rows,)`, twice.
    """
    if head.kind == "regression":
        numbers = np.asarray(logits, "float64")[:, 0]
        return numbers, numbers
    found = probabilities(logits, head.kind)
    if head.kind == "multilabel":
        return (found >= resolve_threshold(head.threshold, head.names)).astype(int), found
    return found.argmax(axis=1), found


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
    """All results of an evaluation.

    Args:
        head: The head, with its classes and class weights.
        labels: Encoded labels, as in `keras_mm.data.tables.targets.Encoded`.
        logits: `(num_rows, num_logits)`.
        metrics: Functions of labels and predictions by name. A function whose name begins with
            `prob_` receives probabilities instead of predictions.
        loss: The loss that `eval_loss` is.
        gamma: Exponent of the focal loss.
        of_probabilities: Whether all functions receive probabilities if a row has several labels.

    Returns:
        For two classes `mcc accuracy f1_score tp tn fp fn`, and `auroc auprc` if both occur; for
        more classes `mcc accuracy f1_score`; for several labels a row `LRAP accuracy f1_score`, and
        `auroc auprc` where they are defined; for a regression `mae rmse r2`; `eval_loss` over all
        rows; and the results of the functions. `f1_score` is macro-F1. With several labels a row,
        `accuracy` is the share of rows with all labels right.
    """
    settings = LossSettings(loss=loss, gamma=gamma)
    objective = create_objectives(
        {"label": head}, {"label": head.num_logits}, {"label": labels}, {}, settings
    )["label"]
    predicted, found = answers(head, logits)
    given = labels[:, 0] if head.kind == "regression" else labels
    scores = _SCORES[head.kind](measure(head, labels, found[:, None] if found.ndim == 1 else found))
    of_probabilities = of_probabilities and head.kind == "multilabel"
    for name, metric in metrics.items():
        takes_found = of_probabilities or name.startswith("prob_")
        scores[name] = metric(given, found if takes_found else predicted)
    return {**scores, "eval_loss": objective.measure(labels, logits)["loss"]}


def names_of(head: Head) -> list[str]:
    """The names in `results` of a head, also of metrics that rows may leave undefined.

    Args:
        head: The head.

    Returns:
        The names.
    """
    areas = ["auroc", "auprc"]
    if head.kind == "regression":
        return ["eval_loss", "mae", "rmse", "r2"]
    if head.kind == "multilabel":
        return ["eval_loss", "LRAP", "accuracy", "f1_score", *areas]
    two = ["tp", "tn", "fp", "fn", *areas] if head.num_classes == 2 else []
    return ["eval_loss", "mcc", "accuracy", "f1_score", *two]


def check_metric_name(name: str, head: Head, metrics: Iterable[str]) -> None:
    """Checks that `results` has the metric that early stopping watches.

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


def _of_classes(found: Mapping[str, Any]) -> dict[str, float]:
    scores = {"mcc": found["mcc"], "accuracy": found["accuracy"], "f1_score": found["macro_f1"]}
    if len(found["per_class"]) == 2:
        (scores["tn"], scores["fp"]), (scores["fn"], scores["tp"]) = found["confusion_matrix"]
    return {**scores, **_areas(found)}


def _of_labels(found: Mapping[str, Any]) -> dict[str, float]:
    scores = {"LRAP": found["lrap"]} if "lrap" in found else {}
    return {
        **scores,
        "accuracy": found["subset_accuracy"],
        "f1_score": found["macro_f1"],
        **_areas(found),
    }


def _of_numbers(found: Mapping[str, Any]) -> dict[str, float]:
    return {
        "mae": found["mean_absolute_error"],
        "rmse": found["root_mean_squared_error"],
        "r2": found["r2"],
    }


def _areas(found: Mapping[str, Any]) -> dict[str, float]:
    return {name: found[name] for name in ("auroc", "auprc") if name in found}


_SCORES = {"multiclass": _of_classes, "multilabel": _of_labels, "regression": _of_numbers}
