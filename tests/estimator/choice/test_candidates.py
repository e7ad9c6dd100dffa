"""The members that a search proposes."""

import sys
from itertools import islice

import pytest

from keras_mm.estimator.choice import candidates
from keras_mm.estimator.choice.candidates import Candidates
from keras_mm.settings.heads import Head
from keras_mm.settings.members import as_members
from keras_mm.settings.problems import all_problems
from keras_mm.settings.settings import Settings

pytestmark = pytest.mark.backend_free

CLASSES = {"label": Head(classes=("no", "yes"))}


def settings_of(**options):
    values = {"images": ["image_1"], "texts": ["text_1", "text_2"], "members": "search", **options}
    return Settings(**values).resolved()


@pytest.fixture
def without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr(candidates.importlib.util, "find_spec", lambda name: None)


def proposed(count, *, settings=None, heads=CLASSES, seed=0, score=None):
    found = Candidates(settings or settings_of(), heads, seed=seed)
    members = []
    while len(members) < count and (member := found.next()) is not None:
        members.append(member)
        found.tell(member, 0.0 if score is None else score(member))
    return members


@pytest.mark.usefixtures("without_optuna")
def test_the_members_of_auto_come_first_and_none_comes_twice():
    members = proposed(60)
    assert set(members[:5]) == set(as_members("auto", ["image", "text"]))
    assert [member.kind == "linear" for member in members[:5]] == [True, True, True, False, False]
    assert len(set(members)) == len(members) == 60
    assert any(member.modalities == ("text",) for member in members[15:])


@pytest.mark.usefixtures("without_optuna")
def test_all_of_them_keep_the_rules():
    base = settings_of()
    for member in proposed(60):
        assert not all_problems({**vars(base), "members": [member.setting]}, Settings)


@pytest.mark.usefixtures("without_optuna")
def test_the_seed_decides_what_is_drawn():
    assert proposed(40) == proposed(40) != proposed(40, seed=1)
    assert proposed(14) == proposed(14, seed=1)  # the first are the same for all seeds


@pytest.mark.usefixtures("without_optuna")
@pytest.mark.parametrize(
    ("heads", "options", "unset"),
    [
        ({"label": Head("regression")}, {}, {"loss", "label_smoothing"}),
        ({"label": Head("multilabel", ("a", "b"))}, {}, {"loss", "label_smoothing"}),
        (CLASSES, {"images": (), "texts": ["text_1"]}, {"fusion", "modality_dropout"}),
        (CLASSES, {"compare": False}, {"compare"}),
    ],
)
def test_settings_without_effect_are_not_drawn(heads, options, unset):
    members = proposed(40, settings=settings_of(**options), heads=heads)
    assert not unset & {name for member in members for name, _ in member.own}


def test_optuna_draws_more_of_what_was_good():
    pytest.importorskip("optuna")

    def score(member):
        return float(dict(member.own).get("projection_dims") == 512)

    assert Candidates(settings_of(), CLASSES, seed=0).sampler == "optuna"
    members = proposed(80, score=score)
    drawn = members[40:]
    assert sum(map(score, drawn)) > len(drawn) / 2  # one in four by chance
    assert proposed(30, score=score) == list(islice(members, 30))
