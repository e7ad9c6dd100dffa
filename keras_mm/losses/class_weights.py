"""Class weights: computes them from labels, checks them, and resolves names and dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from keras_mm.checks import is_number, nearest_name, quote
from keras_mm.errors import InvalidArgumentError, InvalidValueError
from keras_mm.row_weights import check_weights
from keras_mm.settings.label_keys import by_place

_SHOWN = 20  # classes in a message

ClassWeight = str | Mapping[Any, float] | Sequence[float] | np.ndarray | None


def balanced_class_weight(
    labels: Any, num_classes: int | None = None, *, sample_weight: Any = None
) -> np.ndarray:
    """Weights that give every class the same total weight: `num_rows / (num_occurring * count)`.

    Like scikit-learn's "balanced", over the classes that occur; the mean weight of a row is 1. A
    class without rows gets the weight 0. As in scikit-learn, a row of `sample_weight` 3 counts as
    three rows do.

    Args:
        labels: Integer labels, shape `(num_rows,)`; negative means no label and is left out.
        num_classes: Length of the result; by default the largest label + 1.
        sample_weight: Weights of the rows, floats >= 0, shape `(num_rows,)`; `None` if all rows
            count 1.

    Returns:
        Floats, shape `(num_classes,)`.

    Raises:
        ValueError: if the labels are not integers in `[0, num_classes)`, or there are none.

    Example:
        >>> balanced_class_weight([0, 0, 0, 1, -1], num_classes=3)
        array([0.66666667, 2.        , 0.        ])
        >>> balanced_class_weight([0, 1], sample_weight=[3, 1])
        array([0.66666667, 2.        ])
    """
    counts = count_labels(labels, num_classes, sample_weight=sample_weight)
    # A class without rows would divide by 0; `_averaging_one` gives it the weight 0.
    return _averaging_one(1 / np.where(counts > 0, counts, 1), counts)


def effective_number_class_weight(
    labels: Any, num_classes: int | None = None, *, beta: float = 0.999, sample_weight: Any = None
) -> np.ndarray:
    """Weights by the effective number of rows: `(1 - beta) / (1 - beta^count)`, scaled.

    Each further row of a class adds less information than the one before. Up to about
    `1 / (1 - beta)` rows, the weight of a class falls as in `balanced_class_weight`, which is the
    limit for `beta` near 1; beyond that it stays level. The weights are scaled so that the mean
    weight of a row is 1. A class without rows gets the weight 0.

    Args:
        labels: Integer labels, shape `(num_rows,)`; negative means no label and is left out.
        num_classes: Length of the result; by default the largest label + 1.
        beta: In `[0, 1)`. 0 weights all rows alike; 0.9 to 0.9999 are usual, and larger values
            for more rows.
        sample_weight: As in `balanced_class_weight`: a class's count is the sum of its weights.

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
            "`beta` must be in [0, 1); 0.999 is usual, 0 weights all rows alike. "
            f"Received: beta={beta!r}"
        )
    counts = count_labels(labels, num_classes, sample_weight=sample_weight)
    return _averaging_one((1 - beta) / (1 - beta ** np.where(counts > 0, counts, 1)), counts)


