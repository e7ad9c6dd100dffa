"""The setting `members`: its names, and what it says against a table."""

import tomllib
from dataclasses import fields

import pytest

from keras_mm.settings.members import (
    MEMBERS,
    OWN_SETTINGS,
    OWN_TRAINING,
    Member,
    as_members,
    members_problems,
    of_one_side,
    with_own,
)
from keras_mm.settings.settings import ConfigError, Settings, settings_from
from keras_mm.settings.toml import to_toml
from keras_mm.settings.training import Training

pytestmark = pytest.mark.backend_free

BOTH = ("image", "text")


def test_all_is_every_kind_on_all_modalities_and_on_each():
    found = as_members("all", BOTH)
    assert {member.name for member in found} == set(MEMBERS) and len(found) == len(MEMBERS)
    assert [len(member.modalities) for member in found] == [2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert as_members("all", ["text"]) == tuple(
        Member(kind, ("text",)) for kind in ("trunk", "linear_skip", "linear")
    )


def test_auto_has_texts_alone_beside_all_modalities():
    def names(*modalities):
        return [member.name for member in as_members("auto", modalities)]

    assert names(*BOTH) == ["trunk", "linear", "linear:image", "linear:text", "trunk:text"]
    assert names("text") == ["trunk:text", "linear:text"]
    assert names("image") == ["trunk:image", "linear:image"]
    assert of_one_side("auto") == "auto" and of_one_side("trunk") == ("trunk",)
    assert members_problems(of_one_side(["linear", "trunk:image"]), ["text"]) == []


def test_the_same_member_under_two_names_counts_once():
    assert as_members(["linear", "linear:text"], ["text"]) == (Member("linear", ("text",)),)
    assert as_members(["linear:text", "trunk"], BOTH)[0] == Member("trunk", BOTH)
    assert Member("linear_skip", BOTH).name == "linear_skip"
    assert Member("linear", ("image",)).name == "linear:image"


def test_a_member_without_its_column_and_a_column_without_its_member():
    assert members_problems("auto", BOTH) == [] == members_problems(["trunk"], ["image"])
    (problem,) = members_problems(["trunk", "linear:image"], ["text"])
    assert "'linear:image' reads images" in problem and "`images`" in problem
    (problem,) = members_problems(["linear:text"], BOTH)
    assert "no member reads the images" in problem and "'trunk:image'" in problem


@pytest.mark.parametrize("value", ["trunks", [], ["trunk", "trunk"], ["linear:audio"], 3, [1]])
def test_what_is_no_member(value):
    with pytest.raises(ConfigError, match="`members`"):
        Settings(members=value, folds=5).resolved()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folds": 1}, "Set folds=5"),
        ({"preset": "tiny", "text_trainable": False, "vision_trainable": False}, "Set folds=5"),
        ({"warm_start": True}, "Set folds=5"),
        ({"text_trainable": True, "folds": 5}, "share frozen encoders"),
        ({"fusion": "mmbt", "folds": 5}, "share frozen encoders"),
    ],
)
def test_members_need_folds_and_frozen_encoders(options, words):
    with pytest.raises(ConfigError, match=words):
        Settings(members=["trunk", "linear"], **options).resolved()
    assert Settings(members=["trunk"], **options).resolved().members == ("trunk",)


def test_defaults_follow_the_preset_and_its_folds():
    default = Settings().resolved().members
    assert Settings(folds=1).resolved().members == ("trunk",)
    assert Settings(warm_start=True).resolved().members == ("trunk",)
    assert Settings(preset="minilm_heads").resolved().members == ("trunk",)
    assert Settings(preset="tiny").resolved().members == ("trunk",)
    assert Settings(text_trainable=True).resolved().members == ("trunk",)
    assert Settings(preset="siglip2_base").resolved().members == default


GATED = {"kind": "trunk", "fusion": "gated", "dropout_rate": 0.3}


def test_a_member_with_settings_of_its_own():
    plain, gated = as_members(["trunk", GATED], BOTH)
    assert plain == Member("trunk", BOTH) and plain.setting == "trunk"
    assert gated == Member("trunk", BOTH, (("dropout_rate", 0.3), ("fusion", "gated")))
    assert gated.name == "trunk(dropout_rate=0.3, fusion='gated')"
    assert gated.setting == GATED
    assert of_one_side([GATED, "trunk:text"]) == (GATED, "trunk")
    assert of_one_side("search") == "search"
    assert Settings(members=[{"kind": "trunk"}], folds=5).resolved().members == ("trunk",)


def test_its_settings_replace_those_of_the_model():
    settings = Settings(learning_rate=0.1, training={"weight_decay": 0.5}).resolved()
    own = with_own(settings, {"fusion": "gated", "weight_decay": 0.01})
    assert (own.fusion, own.learning_rate, own.training.weight_decay) == ("gated", 0.1, 0.01)
    known = {f.name for f in fields(Settings)}
    assert set(OWN_SETTINGS) <= known
    assert set(OWN_TRAINING) <= {f.name for f in fields(Training)}


def test_it_is_written_as_toml_and_read_again():
    settings = Settings(members=["linear", GATED], folds=5).resolved()
    read = settings_from(tomllib.loads(to_toml(settings)), Settings)
    assert read.members == ("linear", GATED)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"fusion": "gatted"}, "`members`: trunk: Unknown fusion .*Did you mean 'gated'"),
        ({"learning_rate": -1.0}, "`members`: trunk: `learning_rate` must be"),
        ({"dropout_rate": 2.0}, "`members`: trunk: `training.dropout_rate` must be"),
        ({"loss": "huber"}, "`members`: trunk: `loss` of a multiclass head"),
        ({"epochs": 3}, "`members` must be"),
        ({"fusion": {"name": "gated"}}, "`members` must be"),
    ],
)
def test_what_is_wrong_with_its_settings_is_said_with_its_name(own, words):
    with pytest.raises(ConfigError, match=words):
        Settings(members=[{"kind": "trunk", **own}], folds=5).resolved()


@pytest.mark.parametrize(
    "value", [[{"fusion": "gated"}], [{"kind": "linear", "fusion": "gated"}], [GATED, dict(GATED)]]
)
def test_what_is_no_member_with_settings(value):
    with pytest.raises(ConfigError, match="`members` must be"):
        Settings(members=value, folds=5).resolved()


def test_a_side_that_is_not_read_may_be_trained_by_the_preset():
    options = {"preset": "tiny", "text_trainable": False, "folds": 2, "members": "auto"}
    assert Settings(texts=["text_1"], **options).resolved().members == "auto"
    with pytest.raises(ConfigError, match="train an encoder"):
        Settings(images=["image_1"], texts=["text_1"], **options).resolved()
