"""How training images are changed, as plain data. Loads no backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.settings.documentation import documented
from keras_mm.settings.knobs import check_knobs, knob, rules
from keras_mm.settings.rules import DEGREES, PART, TRUTH


@documented
@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images; by default none.

    Each row draws its own changes, anew in every step. They make sense where the label does not
    hang on what they change: no `flip` where left and right, or letters, matter.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> Augmentation(flip=True, crop=0.2).is_on, Augmentation().is_on
        (True, False)
    """

    flip: bool = knob(False, TRUTH, "Whether images are mirrored left to right, half of the time.")
    crop: float = knob(
        0.0,
        PART,
        "Largest part that is cut off each side's length. A window of the same proportions, its "
        "sides uniform in `[1 - crop, 1]` of the image's, is taken at a random place and enlarged "
        "to full size: zoom and shift in one.",
    )
    rotation: float = knob(
        0.0,
        DEGREES,
        "Largest turn to either side in degrees. What comes in from outside is the image mirrored "
        "at its edge.",
    )
    brightness: float = knob(
        0.0,
        PART,
        "Largest change: pixels are multiplied by a factor in `[1 - brightness, 1 + brightness]`.",
    )
    contrast: float = knob(
        0.0,
        PART,
        "Largest change: distances from the image's mean grey are multiplied by such a factor.",
    )
    saturation: float = knob(
        0.0,
        PART,
        "Largest change: distances from each pixel's own grey are multiplied by such a factor.",
    )
    same_geometry: bool = knob(
        True,
        TRUTH,
        "Whether all images of a row get the same flip, crop and rotation. Turn it off where the "
        "images of a row have nothing to do with each other's geometry.",
    )
    same_colour: bool = knob(True, TRUTH, "The same for brightness, contrast and saturation.")

    def __post_init__(self):
        check_knobs(self)
        for name, value in vars(self).items():
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


RULES = rules(Augmentation)


def as_augmentation(augmentation: Augmentation | Mapping | None) -> Augmentation:
    """An `Augmentation` from itself, a mapping of its fields, or `None` for no change.

    Args:
        augmentation: What was given.

    Returns:
        The augmentation.

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
