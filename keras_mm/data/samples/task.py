"""The task of the sample data: which changes there are, and which label each has."""

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
# Per change: Implies and Contradictory, then NoEntailment under either claim.
OUTCOMES = (
    ("Implies", 0.15),
    ("Contradictory", 0.15),
    ("NoEntailment", 0.35),
    ("NoEntailment", 0.35),
)

State = tuple[int, int]  # (light, size), each a level 0, 1 or 2


def all_changes() -> list[tuple[str, str, State, State]]:
    """All 24 changes that a pair of images can show.

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
    """What the two texts of a row say.

    Args:
        axis: What changes, `"light"` or `"size"`.
        direction: Which way it changes, `"up"` or `"down"`.
        outcome: Position in `OUTCOMES`.

    Returns:
        The axis that `text_1` names and the direction that `text_2` claims.
    """
    if outcome >= 2:
        return AXES[1 - AXES.index(axis)], DIRECTIONS[outcome - 2]
    return axis, direction if outcome == 0 else DIRECTIONS[1 - DIRECTIONS.index(direction)]


def shuffled(items: Iterable[Any], stream: np.random.RandomState) -> list[Any]:
    """The items in a random order that is the same on every NumPy version.

    Args:
        items: What to shuffle.
        stream: Source of the random numbers; it advances by one draw an item.

    Returns:
        A new list.
    """
    # Sorting uniform numbers needs only the raw stream, which stays the same on every NumPy.
    items = list(items)
    order = np.argsort(stream.random_sample(len(items)), kind="stable")
    return [items[index] for index in order]
