"""The walk itself: public calls in any order, beside a plain model of what each must do."""

from __future__ import annotations

import copy
import io
import pickle
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from keras_mm import MultimodalClassifier
from keras_mm.errors import KerasMMError
from tests.estimator.walk.known import Known, Logits, Stop, assert_same, logits, rows_of
from tests.estimator.walk.recipes import (
    ADDED,
    HEADS,
    PROBE,
    TABLES,
    Recipe,
    Training,
    Wish,
    base,
    extended,
    made_by,
)
from tests.estimator.walk.traces import draw_and_seed, unchanged

# The classifiers of a walk; one that comes when there are so many takes the first one's place.
MOST = 3
PLACES = st.integers(0, MOST - 1)
NAMES = st.sampled_from(sorted(TABLES))
WISHES = st.builds(
    Wish,
    labels=st.sampled_from(["one", "two", "kinds"]),
    pair=st.booleans(),
    trainable=st.booleans(),
    seed=st.sampled_from([0, 5]),
    warm_start=st.booleans(),
    cache=st.booleans(),
    balanced=st.booleans(),
)


COPIES: dict[str, Callable] = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "deepcopy": copy.deepcopy,
    "joblib": lambda one: _through_joblib(one),
}
# Calls that must fail.
REFUSED: dict[str, Callable] = {
    "fit: no label column": lambda m, t: m.fit(t.drop(columns="label")),
    "fit: no text column": lambda m, t: m.fit(t.drop(columns="text")),
    "fit: one class": lambda m, t: m.fit(t.assign(label="x", way="up")),
    "fit: no rows": lambda m, t: m.fit(t[:0]),
    "fit: numbers as texts": lambda m, t: m.fit(t.assign(text=7)),
    "fit: no such file": lambda m, t: m.fit("no such table.csv"),
    "fit: labels of other rows": lambda m, t: m.fit(t, ["x"] * 3),
    "fit: a split of all rows": lambda m, t: m.fit(t, validation_split=1.5),
    "fit: a validation table without labels": lambda m, t: m.fit(t, validation_data=PROBE),
    "predict: no text column": lambda m, t: m.predict(t.drop(columns="text")),
    "predict: no such file": lambda m, t: m.predict_frame("no such table.csv"),
    "fit_head: no such head": lambda m, t: m.fit_head("no such", t),
    "fit_head: no head": lambda m, t: m.fit_head([], t),
    "add_head: a bad name": lambda m, t: m.add_head("a b", ADDED["moved"]),
    "load: no model": lambda m, t: MultimodalClassifier.load(tempfile.gettempdir()),
}


def _through_joblib(classifier: MultimodalClassifier) -> MultimodalClassifier:
    file = io.BytesIO()
    joblib.dump(classifier, file)
    file.seek(0)
    return joblib.load(file)


