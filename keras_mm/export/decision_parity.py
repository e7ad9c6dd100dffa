"""Compares the decisions of an artefact with those of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mm.data.tables.labels import label_value
from keras_mm.inference.decisions.answers import (
    answered_confidences,
    intervals,
    threshold_answers,
)
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.settings.heads import Head


def decision_difference(
    head: Head,
    decisions: HeadDecisions,
    logits: np.ndarray,
    outputs: Mapping[str, Any],
    tolerance: float,
) -> tuple[float, set[int]]:
    """The largest difference of an artefact's calibrated probabilities, and rows decided otherwise.

    A probability within `tolerance` of a limit may be on either side of it.

    Args:
        head: The head.
        decisions: Its decisions.
        logits: The model's logits, shape `(num_rows, num_logits)`.
        outputs: Outputs of the artefact by name, as
            `keras_mm.export.decision_graph.decision_outputs` describes them, with class names as
            `threshold_label`.
        tolerance: Largest allowed difference of probabilities.

    Returns:
        The difference, for regression of the intervals' ends in standard deviations of the
        predictions; and the positions of the rows.
    """
    if head.kind == "regression":
        numbers, ends = np.asarray(logits, "float64"), intervals(decisions, logits)
        unit = np.maximum(numbers.std(axis=0), 1e-6 * np.maximum(np.abs(numbers).max(axis=0), 1))
        found = np.asarray(outputs["interval"], "float64")
        with np.errstate(invalid="ignore"):  # infinite ends are equal, not NaN apart
            apart = np.where(found == ends, 0.0, np.abs(found - ends))
        return float((apart / unit[:, None]).max()), set()
    calibrated = decisions.probabilities(head, logits)
    found = np.asarray(outputs["calibrated_probabilities"])
    limits = np.broadcast_to(decisions.set_limits, calibrated.shape)
    wrong = _is_off(np.asarray(outputs["set"], str) != "", calibrated, limits, tolerance).any(
        axis=1
    )
    answers = threshold_answers(head, decisions, logits)
    confidences = answered_confidences(head, decisions, logits, answers)
    lowest = decisions.min_confidence or 0.0
    wrong |= _is_off(np.asarray(outputs["answered"]), confidences, lowest, tolerance)
    if decisions.costs is not None or decisions.offsets is not None:
        labels = [str(label_value(label)) for label in outputs["threshold_label"]]
        expected = [str(head.names[place]) for place in answers]
        wrong |= np.asarray([a != b for a, b in zip(labels, expected, strict=True)], bool)
    return float(np.abs(found - calibrated).max()), set(np.flatnonzero(wrong).tolist())


def _is_off(found: np.ndarray, values: np.ndarray, limits: Any, tolerance: float) -> np.ndarray:
    """Where a limit was applied otherwise than to these values."""
    return (found != ~(values < limits)) & (np.abs(values - limits) > tolerance)
