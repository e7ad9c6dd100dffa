"""Warns of decisions that were fitted on too few held-out rows."""

from __future__ import annotations

import numpy as np

from keras_mm.checks import quote
from keras_mm.inference.decisions.abstention import NEVER
from keras_mm.inference.decisions.conformal import members
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.settings.heads import Head
from keras_mm.warn import warn


def warn_of_wide(name: str, fitted: HeadDecisions) -> None:
    """Warns of intervals without ends.

    Args:
        name: Name of the head.
        fitted: Its decisions.

    Warns:
        UserWarning: always.
    """
    warn(
        f"{_few(name, fitted)}: its intervals have no ends. Use more held-out rows, or a larger "
        "`error`."
    )


def warn_of_few(name: str, head: Head, fitted: HeadDecisions, labels: np.ndarray) -> None:
    """Warns of sets that hold a class always, and of rows that are never answered.

    Args:
        name: Name of the head.
        head: The head.
        fitted: Its decisions.
        labels: Encoded labels of the held-out rows.

    Warns:
        UserWarning: in these cases.
    """
    if fitted.num_rows < 1 / fitted.error - 1:
        warn(
            f"{_few(name, fitted)}: its sets hold every label, and decide='abstain' answers no "
            "row. Use more held-out rows, or a larger `error`."
        )
        return
    if fitted.classwise:
        counts = [len(places) for places in members(labels, len(head.names))]
        few = {
            label: count
            for label, count in zip(head.names, counts, strict=True)
            if count < 1 / fitted.error - 1
        }
        if few:
            warn(
                f"Every set of the head {name!r} holds {quote(list(few))}: only "
                f"{quote(list(few.values()))} held-out rows have these labels, and an error of "
                f"{fitted.error:g} needs {_needed(fitted.error)}."
            )
    if fitted.min_confidence == NEVER:
        warn(
            f"decide='abstain' answers no row of the head {name!r}: also the most confident "
            f"answers on held-out rows have an error above {fitted.error:g}. Use a larger `error`."
        )


def _few(name: str, fitted: HeadDecisions) -> str:
    return (
        f"The head {name!r} has {fitted.num_rows} held-out rows with a label, and an error of "
        f"{fitted.error:g} needs {_needed(fitted.error)}"
    )


def _needed(error: float) -> int:
    return int(np.ceil(1 / error - 1 - 1e-9))
