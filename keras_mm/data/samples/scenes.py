"""Draws the images of the sample data, in integers: the pixels are the same on every platform."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from keras_mm.data.samples.task import NUM_SCENES, SEED, State, shuffled

_IMAGE_SIZE = 64
# Both kinds of change alter the pixels about equally; a weaker one would be learned much later.
_LIGHT_PERCENT = (70, 84, 100)
_RADIUS = (6, 14, 22)
_PATCH = 22  # half the side, in pixels, of the square that contains any shape

# Every shape is darker than every place, so a larger shape always makes the image darker.
COLOURS = {
    "red": (150, 35, 40),
    "brown": (105, 65, 40),
    "green": (30, 100, 50),
    "teal": (10, 90, 100),
    "blue": (40, 60, 150),
    "purple": (95, 40, 125),
}
# Far colour, near colour, height of the horizon in pixels.
PLACES = {
    "at the beach": ((214, 226, 236), (232, 220, 192), 36),
    "in the meadow": ((214, 226, 236), (206, 220, 190), 40),
    "in the snow": ((214, 220, 230), (240, 242, 246), 32),
    "on the street": ((220, 214, 208), (204, 204, 210), 44),
}
# By kind: whether sample points (x, y) are inside a shape of radius r, in the same integer unit.
SHAPES: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "circle": lambda x, y, r: x * x + y * y <= r * r,
    "square": lambda x, y, r: 10 * np.maximum(abs(x), abs(y)) <= 9 * r,
    "diamond": lambda x, y, r: abs(x) + abs(y) <= r,
    "triangle": lambda x, y, r: (9 * y <= 7 * r) & (16 * abs(x) <= 9 * (y + r)),
    "cross": lambda x, y, r: (
        (5 * np.minimum(abs(x), abs(y)) <= 2 * r) & (np.maximum(abs(x), abs(y)) <= r)
    ),
}


def _coverage(kind: str, radius: int) -> np.ndarray:
    """The number of each pixel's 4 x 4 sample points that a shape covers: `(2 * _PATCH,) * 2`."""
    # The unit is 1/8 pixel, in which sample points are at 1, 3, 5 and 7: nothing is rounded.
    points = np.arange(-8 * _PATCH + 1, 8 * _PATCH, 2)
    x, y = np.meshgrid(points, points)
    inside = SHAPES[kind](x, y, 8 * radius)
    return inside.reshape(2 * _PATCH, 4, 2 * _PATCH, 4).sum(axis=(1, 3))


def _draw(scene: dict[str, Any], state: State) -> np.ndarray:
    """Pixels of a scene, uint8 `(64, 64, 3)`."""
    far, near, horizon = PLACES[scene["place"]]
    canvas = np.empty((_IMAGE_SIZE, _IMAGE_SIZE, 3), np.int64)
    canvas[:horizon], canvas[horizon:] = far, near
    top, left = (scene[axis] - _PATCH for axis in ("y", "x"))
    patch = canvas[top : top + 2 * _PATCH, left : left + 2 * _PATCH]
    covered = _coverage(scene["kind"], _RADIUS[state[1]])[..., None]
    # Blended by coverage of 16 points; + 8 rounds to the nearest integer.
    patch[:] = (patch * (16 - covered) + np.array(COLOURS[scene["colour"]]) * covered + 8) // 16
    return ((canvas * _LIGHT_PERCENT[state[0]] + 50) // 100).astype(np.uint8)


def image_cell(scene: dict[str, Any], state: State) -> dict[str, Any]:
    """Draws an image, in the form in which Hugging Face datasets store images.

    Args:
        scene: A scene of `create_scenes`.
        state: Levels of light and size, each 0, 1 or 2.

    Returns:
        `bytes`, a PNG file of 64 x 64 pixels, and `path`, its name.
    """
    buffer = io.BytesIO()
    Image.fromarray(_draw(scene, state)).save(buffer, format="PNG", optimize=True)
    name = "scene_{:02d}_light_{}_size_{}.png".format(scene["number"], *state)
    return {"bytes": buffer.getvalue(), "path": name}


def create_scenes() -> dict[str, list[dict[str, Any]]]:
    """Creates the scenes of each split.

    No test scene has the same kind, colour and place as a training scene.

    Returns:
        Scenes by split, `"train"` and `"test"`: dicts of `number`, `kind`, `colour`, `place`, and
        `x` and `y`, the shape's centre in pixels.
    """
    stream = np.random.RandomState(SEED)
    combinations = shuffled(itertools.product(SHAPES, COLOURS, PLACES), stream)
    scenes = []
    for number, (kind, colour, place) in enumerate(combinations[: sum(NUM_SCENES.values())]):
        x, y = (22 + int(20 * offset) for offset in stream.random_sample(2))
        scenes.append(
            {"number": number, "kind": kind, "colour": colour, "place": place, "x": x, "y": y}
        )
    return {"train": scenes[: NUM_SCENES["train"]], "test": scenes[NUM_SCENES["train"] :]}
