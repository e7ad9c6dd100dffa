"""A classifier as it was before a training, put back if the training fails."""

from __future__ import annotations

from typing import Any

from keras_mm.estimator.reuse import Workbench
from keras_mm.training.memory import Snapshot


class Rollback:
    """Takes the model out of a classifier, and all attributes back in if asked to.

    Args:
        classifier: The classifier. Afterwards it has no `model_`, so that the next model can use
            its encoders.
        bench: What it makes its models with.
        in_place: Whether the training goes on with the weights that there are.
    """

    def __init__(self, classifier: Any, bench: Workbench, *, in_place: bool = False):
        self._classifier = classifier
        self._attributes = dict(vars(classifier))
        model = self._attributes.pop("model_", None)
        self.had_model = model is not None
        vars(classifier).pop("model_", None)
        weights = Snapshot(model.variables) if self.had_model and in_place else None
        self._weights = weights
        self._model = bench.set_aside(model) if self.had_model and not in_place else lambda: model

    def put_back(self) -> None:
        """Makes the classifier what it was."""
        attributes = vars(self._classifier)
        attributes.clear()
        attributes.update(self._attributes)
        if self._weights is not None:
            self._weights.restore()
        if self.had_model:
            self._classifier.model_ = self._model()
