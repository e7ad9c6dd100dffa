"""What an evaluation gives: results, outputs, and the rows with wrong predictions."""

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

# From a head, encoded labels and logits to results by name.
Assess = Callable[[Head, np.ndarray, np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class InputExample:
    """A row with a wrong prediction, as `eval_model` returns it.

    Attributes:
        guid: The row's index in its table.
        text_a: The text, or the first of a pair.
        text_b: The second of a pair.
        label: The true label.
        image: The image's path, bytes or array.
    """

    guid: Any
    text_a: str | None
    text_b: str | None = None
    label: Any = None
    image: Any = None


class Assessment(NamedTuple):
    """Labelled rows and their predictions.

    Attributes:
        results: Results by name.
        head: The head.
        rows: The rows.
        labels: Their encoded labels.
        predictions: Predictions in the form of the encoded labels.
        probabilities: Probabilities; of a regression the predicted numbers.
        logits: Logits, `(num_rows, num_logits)`.
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
        args: The settings, which say what `eval_loss` is.
        metrics: As in `keras_mm.simple_transformers.scores.results`.
        of_probabilities: The same.

    Returns:
        The function.

    Raises:
        ValueError: for an unknown loss, or wrong arguments of it.
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


def wrong_rows(found: Assessment) -> list[InputExample]:
    """The rows with wrong predictions.

    Args:
        found: The evaluation.

    Returns:
        The rows in order; none for a regression.
    """
    head, texts = found.head, found.rows.texts
    if head.kind == "regression":
        return []
    differs = found.predictions != found.labels
    wrong = np.flatnonzero(differs.any(axis=1) if differs.ndim == 2 else differs)
    names = None if head.kind == "multilabel" else names_array(head.names)
    return [
        InputExample(
            guid=label_value(found.rows.numbers[row]),
            text_a=texts[0][row],
            text_b=texts[1][row] if len(texts) > 1 else None,
            label=found.labels[row].tolist()
            if names is None
            else label_value(names[found.labels[row]]),
            image=found.rows.images[0][row] if found.rows.images else None,
        )
        for row in wrong.tolist()
    ]
