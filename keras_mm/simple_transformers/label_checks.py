"""Checks of labels, of their number, and of arguments with a value for each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mm.checks import is_number, is_whole
from keras_mm.errors import InvalidValueError
from keras_mm.settings.heads import Head


def check_count(name: str, labels: Sequence, num_labels: int | None) -> None:
    """Checks that there are `num_labels` labels and that all of them differ.

    Args:
        name: The argument or setting that holds the labels.
        labels: The labels; empty if they are not given.
        num_labels: Number of labels, if it is given.

    Raises:
        ValueError: if there is another number of labels, or a label occurs twice.
    """
    if labels and num_labels is not None and len(labels) != num_labels:
        raise InvalidValueError(
            f"`{name}` must have `num_labels` labels. Received: {len(labels)} labels, "
            f"num_labels={num_labels}"
        )
    if len({str(label) for label in labels}) != len(labels):
        raise InvalidValueError(f"`{name}` must not have a label twice. Received: {list(labels)}")


def check_trained_count(num_labels: int | None, labels: Sequence, head: Head) -> None:
    """Checks that `num_labels` is that of a trained model, or that new labels are listed.

    Args:
        num_labels: Number of labels, if it is given.
        labels: The labels; empty if they are not given.
        head: The head of the trained model.

    Raises:
        ValueError: if it is another number, and `labels` does not list as many.
    """
    trained = head.num_classes
    if num_labels is not None and num_labels != trained and len(labels) != num_labels:
        raise InvalidValueError(
            f"`num_labels` must be {trained}, as in the trained model; to add labels, list all of "
            f"them. Received: num_labels={num_labels}"
        )


def check_goes_on(name: str, labels: Sequence, trained: Sequence) -> None:
    """Checks that labels begin with those of a trained model, in the same order.

    Args:
        name: The argument or setting that holds the labels.
        labels: The labels; empty if they are not given.
        trained: The labels of the trained model.

    Raises:
        ValueError: if the labels do not begin so.
    """
    if labels and [str(label) for label in labels[: len(trained)]] != [str(x) for x in trained]:
        raise InvalidValueError(
            f"`{name}` must begin with the labels that the model was trained on, {list(trained)}. "
            f"Received: {list(labels)}"
        )


def check_labels(name: str, labels: Sequence, num_labels: int | None, trained: Head | None) -> None:
    """Checks labels and their number, also against a trained model.

    Args:
        name: The argument or setting that holds the labels.
        labels: The labels; empty if they are not given.
        num_labels: Number of labels, if it is given.
        trained: The head of the trained model; `None` if there is none.

    Raises:
        ValueError: as `check_count`; for a trained model as `check_goes_on` and
            `check_trained_count`.
    """
    if trained is None:
        check_count(name, labels, num_labels)
        return
    check_goes_on(name, labels, trained.names)
    check_trained_count(num_labels, labels, trained)


def check_number(num_labels: Any) -> None:
    """Checks that `num_labels` is a positive integer.

    Args:
        num_labels: The value; `None` if it is not given.

    Raises:
        ValueError: if it is not an integer >= 1.
    """
    if num_labels is not None and not is_whole(num_labels, 1):
        raise InvalidValueError(f"`num_labels` must be an integer >= 1. Received: {num_labels!r}")


def check_each(name: str, values: Any, num_labels: int | None, *, single: bool = False) -> None:
    """Checks that there is one finite number >= 0 for each label.

    Args:
        name: The argument or setting.
        values: Its value. `None`, a name or a dict is not checked here.
        num_labels: Number of labels, if it is known.
        single: Whether one number for all labels is allowed.

    Raises:
        ValueError: if there is another number of values, or a value is wrong.
    """
    if values is None or isinstance(values, str | Mapping):
        return
    if np.ndim(values) == 0:
        if not single:
            raise InvalidValueError(
                f"`{name}` must have a number for each label. Received: {values!r}"
            )
        return
    if num_labels is not None and len(values) != num_labels:
        raise InvalidValueError(
            f"`{name}` must have a number for each label, {num_labels} in all. "
            f"Received: {len(values)}"
        )
    wrong = [value for value in values if not (is_number(value) and value >= 0)]
    if wrong:
        raise InvalidValueError(
            f"`{name}` must have a finite number >= 0 for each label. Received: {wrong[0]!r}"
        )
