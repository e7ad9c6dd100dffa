"""The plain data: ranges, and what makes an `Augmentation`."""

import numpy as np
import pytest

from keras_mm.settings.augmentation import RULES, Augmentation, as_augmentation

pytestmark = pytest.mark.backend_free


def test_every_field_has_a_rule_and_is_off_by_default():
    assert RULES.keys() == Augmentation.__dataclass_fields__.keys()
    assert not Augmentation().is_on
    assert not Augmentation(same_geometry=False, same_colour=False).is_on


@pytest.mark.parametrize("name", ["flip", "crop", "rotation"])
def test_geometry(name):
    augmentation = Augmentation(**{name: True if name == "flip" else 0.5})
    assert augmentation.is_on and augmentation.changes_geometry
    assert not augmentation.changes_colour


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour(name):
    augmentation = Augmentation(**{name: 0.5})
    assert augmentation.is_on and augmentation.changes_colour
    assert not augmentation.changes_geometry


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1}, "`flip` must be True or False. Received: flip=1"),
        ({"crop": 1.0}, r"`crop` must be a number in \[0, 1\). Received: crop=1.0"),
        ({"crop": True}, "`crop` must be a number"),
        ({"rotation": 181}, r"`rotation` must be a number in \[0, 180\]"),
        ({"brightness": float("nan")}, "`brightness` must be a number"),
        ({"contrast": "0.1"}, "`contrast` must be a number"),
        ({"saturation": -0.1}, "`saturation` must be a number"),
        ({"flp": True}, "Unknown augmentation 'flp'. Did you mean 'flip'"),
        ("flip", "must be a keras_mm.Augmentation or a dict of its fields. Received: .*'flip'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        as_augmentation(options)


def test_from_a_dict_from_itself_and_from_nothing():
    augmentation = Augmentation(crop=0.25)
    assert as_augmentation({"crop": np.float32(0.25)}) == augmentation
    assert type(as_augmentation({"crop": np.float32(0.25)}).crop) is float
    assert as_augmentation(augmentation) is augmentation
    assert as_augmentation(None) == as_augmentation({}) == Augmentation()
