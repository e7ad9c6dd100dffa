"""Class weights: made from counts, checked, and resolved from what a user may write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from keras_mm.checks import is_number, nearest_name
from keras_mm.errors import InvalidArgumentError, InvalidValueError
from keras_mm.settings.label_keys import by_place

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
    counts = count_labels(labels, num_classes)
    return _averaging_one(1 / np.maximum(counts, 1), counts)


def effective_number_class_weight(
    labels: Any, num_classes: int | None = None, *, beta: float = 0.999
) -> np.ndarray:
    """Weights by the effective number of rows: `(1 - beta) / (1 - beta^count)`, scaled.

    The more rows a class has, the less another one adds to what they tell: up to about
    `1 / (1 - beta)` rows its weight falls as in `balanced_class_weight`, the limit for `beta` near
    1; beyond, it falls no further. The weights are scaled so that the rows' weights average 1. A
    class without rows gets 0, as there.

    Args:
        labels: Integer labels, shape `(num_rows,)`; negative means no label and is left out.
        num_classes: Length of the result; the largest label + 1 by default.
        beta: In `[0, 1)`. 0 weighs all rows alike; .9 to .9999 are usual, the larger the more
            rows there are.

    Returns:
        Floats, shape `(num_classes,)`.

    Raises:
        ValueError: if `beta` is outside `[0, 1)`, the labels are not integers in
            `[0, num_classes)`, or there are none.

    Example:
        >>> effective_number_class_weight([0, 0, 0, 1, -1], num_classes=3, beta=0.5)
        array([0.84210526, 1.47368421, 0.        ])

    Reference:
        Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples",
        arXiv:1901.05555, eq. 2 and section 4.1.
    """
    if not (is_number(beta) and 0 <= beta < 1):
        raise InvalidValueError(
            "`beta` must be in [0, 1); 0.999 is usual, 0 weighs all rows alike. "
            f"Received: beta={beta!r}"
        )
    counts = count_labels(labels, num_classes)
    return _averaging_one((1 - beta) / (1 - beta ** np.maximum(counts, 1)), counts)


def _averaging_one(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The weights scaled to average 1 over the counted rows; 0 for classes without any."""
    weights = np.where(counts > 0, weights, 0.0)
    return weights * (counts.sum() / (weights @ counts))


def count_labels(labels: Any, num_classes: int | None = None) -> np.ndarray:
    """How many rows each class has.

    Args:
        labels: Integer labels, shape `(num_rows,)`; negative means no label and is left out.
        num_classes: Length of the result; the largest label + 1 by default.

    Returns:
        Integers, shape `(num_classes,)`.

    Raises:
        ValueError: if the labels are not integers in `[0, num_classes)`, or there are none.

    Example:
        >>> count_labels([0, 0, 0, 1, -1], num_classes=3)
        array([3, 1, 0])
    """
    labels = _present_labels(labels)
    num_classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if labels.max() >= num_classes:
        raise InvalidValueError(
            f"`labels` must be below num_classes={num_classes}. Received: {int(labels.max())}"
        )
    return np.bincount(labels, minlength=num_classes)


def _present_labels(labels: Any) -> np.ndarray:
    """The labels that are not missing, as a flat integer array."""
    labels = np.asarray(labels)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise InvalidValueError(
            "`labels` must be integers in the order of the classes (-1 where missing); encode "
            f"label names first. Received: dtype {labels.dtype}"
        )
    labels = labels.reshape(-1)
    labels = labels[labels >= 0] if labels.size else labels
    if not len(labels):
        raise InvalidValueError(
            "`labels` holds no label to count; pass the labels of the training rows."
        )
    return labels


