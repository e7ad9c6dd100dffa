"""The result of an evaluation: metrics, outputs, and the rows with wrong predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_mm.data.tables.labels import label_value
from keras_mm.data.tables.rows import Rows
from keras_mm.inference.answers import names_array
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ModelArgs
from keras_mm.simple_transformers.scores import results
from keras_mm.simple_transformers.translation import focal_gamma, loss_name

# Computes results by name from a head, encoded labels and logits.
Assess = Callable[[Head, np.ndarray, np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class InputExample:
    """A row with a wrong prediction, as `eval_model` returns it.

    Attributes:
        guid: The row's index in its table.
        text_a: The text, or the first of a pair.
        text_b: The second text of a pair.
        label: The true label.
        image: The image's path, bytes or array.
    """

    guid: Any
    text_a: str | None
    text_b: str | None = None
    label: Any = None
    image: Any = None


class Assessment(NamedTuple):
    """The evaluation of labelled rows.

    Attributes:
        results: Results by name.
        head: The head.
        rows: The rows.
        labels: Encoded labels of the rows.
        predictions: Predictions, encoded as the labels are.
        probabilities: Probabilities, shape `(num_rows, num_labels)`; for a regression the predicted
            numbers, shape `(num_rows,)`.
        logits: Logits, shape `(num_rows, num_logits)`.
    """

    results: dict[str, float]
    head: Head
    rows: Rows
    labels: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray
    logits: np.ndarray


def create_assess(
    args: ModelArgs, metrics: Mapping[str, Callable], *, of_probabilities: bool
) -> Assess:
    """Creates the function that computes the results of an evaluation.

    Args:
        args: The settings, with the loss that `eval_loss` reports.
        metrics: As in `keras_mm.simple_transformers.scores.results`.
        of_probabilities: As in `keras_mm.simple_transformers.scores.results`.

    Returns:
        A function of head, encoded labels and logits, which returns results by name.

    Raises:
        ValueError: for an unknown loss, or unknown arguments of the loss.
    """
    loss, gamma = loss_name(args), focal_gamma(args)

    def assess(head: Head, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
        return results(
            head,
            labels,
            logits,
            metrics,
            loss="mean_squared_error" if head.kind == "regression" else loss,
            gamma=gamma,
            of_probabilities=of_probabilities,
        )

    return assess


def wrong_rows(assessment: Assessment) -> list[InputExample]:
    """Lists the rows with wrong predictions.

    Args:
        assessment: The evaluation.

    Returns:
        The rows in order; an empty list for a regression.
    """
    head, texts = assessment.head, assessment.rows.texts
    if head.kind == "regression":
        return []
    differs = assessment.predictions != assessment.labels
    wrong = np.flatnonzero(differs.any(axis=1) if differs.ndim == 2 else differs)
    names = None if head.kind == "multilabel" else names_array(head.names)
    return [
        InputExample(
            guid=label_value(assessment.rows.numbers[row]),
            text_a=texts[0][row],
            text_b=texts[1][row] if len(texts) > 1 else None,
            label=assessment.labels[row].tolist()
            if names is None
            else label_value(names[assessment.labels[row]]),
            image=assessment.rows.images[0][row] if assessment.rows.images else None,
        )
        for row in wrong.tolist()
    ]
