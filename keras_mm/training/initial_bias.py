"""The bias that a new head starts with: the best prediction that ignores the input."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_mm.losses import LogitAdjusted
from keras_mm.losses.base import WeightedLoss
from keras_mm.losses.binary import MultilabelLoss
from keras_mm.metrics.head_metrics import head_prior
from keras_mm.settings.heads import Head


def initial_bias(
    head: Head, loss: keras.losses.Loss, labels: Any, sample_weight: Any = None
) -> np.ndarray:
    """Computes the constant logits with the lowest cross-entropy.

    For classes these are the logarithms of the class frequencies, with the weights and the label
    smoothing of the loss, minus the logit adjustment, if the loss has one. For binary and
    multilabel heads they are log odds. The loss then starts at the entropy of these frequencies. A
    class without rows, or with weight 0, counts as half a row, so that all values are finite.

    Args:
        head: The head that the logits belong to.
        loss: The loss of the head, with class weights and smoothing, as `create_loss` returns it.
        labels: Labels of the training rows, as in `keras_mm.metrics.head_metrics.head_metrics`.
        sample_weight: Weights of the training rows, shape `(num_rows,)`; `None` if all count 1.

    Returns:
        Floats, shape `(num_logits,)`; zeros for regression, whose targets are standardised, and
        for losses that are not from `create_loss`.

    Example:
        >>> from keras_mm.losses import create_loss
        >>> loss = create_loss("cross_entropy")
        >>> np.exp(initial_bias(Head(classes=2), loss, [0, 0, 0, 1])).round(2).tolist()
        [0.75, 0.25]
    """
    if isinstance(loss, MultilabelLoss):
        return _label_bias(head, loss, labels, sample_weight)
    if not isinstance(loss, WeightedLoss):
        return np.zeros(head.num_logits)
    bias = _class_bias(head, loss, labels, sample_weight)
    return bias if head.kind == "multiclass" else bias[1:] - bias[:1]


def _class_bias(head: Head, loss: WeightedLoss, labels: Any, weights: Any) -> np.ndarray:
    """The bias of a multiclass or binary head, shape `(num_classes,)` for both."""
    shares = head_prior(head, labels, weights)
    if loss.class_weight is not None:
        shares = shares * loss.class_weight
    total, count = shares.sum(), len(shares)
    shares = shares / total if total > 0 else np.full(count, 1 / count)
    shares = (1 - loss.label_smoothing) * shares + loss.label_smoothing / count
    bias = np.log(np.maximum(shares, _half_a_row(np.asarray(labels).reshape(-1), weights)))
    return bias - loss.shift if isinstance(loss, LogitAdjusted) else bias


def _label_bias(head: Head, loss: MultilabelLoss, labels: Any, weights: Any) -> np.ndarray:
    """The bias of a multilabel head, shape `(num_labels,)`."""
    share = head_prior(head, labels, weights)
    yes = (1 - loss.label_smoothing) * share + loss.label_smoothing / 2
    no = 1 - yes
    if loss.pos_weight is not None:
        yes = yes * loss.pos_weight
    least = _half_a_row(np.asarray(labels), weights)
    share = np.clip(yes / np.maximum(yes + no, 1e-30), least, 1 - least)
    return np.log(share) - np.log1p(-share)


def _half_a_row(labels: np.ndarray, weights: Any) -> Any:
    """Half a row as a share of the labelled rows, at most 1/2."""
    known = labels >= 0
    total = known.sum(axis=0) if weights is None else np.asarray(weights) @ known
    return 0.5 / np.maximum(total, 1)
