"""Class weights in the rows give the same training, and leave the compiled step as it is."""

import keras
import numpy as np
import pytest

from keras_mm.data.dataset import RowBatches
from keras_mm.settings.heads import Head
from keras_mm.training.trainer import Trainer

ROWS = 24
rng = np.random.default_rng(0)
X = rng.normal(size=(ROWS, 5)).astype("float32")
MOOD = np.where(np.arange(ROWS) % 6 == 0, -1, rng.integers(0, 3, ROWS))
SPAM = rng.integers(0, 2, ROWS)
SIZE = rng.normal(size=(ROWS, 1)).astype("float32")
HEADS = {
    "mood": Head(classes=3, loss="focal", class_weight=[1, 2, 3]),
    "spam": Head("binary", class_weight="balanced"),
    "size": Head("regression"),
}


def network(outputs: dict):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), name="x")
    hidden = keras.layers.Dense(4, activation="relu")(inputs)
    logits = {name: keras.layers.Dense(width, name=name)(hidden) for name, width in outputs.items()}
    return keras.Model({"x": inputs}, logits if len(logits) > 1 else logits[name_of(logits)])


def name_of(values: dict) -> str:
    return next(iter(values))


def train(model, labels, sample_weight, **options) -> dict:
    data = RowBatches(
        {"x": X}, labels=labels, sample_weight=sample_weight, batch_size=8, shuffle=True
    )
    return Trainer(model, epochs=2, verbose=0, **options).fit(data)


def weights_of(model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


@pytest.mark.parametrize("sample_weight", [None, np.arange(1.0, ROWS + 1)])
def test_one_head(sample_weight):
    models = [network({"mood": 3}) for _ in range(2)]
    options = {"heads": Head(classes=3), "class_weight": "balanced", "label_smoothing": 0.1}
    histories = [
        train(model, MOOD, sample_weight, keep_step=kept, **options)
        for model, kept in zip(models, (True, False), strict=True)
    ]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-5)
    for one, other in zip(*map(weights_of, models), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_several_heads():
    labels = {"mood": MOOD, "spam": SPAM, "size": SIZE}
    models = [network({"mood": 3, "spam": 1, "size": 1}) for _ in range(2)]
    for model, kept in zip(models, (True, False), strict=True):
        train(model, labels, None, keep_step=kept, heads=HEADS)
    for one, other in zip(*map(weights_of, models), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch compiles no step")
def test_other_class_weights_keep_the_compiled_step():
    model = network({"mood": 3})
    options = {"heads": Head(classes=3), "keep_step": True}
    steps = []
    for weight in ("balanced", [1, 2, 3], [3, 1, 0]):
        train(model, MOOD, None, class_weight=weight, **options)
        steps.append(model.train_function)
    assert steps[0] is steps[1] is steps[2]
    train(model, MOOD, None, class_weight=[1, 2, 3], label_smoothing=0.2, **options)
    assert model.train_function is not steps[0]


class Batches(RowBatches):
    """Counts the arrays of each batch."""

    seen: list

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        self.seen.append(len(batch))
        return batch


def test_a_dataset_has_the_weights_during_the_training_only():
    data = Batches({"x": X}, labels=MOOD, batch_size=8)
    options = {"heads": Head(classes=3), "class_weight": "balanced", "epochs": 1, "verbose": 0}
    data.seen, model = [], network({"mood": 3})
    Trainer(model, keep_step=True, **options).fit(data)
    assert 3 in data.seen and len(data[0]) == 2
    data.seen = []
    again = Trainer(network({"mood": 3}), **options).fit(data)["loss"]
    assert set(data.seen) == {2}  # its loss has the class weights: they do not count twice
    data.epoch = 0
    np.testing.assert_allclose(again, Trainer(network({"mood": 3}), **options).fit(data)["loss"])

    class Failing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        Trainer(model, keep_step=True, callbacks=[Failing()], **options).fit(data)
    assert len(data[0]) == 2
