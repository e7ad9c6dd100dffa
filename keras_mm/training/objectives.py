"""The objective of each head: its loss, its metrics and the bias that it starts with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.losses import create_loss
from keras_mm.losses.class_weights import count_labels, resolve_class_weight, resolve_pos_weight
from keras_mm.metrics.head_metrics import head_metrics, is_labelled
from keras_mm.settings.by_head import head_prefixes
from keras_mm.settings.heads import HEAD_LOSSES, Head
from keras_mm.settings.training import LossSettings
from keras_mm.training.initial_bias import initial_bias

# Metrics that each epoch logs; others are logged only if they are monitored.
_LOGGED = {
    "multiclass": ("accuracy", "macro_f1"),
    "binary": ("accuracy", "macro_f1"),
    "multilabel": ("subset_accuracy", "micro_f1", "macro_f1", "lrap"),
    "regression": ("mean_absolute_error", "r2"),
}


@dataclass(frozen=True)
class Objective:
    """The loss and the metrics of a head.

    Args:
        loss: Computes a scalar from labels and logits.
        weight: Factor of the loss in the sum over all heads; 1 for a single head.
        head: The head; `None` to compute the loss but no metrics.
        names: Label names in the order of the logits.
        bias: The initial bias of a new head, shape `(num_logits,)`; `None` if the training labels
            are not known.
    """

    loss: keras.losses.Loss
    weight: float = 1.0
    head: Head | None = None
    names: Sequence[Any] = ()
    bias: np.ndarray | None = None

    def measure(
        self,
        labels: np.ndarray,
        logits: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        extended: bool = False,
    ) -> dict[str, float]:
        """Computes the loss, and the metrics that are a single number.

        Args:
            labels: Encoded labels, as in `check_labels`.
            logits: Logits, shape `(num_rows, num_logits)`.
            sample_weight: Weights of the rows, shape `(num_rows,)`; `None` if all count 1. Rows of
                weight 0 are left out.
            extended: Whether to compute all metrics, also those that take long for many classes.

        Returns:
            Values by name; an empty dict if no row has a label.
        """
        if sample_weight is not None:
            counted = sample_weight > 0
            labels, logits = labels[counted], logits[counted]
            sample_weight = sample_weight[counted]
        if not len(labels) or (self.head is not None and not is_labelled(self.head, labels)):
            return {}
        tensors = [keras.ops.convert_to_tensor(x) for x in (labels, logits)]
        if sample_weight is not None:
            tensors.append(keras.ops.convert_to_tensor(sample_weight, "float32"))
        values = {"loss": float(keras.ops.convert_to_numpy(self.loss(*tensors)))}
        if self.head is None:
            return values
        metrics = head_metrics(
            self.head, labels, logits, self.names, sample_weight, extended=extended
        )
        return values | {name: v for name, v in metrics.items() if isinstance(v, float)}

    @property
    def kind(self) -> str:
        """The kind of the head; `"multiclass"` without a head."""
        return "multiclass" if self.head is None else self.head.kind

    @property
    def logged(self) -> tuple[str, ...]:
        """Names of the metrics that each epoch logs."""
        return ("loss",) if self.head is None else ("loss", *_LOGGED[self.head.kind])


def create_objectives(
    heads: Mapping[str, Head] | None,
    widths: Mapping[str, int],
    labels: Mapping[str, Any],
    names: Mapping[str, Sequence],
    settings: LossSettings | None = None,
    *,
    scales: Mapping[str, Any] | None = None,
    sample_weight: Any = None,
) -> dict[str, Objective]:
    """Creates the objective of each output of a model.

    Args:
        heads: Heads by name. With `None`, each output is a binary head if it has one logit, else a
            multiclass head.
        widths: Number of logits by output.
        labels: Encoded training labels by head, as in `check_labels`; `None` for a head whose
            labels are not known.
        names: Label names by head; by default those of the heads.
        settings: The loss and its settings; a head can have its own loss and class weights. By
            default cross-entropy.
        scales: For each regression head the scale of its targets, by which errors are divided.
        sample_weight: Weights of the training rows, shape `(num_rows,)`; `None` if all count 1.
            Class weights by name, class counts and initial biases are computed with them.

    Returns:
        Objectives by head.

    Raises:
        ValueError: if heads and outputs do not match, or a setting is not allowed for a head.
    """
    settings = LossSettings() if settings is None else settings
    loss, class_weight = settings.loss, settings.class_weight
    measured = heads is not None or isinstance(loss, str)
    if heads is None:
        heads = {n: Head("binary") if w == 1 else Head(classes=w) for n, w in widths.items()}
    _check(heads, widths, loss, class_weight)
    objectives, several = {}, len(heads) > 1
    for name, head in heads.items():
        known = list(names.get(name) or head.names)
        encoded = labels.get(name)
        if encoded is not None and measured:
            check_labels(name, head, encoded)
        if not isinstance(loss, str):
            _check_weighable(loss, sample_weight)
            objectives[name] = Objective(loss, 1.0, head if measured else None, known)
            continue
        try:
            scale = (scales or {}).get(name)
            own = _own_settings(settings, head, several=several)
            created = _create_loss(own, head, encoded, known, scale, sample_weight)
        except ValueError as error:
            if not several:
                raise
            raise InvalidValueError(f"The head {name!r}: {error}") from error
        bias = None if encoded is None else initial_bias(head, created, encoded, sample_weight)
        share = head.loss_weight if several else 1.0
        objectives[name] = Objective(created, share, head, known, bias)
    return objectives


def _check_weighable(loss: Any, sample_weight: Any) -> None:
    """Refuses weights of rows with a loss of the user's that cannot take them."""
    if sample_weight is not None and not isinstance(loss, keras.losses.Loss):
        raise InvalidValueError(
            "Weights of rows cannot be used with a `loss` that is a function. Use the name of a "
            f"loss, or a keras.losses.Loss. Received: {loss!r}"
        )


