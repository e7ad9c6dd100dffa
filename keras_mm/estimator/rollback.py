"""Keeps the trained model of a classifier during a training, and restores it if that fails."""

from __future__ import annotations

import logging
from dataclasses import fields

from keras_mm.estimator.fit import Outcome
from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.trained import Trained
from keras_mm.training.memory import Snapshot

_log = logging.getLogger("keras_mm")


class PreviousModel:
    """The trained model that a classifier had before a training.

    It refers to the layers of the model, not to the model, so that the next model can reuse the
    encoders.

    Args:
        trained: The trained model of the classifier; `None` if it is not fitted.
        workbench: Builds the models of the classifier.
        in_place: Whether the training continues to train this model.
    """

    def __init__(self, trained: Trained | None, workbench: Workbench, *, in_place: bool = False):
        self.exists = trained is not None
        if trained is None:
            return
        self._rest = {f.name: getattr(trained, f.name) for f in fields(Trained)}
        model = self._rest.pop("model")
        self._weights = Snapshot(model.variables) if in_place else None
        self._model = (lambda: model) if in_place else workbench.set_aside(model)

    def restore(self) -> Trained | None:
        """Restores the trained model.

        Returns:
            The trained model with its previous weights; `None` if there was none.
        """
        if not self.exists:
            return None
        if self._weights is not None:
            self._weights.restore()
        return Trained(**self._rest, model=self._model())

    def after(self, outcome: Outcome) -> Trained | None:
        """Chooses the model that the classifier has after a training.

        Args:
            outcome: The result of the training, which may have failed.

        Returns:
            The new model if the training succeeded, or if there was no model before and at least
            one epoch was completed; else the previous model, restored, or `None`.
        """
        if outcome.error is None:
            return outcome.trained
        if self.exists:
            _log.warning("the classifier keeps the model that it had before this training")
            return self.restore()
        return outcome.trained if outcome.trained.history else None
