"""What each head of a model is trained for, and measured by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_mm.heads import HEAD_LOSSES, Head
from keras_mm.losses import create_loss
from keras_mm.losses.class_weights import count_labels, resolve_class_weight, resolve_pos_weight
from keras_mm.metrics.heads import head_metrics

# What is told of each epoch; other metrics where they are monitored.
_TOLD = {
    "multiclass": ("accuracy", "macro_f1"),
    "binary": ("accuracy", "macro_f1"),
    "multilabel": ("subset_accuracy", "micro_f1", "macro_f1", "lrap"),
    "regression": ("mean_absolute_error", "r2"),
}


@dataclass(frozen=True)
class Objective:
    """One head's loss and metrics.

    Args:
        loss: From labels and logits to a scalar.
        weight: What the loss counts beside those of other heads.
        head: What the logits answer; `None` measures the loss only.
        names: Label names in order.
    """

    loss: keras.losses.Loss
    weight: float = 1.0
    head: Head | None = None
    names: Sequence[Any] = ()

    def measure(self, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
        """The loss, and all metrics that are one number; the loss alone if no row is labelled."""
        value = self.loss(keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(logits))
        found = {"loss": float(keras.ops.convert_to_numpy(value))}
        if self.head is None or not _is_labelled(self.head, labels):
            return found
        metrics = head_metrics(self.head, labels, logits, self.names)
        return found | {name: v for name, v in metrics.items() if isinstance(v, float)}

    @property
    def told(self) -> tuple[str, ...]:
        """Metrics that are told of each epoch."""
        return ("loss",) if self.head is None else ("loss", *_TOLD[self.head.kind])


def create_objectives(
    heads: Mapping[str, Head] | None,
    widths: Mapping[str, int],
    labels: Mapping[str, Any],
    names: Mapping[str, Sequence],
    *,
    loss: str | keras.losses.Loss = "cross_entropy",
    class_weight: Any = None,
    label_smoothing: float = 0.0,
    gamma: float = 2.0,
    tau: float = 1.0,
    beta: float = 0.999,
) -> dict[str, Objective]:
    """The objective of each output of a model.

    Args:
        heads: Heads by name; `None` takes each output for the logits of classes.
        widths: Number of logits by output.
        labels: Training labels by head; `None` where they are not at hand.
        names: Label names by head, where they are not the heads' own.
        loss: As `Trainer`; heads may name their own.
        class_weight: As `Trainer`; heads may have their own.
        label_smoothing: As `Trainer`.
        gamma: As `Trainer`.
        tau: As `Trainer`.
        beta: As `Trainer`.

    Raises:
        ValueError: if heads and outputs do not fit, or a setting does not suit a head.
    """
    measured = heads is not None or isinstance(loss, str)
    if heads is None:
        heads = {n: Head("binary") if w == 1 else Head(classes=w) for n, w in widths.items()}
    _check(heads, widths, loss, class_weight)
    found = {}
    for name, head in heads.items():
        known = list(names.get(name) or head.names)
        if not isinstance(loss, str):
            found[name] = Objective(loss, 1.0, head if measured else None, known)
            continue
        called = head.loss or loss
        if head.kind == "regression" and called not in HEAD_LOSSES["regression"]:
            called = HEAD_LOSSES["regression"][0]
        settings: dict[str, Any] = {"gamma": gamma, "tau": tau}
        if head.kind != "regression":
            weight = class_weight if head.class_weight is None else head.class_weight
            adjusted = called == "logit_adjusted"
            _check_labels(called, weight, labels.get(name))
            resolve = resolve_pos_weight if head.kind == "multilabel" else resolve_class_weight
            settings["class_weight"] = resolve(weight, labels.get(name), known, beta=beta)
            settings["label_smoothing"] = label_smoothing
            if adjusted and head.kind != "multilabel":
                settings["class_counts"] = count_labels(labels[name], len(known)).tolist()
        found[name] = Objective(
            create_loss(called, kind=head.kind, **settings), head.loss_weight, head, known
        )
    return found


def _check(heads: Mapping[str, Head], widths: Mapping[str, int], loss, class_weight) -> None:
    wanted = {name: head.num_logits for name, head in heads.items()}
    if wanted != dict(widths):
        raise ValueError(
            f"`heads` do not fit the model: they ask for logits {wanted}, and it gives "
            f"{dict(widths)}."
        )
    if len(heads) > 1 and not isinstance(loss, str):
        raise ValueError(
            "With several heads name the `loss`, or give each its own: Head(loss=...). "
            f"Received: {loss!r}"
        )
    if len(heads) > 1 and not (class_weight is None or isinstance(class_weight, str)):
        raise ValueError(
            "With several heads give each its class weights: Head(class_weight=...). "
            f"Received: class_weight={class_weight!r}"
        )


def _check_labels(loss: str, class_weight: Any, labels: Any) -> None:
    if labels is None and (loss == "logit_adjusted" or isinstance(class_weight, str)):
        raise ValueError(
            f"loss={loss!r} with class_weight={class_weight!r} needs the training labels: train "
            "on a MultimodalDataset or arrays, or give the weights as a list and a loss that "
            "keras_mm.create_loss made."
        )


def _is_labelled(head: Head, labels: np.ndarray) -> bool:
    """Whether there are labels enough to measure: of each target one, or of some row all."""
    labels = np.asarray(labels)
    if head.kind == "regression":
        return bool((~np.isnan(labels.reshape(len(labels), -1))).any(axis=0).all())
    return bool((labels.reshape(len(labels), -1) >= 0).all(axis=1).any())
