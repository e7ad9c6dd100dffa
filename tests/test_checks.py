"""Checks of values, and the nearest name."""

import numpy as np
import pytest

from keras_mm.checks import (
    check_rate,
    check_whole,
    is_number,
    is_whole,
    nearest_name,
    quote,
    unknown_name,
)
from keras_mm.errors import InvalidValueError

pytestmark = pytest.mark.backend_free

NUMBERS = [0, 3, -2.5, np.float32(0.5), np.int64(7), 10**400]
NO_NUMBERS = [True, np.True_, "1", None, float("nan"), float("inf"), np.float64("nan"), 1j, [1]]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_no_numbers(value):
    assert not is_number(value) and not is_whole(value)


def test_whole_numbers():
    assert is_whole(0) and is_whole(np.int8(-3)) and is_whole(10**400, 1)
    assert not is_whole(2.0) and not is_whole(1, 2) and not is_whole(np.float32(1))
    check_whole(size=1, rank=np.int64(4))
    check_whole(0, patience=0)
    for value in (0, 1.0, True, "1", None):
        with pytest.raises(InvalidValueError, match=r"`size` must be an integer >= 1\. Received"):
            check_whole(size=value)


def test_rates():
    check_rate(dropout_rate=0, other=np.float32(0.999))
    for value in (1, -0.1, float("nan"), True, "0.1"):
        with pytest.raises(InvalidValueError, match=r"`dropout_rate` must be a number in \[0, 1\)"):
            check_rate(dropout_rate=value)


def test_nearest_names():
    assert nearest_name("focall", ["cross_entropy", "focal"]) == "focal"
    assert nearest_name("xyz", ["cross_entropy", "focal"]) is None
    assert nearest_name(5, []) is None
    known = ["training.gamma", "learning_rate", "epochs"]
    assert unknown_name("setting", "gamma", known).endswith("Did you mean 'training.gamma'?")
    assert unknown_name("setting", "learn", known).endswith("Did you mean 'learning_rate'?")
    assert unknown_name("setting", "epoch", known).endswith("Did you mean 'epochs'?")
    assert unknown_name("setting", "zz", iter(known)).endswith(
        "Known: 'training.gamma', 'learning_rate', 'epochs'."
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a" * 80, repr("a" * 80)),
        ("é" * 40 + "b" * 1000 + "ü" * 39, f"'{'é' * 40}…{'ü' * 39}' (1,079 characters)"),
        (b"a" * 81, f"b'{'a' * 78}… (81 bytes)"),
        (None, "None"),
        (np.zeros((2, 2)), "array([[0., 0.], [0., 0.]])"),
    ],
)
def test_quotes(value, shown):
    assert quote(value) == shown


@pytest.mark.parametrize("value", [list(range(10_000)), {"a": "b" * 500}, [["a" * 90]]])
def test_long_values_are_quoted_in_80_characters(value):
    assert len(quote(value)) == 80 and "…" in quote(value)
    assert quote(value)[:30] == repr(value)[:30]
