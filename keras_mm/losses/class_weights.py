"""Class weights: checked, balanced, and resolved from what a user may write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

ClassWeight = str | Mapping[Any, float] | Sequence[float] | np.ndarray | None


def balanced_class_weight(labels: Any, num_classes: int | None = None) -> np.ndarray:
    """Weights that give every class the same total: `num_rows / (num_occurring * count)`.

    As scikit-learn's "balanced", over the classes that occur; the rows' weights then average 1.
    A class without rows gets 0: no row of it was seen, and any other weight would be a guess.

    Args:
        labels: Integer labels, shape `(num_rows,)`; negative means no label and is left out.
        num_classes: Length of the result; the largest label + 1 by default.

    Returns:
        Floats, shape `(num_classes,)`.

    Raises:
        ValueError: if the labels are not integers in `[0, num_classes)`, or there are none.

    Example:
        >>> balanced_class_weight([0, 0, 0, 1, -1], num_classes=3)
        array([0.66666667, 2.        , 0.        ])
    """
    labels = _present_labels(labels)
    num_classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if labels.max() >= num_classes:
        raise ValueError(
            f"`labels` must be below num_classes={num_classes}. Received: {int(labels.max())}"
        )
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.zeros(num_classes)
    occurring = counts > 0
    weights[occurring] = len(labels) / (occurring.sum() * counts[occurring])
    return weights


def _present_labels(labels: Any) -> np.ndarray:
    """The labels that are not missing, as a flat integer array."""
    labels = np.asarray(labels)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "`labels` must be integers in the order of the classes (-1 where missing); encode "
            f"label names first. Received: dtype {labels.dtype}"
        )
    labels = labels.reshape(-1)
    labels = labels[labels >= 0] if labels.size else labels
    if not len(labels):
        raise ValueError(
            "`labels` holds no label to count, so there is nothing to balance; pass the labels "
            "of the training rows."
        )
    return labels


def resolve_class_weight(
    class_weight: ClassWeight, labels: Any, classes: Sequence[Any]
) -> list[float] | None:
    """Class weights as floats in the order of the classes, whichever way they were written.

    Args:
        class_weight: `None`; `"balanced"` (from `labels`); a dict of weights by class name, as it
            is or as text (TOML's keys are text), where a class left out counts 1.0; or one weight
            per class in the order of `classes`.
        labels: Integer labels of the training rows, -1 where missing; read by `"balanced"` only.
        classes: Class names, in the order of the logits.

    Returns:
        `len(classes)` floats, or `None` for no weighting.

    Raises:
        ValueError: if a name is unknown (the nearest is offered), or a weight is negative, not
            finite, or missing from a sequence.

    Example:
        >>> resolve_class_weight({"no": 2}, [0, 1, 1], ["no", "yes"])
        [2.0, 1.0]
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                "`class_weight` as a string must be 'balanced'. "
                f"Received: class_weight={class_weight!r}"
            )
        return balanced_class_weight(labels, len(classes)).tolist()
    mistakes, classes = [], list(classes)
    if isinstance(class_weight, Mapping):
        mistakes = _unknown_names(class_weight, classes)
        class_weight = [class_weight.get(c, class_weight.get(str(c), 1.0)) for c in classes]
    mistakes += class_weight_mistakes(class_weight, len(classes))
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return [float(weight) for weight in class_weight]


def _unknown_names(class_weight: Mapping, classes: Sequence[Any]) -> list[str]:
    mistakes = []
    by_text = {str(name): name for name in classes}
    for name in class_weight:
        if name in classes or name in by_text:
            continue
        nearest = get_close_matches(str(name), by_text, n=1)
        hint = f" Did you mean {by_text[nearest[0]]!r}?" if nearest else ""
        mistakes.append(
            f"`class_weight` names the class {name!r}, which is not one of {classes!r}.{hint}"
        )
    return mistakes


def class_weight_mistakes(class_weight: Any, num_classes: int | None = None) -> list[str]:
    """What is wrong with resolved class weights, a sentence each; empty if nothing is.

    Args:
        class_weight: One weight per class, or `None`.
        num_classes: How many there must be; at least two if not given.
    """
    if class_weight is None:
        return []
    received = f"Received: class_weight={class_weight!r}"
    try:
        if isinstance(class_weight, str | Mapping):
            raise TypeError("names need the labels and the classes to become weights")
        weights = np.asarray(class_weight, dtype="float64")
    except (TypeError, ValueError):
        return [
            "`class_weight` must be one number per class; `resolve_class_weight` makes them from "
            f"'balanced' or from a dict by class name. {received}"
        ]
    mistakes = []
    expected = "two or more" if num_classes is None else num_classes
    if weights.ndim != 1 or len(weights) < 2 or len(weights) != (num_classes or len(weights)):
        mistakes.append(
            f"`class_weight` must hold one weight per class, {expected} in all. {received}"
        )
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        mistakes.append(
            "`class_weight` must be finite and >= 0; use 0 to leave a class out and 1 to leave "
            f"it as it is. {received}"
        )
    return mistakes