def resolve_class_weight(
    class_weight: ClassWeight, labels: Any, classes: Sequence[Any], *, beta: float = 0.999
) -> list[float] | None:
    """Class weights as floats in the order of the classes, whichever way they were written.

    Args:
        class_weight: `None`; `"balanced"` or `"effective_number"` (from `labels`); a dict of
            weights by class name, of whatever type (TOML's keys are text), where a class left
            out counts 1.0; or one weight per class in the order of `classes`.
        labels: Integer labels of the training rows, -1 where missing; read only by the ways that
            have a name.
        classes: Class names, in the order of the logits.
        beta: See `effective_number_class_weight`.

    Returns:
        `len(classes)` floats, or `None` for no weighting.

    Raises:
        ValueError: if a name is unknown (the nearest is offered), `beta` is out of its range, or
            a weight is negative, not finite, or missing from a sequence.

    Example:
        >>> resolve_class_weight({"no": 2}, [0, 1, 1], ["no", "yes"])
        [2.0, 1.0]
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight == "balanced":
            return balanced_class_weight(labels, len(classes)).tolist()
        if class_weight == "effective_number":
            return effective_number_class_weight(labels, len(classes), beta=beta).tolist()
        raise InvalidValueError(
            "`class_weight` as a string must be 'balanced' or 'effective_number'. "
            f"Received: class_weight={class_weight!r}"
        )
    mistakes: list[str] = []
    classes = list(classes)
    if isinstance(class_weight, Mapping):
        mistakes, class_weight = _by_name(class_weight, classes)
    mistakes += class_weight_mistakes(class_weight, len(classes))
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    return [float(weight) for weight in class_weight]


def resolve_pos_weight(
    pos_weight: ClassWeight, labels: Any, classes: Sequence[Any], *, beta: float = 0.999
) -> list[float] | None:
    """Weights of the labels' yes in the order of the labels, whichever way they were written.

    Args:
        pos_weight: `None`; `"balanced"`, which gives the rows with a label the same total as those
            without it, `num_without / num_with`; `"effective_number"`, the same ratio of effective
            numbers (see `effective_number_class_weight`); a dict of weights by label name, as it is
            or as text, where a label left out counts 1.0; or one weight per label.
        labels: Multi-hot labels of the training rows, shape `(num_rows, num_labels)`, -1 where not
            known; read only by the ways that have a name. A label that all rows have, or none,
            gets 1.
        classes: Label names, in the order of the logits.
        beta: See `effective_number_class_weight`.

    Returns:
        `len(classes)` floats, or `None` for no weighting.

    Raises:
        ValueError: as `resolve_class_weight`.

    Example:
        >>> resolve_pos_weight("balanced", [[1, 1], [0, 1], [0, 1]], ["red", "round"])
        [2.0, 1.0]
    """
    if pos_weight is None:
        return None
    if isinstance(pos_weight, str):
        if pos_weight not in ("balanced", "effective_number"):
            raise InvalidValueError(
                "`class_weight` as a string must be 'balanced' or 'effective_number'. "
                f"Received: class_weight={pos_weight!r}"
            )
        labels = np.asarray(labels)
        by_name = balanced_class_weight, partial(effective_number_class_weight, beta=beta)
        weigh = by_name[pos_weight == "effective_number"]
        found = [
            weigh(column.astype(int), 2) if (column >= 0).any() else (0.0, 0.0)
            for column in labels.T
        ]
        return [float(yes / no) if yes and no else 1.0 for no, yes in found]
    mistakes: list[str] = []
    if isinstance(pos_weight, Mapping):
        mistakes, pos_weight = _by_name(pos_weight, list(classes))
    mistakes += per_class_mistakes(
        "class_weight",
        pos_weight,
        len(classes),
        source="give a name, a dict by label name, or a number for each label",
        zero="1 counts a yes like a no, 0 leaves it out",
        least=1,
    )
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    return [float(weight) for weight in pos_weight]


def _by_name(class_weight: Mapping, classes: list) -> tuple[list[str], list]:
    """What is wrong with the names, and the weights in the order of the classes."""
    found, unknown, repeated = by_place(class_weight, classes)
    mistakes = [_unknown_name(name, classes) for name in unknown]
    mistakes += [f"`class_weight` names the class {name!r} twice." for name in repeated]
    return mistakes, [found.get(place, 1.0) for place in range(len(classes))]


def _unknown_name(name: Any, classes: Sequence[Any]) -> str:
    by_text = {str(known): known for known in classes}
    nearest = nearest_name(name, by_text)
    hint = f" Did you mean {by_text[nearest]!r}?" if nearest is not None else ""
    return f"`class_weight` names the class {name!r}, which is not one of {classes!r}.{hint}"


def class_weight_mistakes(class_weight: Any, num_classes: int | None = None) -> list[str]:
    """What is wrong with resolved class weights, a sentence each; empty if nothing is.

    Args:
        class_weight: One weight per class, or `None`.
        num_classes: How many there must be; at least two if not given.
    """
    if class_weight is None:
        return []
    return per_class_mistakes(
        "class_weight",
        class_weight,
        num_classes,
        source="`resolve_class_weight` makes them from a name or from a dict by class name",
        zero="use 0 to leave a class out and 1 to leave it as it is",
    )


def per_class_mistakes(
    name: str, values: Any, num_classes: int | None, *, source: str, zero: str, least: int = 2
) -> list[str]:
    """What is wrong with one finite number >= 0 per class, a sentence each.

    Args:
        name: The argument's name.
        values: What was given.
        num_classes: How many there must be; at least `least` if `None`.
        source: Where such numbers come from, for what is no sequence of numbers.
        zero: What small values mean, for what is out of range.
        least: Fewest classes there are.
    """
    received = f"Received: {name}={values!r}"
    try:
        if values is None or isinstance(values, str | Mapping):
            raise InvalidArgumentError("names need the labels and the classes to become numbers")
        numbers = np.asarray(values, dtype="float64")
    except (TypeError, ValueError):
        return [f"`{name}` must be one number per class; {source}. {received}"]
    mistakes = []
    at_least = "two" if least == 2 else "one"
    expected = f"{at_least} or more" if num_classes is None else num_classes
    if numbers.ndim != 1 or len(numbers) < least or len(numbers) != (num_classes or len(numbers)):
        mistakes.append(f"`{name}` must hold one number per class, {expected} in all. {received}")
    if not np.all(np.isfinite(numbers)) or np.any(numbers < 0):
        mistakes.append(f"`{name}` must be finite and >= 0; {zero}. {received}")
    return mistakes
