import numpy as np
import pandas as pd
import pytest

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.baselines.head_model import linear_model
from keras_mm.evaluation.baselines.selection import Candidate, inner_split, predict_best
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

RANDOM = np.random.default_rng(1)
FEATURES = RANDOM.normal(size=(103, 7))
LABELS = (FEATURES[:, 2] > 0).astype(int)
HEAD = Head(classes=2)
CANDIDATES = [
    Candidate(name, linear_model(1.0), features, features)
    for name, features in (("noise", RANDOM.normal(size=(103, 7))), ("signal", FEATURES))
]


def rows_of(labels, **facts):
    return Rows((), (), {"label": np.asarray(labels)}, pd.RangeIndex(len(labels)), **facts)


def test_the_candidate_with_the_signal_is_chosen_and_predicts():
    chosen = predict_best("label", HEAD, rows_of(LABELS), CANDIDATES)
    assert chosen.name.split(" and ")[0] == "signal"
    assert (chosen.predicted.argmax(axis=1) == LABELS).mean() > 0.9


def test_numbers_are_compared_by_their_error():
    head = Head("regression", classes=("x",), column="x")
    chosen = predict_best("label", head, rows_of(FEATURES[:, 2:3]), CANDIDATES)
    assert chosen.name == "signal"


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        (LABELS[:5], None),
        (np.zeros(103, int), None),
        (np.full(103, -1), None),
        (LABELS, np.r_[1.0, np.zeros(102)]),
    ],
    ids=["few_rows", "one_class", "no_label", "one_weight"],
)
def test_rows_that_cannot_compare_candidates_still_give_predictions(labels, weights):
    candidates = [
        Candidate(c.name, c.create, c.features[: len(labels)], c.test_features) for c in CANDIDATES
    ]
    chosen = predict_best("label", HEAD, rows_of(labels, sample_weight=weights), candidates)
    assert chosen.predicted.shape == (103, 2) and np.isfinite(chosen.predicted).all()


def test_held_out_rows_have_the_shares_of_the_classes():
    labels = np.repeat([0, 1], [80, 20])
    fitted, held_out = inner_split(HEAD, labels, None, 0)
    assert len(held_out) == 20 and labels[held_out].sum() == 4
    assert sorted([*fitted, *held_out]) == list(range(100))


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_groups_are_not_divided(kind):
    groups = RANDOM.integers(0, 11, 103)
    labels = LABELS if kind == "multiclass" else FEATURES[:, :1]
    fitted, held_out = inner_split(
        Head(kind, classes=2 if kind == "multiclass" else 1), labels, groups, 0
    )
    assert len(held_out) and not set(groups[fitted]) & set(groups[held_out])
    assert inner_split(HEAD, LABELS, np.zeros(103, int), 0) is None


def test_classes_with_single_rows_are_split_all_the_same():
    fitted, held_out = inner_split(Head(classes=103), np.arange(103), None, 0)
    assert len(held_out) == 21 and len(fitted) == 82
