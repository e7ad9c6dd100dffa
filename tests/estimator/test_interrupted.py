"""Trainings that fail or are interrupted: what is kept, and what is left as it was."""

import logging

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from keras_mm import MultimodalClassifier, Trainer

pytestmark = pytest.mark.eager

TABLE = pd.DataFrame({"text": ["a", "b"] * 12, "label": ["x", "y"] * 12})
OPTIONS = {"texts": ["text"], "preset": "tiny", "text_trainable": False, "epochs": 4, "verbose": 0}


class Break(keras.callbacks.Callback):
    """Raises at a place of the second epoch."""

    def __init__(self, error, place):
        super().__init__()
        self.error, self.epoch = error, 0
        setattr(self, place, self._act)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def _act(self, number, logs=None):
        if self.epoch == 1:
            raise self.error("no more")


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("on_train_batch_end", KeyboardInterrupt),
        ("on_epoch_end", OSError),
        pytest.param("on_train_batch_end", OSError, marks=pytest.mark.slow),
        pytest.param("on_epoch_end", KeyboardInterrupt, marks=pytest.mark.slow),
    ],
)
def test_the_best_epoch_so_far_is_kept(error, place, caplog, tmp_path):
    options = {**OPTIONS, "training": {"decay": "constant"}}
    model = MultimodalClassifier(**options)
    with pytest.raises(error, match="no more"), caplog.at_level(logging.WARNING, "keras_mm"):
        model.fit(TABLE, callbacks=[Break(error, place)])
    count = 1 if place == "on_train_batch_end" else 2
    assert len(model.history_["loss"]) == len(model.history_["val_loss"]) == count
    (line,) = caplog.messages
    best = int(np.argmin(model.history_["val_loss"])) + 1
    assert line == (
        f"training ended after {count} {'epoch' if count == 1 else 'epochs'} ({error.__name__}): "
        f"the weights of epoch {best} are kept"
    )
    # They are those of a training of so many epochs.
    shorter = MultimodalClassifier(**{**options, "epochs": best}).fit(TABLE)
    np.testing.assert_array_equal(model.predict_proba(TABLE), shorter.predict_proba(TABLE))
    model.save(tmp_path / "model")
    model.fit(TABLE[:12])


def test_nothing_is_kept_of_a_first_epoch(caplog):
    class Early(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise OSError("no more")

    model = MultimodalClassifier(**OPTIONS)
    with pytest.raises(OSError, match="no more"):
        model.fit(TABLE, callbacks=[Early()])
    with pytest.raises(NotFittedError):
        model.predict(TABLE)
    assert caplog.messages == ["training ended in its first epoch (OSError): nothing of it is kept"]


@pytest.mark.parametrize(
    "options",
    [{}, {"warm_start": True}, {"text_trainable": True}],
    ids=["anew", "warm_start", "encoder_trained"],
)
@pytest.mark.parametrize(
    "place", ["on_train_batch_end", pytest.param("on_epoch_end", marks=pytest.mark.slow)]
)
def test_a_second_training_that_fails_leaves_the_first_model(options, place, caplog):
    model = MultimodalClassifier(**{**OPTIONS, "epochs": 1, **options}).fit(TABLE)
    before = model.predict_proba(TABLE)
    names = ("heads_", "history_", "priors_", "num_rows_")
    state = {name: getattr(model, name) for name in names}
    with pytest.raises(KeyboardInterrupt), caplog.at_level(logging.WARNING, "keras_mm"):
        model.set_params(epochs=4, seed=1).fit(TABLE, callbacks=[Break(KeyboardInterrupt, place)])
    assert caplog.messages[-1] == "the classifier keeps the model that it had before this training"
    np.testing.assert_array_equal(model.predict_proba(TABLE), before)
    assert {name: getattr(model, name) for name in names} == state
    with pytest.raises(ValueError, match="class_weight"):
        model.set_params(class_weight={"yak": 2.0}).fit(TABLE)
    np.testing.assert_array_equal(model.predict_proba(TABLE), before)
    # And it can be trained again.
    model.set_params(class_weight=None, epochs=1, seed=0).fit(TABLE)
    if not options.get("warm_start"):
        np.testing.assert_array_equal(model.predict_proba(TABLE), before)


def test_a_failed_stage(caplog):
    stages = [{"epochs": 1}, {"blocks": "all", "epochs": 3}]
    model = MultimodalClassifier(
        **{**OPTIONS, "text_trainable": True, "training": {"stages": stages}}
    )

    class Second(keras.callbacks.Callback):
        stage = 0

        def on_train_begin(self, logs=None):
            self.stage += 1

        def on_train_batch_end(self, batch, logs=None):
            if self.stage == 2:
                raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        model.fit(TABLE, callbacks=[Second()])
    assert model.history_["stage"] == [1]
    assert model.predict_proba(TABLE).shape == (24, 2)
    # What is trained is again what it was before the stages, for a training that goes on.
    whole = len(MultimodalClassifier(**{**OPTIONS, "text_trainable": True, "epochs": 1})
                .fit(TABLE).model_.trainable_variables)  # fmt: skip
    assert len(model.model_.trainable_variables) == whole
    model.set_params(warm_start=True)
    with pytest.raises(OSError, match="no more"):
        model.fit(TABLE, callbacks=[Second()])
    assert len(model.model_.trainable_variables) == whole


def test_the_trainer_puts_the_best_weights_back():
    def network():
        keras.utils.set_random_seed(5)
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    rows = np.random.default_rng(0).normal(size=(32, 3)).astype("float32"), np.arange(32) % 2
    model, shorter = network(), network()
    options = {"decay": "constant", "verbose": 0}
    trainer = Trainer(
        model, epochs=9, callbacks=[Break(KeyboardInterrupt, "on_train_batch_end")], **options
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(rows)
    assert len(trainer.history["loss"]) == 1
    Trainer(shorter, epochs=1, **options).fit(rows)
    np.testing.assert_array_equal(
        model.predict(rows[0], verbose=0), shorter.predict(rows[0], verbose=0)
    )
