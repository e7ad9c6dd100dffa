"""A classifier beside what the walk knows of it, and its answers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_mm import MultimodalClassifier
from tests.estimator.walk.recipes import PROBE, Recipe, Wish, head_names

Logits = Mapping[str, np.ndarray]


@dataclass
class Known:
    """A classifier and what the walk knows of it.

    Attributes:
        classifier: The classifier.
        wish: Its parameters.
        recipe: The trainings behind its answers; empty where it is not fitted.
        declared: Names of the heads that `add_head` took.
        parameters: Its parameters as they must stay.
        asked: Ways in which it was asked since its last training.
    """

    classifier: MultimodalClassifier
    wish: Wish
    recipe: Recipe = ()
    declared: frozenset[str] = frozenset()
    parameters: dict[str, Any] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def __post_init__(self):
        self.remember_parameters()

    def remember_parameters(self) -> None:
        """Takes the parameters as they are for those that must stay."""
        self.parameters = copy.deepcopy(self.classifier.get_params(deep=False))

    @property
    def heads(self) -> list[str]:
        """The trained heads, in their order."""
        return head_names(self.recipe) if self.recipe else []

    def by_head(self, values: Any) -> dict[str, Any]:
        """What the classifier gives of its heads, always as a dict."""
        return values if isinstance(values, Mapping) else {self.heads[0]: values}

    def classes(self, head: str) -> np.ndarray:
        """Label names of a head."""
        return self.by_head(self.classifier.classes_)[head]


class Stop(keras.callbacks.Callback):
    """Raises in the first batch of an epoch."""

    def __init__(self, error: type[BaseException], epoch: int):
        super().__init__()
        self.error, self.last, self.epoch = error, epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.last:
            raise self.error("stopped")


def logits(classifier: MultimodalClassifier, table: pd.DataFrame = PROBE) -> Logits:
    return classifier.predictor_.all_logits(table)


def assert_same(found: Logits, expected: Logits, **options: Any) -> None:
    """Compares logits by head: to the bit, or within `atol`."""
    assert list(found) == list(expected)
    for name, values in expected.items():
        if options:
            np.testing.assert_allclose(found[name], values, rtol=0, err_msg=name, **options)
        else:
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def rows_of(answers: Logits, places: Sequence[int]) -> Logits:
    """The answers of some rows."""
    return {name: values[list(places)] for name, values in answers.items()}
