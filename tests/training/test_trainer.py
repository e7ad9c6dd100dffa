import inspect
import re
from dataclasses import fields

import keras
import numpy as np
import pytest

from keras_mm.losses import create_loss, effective_number_class_weight
from keras_mm.settings.training import LossSettings, Optimization, Stopping, Training
from keras_mm.training.optimizers import create_schedule
from keras_mm.training.stages import BestOfStages
from keras_mm.training.trainer import Trainer


def toy(rows=64, seed=0):  # whole batches: JAX compiles each size of batch
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5)).astype("float32")
    return x, (x @ rng.normal(size=(5, 3))).argmax(axis=1)


def toy_model(dropout=0.0):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,))
    x = keras.layers.Dense(7, activation="relu", name="vision_encoder")(inputs)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def weights(model):
    return [np.asarray(keras.ops.convert_to_numpy(w)) for w in model.weights]


def test_it_learns_a_model_of_the_users_own():
    model = toy_model()
    history = Trainer(model, epochs=30, learning_rate=0.05, verbose=0).fit(toy(), toy(seed=0))
    assert history["val_accuracy"][-1] > 0.9 and history["val_loss"][-1] < history["val_loss"][0]
    assert len(history["loss"]) <= 30


def test_one_seed_gives_the_same_bits():
    runs = []
    for seed in (3, 3, 4):
        model = toy_model(dropout=0.5)
        Trainer(model, epochs=3, seed=seed, verbose=0).fit(toy())
        runs.append(weights(model))
    for first, second in zip(runs[0], runs[1], strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(runs[0][0], runs[2][0])


class Spoil(keras.callbacks.Callback):
    """A callback of the user's own: notes the weights, and ruins them after the second epoch."""

    def __init__(self):
        super().__init__()
        self.seen, self.best = [], None

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(dict(logs))
        if epoch == 1:
            self.best = weights(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.model.set_weights([w + 5 for w in self.best])


def test_the_best_weights_are_put_back():
    model, spoil = toy_model(), Spoil()
    trainer = Trainer(model, epochs=9, patience=2, learning_rate=1e-3, callbacks=[spoil], verbose=0)
    history = trainer.fit(toy(), toy(seed=0))
    assert len(history["loss"]) == 4  # two good epochs, two without improvement
    for mine, best in zip(weights(model), spoil.best, strict=True):
        np.testing.assert_array_equal(mine, best)
    assert {"loss", "val_loss", "val_accuracy", "val_macro_f1"} <= set(spoil.seen[0])


@pytest.mark.eager
@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({}, True),
        ({"early_stopping": False}, True),
        ({"ema_momentum": 0.9}, True),
        ({"callbacks": [Spoil()]}, True),
        # Nothing is restored then, and the callback has changed the weights after the evaluation.
        ({"callbacks": [Spoil()], "early_stopping": False}, False),
    ],
)
def test_logits_of_validation_rows_are_those_of_the_weights_that_are_kept(options, known):
    trainer = Trainer(toy_model(), epochs=4, learning_rate=0.3, verbose=0, **options)
    trainer.fit(toy(), toy(seed=2))
    assert (trainer.validation is not None) == known
    if known:
        expected = trainer.model.predict_on_batch(toy(seed=2)[0])
        np.testing.assert_allclose(trainer.validation.logits["label"], expected, atol=1e-5)
    trainer.fit(toy())
    assert trainer.validation is None


def test_validation_is_weighted_and_independent_of_batches():
    x, y = toy()
    model = toy_model()
    trainer = Trainer(model, epochs=1, class_weight=[1.0, 7.0, 2.0], verbose=0)
    history = trainer.fit((x, y), (x, y), batch_size=11)
    logits = keras.ops.convert_to_numpy(model(x))
    whole = create_loss("cross_entropy", class_weight=[1.0, 7.0, 2.0])(y, logits)
    assert history["val_loss"][-1] == pytest.approx(float(whole), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "same_loss"),
    [
        (
            {"loss": "logit_adjusted", "tau": 0.5},
            lambda y: create_loss("logit_adjusted", class_counts=np.bincount(y), tau=0.5),
        ),
        (
            {"class_weight": "effective_number", "beta": 0.9},
            lambda y: create_loss(
                "cross_entropy", class_weight=effective_number_class_weight(y, beta=0.9)
            ),
        ),
    ],
)
def test_training_labels_are_counted_and_validation_uses_their_counts(options, same_loss):
    x, y = toy(70)
    assert len(set(np.bincount(y))) == 3
    few = np.concatenate([np.flatnonzero(y == c)[:3] for c in (0, 1, 2)])
    model = toy_model()
    history = Trainer(model, epochs=1, verbose=0, **options).fit((x, y), (x[few], y[few]))
    logits = keras.ops.convert_to_numpy(model(x[few]))
    expected = float(same_loss(y)(y[few], logits))
    assert history["val_loss"][-1] == pytest.approx(expected, abs=1e-5)


