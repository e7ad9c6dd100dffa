"""Declarations of settings: what is derived from them."""

from dataclasses import dataclass, fields

import pytest

from keras_mm.settings import settings
from keras_mm.settings.documentation import described, documented, listed
from keras_mm.settings.knobs import (
    broken_rules,
    check_knobs,
    check_names,
    default_of,
    knob,
    like,
    refined,
    unset_by_default,
)
from keras_mm.settings.rules import POSITIVE, one_of, whole
from keras_mm.settings.training import (
    TRAINING_DEFAULTS,
    LossSettings,
    Optimization,
    Stopping,
    Training,
)

pytestmark = pytest.mark.backend_free


@dataclass(frozen=True)
class Cooking:
    """Two knobs."""

    minutes: int = knob(7, whole(1), "How long it boils.")
    method: str = knob("boil", one_of("boil", "fry"), "How it is cooked.")


@documented
@dataclass(frozen=True)
class Meal(Cooking):
    """What is eaten.

    Raises:
        ValueError: for a value outside its range.
    """

    price: float | None = knob(3.0, POSITIVE, "What it costs.", optional=True)

    def __post_init__(self):
        check_knobs(self)


@unset_by_default
class Wish(Cooking):
    """What is asked for."""


def test_documentation_has_range_and_default():
    assert Meal.__doc__.splitlines() == [
        "What is eaten.",
        "",
        "Args:",
        "    price: What it costs. A number > 0; default 3.0.",
        "    minutes: How long it boils. An integer >= 1; default 7.",
        "    method: How it is cooked. One of 'boil', 'fry'; default 'boil'.",
        "",
        "Raises:",
        "    ValueError: for a value outside its range.",
    ]
    minutes = fields(Wish)[0]
    assert described(minutes) == "How long it boils. An integer >= 1; default 7."
    assert listed(minutes, "meal.").endswith(
        "meal.minutes: How long it boils. An integer >= 1; default 7."
    )


def test_values_outside_their_ranges_are_refused_at_once():
    with pytest.raises(ValueError) as error:
        Meal(minutes=0, method="frye")
    assert str(error.value).splitlines() == [
        "`minutes` must be an integer >= 1. Received: minutes=0",
        "`method` must be one of 'boil', 'fry'. Received: method='frye'. Did you mean 'fry'?",
    ]
    assert Meal(price=None).price is None
    assert broken_rules({"minutes": None, "price": None, "more": 1}, Meal, "meal.") == [
        "`meal.minutes` must be an integer >= 1. Received: None"
    ]


def test_unset_knobs_keep_their_default_beside():
    assert Wish() == Wish(minutes=None, method=None)
    assert [default_of(f) for f in fields(Wish)] == [7, "boil"]
    assert broken_rules(vars(Wish(minutes=0)), Wish) == [
        "`minutes` must be an integer >= 1. Received: 0"
    ]


def test_a_knob_like_another():
    @dataclass
    class Other:
        minutes: int | None = like(Cooking, "minutes", default=None)
        method: str = like(Cooking, "method", rule=one_of("boil"))

    assert Other().minutes is None and broken_rules(vars(Other()), Other) == []
    assert len(broken_rules({"minutes": 0, "method": "fry"}, Other)) == 2


def test_keywords_that_are_no_fields():
    assert refined(Meal(), {"minutes": 3, "wine": 1}) == Meal(minutes=3)
    with pytest.raises(TypeError, match="Unknown argument 'minute'. Did you mean 'minutes'"):
        check_names(["minute"], Meal)
    with pytest.raises(TypeError, match="'modle'. Did you mean 'model'"):
        check_names(["modle"], Meal, also=["model"])


def test_the_objects_of_a_training_share_its_declarations():
    for kind in (LossSettings, Optimization, Stopping):
        for one in fields(kind):
            same = next((f for f in fields(Training) if f.name == one.name), None)
            if same is not None:
                assert same.metadata["rule"] is one.metadata["rule"]
                assert getattr(kind(), one.name) == getattr(TRAINING_DEFAULTS, one.name)
    assert all(value is None for value in vars(Training()).values())


def test_pickles_find_training_where_it_was():
    assert settings.Training is Training
