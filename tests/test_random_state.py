"""Global random states: every public call leaves them as they were, and repeats its own draws."""

import random
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from keras_mm import Head, MultimodalClassifier, Trainer
from keras_mm.random_state import seeded, unseeded

TABLE = pd.DataFrame({"text": ["a", "b"] * 12, "label": ["x", "y"] * 12, "way": ["u", "d"] * 12})
OPTIONS = {"texts": ["text"], "preset": "tiny", "text_trainable": False, "epochs": 1, "verbose": 0}


def states() -> list:
    """The states of all global generators, and what the next draws of Keras would be."""
    found = [random.getstate(), np.random.get_state(legacy=False)]
    if keras.backend.backend() == "torch":
        found.append(sys.modules["torch"].get_rng_state().numpy())
    if "tensorflow" in sys.modules:
        context = sys.modules["tensorflow.python.eager.context"].context()
        drawn = getattr(context, "_rng", None)
        found += [context._seed, drawn.getstate() if drawn else None]
    generator = keras.src.random.seed_generator.global_seed_generator()
    return [*found, np.array(keras.ops.convert_to_numpy(generator.state))]


@pytest.fixture
def unmoved():
    """Fails where the global states are not as the user had left them."""
    keras.utils.set_random_seed(77)
    random.random(), np.random.rand(), keras.random.normal((1,))
    before = states()
    yield
    np.testing.assert_equal(states(), before)


class Stop(keras.callbacks.Callback):
    """Draws, and fails at the end of the first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        random.random(), np.random.rand()
        raise RuntimeError("stopped")


@pytest.fixture(scope="module")
def trained():
    return MultimodalClassifier(**OPTIONS).fit(TABLE)


def test_fit(unmoved):
    first = MultimodalClassifier(**OPTIONS).fit(TABLE)
    random.seed("elsewhere"), np.random.seed(5)  # which is put back by the next line's fixture
    keras.utils.set_random_seed(77)
    random.random(), np.random.rand(), keras.random.normal((1,))
    again = MultimodalClassifier(**OPTIONS).fit(TABLE)
    np.testing.assert_array_equal(first.predict_proba(TABLE), again.predict_proba(TABLE))


def test_a_fit_that_fails(unmoved):
    with pytest.raises(RuntimeError, match="stopped"):
        MultimodalClassifier(**OPTIONS).fit(TABLE, callbacks=[Stop()])
    with pytest.raises(ValueError, match="fusion"):
        MultimodalClassifier(**OPTIONS, fusion="no such").fit(TABLE)


@pytest.mark.slow
def test_what_a_trained_model_does(unmoved, trained, tmp_path):
    trained.predict(TABLE)
    trained.evaluate(TABLE).save(tmp_path / "report.html")
    trained.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    loaded.add_head("way", Head("binary")).fit_head("way", TABLE)
    loaded.fit_head(["label", "way"], TABLE, freeze=False)


def test_a_model_that_was_loaded_goes_on_as_the_one_that_was_saved(tmp_path):
    model = MultimodalClassifier(**OPTIONS, warm_start=True).fit(TABLE)
    model.save(tmp_path / "model")
    random.seed("elsewhere")  # what the seeds of dropout are drawn from where a model is built
    loaded = MultimodalClassifier.load(tmp_path / "model")
    for one in (model, loaded):
        one.fit(TABLE)
    np.testing.assert_array_equal(model.predict_proba(TABLE), loaded.predict_proba(TABLE))


def test_the_trainer(unmoved):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    keras.utils.set_random_seed(77)
    random.random(), np.random.rand(), keras.random.normal((1,))
    weights = model.get_weights()
    rows = np.random.default_rng(0).normal(size=(32, 3)).astype("float32"), np.arange(32) % 2
    runs = []
    for seed in (3, 3, 4):
        model.set_weights(weights)
        # Dropout has drawn before the second training: its seed alone decides.
        runs.append(Trainer(model, epochs=2, seed=seed, verbose=0).fit(rows)["loss"])
    assert runs[0] == runs[1] != runs[2]


def test_draws_without_a_seed_are_left_to_a_training_in_another_thread():
    random.seed(1)
    with seeded(3):
        inside = random.getstate()
        with unseeded():  # of the same thread
            random.random()
        assert random.getstate() == inside
