"""Training of heads of every kind, one and several at once, rows lacking some labels."""

import keras
import numpy as np
import pytest

from keras_mm.data.dataset import RowBatches
from keras_mm.losses import create_loss
from keras_mm.metrics.head_metrics import head_metrics
from keras_mm.settings.heads import Head
from keras_mm.training.trainer import Trainer

HEADS = {
    "mood": Head(classes=("bad", "fair", "good")),
    "spam": Head("binary"),
    "topics": Head("multilabel", classes=4),
    "stars": Head("regression"),
}


def rows(count=96, seed=0):  # whole batches: JAX compiles each size of batch
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)).astype("float32")
    z = x @ np.random.default_rng(7).normal(size=(5, 9))
    return x, {
        "mood": z[:, :3].argmax(axis=1),
        "spam": (z[:, 3] > 0).astype(int),
        "topics": (z[:, 4:8] > 0).astype(int),
        "stars": z[:, 8:].astype("float32"),
    }


def model_of(heads, shared=False):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,))
    x = keras.layers.Dense(7, name="shared")(inputs) if shared else inputs
    logits = {n: keras.layers.Dense(h.num_logits, name=n)(x) for n, h in heads.items()}
    return keras.Model(inputs, logits if len(logits) > 1 else next(iter(logits.values())))


def answers(model, x):
    return keras.tree.map_structure(np.asarray, model.predict_on_batch(x))


def one(name):
    """A head by itself: its dict, and its rows."""
    (x, y), (val_x, val_y) = rows(), rows(40, seed=1)
    return {name: HEADS[name]}, (x, y[name]), (val_x, val_y[name])


# No clipping: one norm of all gradients would couple the heads.
OPTIONS = {"epochs": 25, "learning_rate": 0.1, "verbose": 0, "weight_decay": 0.0}
OPTIONS |= {"clipnorm": None, "warmup": 0.0}


@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [("mood", "accuracy", 0.9), ("spam", "accuracy", 0.9), ("topics", "lrap", 0.95),
     ("stars", "r2", 0.95)],
)  # fmt: skip
def test_each_kind_learns(name, metric, least):
    heads, data, validation = one(name)
    model = model_of(heads)
    history = Trainer(model, heads=heads, **OPTIONS).fit(data, validation)
    assert history[f"val_{metric}"][-1] > least
    found = head_metrics(HEADS[name], validation[1], answers(model, validation[0]))
    best = int(np.argmin(history["val_loss"]))  # whose weights are back
    assert found[metric] == pytest.approx(history[f"val_{metric}"][best], abs=1e-6)


def test_several_heads_learn_at_once():
    data, (val_x, val_y) = rows(), rows(40, seed=1)
    model = model_of(HEADS)
    history = Trainer(model, heads=HEADS, **OPTIONS).fit(data, (val_x, val_y))
    logits = answers(model, val_x)
    best = int(np.argmin(history["val_loss"]))
    for name, metric in {"mood": "macro_f1", "spam": "accuracy", "topics": "micro_f1",
                         "stars": "r2"}.items():  # fmt: skip
        assert history[f"val_{name}_{metric}"][-1] > 0.85, name
        found = head_metrics(HEADS[name], val_y[name], logits[name])[metric]
        assert found == pytest.approx(history[f"val_{name}_{metric}"][best], abs=1e-6)
    total = sum(history[f"val_{name}_loss"][best] for name in HEADS)
    assert history["val_loss"][best] == pytest.approx(total)


