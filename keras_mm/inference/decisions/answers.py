"""Decisions for rows: labels by thresholds or costs, sets, intervals and abstentions."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import numpy as np
import pandas as pd

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.inference.answers import answer_frame, label_cells, names_array, predictions
from keras_mm.inference.decisions.abstention import NEVER
from keras_mm.inference.decisions.costs import cheapest
from keras_mm.inference.decisions.head_decisions import HeadDecisions
from keras_mm.metrics.probabilities import probabilities
from keras_mm.settings.by_head import head_prefixes
from keras_mm.settings.heads import Head

DECIDE = ("threshold", "set", "abstain")


def check_decide(decide: str | None, heads: Mapping[str, Head], fitted: Container[str]) -> None:
    """Checks that the heads of a model can decide in this way.

    Args:
        decide: As in `MultimodalClassifier.predict`.
        heads: All heads of the model by name.
        fitted: Names of the heads whose decisions were fitted.

    Raises:
        ValueError: for an unknown way, for heads whose decisions were not fitted, or if there are
            only regression heads, which have intervals but no thresholds.
    """
    if decide is None:
        return
    if decide not in DECIDE:
        raise InvalidValueError(unknown_name("value of `decide`", decide, DECIDE))
    kinds = {head.kind for head in heads.values()}
    if decide != "set" and kinds == {"regression"}:
        raise InvalidValueError(
            "A regression head has no thresholds and does not abstain; decide='set' gives its "
            f"intervals. Received: decide={decide!r}"
        )
    free = {"set": (), "abstain": ("regression",), "threshold": ("regression", "multilabel")}
    needing = [name for name, head in heads.items() if head.kind not in free[decide]]
    check_fitted(f"decide={decide!r}", needing, fitted)


def check_fitted(argument: str, heads: Iterable[str], fitted: Container[str]) -> None:
    """Checks that decisions of heads were fitted.

    Args:
        argument: The argument that needs them, with its value, for the message.
        heads: Names of the heads.
        fitted: Names of the heads whose decisions were fitted.

    Raises:
        ValueError: naming the heads whose decisions were not.
    """
    missing = [name for name in heads if name not in fitted]
    if missing:
        raise InvalidValueError(
            f"{argument} needs decisions, which were not fitted for the heads {missing}. Call "
            "`fit_decisions` of the classifier first; a saved model keeps them."
        )


def class_probabilities(
    head: Head, decisions: HeadDecisions | None, logits: np.ndarray
) -> np.ndarray:
    """Probabilities of a head.

    Args:
        head: A head that is not for regression.
        decisions: Its decisions; `None` if probabilities are not calibrated.
        logits: Floats, shape `(num_rows, num_logits)`.

    Returns:
        As `keras_mm.metrics.probabilities.probabilities`.
    """
    if decisions is None:
        return probabilities(logits, head.kind)
    return decisions.probabilities(head, logits)


def threshold_answers(head: Head, decisions: HeadDecisions, logits: np.ndarray) -> np.ndarray:
    """Encoded answers by costs, offsets or thresholds, else by the largest probability.

    Args:
        head: A head that is not for regression.
        decisions: Its decisions.
        logits: Floats, shape `(num_rows, num_logits)`.

    Returns:
        Positions of classes `(num_rows,)`; for `"multilabel"` 0 or 1 `(num_rows, num_labels)`.

    Example:
        >>> decisions = HeadDecisions("rows", 100, 0.1, offsets=(0.0, 2.0))
        >>> threshold_answers(Head(classes=2), decisions, np.array([[1.0, 0.0]])).tolist()
        [1]
    """
    if head.kind == "multilabel":
        return predictions(head, logits)
    calibrated = decisions.probabilities(head, logits)
    if decisions.costs is not None:
        return cheapest(calibrated, decisions.costs)
    if decisions.offsets is None:
        # Not the calibrated ones: rounding may make two probabilities equal.
        return probabilities(logits, head.kind).argmax(axis=1)
    return (np.log(np.maximum(calibrated, 1e-300)) + decisions.offsets).argmax(axis=1)


def answered_confidences(
    head: Head, decisions: HeadDecisions, logits: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """The calibrated probability that each answer is right.

    Args:
        head: A head that is not for regression.
        decisions: Its decisions.
        logits: Floats, shape `(num_rows, num_logits)`.
        answers: As `threshold_answers` returns them.

    Returns:
        Floats in [0, 1], shape `(num_rows,)`; for `"multilabel"` the probability that all labels
        are right, if they are independent.
    """
    calibrated = decisions.probabilities(head, logits)
    if head.kind == "multilabel":
        return np.where(answers == 1, calibrated, 1 - calibrated).prod(axis=1)
    return calibrated[np.arange(len(answers)), answers]


def in_set(head: Head, decisions: HeadDecisions, logits: np.ndarray) -> np.ndarray:
    """Which labels are in the set of each row.

    Args:
        head: A head that is not for regression.
        decisions: Its decisions.
        logits: Floats, shape `(num_rows, num_logits)`.

    Returns:
        Bool, shape `(num_rows, num_classes)`. A set can be empty. A row with NaN has all labels.
    """
    return ~(decisions.probabilities(head, logits) < np.asarray(decisions.set_limits))


def intervals(decisions: HeadDecisions, logits: np.ndarray) -> np.ndarray:
    """The intervals of predicted numbers.

    Args:
        decisions: The decisions of a regression head.
        logits: Numbers, shape `(num_rows, num_targets)`.

    Returns:
        The two ends of each interval, float64, shape `(num_rows, num_targets, 2)`.
    """
    widths = np.asarray([np.inf if w is None else w for w in decisions.half_widths])
    numbers = np.asarray(logits, "float64")
    return np.stack([numbers - widths, numbers + widths], axis=-1)


def decided(
    head: Head, decisions: HeadDecisions | None, logits: np.ndarray, decide: str | None
) -> np.ndarray:
    """Decisions for rows, as `MultimodalClassifier.predict` returns them.

    Args:
        head: The head, with its classes.
        decisions: Its decisions; `None` if `check_decide` allows it.
        logits: Floats, shape `(num_rows, num_logits)`.
        decide: As in `MultimodalClassifier.predict`.

    Returns:
        Without `decide`, as `keras_mm.inference.answers.predictions`. For `"threshold"` of the same
        form. For `"set"` lists of labels, shape `(num_rows,)`, dtype object; of a regression head
        the ends of intervals, `(num_rows, 2)`, with several targets `(num_rows, num_targets, 2)`.
        For `"abstain"` labels, or for `"multilabel"` lists of labels, and `None` where the model
        abstains, dtype object.

    Example:
        >>> decisions = HeadDecisions("rows", 100, 0.1, set_limits=(0.3,), min_confidence=0.7)
        >>> head, logits = Head(classes=("no", "yes")), np.array([[0.0, 3.0], [0.1, 0.0]])
        >>> decided(head, decisions, logits, "set").tolist()
        [['yes'], ['no', 'yes']]
        >>> decided(head, decisions, logits, "abstain").tolist()
        ['yes', None]
    """
    if decide is None or decisions is None:
        return predictions(head, logits)
    if head.kind == "regression":
        if decide != "set":
            return predictions(head, logits)
        ends = intervals(decisions, logits)
        return ends[:, 0] if ends.shape[1] == 1 else ends
    if decide == "set":
        return _lists(head, in_set(head, decisions, logits))
    answers = threshold_answers(head, decisions, logits)
    if decide == "abstain":
        return _with_abstentions(head, decisions, logits, answers)
    return answers if head.kind == "multilabel" else names_array(head.names)[answers]


def decided_frame(
    heads: Mapping[str, Head],
    decisions: Mapping[str, HeadDecisions],
    logits: Mapping[str, np.ndarray],
    index: pd.Index,
    decide: str | None,
) -> pd.DataFrame:
    """Makes a table of decisions.

    Args:
        heads: All heads of the model by name.
        decisions: Decisions by head.
        logits: Floats, shape `(num_rows, num_logits)`, by head.
        index: Index of the table.
        decide: As in `MultimodalClassifier.predict_frame`.

    Returns:
        The columns of `keras_mm.inference.answers.answer_frame`, with the decision in
        `prediction`. For `"set"` of a regression head `prediction` stays the number, and the
        columns `low` and `high` (with several targets `low_<target>`, ...) are added.
    """
    frame = answer_frame(heads, logits, index)
    for name, prefix in head_prefixes(logits).items() if decide is not None else ():
        head, fitted = heads[name], decisions.get(name)
        if head.kind == "regression":
            if decide == "set" and fitted is not None:
                frame = frame.assign(**_ends(head, prefix, intervals(fitted, logits[name])))
            continue
        values = decided(head, fitted, logits[name], decide)
        cells = label_cells(head, values) if values.ndim > 1 else values
        if cells.dtype == object:  # pandas would infer strings with NaN for text and `None`
            cells = pd.Series(cells, index=frame.index, dtype=object)
        frame[f"{prefix}prediction"] = cells
    return frame


def _ends(head: Head, prefix: str, ends: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of intervals by name."""
    suffixes = [""] if head.num_logits == 1 else [f"_{name}" for name in head.names]
    return {
        f"{prefix}{end}{suffix}": ends[:, target, place]
        for target, suffix in enumerate(suffixes)
        for place, end in enumerate(("low", "high"))
    }


def _lists(head: Head, chosen: np.ndarray) -> np.ndarray:
    """Lists of label names, dtype object, shape `(num_rows,)`."""
    names = names_array(head.names).tolist()
    cells = np.empty(len(chosen), dtype=object)
    for row, labels in enumerate(chosen):
        cells[row] = [names[place] for place in np.flatnonzero(labels)]
    return cells


def _with_abstentions(
    head: Head, decisions: HeadDecisions, logits: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """Answers as objects; `None` where the confidence is too low."""
    lowest = NEVER if decisions.min_confidence is None else decisions.min_confidence
    sure = answered_confidences(head, decisions, logits, answers) >= lowest
    if head.kind == "multilabel":
        cells = _lists(head, answers == 1)
    else:
        cells = np.empty(len(answers), dtype=object)
        cells[:] = names_array(head.names)[answers].tolist()
    cells[~sure] = None
    return cells
