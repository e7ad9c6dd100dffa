"""Checks of the fusions' arguments."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from keras_mm.errors import InvalidValueError


def check_whole(low: int = 1, **arguments: Any) -> None:
    """Refuses what is no integer of at least `low`.

    Raises:
        ValueError: naming the argument, the rule and the value.
    """
    for name, value in arguments.items():
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not (whole and value >= low):
            raise InvalidValueError(
                f"`{name}` must be an integer >= {low}. Received: {name}={value!r}"
            )


def check_rate(**arguments: Any) -> None:
    """Refuses what is no number in [0, 1).

    Raises:
        ValueError: naming the argument, the rule and the value.
    """
    for name, value in arguments.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and 0 <= value < 1):
            raise InvalidValueError(
                f"`{name}` must be a number in [0, 1). Received: {name}={value!r}"
            )
