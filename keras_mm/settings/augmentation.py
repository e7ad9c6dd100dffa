"""How training images are changed, as plain data. Loads no backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keras_mm.checks import is_number, unknown_name
from keras_mm.errors import InvalidValueError

_TRUTH = ("True or False", lambda v: isinstance(v, bool))
_PART = ("a number in [0, 1)", lambda v: is_number(v) and 0 <= v < 1)

# Field -> (what is allowed, in words; the test).
RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "flip": _TRUTH,
    "crop": _PART,
    "rotation": ("a number in [0, 180]", lambda v: is_number(v) and 0 <= v <= 180),
    "brightness": _PART,
    "contrast": _PART,
    "saturation": _PART,
    "same_geometry": _TRUTH,
    "same_colour": _TRUTH,
}


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images; by default none.

    Each row draws its own changes, anew in every step. They make sense where the label does not
    hang on what they change: no `flip` where left and right, or letters, matter.

    Args:
        flip: Whether images are mirrored left to right, half of the time.
        crop: Largest part that is cut off each side's length, in [0, 1). A window of the same
            proportions, its sides uniform in `[1 - crop, 1]` of the image's, is taken at a random
            place and enlarged to full size: zoom and shift in one.
        rotation: Largest turn to either side in degrees, in [0, 180]. What comes in from outside
            is the image mirrored at its edge.
        brightness: Largest change, in [0, 1): pixels are multiplied by a factor in
            `[1 - brightness, 1 + brightness]`.
        contrast: Largest change, in [0, 1): distances from the image's mean grey are multiplied by
            such a factor.
        saturation: Largest change, in [0, 1): distances from each pixel's own grey are multiplied
            by such a factor.
        same_geometry: Whether all images of a row get the same flip, crop and rotation. Turn it off
            where the images of a row have nothing to do with each other's geometry.
        same_colour: The same for brightness, contrast and saturation.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> Augmentation(flip=True, crop=0.2).is_on, Augmentation().is_on
        (True, False)
    """

    flip: bool = False
    crop: float = 0.0
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    same_geometry: bool = True
    same_colour: bool = True

    def __post_init__(self):
        for name, (words, test) in RULES.items():
            value = getattr(self, name)
            if not test(value):
                raise InvalidValueError(f"`{name}` must be {words}. Received: {name}={value!r}")
            if not isinstance(value, bool):  # NumPy's numbers are no JSON
                object.__setattr__(self, name, float(value))

    @property
    def is_on(self) -> bool:
        """Whether anything is changed at all."""
        return self.changes_geometry or self.changes_colour

    @property
    def changes_geometry(self) -> bool:
        """Whether pixels move."""
        return self.flip or self.crop > 0 or self.rotation > 0

    @property
    def changes_colour(self) -> bool:
        """Whether pixels change their values."""
        return self.brightness > 0 or self.contrast > 0 or self.saturation > 0


def as_augmentation(augmentation: Augmentation | Mapping | None) -> Augmentation:
    """An `Augmentation` from itself, a mapping of its fields, or `None` for no change.

    Raises:
        ValueError: if it is none of these, has an unknown field, or a value is out of range.
    """
    if isinstance(augmentation, Augmentation):
        return augmentation
    if augmentation is None:
        return Augmentation()
    if not isinstance(augmentation, Mapping):
        raise InvalidValueError(
            "`augmentation` must be a keras_mm.Augmentation or a dict of its fields. "
            f"Received: augmentation={augmentation!r}"
        )
    for name in augmentation:
        if name not in RULES:
            raise InvalidValueError(unknown_name("augmentation", name, RULES))
    return Augmentation(**augmentation)