class RandomWalk(RuleBasedStateMachine):
    """Classifiers that are trained, asked, copied, saved and misused.

    After each step every classifier has its parameters, and answers the same bits as whatever was
    trained by the same recipe. Each call leaves global state and its arguments as they were.
    """

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "temporary").mkdir()
        self.former_temporary, tempfile.tempdir = tempfile.tempdir, str(self.folder / "temporary")
        self.user_settings = (
            keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()
        )  # fmt: skip
        self.known: list[Known] = []
        self.answers: dict[Recipe, Logits] = {}
        # Predictors that were taken before, and what they answered.
        self.held: list[tuple[Any, Logits]] = []
        self.saves = 0
        draw_and_seed(1)  # Keras' generator is there then: where it is made, Python's moves

    def teardown(self):
        tempfile.tempdir = self.former_temporary
        floatx, epsilon, data_format = self.user_settings
        keras.config.set_floatx(floatx)
        keras.config.set_epsilon(epsilon)
        keras.config.set_image_data_format(data_format)
        shutil.rmtree(self.folder)

    # --- what must hold ---------------------------------------------------------------------

    @invariant()
    def parameters_are_as_they_were_set(self):
        for one in self.known:
            assert one.classifier.get_params(deep=False) == one.parameters

    @invariant()
    def equal_recipes_give_equal_bits(self):
        for one in self.known:
            if not one.recipe:
                with unchanged(), pytest.raises(NotFittedError):
                    one.classifier.predict(PROBE)
                continue
            with unchanged(PROBE):
                found = logits(one.classifier)
            assert list(found) == one.heads
            assert_same(found, self.answers.setdefault(one.recipe, found))

    @invariant()
    def predictors_taken_before_answer_as_before(self):
        for predictor, expected in self.held:
            assert_same(predictor.all_logits(PROBE), expected)

    # --- classifiers ------------------------------------------------------------------------

    def pick(self, place: int) -> Known:
        return self.known[place % len(self.known)]

    def put(self, one: Known) -> None:
        self.known = [*self.known, one][-MOST:]

    @initialize(wish=WISHES, table=NAMES)
    def begin(self, wish, table):
        self.create(wish)
        self.fit(0, table)

    def all_are_fitted(self) -> bool:
        return all(one.recipe for one in self.known)

    @precondition(all_are_fitted)
    @rule(wish=WISHES)
    def create(self, wish):
        parameters = wish.parameters()
        with unchanged(parameters):
            classifier = MultimodalClassifier(**parameters)
        assert all(getattr(classifier, name) is value for name, value in parameters.items())
        self.put(Known(classifier, wish))

    @rule(place=PLACES, wish=WISHES)
    def set_params(self, place, wish):
        one = self.pick(place)
        with unchanged():
            one.classifier.set_params(**wish.parameters())
        one.wish = wish
        one.remember_parameters()

    @rule(place=PLACES, way=st.sampled_from(["pickle", "deepcopy", "joblib", "save"]))
    def copy_of(self, place, way):
        one = self.pick(place)
        if way == "save":
            if one.recipe:
                self.put(self.reloaded(one))
            return
        with unchanged():
            copied = COPIES[way](one.classifier)
        assert copied is not one.classifier
        assert copied.get_params(deep=False) == one.parameters
        self.put(Known(copied, one.wish, one.recipe, one.declared))

    def reloaded(self, one: Known) -> Known:
        """What is saved and loaded: it has the parameters that the model was trained with."""
        self.saves += 1
        folder = self.folder / f"model {self.saves}"
        with unchanged():
            one.classifier.save(folder)
            one.classifier.save(folder, overwrite=True)
        with unchanged(), pytest.raises(FileExistsError):
            one.classifier.save(folder)
        with unchanged():
            loaded = MultimodalClassifier.load(folder)
        assert loaded.history_ == one.classifier.history_
        return Known(loaded, base(one.recipe), one.recipe, one.declared)

    @precondition(all_are_fitted)
    @rule(place=PLACES)
    def clone(self, place):
        one = self.pick(place)
        with unchanged():
            cloned = clone(one.classifier)
        assert cloned.get_params(deep=False) == one.parameters
        self.put(Known(cloned, one.wish, (), one.declared))

    @rule(place=PLACES)
    def hold(self, place):
        one = self.pick(place)
        if one.recipe:
            self.held = [*self.held, (one.classifier.predictor_, self.answers[one.recipe])][-2:]

    @rule(seed=st.integers(0, 2**32 - 1), plain=st.booleans())
    def the_user_does_something_else(self, seed, plain):
        draw_and_seed(seed)
        keras.config.set_floatx("float32" if plain else "float16")
        keras.config.set_epsilon(1e-7 if plain else 1e-2)
        keras.config.set_image_data_format("channels_last" if plain else "channels_first")

    # --- trainings --------------------------------------------------------------------------

    def trained(self, one: Known, training: Training, **options: Any) -> None:
        """Trains, where the rules allow it; else it must fail and change nothing."""
        table = TABLES[training.table]
        if not self.allowed(one, training):
            with unchanged(table), pytest.raises(KerasMMError):
                training.run(one.classifier, table, **options)
            return
        in_place = (not training.freeze) if training.heads else training.wish.warm_start
        if in_place:
            self.held = []  # they may be predictors of this model, whose weights change
        with unchanged(table):
            training.run(one.classifier, table, **options)
        one.recipe, one.asked = extended(one.recipe, training), set()

    def allowed(self, one: Known, training: Training) -> bool:
        wish = training.wish
        if training.heads:
            if not one.recipe or set(training.heads) - {*one.heads, *one.declared}:
                return False
            own = set(training.heads) & set(HEADS[base(one.recipe).labels])
            labels = set(TABLES[training.table]["label"])
            if "label" in own and labels - set(one.classes("label")):
                return False
            return training.freeze or wish.asks_for_the_model_of(base(one.recipe))
        if not (wish.warm_start and one.recipe):
            return True
        return set(one.heads) == set(HEADS[wish.labels]) and wish.asks_for_the_model_of(
            base(one.recipe)
        )

    @rule(place=PLACES, table=NAMES)
    def fit(self, place, table):
        one = self.pick(place)
        self.trained(one, Training(one.wish, table))

    @rule(place=PLACES, table=NAMES, error=st.sampled_from([OSError, KeyboardInterrupt]),
          epoch=st.sampled_from([0, 1]))  # fmt: skip
    def fit_that_is_stopped(self, place, table, error, epoch):
        one, rows = self.pick(place), TABLES[table]
        training = Training(one.wish, table)
        expected = error if self.allowed(one, training) else KerasMMError
        one.classifier.set_params(epochs=2)
        with unchanged(rows), pytest.raises(expected):
            training.run(one.classifier, rows, callbacks=[Stop(error, epoch)])
        one.classifier.set_params(epochs=1)
        if not one.recipe and epoch == 1:  # the first epoch is kept
            one.recipe, one.asked = (training,), set()

    @rule(place=PLACES, name=st.sampled_from(sorted(ADDED)))
    def add_head(self, place, name):
        one = self.pick(place)
        if not one.recipe or name in one.heads:
            with unchanged(), pytest.raises((KerasMMError, NotFittedError)):
                one.classifier.add_head(name, ADDED[name])
            return
        with unchanged():
            one.classifier.add_head(name, ADDED[name])
        one.declared |= {name}

    @rule(place=PLACES, table=NAMES, number=st.integers(0, 6), both=st.booleans())
    def fit_head(self, place, table, number, both):
        one = self.pick(place)
        names = self.some_heads(one, number, both)
        if not names:
            return
        before = logits(one.classifier)
        self.trained(one, Training(one.wish, table, names))
        found = logits(one.classifier)
        assert_same(*({n: v for n, v in x.items() if n not in names} for x in (found, before)))

    @rule(place=PLACES, table=NAMES, number=st.integers(0, 6))
    def fit_head_through(self, place, table, number):
        one = self.pick(place)
        names = self.some_heads(one, number, both=False)
        if names:
            self.trained(one, Training(one.wish, table, names, freeze=False))

    @rule(place=PLACES, table=NAMES, number=st.integers(0, 6), freeze=st.booleans())
    def fit_head_that_is_stopped(self, place, table, number, freeze):
        one, rows = self.pick(place), TABLES[table]
        names = self.some_heads(one, number, both=False)
        if not names:
            return
        training = Training(one.wish, table, names, freeze)
        expected = OSError if self.allowed(one, training) else KerasMMError
        with unchanged(rows), pytest.raises(expected):
            training.run(one.classifier, rows, callbacks=[Stop(OSError, 0)])

    def some_heads(self, one: Known, number: int, both: bool) -> tuple[str, ...]:
        """One or two of a classifier's heads, trained or not; none where it is not fitted."""
        known = list(dict.fromkeys([*sorted(one.declared), *one.heads])) if one.recipe else []
        first = number % max(len(known), 1)
        return tuple(known[first : first + 1 + both])

    @rule(place=PLACES)
    def the_same_once_more(self, place):
        """A classifier of its own, trained by the same recipe, answers the same bits."""
        one = self.pick(place)
        if one.recipe:
            with unchanged():
                again = made_by(one.recipe)
            assert_same(logits(again), self.answers[one.recipe])

    @rule(place=PLACES, table=NAMES)
    def fit_beside_predictions(self, place, table):
        """Predictions of other classifiers in other threads, while one is trained."""
        one = self.pick(place)
        others = [other for other in self.known if other.recipe and other is not one]
        with unchanged(), ThreadPoolExecutor(2) as threads:
            answers = [(o, threads.submit(logits, o.classifier)) for o in others for _ in range(3)]
            self.trained(one, Training(one.wish, table))
            for other, answer in answers:
                assert_same(answer.result(), self.answers[other.recipe])

    # --- answers ----------------------------------------------------------------------------

    @rule(place=PLACES, order=st.permutations(range(len(PROBE))))
    def ask_in_another_order(self, place, order):
        one = self.pick(place)
        if one.recipe:
            found = logits(one.classifier, PROBE.iloc[order])
            assert_same(found, rows_of(self.answers[one.recipe], order))

    @rule(place=PLACES, rows=st.sets(st.integers(0, len(PROBE) - 1), min_size=1, max_size=5))
    def ask_for_some_rows(self, place, rows):
        one = self.pick(place)
        if one.recipe:
            places = sorted(rows)
            tolerance = {"atol": 1e-6} if len(places) == 1 else {}
            found = logits(one.classifier, PROBE.iloc[places])
            assert_same(found, rows_of(self.answers[one.recipe], places), **tolerance)

    # The next two are asked of each classifier once, or many walks would do nothing else.

    def never(self, asked: str) -> list[Known]:
        """The fitted classifiers that were never asked so since they were trained."""
        return [one for one in self.known if one.recipe and asked not in one.asked]

    @precondition(lambda self: self.never("in threads"))
    @rule()
    def ask_in_threads(self):
        one = self.never("in threads")[0]
        one.asked.add("in threads")
        parts = [list(range(start, start + 2 + start % 4)) for start in range(0, 12, 2)]
        with unchanged(PROBE), ThreadPoolExecutor(4) as threads:
            tables = [PROBE.iloc[part] for part in parts]
            found = list(threads.map(lambda table: logits(one.classifier, table), tables))
        for part, answer in zip(parts, found, strict=True):
            assert_same(answer, rows_of(self.answers[one.recipe], part))

    @precondition(lambda self: self.never("in every way"))
    @rule()
    def ask_in_every_way(self):
        """Labels, probabilities and the frame tell the same."""
        one = self.never("in every way")[0]
        one.asked.add("in every way")
        with unchanged(PROBE):
            labels = one.by_head(one.classifier.predict(PROBE))
            shares = one.by_head(one.classifier.predict_proba(PROBE))
            frame = one.classifier.predict_frame(PROBE)
        assert frame.index.equals(PROBE.index) and frame.index.name == PROBE.index.name
        for name, values in shares.items():
            classes, prefix = one.classes(name), f"{name}_" if len(one.heads) > 1 else ""
            for i, label in enumerate(classes):
                column = frame[f"{prefix}probability_{label}"]
                np.testing.assert_array_equal(column, values[:, i])
            if labels[name].ndim == 1:
                np.testing.assert_array_equal(labels[name], classes[values.argmax(1)])
                np.testing.assert_array_equal(frame[f"{prefix}prediction"], labels[name])

    # --- what is refused --------------------------------------------------------------------

    @rule(place=PLACES, case=st.sampled_from(sorted(REFUSED)))
    def something_refused(self, place, case):
        table = copy.deepcopy(TABLES["first"])
        with unchanged(table), pytest.raises((KerasMMError, NotFittedError)):
            REFUSED[case](self.pick(place).classifier, table)
