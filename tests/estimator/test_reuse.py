"""Models made out of the last one's networks: the same answers, and nothing shared that is held."""

import copy
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import keras_mm
from keras_mm.estimator import reuse as workbench
from keras_mm.models.backbones.lookup import vision_backbone
from keras_mm.models.encoder import Encoder
from keras_mm.models.multimodal import parts

pytestmark = pytest.mark.eager

IMAGES = {"images": ["image_1", "image_2"], "preset": "tiny", "vision_trainable": False}
PAIRS = {**IMAGES, "texts": ["text_1", "text_2"], "text_trainable": False}
# Whole batches of most tables: JAX compiles each size of batch.
RUN = {"epochs": 1, "batch_size": 16, "verbose": 0, "cache": False}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    network, _ = vision_backbone("tiny_cnn", "random", (64, 64))
    path = tmp_path_factory.mktemp("weights") / "cnn.weights.h5"
    network.save_weights(path)
    return str(path)


@pytest.fixture
def built(monkeypatch):
    """How often encoders were built."""
    calls = []
    original = workbench.build_encoders
    monkeypatch.setattr(
        workbench, "build_encoders", lambda *a, **k: calls.append(1) or original(*a, **k)
    )
    return calls


@pytest.fixture
def compiled(monkeypatch):
    """How often a model was compiled."""
    calls = []
    original = keras.Model.compile
    monkeypatch.setattr(
        keras.Model, "compile", lambda self, *a, **k: calls.append(1) or original(self, *a, **k)
    )
    return calls


def answers(classifier, sample, rows=slice(0, 48), **changes):
    classifier.set_params(**changes)
    classifier.fit(sample[0][rows], validation_data=sample[0][48:64])
    return classifier.predict_proba(sample[1][:40])


def anew(sample, rows=slice(0, 48), **options):
    return answers(keras_mm.MultimodalClassifier(**{**RUN, **options}), sample, rows)


@pytest.fixture
def yes_no(sample):
    """The sample's rows with two labels."""
    return [t.assign(label=(t["label"] == "Implies").map({True: "y", False: "n"})) for t in sample]


@pytest.mark.graphs
def test_another_seed_or_fold_is_as_if_built_anew(sample, weights, built, compiled):
    options = {**IMAGES, "vision_weights": weights}
    classifier = keras_mm.MultimodalClassifier(**RUN, **options)
    first = answers(classifier, sample)
    steps = len(compiled)
    second = answers(classifier, sample, seed=1)
    fold = answers(classifier, sample, slice(16, 64), seed=0)
    assert len(built) == 1
    if keras.backend.backend() != "torch":  # where nothing is compiled
        assert len(compiled) == steps
    np.testing.assert_array_equal(second, anew(sample, **options, seed=1))
    np.testing.assert_array_equal(fold, anew(sample, slice(16, 64), **options))
    assert not np.array_equal(first, second) and not np.array_equal(first, fold)


@pytest.mark.slow
@pytest.mark.many_networks
@pytest.mark.parametrize(
    "changes",
    [{"fusion": "gated"}, {"head": "binary"}, {"training": {"ema_momentum": 0.9}}],
    ids=str,
)
def test_what_differs_is_made_anew(yes_no, changes, built):
    classifier = keras_mm.MultimodalClassifier(**RUN, **PAIRS)
    before = answers(classifier, yes_no)
    after = answers(classifier, yes_no, **changes)
    assert len(built) == 1
    np.testing.assert_array_equal(after, anew(yes_no, **PAIRS, **changes))
    assert not np.array_equal(before, after)


@pytest.mark.many_networks
def test_random_encoders_and_those_that_learn_are_built_anew(sample, built):
    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES)
    for number, changes in enumerate(({}, {"seed": 1}, {"vision_trainable": True}, {}), 1):
        answers(classifier, sample, **changes)
        assert len(built) == number


def test_other_weights_under_the_same_path(sample, weights, tmp_path, built):
    path = tmp_path / "cnn.weights.h5"
    path.write_bytes(Path(weights).read_bytes())
    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=path)
    first = answers(classifier, sample)
    keras.utils.set_random_seed(99)
    network, _ = vision_backbone("tiny_cnn", "random", (64, 64))
    network.save_weights(path)
    second = answers(classifier, sample)
    assert len(built) == 2
    assert not np.array_equal(first, second)


def another_weight(model):
    variable = model.get_layer("vision_encoder").weights[0]
    variable.assign(variable + 1)


def dropout_of(model):
    trunk = model.get_layer("trunk")
    return next(layer for layer in trunk.layers if isinstance(layer, layers.Dropout))


def another_rate(model):
    dropout_of(model).rate = 0.9


def fewer_to_train(model):
    model.get_layer("trunk").layers[-1].trainable = False


@pytest.mark.graphs
@pytest.mark.many_networks
@pytest.mark.parametrize("change", [another_weight, another_rate, fewer_to_train])
def test_what_somebody_has_changed_is_not_taken_over(sample, weights, change, built):
    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=weights)
    first = answers(classifier, sample)
    change(classifier.model_)
    np.testing.assert_array_equal(answers(classifier, sample), first)
    assert len(built) == (2 if change is another_weight else 1)


