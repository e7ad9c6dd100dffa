"""How the logits of a head become decisions, as plain data that is saved with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.heads import Head


@dataclass(frozen=True)
class HeadDecisions:
    """How the logits of one head become decisions; fitted on held-out rows.

    Calibrated probabilities are those of the logits divided by `temperature`. The thresholds of a
    multilabel head are not here, but in its `keras_mm.Head.threshold`.

    Attributes:
        source: The held-out rows: `"out_of_fold"` or `"validation"` rows of the training, or
            `"rows"` that the user passed.
        num_rows: Number of held-out rows with a label of the head and a weight above 0.
        error: The error that was asked for, in (0, 1).
        temperature: The logits are divided by this, > 0; 1 for a regression head.
        metric: The metric that chose `offsets` or the thresholds of a multilabel head; `None` for
            none.
        offsets: Added to the logarithms of the calibrated probabilities before the largest is
            chosen, by class; `None` if the most probable class is chosen.
        costs: Cost of each answer (inner) for each class (outer): the answer of the lowest expected
            cost is chosen. `None` without costs.
        classwise: Whether each class has a limit of its own.
        set_limits: A class is in the set if its calibrated probability is at least this. One number
            for all classes, or one by class; 0 puts the class into every set. Empty for regression.
        half_widths: Half the width of the interval of a regression head, by target; `None` for an
            interval without ends. Empty for other heads.
        min_confidence: A row is answered if its confidence is at least this; above 1 no row is.
            `None` for regression.
    """

    source: str
    num_rows: int
    error: float
    temperature: float = 1.0
    metric: str | None = None
    offsets: tuple[float, ...] | None = None
    costs: tuple[tuple[float, ...], ...] | None = None
    classwise: bool = False
    set_limits: tuple[float, ...] = ()
    half_widths: tuple[float | None, ...] = ()
    min_confidence: float | None = None

    def probabilities(self, head: Head, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities.

        Args:
            head: The head that these decisions are of; not a regression head.
            logits: Floats, shape `(num_rows, num_logits)`.

        Returns:
            As `keras_mm.metrics.probabilities.probabilities` of the logits divided by the
            temperature.
        """
        return probabilities(np.asarray(logits, "float64") / self.temperature, head.kind)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields by name, as JSON-serialisable values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeadDecisions:
        """Creates decisions from the fields in a saved model.

        Args:
            values: What `to_dict` returned, also after a round trip through JSON. Unknown names are
                ignored.

        Returns:
            The decisions.

        Example:
            >>> import json
            >>> decisions = HeadDecisions("rows", 100, 0.1, set_limits=(0.2,))
            >>> HeadDecisions.from_dict(json.loads(json.dumps(decisions.to_dict()))) == decisions
            True
        """
        known = {f.name for f in fields(cls)}
        return cls(**{name: _frozen(value) for name, value in values.items() if name in known})


def decisions_of(spec: Mapping[str, Any]) -> dict[str, HeadDecisions]:
    """Reads the decisions of a saved model.

    Args:
        spec: The description in a saved model, of any format version.

    Returns:
        Decisions by head, for the heads whose decisions were fitted.
    """
    saved = spec.get("decisions", {})
    return {name: HeadDecisions.from_dict(values) for name, values in saved.items()}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value