def test_logit_adjustment_trains_the_answers_of_equally_frequent_classes():
    # Rows of two inputs and three classes; the first class is the most frequent with either.
    rows = np.array([[40, 5, 7], [30, 15, 3]])
    x = np.repeat(np.eye(2, dtype="float32"), rows.sum(axis=1), axis=0)
    y = np.concatenate([np.repeat([0, 1, 2], row) for row in rows])
    answers = {}
    for loss in ("cross_entropy", "logit_adjusted"):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, use_bias=False)])
        trainer = Trainer(model, loss=loss, epochs=80, learning_rate=0.1, verbose=0)
        trainer.fit((x, y), batch_size=100)
        answers[loss] = model.predict(np.eye(2), verbose=0).argmax(axis=1).tolist()
    assert answers == {
        "cross_entropy": rows.argmax(axis=1).tolist(),
        "logit_adjusted": (rows / rows.sum(axis=0)).argmax(axis=1).tolist(),
    }


class Unlabelled(keras.utils.PyDataset):
    """Batches of the user's own, whose labels nobody can count beforehand."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return toy()


@pytest.mark.parametrize("options", [{"loss": "logit_adjusted"}, {"class_weight": "balanced"}])
def test_what_is_counted_needs_labels(options):
    with pytest.raises(ValueError, match="needs the training labels.*create_loss"):
        Trainer(toy_model(), epochs=1, verbose=0, **options).fit(Unlabelled())


def test_encoders_have_a_learning_rate_of_their_own():
    steps = {}
    for rate in (None, 1e-5):
        model = toy_model()
        before = weights(model)
        Trainer(
            model, epochs=1, optimizer="adam", learning_rate=1e-2, encoder_learning_rate=rate,
            decay="constant", verbose=0,
        ).fit(toy(32))  # fmt: skip
        after = weights(model)
        steps[rate] = [np.abs(b - a).max() for a, b in zip(before, after, strict=True)]
    # One step of Adam moves a weight by about the learning rate.
    assert steps[None][0] == pytest.approx(1e-2, rel=0.05)
    assert steps[1e-5][0] == pytest.approx(1e-5, rel=0.05)
    assert steps[1e-5][2] == pytest.approx(1e-2, rel=0.05)


def test_weight_decay_follows_each_parts_rate():
    kept = {}
    for decay in (0.0, 50.0):
        model = toy_model()
        Trainer(
            model, epochs=1, learning_rate=1e-2, encoder_learning_rate=1e-5, decay="constant",
            weight_decay=decay, verbose=0,
        ).fit(toy(32))  # fmt: skip
        kept[decay] = weights(model)
    shares = [kept[50.0][i] / kept[0.0][i] for i in (0, 2)]
    # One step takes the decay times the rate: 0.0005 of the encoder's kernel, half of the other.
    assert np.median(shares[0]) == pytest.approx(1 - 5e-4, abs=1e-4)
    assert np.median(shares[1]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("validation", [None, toy(32)])
def test_a_run_that_diverges_says_so(validation):
    with pytest.raises(FloatingPointError, match="diverged in epoch 1: .*`learning_rate`"):
        Trainer(
            toy_model(), epochs=2, optimizer="sgd", learning_rate=1e38, decay="constant", verbose=0
        ).fit(toy(96), validation)


def test_accumulated_batches_are_one_large_batch():
    x, y = toy(64)
    found = []
    for batch_size, steps in ((64, 1), (16, 4)):
        model = toy_model()
        Trainer(
            model, epochs=1, optimizer="sgd", learning_rate=0.1, decay="constant",
            accumulation_steps=steps, verbose=0,
        ).fit((x, y), batch_size=batch_size)  # fmt: skip
        found.append(weights(model))
    for large, small in zip(*found, strict=True):
        np.testing.assert_allclose(small, large, atol=1e-6)


def test_accumulated_steps_decay_over_the_whole_run():
    x, y = toy(64)
    rates = []

    class Rate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    Trainer(
        toy_model(), epochs=2, learning_rate=0.1, accumulation_steps=4, callbacks=[Rate()],
        warmup=0.0, verbose=0,
    ).fit((x, y), batch_size=8)  # fmt: skip
    assert len(rates) == 16 and rates[7] == pytest.approx(0.05) and 0 < rates[-2] < 0.01


def test_what_early_stopping_cannot_watch_is_told():
    with pytest.raises(ValueError, match="'val_acc'. Did you mean 'val_accuracy'"):
        Trainer(toy_model(), epochs=2, monitor="val_acc", verbose=0).fit(toy(), toy())


def test_a_misspelt_metric_is_found_before_training():
    model = toy_model()
    before = weights(model)
    for monitor, data in (("val_acc", (toy(), toy())), ("acc", (toy(),)), ("los", (toy(),))):
        trainer = Trainer(model, epochs=2, monitor=monitor, verbose=0)
        with pytest.raises(ValueError, match=f"Unknown metric in `monitor`: '{monitor}'"):
            trainer.fit(*data)
        assert trainer.history == {}
    np.testing.assert_array_equal(weights(model)[0], before[0])
    trainer = Trainer(model, epochs=1, monitor="val_balanced_accuracy", verbose=0)
    assert "val_balanced_accuracy" in trainer.fit(toy(), toy())


def test_early_stopping_watches_what_a_callback_adds():
    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_score"] = -epoch

    options = {"epochs": 9, "monitor": "val_score", "patience": 2, "callbacks": [Score()]}
    history = Trainer(toy_model(), **options, verbose=0).fit(toy(), toy())
    assert history["val_score"] == [0, -1, -2]


class Worse(keras.callbacks.Callback):
    """Each epoch is worse than the one before; keeps the weights of all."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        logs["val_score"] = -epoch
        self.weights.append(weights(self.model))