@pytest.mark.eager
def test_a_head_beside_others_is_trained_as_by_itself():
    """Nothing is shared here but the batches: each head's weights are those of training alone."""
    (x, y), options = rows(), {**OPTIONS, "epochs": 3, "optimizer": "sgd"}
    together = model_of(HEADS)
    start = {name: together.get_layer(name).get_weights() for name in HEADS}
    Trainer(together, heads=HEADS, **options).fit((x, y))
    for name, head in HEADS.items():
        alone = model_of({name: head})
        alone.get_layer(name).set_weights(start[name])
        Trainer(alone, heads={name: head}, **options).fit((x, y[name]))
        for a, b in zip(
            alone.get_layer(name).get_weights(), together.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_allclose(a, b, atol=1e-6)
        assert not np.array_equal(together.get_layer(name).get_weights()[0], start[name][0])


@pytest.mark.eager
def test_rows_may_lack_labels():
    """Rows without a head's label train the others, and that one as if they were not there."""
    x, y = rows(60)
    lacking = {name: values.copy() for name, values in y.items()}
    lacking["mood"][20:] = -1
    lacking["topics"][:] = -1
    lacking["stars"][20:] = np.nan
    model = model_of(HEADS)
    before = {name: model.get_layer(name).get_weights() for name in HEADS}
    options = {**OPTIONS, "epochs": 2, "optimizer": "sgd", "early_stopping": False}
    history = Trainer(model, heads=HEADS, **options).fit((x, lacking), (x, lacking), batch_size=60)
    assert np.isfinite(history["loss"]).all()
    assert "val_mood_accuracy" in history and "val_topics_lrap" not in history
    np.testing.assert_array_equal(model.get_layer("topics").get_weights()[0], before["topics"][0])
    for name in ("mood", "stars"):
        alone = model_of({name: HEADS[name]})
        alone.get_layer(name).set_weights(before[name])
        trainer = Trainer(alone, heads={name: HEADS[name]}, **options)
        trainer.fit((x[:20], y[name][:20]), batch_size=60)
        for a, b in zip(
            alone.get_layer(name).get_weights(), model.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.eager
def test_loss_weights():
    x, y = rows()
    heads = {"mood": Head(classes=3, loss_weight=0.0), "spam": Head("binary", loss_weight=2.5)}
    y = {name: y[name] for name in heads}
    model = model_of(heads)
    before = model.get_layer("mood").get_weights()[0]
    history = Trainer(model, heads=heads, **{**OPTIONS, "epochs": 1}).fit((x, y), (x, y))
    np.testing.assert_array_equal(model.get_layer("mood").get_weights()[0], before)
    expected = 2.5 * history["val_spam_loss"][0]
    assert history["val_loss"][0] == pytest.approx(expected)


@pytest.mark.eager
def test_heads_have_losses_of_their_own():
    x, y = rows()
    heads = {
        "mood": Head(classes=3, loss="focal", class_weight=[1, 2, 3]),
        "topics": Head("multilabel", classes=4, class_weight="balanced"),
        "stars": Head("regression", loss="mean_absolute_error"),
    }
    y = {name: y[name] for name in heads}
    model = model_of(heads)
    options = {**OPTIONS, "epochs": 1, "label_smoothing": 0.1, "gamma": 1.0}
    history = Trainer(model, heads=heads, **options).fit((x, y), (x, y))
    logits = answers(model, x)
    shares = y["topics"].mean(axis=0)
    losses = {
        "mood": create_loss("focal", class_weight=[1, 2, 3], label_smoothing=0.1, gamma=1.0),
        "topics": create_loss(
            "cross_entropy",
            kind="multilabel",
            class_weight=(1 - shares) / shares,
            label_smoothing=0.1,
        ),
        "stars": create_loss("mean_absolute_error", kind="regression"),
    }
    for name, loss in losses.items():
        expected = float(loss(y[name], logits[name]))
        assert history[f"val_{name}_loss"][-1] == pytest.approx(expected, rel=1e-5), name


def test_any_metric_can_be_monitored():
    heads, data, validation = one("topics")
    for monitor, best in (("val_hamming_loss", min), ("val_auroc", max)):
        model = model_of(heads)
        options = {**OPTIONS, "epochs": 6, "monitor": monitor, "learning_rate": 0.5}
        history = Trainer(model, heads=heads, **options).fit(data, validation)
        found = head_metrics(HEADS["topics"], validation[1], answers(model, validation[0]))
        metric = monitor.removeprefix("val_")
        assert found[metric] == pytest.approx(best(history[monitor]), abs=1e-6)
    with pytest.raises(ValueError, match="val_micro_f1"):
        Trainer(model_of(heads), heads=heads, monitor="val_mikro_f1", verbose=0).fit(
            data, validation
        )


def test_a_model_that_names_its_only_output():
    heads, (x, y), _ = one("topics")
    inputs = keras.Input((5,))
    model = keras.Model(inputs, {"topics": keras.layers.Dense(4)(inputs)})
    history = Trainer(model, heads=heads, **OPTIONS).fit((x, {"topics": y}), (x, {"topics": y}))
    assert history["val_lrap"][-1] > 0.9


def test_one_seed_gives_the_same_bits():
    found = []
    for _ in range(2):
        model = model_of(HEADS, shared=True)
        Trainer(model, heads=HEADS, epochs=2, verbose=0).fit(rows())
        found.append(answers(model, rows()[0]))
    for name in HEADS:
        np.testing.assert_array_equal(found[0][name], found[1][name])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": {"mood": Head(classes=3)}}, "do not fit the model"),
        ({"heads": HEADS | {"mood": Head(classes=4)}}, "'mood': 4"),
        ({"loss": keras.losses.MeanSquaredError()}, "name the `loss`"),
        ({"class_weight": [1, 2, 3]}, "give each its class weights"),
        ({"loss": "logit_adjusted"}, "multilabel"),
        ({"loss": "fokal"}, "Did you mean 'focal'"),
    ],
)
def test_bad_requests(options, words):
    with pytest.raises(ValueError, match=words):
        Trainer(model_of(HEADS), **{"heads": HEADS, "verbose": 0, **options}).fit(rows())


