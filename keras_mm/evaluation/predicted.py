"""Encoded labels and predictions of an evaluation, for further scores."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from keras_mm.errors import InvalidValueError
from keras_mm.evaluation.results import Results
from keras_mm.settings.heads import Head, resolve_threshold


class Predicted(NamedTuple):
    """What a head predicted for rows, and what was right.

    Attributes:
        head: The head, with its classes and thresholds.
        labels: Encoded labels, see `keras_mm.data.tables.targets.Encoded`.
        values: Probabilities, shape `(num_rows, num_classes)`; of a regression head numbers, shape
            `(num_rows, num_targets)`.
        weights: Weights of the rows, shape `(num_rows,)`; `None` if all count 1.
    """

    head: Head
    labels: np.ndarray
    values: np.ndarray
    weights: np.ndarray | None

    def take(self, rows: np.ndarray) -> Predicted:
        """Selects rows.

        Args:
            rows: Positions of the rows.

        Returns:
            These rows, in this order.
        """
        weights = None if self.weights is None else self.weights[rows]
        return Predicted(self.head, self.labels[rows], self.values[rows], weights)

    def reorder(self, names: list) -> Predicted:
        """Changes the order of the classes, labels or targets.

        Args:
            names: The names of the head, in another order.

        Returns:
            The same labels and predictions, encoded in this order.
        """
        head, labels = self.head, self.labels
        places = {name: place for place, name in enumerate(head.names)}
        order = np.asarray([places[name] for name in names], dtype=int)
        head = replace(head, classes=tuple(names))
        if head.kind in ("multiclass", "binary"):
            labels = np.where(labels < 0, labels, np.argsort(order)[labels])
        else:
            labels = labels[:, order]
        if head.kind == "multilabel":
            thresholds = resolve_threshold(self.head.threshold, self.head.names)[order]
            head = replace(head, threshold=tuple(thresholds.tolist()))
        return Predicted(head, labels, self.values[:, order], self.weights)


def read_predicted(evaluation: Results, name: str) -> Predicted:
    """Reads the labels and predictions of a head.

    Args:
        evaluation: Results of a classifier.
        name: Name of the head.

    Returns:
        Labels, probabilities or numbers, and weights.

    Raises:
        ValueError: if the results do not hold their rows.
    """
    if evaluation.rows is None:
        raise InvalidValueError(
            "The results do not hold their rows. Pass what `MultimodalClassifier.evaluate` returns."
        )
    head, frame = evaluation.heads[name].head, evaluation.predictions
    prefix = f"{name}_" if evaluation.several else ""
    if head.kind == "regression":
        ends = [""] if head.num_logits == 1 else [f"_{target}" for target in head.names]
        columns = [f"{prefix}prediction{end}" for end in ends]
    else:
        columns = [f"{prefix}probability_{label}" for label in head.names]
    labels = evaluation.rows.labels[name]
    if head.kind == "regression":
        labels = labels.reshape(len(labels), -1)
    return Predicted(
        head, labels, frame[columns].to_numpy("float64"), evaluation.rows.sample_weight
    )
