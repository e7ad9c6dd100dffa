"""What a classifier had before a training, given back if the training fails."""

from __future__ import annotations

from dataclasses import fields

from keras_mm.estimator.reuse import Workbench
from keras_mm.estimator.trained import Trained
from keras_mm.training.memory import Snapshot


class Former:
    """The trained model of before a training, which need not be held meanwhile.

    Args:
        trained: What the classifier has; afterwards nobody need hold it, so that the next model
            can use its encoders.
        bench: What makes the classifier's models.
        in_place: Whether the training goes on with the weights that there are.
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
        """What the classifier had; `None` if it was not trained."""
        if not self.there:
            return None
        if self._weights is not None:
            self._weights.restore()
        return Trained(**self._rest, model=self._model())