def _own_settings(settings: LossSettings, head: Head, *, several: bool) -> LossSettings:
    """The settings of one head's loss: its own, without those that are for heads of classes."""
    wanted, smoothing = head.loss or settings.loss, settings.label_smoothing
    weight = settings.class_weight if head.class_weight is None else head.class_weight
    if head.kind == "regression":
        meant_for_classes = HEAD_LOSSES["multiclass"] if several else ("cross_entropy",)
        if wanted in meant_for_classes:
            wanted = HEAD_LOSSES["regression"][0]
        if several:
            weight, smoothing = None, 0.0
    return replace(settings, loss=wanted, class_weight=weight, label_smoothing=smoothing)


def _create_loss(
    settings: LossSettings, head: Head, labels: Any, names: list, scale: Any, sample_weight: Any
) -> keras.losses.Loss:
    name, weight = settings.loss, settings.class_weight
    options: dict[str, Any] = {"label_smoothing": settings.label_smoothing, "class_weight": weight}
    if head.kind == "regression":
        options["scale"] = scale
    else:
        _check_counted(name, weight, labels)
        resolve = resolve_pos_weight if head.kind == "multilabel" else resolve_class_weight
        options["class_weight"] = resolve(
            weight, labels, names, beta=settings.beta, sample_weight=sample_weight
        )
    if name == "logit_adjusted" and head.kind in ("multiclass", "binary"):
        counts = count_labels(labels, len(names), sample_weight=sample_weight)
        options["class_counts"] = counts.tolist()
    return create_loss(name, kind=head.kind, gamma=settings.gamma, tau=settings.tau, **options)


def check_monitor(
    monitor: str, objectives: Mapping[str, Objective], labels: Mapping[str, Any]
) -> None:
    """Checks before training that each epoch logs the monitored metric.

    Args:
        monitor: The metric.
        objectives: Objectives by head.
        labels: Labels of the validation rows by head; an empty dict without validation.

    Raises:
        ValueError: if no epoch logs the metric, with the nearest name that is logged.
    """
    known = ["loss", *(f"{name}_loss" for name in objectives if len(objectives) > 1)]
    if monitor in known or (monitor == "val_loss" and labels):
        return
    known += ["val_loss"] if labels else []
    for name, prefix in head_prefixes(objectives).items():
        if name in labels:
            objective, values = objectives[name], np.asarray(labels[name])
            width = 1 if objective.head is None else objective.head.num_logits
            logits = np.zeros((len(values), width), "float32")
            logged = {f"val_{prefix}{metric}" for metric in objective.logged}
            metrics = objective.measure(values, logits, extended=monitor not in logged)
            known += [f"val_{prefix}{metric}" for metric in metrics]
    if monitor not in known:
        raise InvalidValueError(unknown_monitor(monitor, known))


