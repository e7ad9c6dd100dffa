"""Decisions in an exported graph, with the same results as `keras_mm.inference.decisions`."""

from __future__ import annotations

from typing import Any

import keras  # noqa: F401  (Keras' backend must be loaded before TensorFlow)
import tensorflow as tf

from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.settings.heads import Head, resolve_threshold


def decision_outputs(head: Head, decisions: HeadDecisions, logits: Any) -> dict[str, Any]:
    """The outputs for the decisions of a head.

    Args:
        head: The head.
        decisions: Its decisions.
        logits: float32 `(num_rows, num_logits)`.

    Returns:
        `calibrated_probabilities`; `set`, a matrix of strings `(num_rows, num_classes)`, empty
        where a label is not in the set; `answered`, bool `(num_rows,)`, False where the model
        abstains; and with costs or offsets `threshold_label`, the positions of the chosen classes.
        For a regression head `interval`, float32 `(num_rows, num_targets, 2)`.
    """
    if head.kind == "regression":
        widths = tf.constant([float("inf") if w is None else w for w in decisions.half_widths])
        return {"interval": tf.stack([logits - widths, logits + widths], axis=-1)}
    calibrated = _probabilities(head, logits / decisions.temperature)
    names = tf.constant([str(name) for name in head.names])
    limits = tf.constant(decisions.set_limits, calibrated.dtype)
    outputs = {
        "calibrated_probabilities": calibrated,
        "set": tf.where(calibrated < limits, "", names[tf.newaxis]),
    }
    if head.kind == "multilabel":
        thresholds = tf.constant(resolve_threshold(head.threshold, head.names), tf.float32)
        sure = tf.where(tf.sigmoid(logits) >= thresholds, calibrated, 1 - calibrated)
        confidence = tf.reduce_prod(sure, axis=-1)
    else:
        places = _places(head, decisions, logits, calibrated)
        confidence = tf.gather(calibrated, places, batch_dims=1)
        if decisions.costs is not None or decisions.offsets is not None:
            outputs["threshold_label"] = places
    return {**outputs, "answered": confidence >= decisions.min_confidence}


def _places(head: Head, decisions: HeadDecisions, logits: Any, calibrated: Any) -> Any:
    """The positions of the chosen classes."""
    if decisions.costs is not None:
        return tf.argmin(calibrated @ tf.constant(decisions.costs, calibrated.dtype), axis=-1)
    if decisions.offsets is None:
        return tf.argmax(_probabilities(head, logits), axis=-1)
    logs = tf.math.log(tf.maximum(calibrated, 1e-37))
    return tf.argmax(logs + tf.constant(decisions.offsets, logs.dtype), axis=-1)


def _probabilities(head: Head, logits: Any) -> Any:
    if head.kind == "multilabel":
        return tf.sigmoid(logits)
    if head.kind == "binary":
        logits = tf.concat([tf.zeros_like(logits), logits], axis=-1)
    return tf.nn.softmax(logits)
