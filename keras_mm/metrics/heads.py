"""Metrics of a head's logits, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mm.heads import Head
from keras_mm.metrics.classification import classification_metrics
from keras_mm.metrics.multilabel import multilabel_metrics
from keras_mm.metrics.probabilities import probabilities
from keras_mm.metrics.regression import regression_metrics


def head_metrics(
    head: Head, labels: Any, logits: Any, names: Sequence[Any] | None = None
) -> dict[str, Any]:
    """Metrics of logits against labels: those of the head's kind.

    Args:
        head: What the logits answer.
        labels: As the kind has them: integers `(num_rows,)`, multi-hot `(num_rows, num_labels)`, or
            floats `(num_rows, num_targets)`; negative or NaN where not known.
        logits: `(num_rows, num_logits)`.
        names: Label names in order; by default the head's.

    Returns:
        See `classification_metrics`, `multilabel_metrics` and `regression_metrics`.

    Raises:
        ValueError: if shapes do not fit, or no row has labels.

    Example:
        >>> head_metrics(Head("binary"), [1, 0], [[2.0], [1.0]])["accuracy"]
        0.5
    """
    names = list(head.names if names is None else names)
    if head.kind == "regression":
        targets = np.asarray(labels, "float64").reshape(len(labels), -1)
        return regression_metrics(targets, logits, names)
    found = probabilities(np.asarray(logits), head.kind)
    if head.kind == "multilabel":
        return multilabel_metrics(labels, found, names, threshold=head.threshold)
    return classification_metrics(np.asarray(labels).reshape(-1), found, names)
