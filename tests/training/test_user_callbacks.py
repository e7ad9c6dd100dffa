"""Keras' callbacks that monitor a metric or set the learning rate, in real trainings."""

import keras
import numpy as np
import pytest

import keras_mm
from keras_mm.metrics.head_metrics import METRICS, head_metrics
from keras_mm.settings.heads import Head
from keras_mm.training.trainer import Trainer
from tests.training.test_trainer import toy, toy_model, weights

CONSTANT = {"decay": "constant", "warmup": 0.0, "verbose": 0}


class Log(keras.callbacks.Callback):
    """Replaces metrics in the logs, and keeps each epoch's weights and learning rate."""

    def __init__(self, **values):
        super().__init__()
        self.values, self.weights, self.rates = values, [], []

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in self.values.items()})
        self.weights.append(weights(self.model))
        self.rates.append(float(self.model.optimizer.learning_rate))


def test_the_best_epoch_of_a_score_is_the_highest(tmp_path):
    log = Log(val_macro_f1=[0.2, 0.9, 0.5, 0.4], val_mcc=[0.1, 0.2, 0.3, 0.1])
    callbacks = [
        log,
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.weights.h5", "val_macro_f1", save_best_only=True,
            save_weights_only=True,
        ),
        keras.callbacks.EarlyStopping("val_mcc", patience=1),
    ]  # fmt: skip
    history = Trainer(toy_model(), epochs=9, callbacks=callbacks, verbose=0).fit(toy(), toy())
    assert history["val_mcc"] == [0.1, 0.2, 0.3, 0.1]
    saved = toy_model()
    saved.load_weights(tmp_path / "best.weights.h5")
    for mine, best in zip(weights(saved), log.weights[1], strict=True):
        np.testing.assert_array_equal(mine, best)


def test_what_callbacks_monitor_is_logged_by_head():
    inputs = keras.Input((5,))
    model = keras.Model(
        inputs, {"kind": keras.layers.Dense(3)(inputs), "size": keras.layers.Dense(1)(inputs)}
    )
    x, y = toy()
    data = (x, {"kind": y, "size": x[:, :1]})
    directions = {"val_kind_mcc": "max", "val_size_pearson": "max", "val_kind_log_loss": "min"}
    # These are computed in each epoch only if they are monitored.
    directions |= {"val_kind_top_2_accuracy": "max", "val_kind_brier_score_loss": "min"}
    callbacks = [keras.callbacks.EarlyStopping(name) for name in directions]
    heads = {"kind": Head(classes=3), "size": Head("regression", classes=("size",))}
    trainer = Trainer(model, heads=heads, epochs=1, callbacks=callbacks, verbose=0)
    history = trainer.fit(data, data)
    assert [callback.mode for callback in callbacks] == list(directions.values())
    assert set(directions) <= set(history)
    assert "val_kind_auroc" not in history


def test_a_scheduler_sets_the_rate():
    log = Log()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0 if epoch else rate)
    Trainer(toy_model(), epochs=3, callbacks=[log, scheduler], **CONSTANT).fit(toy())
    assert log.rates == pytest.approx([1e-3, 0, 0])
    assert not np.array_equal(log.weights[0][0], weights(toy_model())[0])
    for first, last in zip(log.weights[0], log.weights[2], strict=True):
        np.testing.assert_array_equal(first, last)


def test_a_plateau_of_the_users_lowers_the_rate():
    log = Log(val_accuracy=[0.5, 0.6, 0.6, 0.6])
    plateau = keras.callbacks.ReduceLROnPlateau("val_accuracy", factor=0.1, patience=1)
    Trainer(toy_model(), epochs=4, callbacks=[log, plateau], **CONSTANT).fit(toy(), toy())
    assert log.rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("knobs", "callback", "words"),
    [
        ({}, keras.callbacks.LearningRateScheduler(float), "decay='constant' and warmup=0\\."),
        (
            {"decay": "constant", "warmup": 0.1},
            keras.callbacks.ReduceLROnPlateau(),
            r"ReduceLROnPlateau cannot .* or decay='plateau' without",
        ),
        ({}, keras.callbacks.EarlyStopping("val_macrof1"), "Did you mean 'val_macro_f1'"),
        ({}, keras.callbacks.EarlyStopping("val_kind_mcc"), "mode='max'"),
    ],
)
def test_what_cannot_work_is_refused(knobs, callback, words):
    model = toy_model()
    with pytest.raises(ValueError, match=words):
        Trainer(model, callbacks=[callback], verbose=0, **knobs).fit(toy(), toy())
    assert not hasattr(model, "optimizer")  # nothing was begun


@pytest.mark.backend_free
def test_the_estimator_refuses_it_before_any_work(sample):
    classifier = keras_mm.MultimodalClassifier(preset="tiny", verbose=0)
    callbacks = [keras.callbacks.LearningRateScheduler(float)]
    with pytest.raises(ValueError, match="training={'decay': 'constant', 'warmup': 0}"):
        classifier.fit(sample[0][:32], validation_split=0, callbacks=callbacks)
    assert not hasattr(classifier, "history_")


@pytest.mark.backend_free
def test_weights_of_another_early_stopping_are_not_kept_silently(caplog):
    other = keras.callbacks.EarlyStopping("val_accuracy", restore_best_weights=True)
    for early_stopping, said in ((True, True), (False, False)):
        caplog.clear()
        options = {"early_stopping": early_stopping, "callbacks": [other], "verbose": 0}
        Trainer(toy_model(), epochs=1, **options).fit(toy(), toy())
        assert ("early_stopping=False" in caplog.text) is said


@pytest.mark.backend_free
def test_every_metric_is_known():
    """What training may log: the loss, and all numbers that `head_metrics` gives."""
    found = {"loss"}
    for head, labels in (
        (Head(classes=6), [0, 1]),
        (Head("multilabel", ("a", "b")), [[0, 1], [1, 0]]),
        (Head("regression", ("a",)), [[0.0], [1.0]]),
    ):
        metrics = head_metrics(head, labels, np.eye(2, 6)[:, : head.num_logits])
        found |= {name for name, value in metrics.items() if isinstance(value, float)}
    assert found == set(METRICS)
