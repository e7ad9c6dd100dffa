"""The task of the sample data: the changes between two images, and their labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

SAMPLE_LABELS = ("Contradictory", "Implies", "NoEntailment")
SAMPLE_COLUMNS = ("id_1", "text_1", "image_1", "id_2", "text_2", "image_2", "label")

SEED = 20250103
NUM_ROWS = {"train": 3000, "test": 600}
NUM_SCENES = {"train": 44, "test": 9}
AXES = ("light", "size")
DIRECTIONS = ("up", "down")
# Labels and probabilities of each change's outcomes; the last two differ in the claimed direction.
OUTCOMES = (
    ("Implies", 0.15),
    ("Contradictory", 0.15),
    ("NoEntailment", 0.35),
    ("NoEntailment", 0.35),
)

State = tuple[int, int]  # (light, size), each a level 0, 1 or 2


def all_changes() -> list[tuple[str, str, State, State]]:
    """Lists all 24 changes that a pair of images can show.

    Returns:
        Tuples `(axis, direction, state of image_1, state of image_2)`.
    """
    changes = []
    for axis, direction, low, other in itertools.product(AXES, DIRECTIONS, (0, 1), (0, 1, 2)):
        states = [(level, other) if axis == "light" else (other, level) for level in (low, low + 1)]
        before, after = states if direction == "up" else reversed(states)
        changes.append((axis, direction, before, after))
    return changes


def texts_of(axis: str, direction: str, outcome: int) -> tuple[str, str]:
    """The meaning of the two texts of a row.

    Args:
        axis: The property that changes, `"light"` or `"size"`.
        direction: The direction of the change, `"up"` or `"down"`.
        outcome: Index in `OUTCOMES`.

    Returns:
        The axis that `text_1` names and the direction that `text_2` claims.
    """
    if outcome >= 2:
        return AXES[1 - AXES.index(axis)], DIRECTIONS[outcome - 2]
    return axis, direction if outcome == 0 else DIRECTIONS[1 - DIRECTIONS.index(direction)]


def shuffled(items: Iterable[Any], stream: np.random.RandomState) -> list[Any]:
    """Shuffles items, with the same result on every NumPy version.

    Args:
        items: The items to shuffle.
        stream: Random number generator; it makes one draw per item.

    Returns:
        A new list.
    """
    # Not `stream.shuffle`: sorting uniform numbers depends only on the raw random numbers.
    items = list(items)
    order = np.argsort(stream.random_sample(len(items)), kind="stable")
    return [items[index] for index in order]