class Meddler(keras.callbacks.Callback):
    """Trains with another dropout, and holds what it was given."""

    def on_train_begin(self, logs=None):
        self.dropout = dropout_of(self.model)
        self.rate, self.dropout.rate = self.dropout.rate, 0.9

    def on_train_end(self, logs=None):
        self.dropout.rate = self.rate


@pytest.mark.graphs
def test_callbacks_never_see_what_serves_again(sample, weights):
    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=weights)
    first = answers(classifier, sample)
    meddler = Meddler()
    classifier.fit(sample[0][:48], validation_data=sample[0][48:64], callbacks=[meddler])
    held = [np.array(keras.ops.convert_to_numpy(v)) for v in meddler.model.variables]
    np.testing.assert_array_equal(answers(classifier, sample), first)
    for old, variable in zip(held, meddler.model.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(variable))


def a_layer(model):
    return model.get_layer("trunk").layers[-1]


def a_part(model):
    trunk = model.get_layer("trunk")
    return keras.Model(trunk.input, trunk.layers[-1].output)


@pytest.mark.many_networks
@pytest.mark.parametrize("part", [a_layer, a_part])
def test_what_somebody_holds_of_a_trunk(sample, weights, part, built):
    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=weights)
    answers(classifier, sample)
    held = part(classifier.model_)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in held.variables]
    answers(classifier, sample, seed=1)
    for old, variable in zip(before, held.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(variable))


@pytest.mark.many_networks
def test_settings_as_numpy_numbers(sample, weights):
    training = {"clipnorm": np.float32(1), "weight_decay": np.float32(0.004)}
    options = {**IMAGES, "vision_weights": weights}
    found = anew(sample, **options, training=training)
    plain = {name: float(value) for name, value in training.items()}
    np.testing.assert_allclose(found, anew(sample, **options, training=plain), atol=1e-6)


@pytest.mark.many_networks
@pytest.mark.parametrize("what", ["model", "vision"])
def test_what_somebody_holds_stays_as_it_is(sample, weights, what, built):
    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=weights)
    answers(classifier, sample)
    held = classifier.model_ if what == "model" else parts(classifier.model_).encoders[what]
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in held.variables]
    answers(classifier, sample, slice(8, 48), seed=1)
    assert len(built) == 2
    for old, variable in zip(before, held.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(variable))


@pytest.mark.many_networks
def test_a_model_of_networks_that_were_taken_over_is_saved_whole(sample, built, tmp_path):
    classifier = keras_mm.MultimodalClassifier(**RUN, **PAIRS)
    answers(classifier, sample)
    last = answers(classifier, sample, slice(8, 48))
    assert len(built) == 1
    encoders, trunk = parts(classifier.model_)
    assert {side: type(encoder) for side, encoder in encoders.items()} == {
        "vision": Encoder,
        "text": Encoder,
    }
    assert not any(encoder.trainable for encoder in encoders.values()) and trunk.trainable
    classifier.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(sample[1][:40]), last)


@pytest.mark.many_networks
def test_folds_of_scikit_learn_share_the_encoders(sample, weights, built):
    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=weights)
    table = sample[0][:90]
    scores = cross_val_score(classifier, table, table["label"], cv=3)
    assert len(built) == 1
    assert len(scores) == 3 and np.isfinite(scores).all()


def test_clones_in_use_share_nothing(sample, weights, built):
    one = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=weights)
    first = answers(one, sample)
    other = clone(one)
    answers(other, sample, seed=1)
    assert len(built) == 2
    ids = [{id(v) for v in c.model_.variables} for c in (one, other)]
    assert not ids[0] & ids[1]
    np.testing.assert_array_equal(one.predict_proba(sample[1][:40]), first)


def test_after_a_failed_training(sample, weights, built):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("stopped")

    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=weights)
    first = answers(classifier, sample)
    with pytest.raises(RuntimeError, match="stopped"):
        classifier.fit(sample[0][:48], callbacks=[Stop()])
    np.testing.assert_array_equal(classifier.predict_proba(sample[1][:40]), first)
    # Also where it fails before there is a model.
    with pytest.raises(ValueError, match="class_weight"):
        classifier.set_params(class_weight={"yak": 2.0}).fit(sample[0][:48])
    np.testing.assert_array_equal(classifier.predict_proba(sample[1][:40]), first)
    classifier.set_params(class_weight=None)
    np.testing.assert_array_equal(answers(classifier, sample), first)
    assert len(built) == 1


def test_mmbt_takes_the_text_encoder_and_gives_none_back(sample, built):
    options = {**PAIRS, "fusion": "mmbt", "compare": False}
    classifier = keras_mm.MultimodalClassifier(**RUN, **options)
    first = answers(classifier, sample)
    again = answers(classifier, sample)
    assert len(built) == 2
    np.testing.assert_array_equal(again, first)


def test_copies_begin_empty(weights):
    classifier = keras_mm.MultimodalClassifier(**RUN, **IMAGES, vision_weights=weights)
    bench = clone(classifier)._bench()
    assert bench is classifier._bench()
    for copied in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier)):
        assert copied._bench() is not bench
        assert copied.get_params() == classifier.get_params()