def without(y, name):
    return {other: values for other, values in y.items() if other != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: without(y, "spam"), r"and so must be the labels.*Received: \['mood', 'topics'"),
        (lambda y: y | {"other": y["spam"]}, "and so must be the labels"),
        (lambda y: y["mood"], "and so must be the labels.*one array"),
        (lambda y: y | {"mood": y["mood"] + 1}, "'mood' must be whole numbers from 0 to 2.*3"),
        (lambda y: y | {"mood": y["mood"] + 0.5}, "'mood' must be whole numbers"),
        (lambda y: y | {"mood": y["topics"]}, r"'mood' needs labels.*shape \(num_rows,\)"),
        (lambda y: y | {"spam": y["spam"].astype(str)}, "'spam' needs labels of numbers"),
        (lambda y: y | {"topics": y["topics"] * np.nan}, "'topics' must be 0 or 1"),
        (lambda y: y | {"topics": y["topics"][:, :3]}, r"'topics' needs.*\(num_rows, 4\)"),
        (lambda y: y | {"stars": y["stars"] / 0.0}, "'stars' must be finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_labels_that_do_not_fit(change, words):
    x, y = rows()
    with pytest.raises(ValueError, match=words):
        Trainer(model_of(HEADS), heads=HEADS, verbose=0).fit((x, change(y)))
    with pytest.raises(ValueError, match="labels"):
        Trainer(model_of(HEADS), heads=HEADS, verbose=0).fit((x, y), (x, change(y)))


def test_labels_of_one_output():
    heads, (x, y), _ = one("mood")
    with pytest.raises(ValueError, match="one array of labels"):
        Trainer(model_of(heads), heads=heads, verbose=0).fit((x, {"mood": y}))
    history = Trainer(model_of({"spam": HEADS["spam"]}), epochs=1, verbose=0).fit((x, y > 0))
    assert np.isfinite(history["loss"]).all()


@pytest.mark.eager
def test_what_validation_cannot_measure_is_not_monitored():
    x, y = rows()
    unlabelled = y | {"stars": np.full_like(y["stars"], np.nan)}
    for monitor in ("val_stars_loss", "val_stars_r2"):
        trainer = Trainer(model_of(HEADS), heads=HEADS, monitor=monitor, verbose=0)
        with pytest.raises(ValueError, match="without labels among the validation rows"):
            trainer.fit((x, y), (x, unlabelled))


def test_validation_rows_of_other_classes_are_refused():
    heads, (x, y), _ = one("mood")
    training, validation = (RowBatches({"": x}, labels=y) for _ in range(2))
    training.classes, validation.classes = ["a", "b", "c"], ["a", "c", "d"]
    with pytest.raises(ValueError, match="other classes"):
        Trainer(model_of(heads), heads=heads, verbose=0).fit(training, validation)


def test_settings_without_effect_are_refused():
    heads, data, _ = one("stars")
    for options, words in (
        ({"loss": "hubber"}, "Did you mean 'huber'"),
        ({"loss": "focal"}, "regression"),
        ({"class_weight": "balanced"}, "no classes to weigh"),
        ({"label_smoothing": 0.1}, "no classes to weigh"),
    ):
        with pytest.raises(ValueError, match=words):
            Trainer(model_of(heads), heads=heads, verbose=0, **options).fit(data)
    numbers = {"stars": Head("regression"), "more": Head("regression")}
    x, y = rows()
    y = dict.fromkeys(numbers, y["stars"])
    with pytest.raises(ValueError, match="The head 'stars'.*Did you mean 'huber'"):
        Trainer(model_of(numbers), heads=numbers, loss="hubber", verbose=0).fit((x, y))
    with pytest.raises(ValueError, match="The head 'mood'.*huber"):
        Trainer(model_of(HEADS), heads=HEADS, loss="huber", verbose=0).fit(rows())