def unknown_monitor(monitor: str, known: Iterable[str]) -> str:
    """The error message for a monitored metric that is not logged.

    Args:
        monitor: The metric.
        known: Names of the metrics that are logged.

    Returns:
        The message, with the nearest name.
    """
    sentence = unknown_name("metric in `monitor`:", monitor, dict.fromkeys(known))
    return f"{sentence} A head without labels among the validation rows has no metrics."


def check_labels(name: str, head: Head, labels: Any) -> None:
    """Checks that arrays are encoded labels of a head.

    Args:
        name: The head's name.
        head: The head.
        labels: For `"multiclass"` and `"binary"` integers in `[0, num_classes)`, shape
            `(num_rows,)` or `(num_rows, 1)`; for `"multilabel"` 0 or 1, shape
            `(num_rows, num_labels)`; for both, negative values are missing labels. For
            `"regression"` floats, shape `(num_rows, num_targets)`, NaN for missing ones.

    Raises:
        ValueError: for another shape, or other values.
    """
    labels = np.asarray(labels)
    width = head.num_classes if head.kind in ("multilabel", "regression") else 1
    columns = 1 if labels.ndim == 1 else labels.shape[-1]
    flat = labels.ndim == 1 and head.kind != "multilabel"
    shape = "(num_rows,)" if width == 1 and head.kind != "multilabel" else f"(num_rows, {width})"
    if labels.dtype.kind not in "iufb" or not (flat or labels.ndim == 2) or columns != width:
        raise InvalidValueError(
            f"The labels of the {head.kind} head {name!r} must be numbers, shape {shape}. "
            f"Received: dtype {labels.dtype}, shape {labels.shape}"
        )
    if head.kind == "regression":
        right, rule = ~np.isinf(labels), "finite numbers, or NaN where missing"
    elif head.kind == "multilabel":
        right, rule = (labels < 0) | np.isin(labels, (0, 1)), "0 or 1, or negative where missing"
    else:
        last = head.num_classes - 1
        right = (labels < 0) | np.isin(labels, range(last + 1))
        rule = (
            f"whole numbers from 0 to {last}, in the order of the classes, negative where missing"
        )
    if not right.all():
        raise InvalidValueError(
            f"The labels of the {head.kind} head {name!r} must be {rule}. "
            f"Received: {labels[~right][0]}"
        )


def _check(
    heads: Mapping[str, Head], widths: Mapping[str, int], loss: Any, class_weight: Any
) -> None:
    wanted = {name: head.num_logits for name, head in heads.items()}
    if wanted != dict(widths):
        raise InvalidValueError(
            f"The outputs of the model must have the logits of the heads, {wanted}. Received: "
            f"{dict(widths)}"
        )
    if len(heads) > 1 and not isinstance(loss, str):
        raise InvalidValueError(
            "With several heads, `loss` must be a name; or each head has its own: Head(loss=...). "
            f"Received: {loss!r}"
        )
    if len(heads) > 1 and not (class_weight is None or isinstance(class_weight, str)):
        raise InvalidValueError(
            "With several heads, set the class weights of each: Head(class_weight=...). "
            f"Received: class_weight={class_weight!r}"
        )


def _check_counted(loss: str, class_weight: Any, labels: Any) -> None:
    if labels is None and (loss == "logit_adjusted" or isinstance(class_weight, str)):
        raise InvalidValueError(
            f"loss={loss!r} with class_weight={class_weight!r} needs the training labels, but the "
            "dataset has none. Train on a MultimodalDataset or on arrays, or create the loss "
            "by keras_mm.create_loss, with class weights as a list."
        )