@pytest.mark.parametrize(
    ("min_epochs", "epochs", "ended", "best"), [(1, 9, 3, 1), (4, 9, 6, 4), (7, 5, 5, 5)]
)
def test_early_stopping_begins_with_an_epoch(min_epochs, epochs, ended, best, capsys):
    model, worse = toy_model(), Worse()
    options = {"monitor": "val_score", "patience": 2, "callbacks": [worse]}
    trainer = Trainer(model, epochs=epochs, min_epochs=min_epochs, **options)
    history = trainer.fit(toy(), toy())
    assert len(history["val_score"]) == ended
    for mine, expected in zip(weights(model), worse.weights[best - 1], strict=True):
        np.testing.assert_array_equal(mine, expected)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines[:ended]] == [
        f"epoch {number}/{epochs}" for number in range(1, ended + 1)
    ]
    assert all(re.search(r"  \(\d\.\d s\)$", line) for line in lines[:ended])
    said = "" if ended == epochs else (
        f"training stopped after epoch {ended} of 9: val_score has not improved for 2 epochs; the "
        f"weights of epoch {best}, which has the best val_score, are kept"
    )  # fmt: skip
    assert "".join(lines[ended:]) == said


def test_the_best_stage_is_not_chosen_by_its_first_epochs():
    model = toy_model()
    kept = weights(model)
    stages = BestOfStages(model, Stopping(min_epochs=3))
    stages.note({"val_loss": [0.1, 0.2, 0.7, 0.6]})
    for history, is_kept in (({"val_loss": [0.3, 0.4, 0.8]}, True), ({"val_loss": [0.5]}, False)):
        model.set_weights([w + 1 for w in kept])
        stages.note(history)
        assert np.array_equal(weights(model)[0], kept[0]) is is_kept
        assert (stages.stage, stages.value) == ((1, 0.6) if is_kept else (3, 0.5))


def test_clipping_bounds_the_step():
    x, y = toy(32)
    model = toy_model()
    before = weights(model)
    Trainer(
        model, epochs=1, optimizer="sgd", learning_rate=1.0, clipnorm=0.01, decay="constant",
        verbose=0,
    ).fit((x * 100, y))  # fmt: skip
    moved = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(before, weights(model), strict=True)))
    assert 0 < moved <= 0.0101


def test_settings_reach_the_optimizer():
    model = toy_model()
    options = {"epochs": 1, "decay": "constant", "verbose": 0}
    Trainer(model, adam_betas=(0.5, 0.25), adam_epsilon=1e-3, **options).fit(toy(32))
    adam = model.optimizer
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.5, 0.25, 1e-3)


