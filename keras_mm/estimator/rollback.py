"""The trained model of before a training, restored if the training fails."""

from __future__ import annotations

import logging
from dataclasses import fields

from keras_mm.estimator.fit import Outcome
from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.trained import Trained
from keras_mm.training.memory import Snapshot

_log = logging.getLogger("keras_mm")


class Former:
    """The trained model of before a training.

    Nothing else needs to hold the model during the training, so that the next model can use its
    encoders.

    Args:
        trained: What the classifier has; `None` if it is not trained.
        bench: What builds the classifier's models.
        in_place: Whether the training continues with the model's weights.
    """

    def __init__(self, trained: Trained | None, bench: Workbench, *, in_place: bool = False):
        self.there = trained is not None
        if trained is None:
            return
        self._rest = {f.name: getattr(trained, f.name) for f in fields(Trained)}
        model = self._rest.pop("model")
        self._weights = Snapshot(model.variables) if in_place else None
        self._model = (lambda: model) if in_place else bench.set_aside(model)

    def give_back(self) -> Trained | None:
        """What the classifier had.

        Returns:
            The trained model with its weights of before; `None` if there was none.
        """
        if not self.there:
            return None
        if self._weights is not None:
            self._weights.restore()
        return Trained(**self._rest, model=self._model())

    def better(self, outcome: Outcome) -> Trained | None:
        """What the classifier has after a training, which may have failed.

        Args:
            outcome: What the training returned.

        Returns:
            The new model if the training succeeded, or if there was no model before and at least
            one epoch ended; else what the classifier had.
        """
        if outcome.error is None:
            return outcome.trained
        if self.there:
            _log.warning("the classifier keeps the model that it had before this training")
            return self.give_back()
        return outcome.trained if outcome.trained.history else None
