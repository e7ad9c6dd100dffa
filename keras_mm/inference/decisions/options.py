"""What decisions are fitted for, as the user asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_mm.checks import is_number, quote
from keras_mm.errors import InvalidValueError

Metric = str | Callable[..., float] | None


@dataclass(frozen=True)
class Options:
    """What decisions are fitted for; see `MultimodalClassifier.fit_decisions`."""

    metric: Metric = None
    costs: Any = None
    error: float = 0.1
    classwise: bool = False

    def __post_init__(self):
        if not (is_number(self.error) and 0 < self.error < 1):
            raise InvalidValueError(
                f"`error` must be a number in (0, 1), such as 0.1. Received: error={self.error!r}"
            )
        if self.metric is not None and self.costs is not None:
            raise InvalidValueError(
                "`metric` and `costs` both choose among the classes: pass one of them. "
                f"Received: metric={quote(self.metric)}, costs={quote(self.costs)}"
            )

    @property
    def metric_name(self) -> str | None:
        """The metric as text, for the saved model."""
        if callable(self.metric):
            return getattr(self.metric, "__name__", type(self.metric).__name__)
        return self.metric
