"""The settings of image augmentation, as plain data. Loads no backend."""

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

    Each row gets new random changes in every training step. Use only changes that keep the label
    correct: for example, no `flip` if the label depends on left and right, or on letters.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> Augmentation(flip=True, crop=0.2).is_on, Augmentation().is_on
        (True, False)
    """

    flip: bool = knob(
        False, TRUTH, "Whether to mirror images left to right, with a probability of 0.5."
    )
    crop: float = knob(
        0.0,
        PART,
        "Largest share of each side's length that is cut off. A window at a random position, with "
        "the image's proportions and a side length drawn from `[1 - crop, 1]` of the image's, is "
        "enlarged to the full size. This zooms and shifts the image.",
    )
    rotation: float = knob(
        0.0,
        DEGREES,
        "Largest rotation to either side, in degrees. Areas outside the image are filled with the "
        "image mirrored at its edge.",
    )
    brightness: float = knob(
        0.0,
        PART,
        "Largest change of brightness. Pixels are multiplied by a random factor in "
        "`[1 - brightness, 1 + brightness]`.",
    )
    contrast: float = knob(
        0.0,
        PART,
        "Largest change of contrast. The difference between each pixel and the image's mean grey "
        "value is multiplied by a random factor in `[1 - contrast, 1 + contrast]`.",
    )
    saturation: float = knob(
        0.0,
        PART,
        "Largest change of saturation. The difference between each pixel and its own grey value "
        "is multiplied by a random factor in `[1 - saturation, 1 + saturation]`.",
    )
    same_geometry: bool = knob(
        True,
        TRUTH,
        "Whether all images of a row get the same flip, crop and rotation. Set it to False if "
        "positions in one image of a row have no relation to positions in the others.",
    )
    same_colour: bool = knob(
        True,
        TRUTH,
        "Whether all images of a row get the same change of brightness, contrast and saturation.",
    )

    def __post_init__(self):
        check_knobs(self)
        for name, value in vars(self).items():
            if not isinstance(value, bool):  # JSON cannot store NumPy's numbers
                object.__setattr__(self, name, float(value))

    @property
    def is_on(self) -> bool:
        """Whether any change is switched on."""
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
    """Converts the forms that users may pass to an `Augmentation`.

    Args:
        augmentation: An `Augmentation`, a mapping of its fields, or `None` for no change.

    Returns:
        The augmentation.

    Raises:
        ValueError: if the type is another, a field is unknown, or a value is out of range.
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