def test_adafactor_learns():
    model = toy_model()
    history = Trainer(
        model, optimizer="adafactor", learning_rate=0.1, epochs=15, decay="constant", verbose=0
    ).fit(toy(64))
    assert type(model.optimizer).__name__ == "Adafactor"
    assert history["loss"][-1] < history["loss"][0] * 0.7


def schedule_of(**options):
    return create_schedule(Optimization(learning_rate=0.3, **options), 100)


def test_schedule_rises_and_decays():
    schedule = schedule_of()
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 5, 10, 55, 100)]
    assert rates[0] == 0 and rates[1] == pytest.approx(0.15) and rates[2] == pytest.approx(0.3)
    assert rates[3] == pytest.approx(0.15) and rates[4] == pytest.approx(0, abs=1e-6)
    line = schedule_of(decay="linear")
    rates = [float(keras.ops.convert_to_numpy(line(step))) for step in (0, 5, 10, 55, 100, 130)]
    np.testing.assert_allclose(rates, [0, 0.15, 0.3, 0.15, 0, 0], atol=1e-7)
    again = type(line).from_config(line.get_config())
    assert float(keras.ops.convert_to_numpy(again(37))) == pytest.approx(0.21)
    curve = schedule_of(decay="polynomial", decay_power=2.0)
    rates = [float(keras.ops.convert_to_numpy(curve(step))) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(rates, [0, 0.15, 0.3, 0.075, 0], atol=1e-7)
    level = schedule_of(decay="constant")
    assert float(keras.ops.convert_to_numpy(level(77))) == pytest.approx(0.3)
    assert schedule_of(warmup=0, decay="constant") == 0.3


def test_bad_requests():
    with pytest.raises(ValueError, match="Did you mean 'adamw'"):
        Trainer(toy_model(), optimizer="adamww")
    with pytest.raises(ValueError, match="`epochs` must be an integer >= 1. Received: epochs=0"):
        Trainer(toy_model(), epochs=0)
    with pytest.raises(ValueError, match="use_ema=True"):
        Trainer(toy_model(), optimizer=keras.optimizers.Adam(), ema_momentum=0.9, verbose=0).fit(
            toy()
        )
    with pytest.raises(ValueError, match="Did you mean 'cosine'"):
        Trainer(toy_model(), decay="cosin")
    with pytest.raises(ValueError, match="(?s)`warmup` must be.*`momentum` must be"):
        Trainer(toy_model(), warmup=1, momentum=2)
    for name, nearest in (("optimiser", "optimizer"), ("seeed", "seed")):
        with pytest.raises(TypeError, match=f"Unknown argument '{name}'. Did you mean '{nearest}'"):
            Trainer(toy_model(), **{name: 1})


def test_knobs_and_objects_say_the_same():
    model = toy_model()
    knobs = {"gamma": 1.0, "clipnorm": 2.0, "patience": 7, "learning_rate": 0.5}
    one = Trainer(model, **knobs)
    other = Trainer(
        model,
        loss_settings=LossSettings(gamma=1.0),
        optimization=Optimization(learning_rate=0.5, clipnorm=9.0),
        stopping=Stopping(patience=7),
        clipnorm=2.0,
    )
    assert one.loss_settings == other.loss_settings == LossSettings(gamma=1.0)
    assert one.optimization == other.optimization and one.optimization.clipnorm == 2.0
    assert one.stopping == other.stopping == Stopping(patience=7)
    plain = Trainer(model).optimization
    assert plain == Optimization()


def test_the_signature_lists_every_knob():
    parameters = inspect.signature(Trainer).parameters
    for kind in (LossSettings, Optimization, Stopping):
        for one in fields(kind):
            assert parameters[one.name].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(parameters)[:2] == ["model", "heads"] and "knobs" not in parameters
    assert parameters["warmup"].default == 0.1 and parameters["decay_power"].default == 1.0
    text = " ".join(Trainer.__doc__.split())
    assert 'decay_power: Exponent of `decay="polynomial"`. A number > 0' in text
    assert "rises from 0 to its peak. A number in [0, 1); default 0.1." in text


@pytest.mark.backend_free
@pytest.mark.parametrize("name", ["loss_settings", "optimization", "stopping"])
@pytest.mark.parametrize("value", [{"epochs": 2}, Training()])
def test_settings_of_another_kind_are_refused(name, value):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(TypeError, match=f"`{name}` must be a"):
        Trainer(model, **{name: value})