def _averaging_one(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The weights scaled to average 1 over the counted rows; 0 for classes without any."""
    weights = np.where(counts > 0, weights, 0.0)
    return weights * (counts.sum() / (weights @ counts))


def count_labels(
    labels: Any, num_classes: int | None = None, *, sample_weight: Any = None
) -> np.ndarray:
    """Counts the rows of each class.

    Args:
        labels: Integer labels, shape `(num_rows,)`; negative means no label and is left out.
        num_classes: Length of the result; by default the largest label + 1.
        sample_weight: Weights of the rows, as in `balanced_class_weight`.

    Returns:
        Integers, shape `(num_classes,)`; with `sample_weight` floats, the sums of the weights.

    Raises:
        ValueError: if the labels are not integers in `[0, num_classes)`, or no row of a weight
            above 0 has one.

    Example:
        >>> count_labels([0, 0, 0, 1, -1], num_classes=3)
        array([3, 1, 0])
    """
    labels, weights = _present_labels(labels, sample_weight)
    num_classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if labels.max() >= num_classes:
        raise InvalidValueError(
            f"`labels` must be below num_classes={num_classes}. Received: {int(labels.max())}"
        )
    return np.bincount(labels, weights, num_classes)


def _present_labels(labels: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """The labels that are present, as a flat integer array, and their rows' weights."""
    labels = np.asarray(labels)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise InvalidValueError(
            "`labels` must be integers in the order of the classes (-1 where missing); encode "
            f"label names first. Received: dtype {labels.dtype}"
        )
    labels = labels.reshape(-1)
    weights = check_weights(sample_weight, len(labels))
    present = labels >= 0 if weights is None else (labels >= 0) & (weights > 0)
    labels = labels[present] if labels.size else labels
    if not len(labels):
        raise InvalidValueError(
            "`labels` holds no label to count; pass the labels of the training rows."
        )
    return labels, None if weights is None else weights[present]


def resolve_class_weight(
    class_weight: ClassWeight,
    labels: Any,
    classes: Sequence[Any],
    *,
    beta: float = 0.999,
    sample_weight: Any = None,
) -> list[float] | None:
    """Class weights as floats in the order of the classes.

    Args:
        class_weight: `None`; `"balanced"` or `"effective_number"`, computed from `labels`; a dict
            of weights by class name or its text (as in TOML), where omitted classes have the weight
            1.0; or one weight per class in the order of `classes`.
        labels: Integer labels of the training rows, -1 where missing; read only for `"balanced"`
            and `"effective_number"`.
        classes: Class names, in the order of the logits.
        beta: See `effective_number_class_weight`.
        sample_weight: Weights of the training rows, as in `balanced_class_weight`; read with
            `labels`.

    Returns:
        `len(classes)` floats, or `None` for no weighting.

    Raises:
        ValueError: if a name is unknown (the message suggests the nearest), `beta` is out of its
            range, or a weight is negative, not finite, or missing from a sequence.

    Example:
        >>> resolve_class_weight({"no": 2}, [0, 1, 1], ["no", "yes"])
        [2.0, 1.0]
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight == "balanced":
            return balanced_class_weight(labels, len(classes), sample_weight=sample_weight).tolist()
        if class_weight == "effective_number":
            return effective_number_class_weight(
                labels, len(classes), beta=beta, sample_weight=sample_weight
            ).tolist()
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
    pos_weight: ClassWeight,
    labels: Any,
    classes: Sequence[Any],
    *,
    beta: float = 0.999,
    sample_weight: Any = None,
) -> list[float] | None:
    """Weights of positive labels, as floats in the order of the labels.

    Args:
        pos_weight: `None`; `"balanced"`: `num_negative / num_positive` of each label;
            `"effective_number"`: the same ratio of effective numbers (see
            `effective_number_class_weight`); a dict of weights by label name or its text, where
            omitted labels have the weight 1.0; or one weight per label.
        labels: Multi-hot labels of the training rows, shape `(num_rows, num_labels)`, -1 where
            missing; read only for `"balanced"` and `"effective_number"`, which give the weight 1 to
            a label without positive or without negative rows.
        classes: Label names, in the order of the logits.
        beta: See `effective_number_class_weight`.
        sample_weight: Weights of the training rows, as in `balanced_class_weight`; read with
            `labels`.

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
        formulas = balanced_class_weight, partial(effective_number_class_weight, beta=beta)
        weigh = formulas[pos_weight == "effective_number"]
        weights = check_weights(sample_weight, len(labels))
        counted = np.ones(len(labels), bool) if weights is None else weights > 0
        # Each label is a class of two, no and yes; a label without any row has no weights.
        no_and_yes = [
            weigh(column.astype(int), 2, sample_weight=weights)
            if ((column >= 0) & counted).any()
            else (0.0, 0.0)
            for column in labels.T
        ]
        return [float(yes / no) if yes and no else 1.0 for no, yes in no_and_yes]
    mistakes: list[str] = []
    if isinstance(pos_weight, Mapping):
        mistakes, pos_weight = _by_name(pos_weight, list(classes))
    mistakes += per_class_mistakes(
        "class_weight",
        pos_weight,
        len(classes),
        source="give a name, a dict by label name, or a number for each label",
        zero="1 weights positive and negative labels alike, 0 ignores positive ones",
        least=1,
    )
    if mistakes:
        raise InvalidValueError("\n".join(mistakes))
    return [float(weight) for weight in pos_weight]


def _by_name(class_weight: Mapping, classes: list) -> tuple[list[str], list]:
    """Messages for unknown and repeated names, and the weights in the order of the classes."""
    weights, unknown, repeated = by_place(class_weight, classes)
    mistakes = [_unknown_name(name, classes) for name in unknown]
    mistakes += [f"`class_weight` names the class {quote(name)} twice." for name in repeated]
    return mistakes, [weights.get(place, 1.0) for place in range(len(classes))]


def _unknown_name(name: Any, classes: Sequence[Any]) -> str:
    by_text = {str(known): known for known in classes}
    nearest = nearest_name(name, by_text)
    hint = f" Did you mean {quote(by_text[nearest])}?" if nearest is not None else ""
    shown = ", ".join(map(quote, classes[:_SHOWN]))
    shown += f", ... ({len(classes)} in all)" if len(classes) > _SHOWN else ""
    return f"`class_weight` names the class {quote(name)}, which is not one of [{shown}].{hint}"


def class_weight_mistakes(class_weight: Any, num_classes: int | None = None) -> list[str]:
    """Error messages for invalid class weights.

    Args:
        class_weight: One weight per class, or `None`.
        num_classes: Required number of weights; `None` accepts two or more.

    Returns:
        Messages; empty if the weights are valid.
    """
    if class_weight is None:
        return []
    return per_class_mistakes(
        "class_weight",
        class_weight,
        num_classes,
        source="`resolve_class_weight` makes them from a name or from a dict by class name",
        zero="0 ignores a class, 1 leaves it unchanged",
    )


def per_class_mistakes(
    name: str, values: Any, num_classes: int | None, *, source: str, zero: str, least: int = 2
) -> list[str]:
    """Error messages for an argument that must hold one finite number >= 0 per class.

    Args:
        name: Name of the argument.
        values: Its value.
        num_classes: Required number of values; `None` accepts `least` or more.
        source: How to get such numbers; it completes the message for other types.
        zero: What 0 and 1 mean; it completes the message for numbers out of range.
        least: Smallest number of classes, 1 or 2.

    Returns:
        Messages; empty if the values are valid.
    """
    received = f"Received: {name}={values!r}"
    try:
        # NumPy would convert these to an array of one object, or of NaN for `None`.
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
