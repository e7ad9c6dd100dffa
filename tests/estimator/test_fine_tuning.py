"""Fine-tuning through the estimator: stages, rates by part, adapters, averages, memory."""

import json
import re

import keras
import numpy as np
import pytest

import keras_mm
from keras_mm.models.multimodal import backbones
from keras_mm.settings.settings import ConfigError, RunSettings, Settings, settings_from
from keras_mm.settings.stages import Stage, stages_problems
from keras_mm.settings.toml import read_toml, to_toml

pytestmark = pytest.mark.eager

COLUMNS = {"images": ["image_1", "image_2"], "texts": ["text_1", "text_2"]}
STAGES = [{"blocks": 0}, {"blocks": {"text": 1}}, {"blocks": "all", "learning_rate": 1e-4}]


def values(variables):
    return {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in variables}


def changed(before, after):
    return {path for path in after if not np.array_equal(before.get(path), after[path])}


class Watch(keras.callbacks.Callback):
    """Notes the model's inputs, what is trained and at which factors where a stage begins."""

    def __init__(self):
        super().__init__()
        self.inputs, self.trained, self.factors = [], [], []

    def on_train_begin(self, logs=None):
        self.factors.append(set(getattr(self.model.optimizer, "factors", {}).values()))
        self.inputs.append({tensor.name for tensor in self.model.inputs})
        self.trained.append({v.path for v in self.model.trainable_variables})


def classifier(**options):
    # Row counts here are multiples of 16: JAX compiles a step once for each size of batch.
    options = {**COLUMNS, "epochs": 1, "batch_size": 16, "verbose": 0, **options}
    return keras_mm.MultimodalClassifier(preset="tiny", **options)


def test_each_stage_trains_what_it_says(sample):
    watch = Watch()
    model = classifier(training={"stages": STAGES}).fit(
        sample[0][:32], validation_split=0.5, callbacks=[watch]
    )
    first, second, third = watch.inputs
    # Frozen encoders are fed as features.
    assert "vision_pooled_output" in first and "text_pooled_output" in first
    assert "vision_pooled_output" in second and "token_ids" in second
    assert "image_1" in third and "token_ids" in third
    text = {path for path in watch.trained[1] if path not in watch.trained[0]}
    assert text and all("transformer_layer_1" in path or "pooled" in path for path in text)
    assert watch.trained[1] < watch.trained[2]
    assert model.history_["stage"] == [1, 2, 3] and len(model.history_["val_loss"]) == 3


@pytest.mark.backend_free
def test_a_side_without_a_rate_of_its_own_has_the_run_s(sample):
    watch = Watch()
    stages = [{"blocks": {"text": 1}, "encoder_learning_rate": {"vision": 1e-4}}]
    classifier(
        learning_rate=1e-2, encoder_learning_rate={"text": 1e-3}, training={"stages": stages}
    ).fit(sample[0][:32], validation_split=0, callbacks=[watch])
    (factors,) = watch.factors
    assert sorted(factors) == [pytest.approx(0.1)]


@pytest.mark.many_networks
def test_frozen_encoders_run_once_for_all_stages(sample, monkeypatch):
    from keras_mm.features import batches

    asked = []

    def encode(encoders, rows, *args, names, **options):
        asked.append((len(rows), tuple(names)))
        return encode_rows(encoders, rows, *args, names=names, **options)

    encode_rows = batches.encode_rows
    monkeypatch.setattr(batches, "encode_rows", encode)
    stages = [{"blocks": 0}, {"blocks": {"text": 1}}, {"blocks": {"text": "all"}}]
    classifier(training={"stages": stages}).fit(sample[0][:16], validation_split=0)
    found = [sorted(n for n in names if n.endswith("pooled_output")) for _, names in asked]
    assert found == [["text_pooled_output", "vision_pooled_output"], [], []]


@pytest.mark.many_networks
def test_a_stage_that_makes_it_worse_is_taken_back(sample, capsys):
    stages = [{"blocks": 0}, {"blocks": "all", "learning_rate": 3.0, "encoder_learning_rate": 3.0}]
    model = classifier(training={"stages": stages, "warmup": 0.0}, verbose=1).fit(
        sample[0][:64], validation_data=sample[0][64:96]
    )
    losses = model.history_["val_loss"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == (
        f"the weights of stage 1 of 2 are kept: it has the best val_loss, {losses[0]:.4f}"
    )
    stages = [
        line for line in lines if re.fullmatch(r"stage [12] of 2: [\d,]+ weights are trained", line)
    ]
    assert len(stages) == 2
    model.set_params(verbose=0)
    assert losses[1] > losses[0]
    settings = model.evaluate(sample[0][64:96])
    logits = model.predictor_.logits(
        model.predictor_.rows(sample[0][64:96], None, heads=model.heads_)
    )["label"]
    rows = model.predictor_.rows(sample[0][64:96], None, heads=model.heads_)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(len(rows)), rows.labels["label"]].mean()
    assert loss == pytest.approx(losses[0], abs=1e-4), settings


def test_rates_by_side_and_by_block():
    """With SGD a first step is the rate times the gradient: the ratios are those of the rates."""
    from keras_mm.training.trainer import Trainer

    rng = np.random.default_rng(5)
    x = {
        "image_1": rng.uniform(0, 255, (16, 64, 64, 3)).astype("float32"),
        "token_ids": rng.integers(5, 200, (16, 11)).astype("int32"),
        "segment_ids": np.zeros((16, 11), "int32"),
        "padding_mask": np.ones((16, 11), bool),
        "image_mask": np.ones((16, 1), bool),
        "text_mask": np.ones((16, 1), bool),
    }

    def first_steps(**options):
        keras.utils.set_random_seed(3)
        model = keras_mm.create_multimodal_model(
            keras_mm.create_vision_encoder(
                "tiny_cnn", weights="random", image_size=(64, 64), num_images=1, trainable=True
            ),
            keras_mm.create_text_encoder(
                "tiny_bert", weights="random", sequence_length=11, pooling="mean", trainable=True
            ),
            heads=2,
        )
        before = values(model.trainable_variables)
        Trainer(
            model, optimizer="sgd", learning_rate=0.1, decay="constant", epochs=1, verbose=0,
            **options,
        ).fit((x, np.arange(16) % 2), batch_size=16)  # fmt: skip
        after = values(model.trainable_variables)
        return {path: after[path] - before[path] for path in before}

    plain = first_steps()
    rated = first_steps(encoder_learning_rate={"vision": 0.05, "text": 0.02}, layer_decay=0.5)
    expected = {
        "block_4_conv": 0.5, "block_3_conv": 0.25, "block_1_conv": 0.0625,
        "transformer_layer_1/": 0.2, "transformer_layer_0/": 0.1, "token_embedding": 0.05,
        "label_logits": 1.0,
    }  # fmt: skip
    for part, factor in expected.items():
        paths = [path for path in plain if part in path and np.abs(plain[path]).max() > 1e-6]
        assert paths, part
        for path in paths:
            np.testing.assert_allclose(
                rated[path], factor * plain[path], rtol=2e-2, atol=2e-7, err_msg=path
            )


def test_adapters_are_merged_in_what_is_saved(sample, tmp_path):
    before = {}

    class First(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            before.update(values(self.model.weights))

    model = classifier(
        text_trainable=True, vision_trainable=False, encoder_learning_rate=1e-2,
        training={"lora_rank": 2, "lora_alpha": 4},
    ).fit(sample[0][:32], validation_split=0, callbacks=[First()])  # fmt: skip
    network = backbones(model.model_)["text"]
    trained = {v.path for v in network.trainable_variables}
    assert trained and all("lora" in path for path in trained)
    after = values(network.weights)
    moved = {path for path in changed(before, after) if "lora" not in path}
    assert moved and all("query" in path or "value" in path for path in moved)
    wanted = model.predict_proba(sample[1][:9])
    model.save(tmp_path / "model")
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    assert not any("lora" in v.path for v in loaded.model_.weights)
    np.testing.assert_allclose(loaded.predict_proba(sample[1][:9]), wanted, atol=1e-6)
    found = values(backbones(loaded.model_)["text"].weights)
    for name, value in after.items():
        if "lora" not in name:
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.many_networks
def test_adapters_in_stages_and_for_images(sample):
    with pytest.raises(ValueError, match="LoRA adapts the attention layers of transformers"):
        classifier(text_trainable=False, vision_trainable=True, training={"lora_rank": 2}).fit(
            sample[0][:48]
        )
    watch = Watch()
    stages = [{"blocks": 0}, {"blocks": {"text": 1}}]
    classifier(training={"stages": stages, "lora_rank": 2}).fit(
        sample[0][:16], validation_split=0, callbacks=[watch]
    )
    added = watch.trained[1] - watch.trained[0]
    assert added and all("lora" in path and "transformer_layer_1" in path for path in added)


def test_the_average_is_what_is_evaluated_and_kept():
    from keras_mm.training.trainer import Trainer

    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(24, 3)).astype("float32"), np.arange(24) % 2

    class Note(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.weights = []

        def on_epoch_end(self, epoch, logs=None):
            self.weights.append([np.array(w) for w in self.model.get_weights()])

    def fit(**options):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        note = Note()
        # One batch an epoch, so that the weights after each step can be noted.
        Trainer(
            model, optimizer="sgd", learning_rate=0.3, decay="constant", epochs=5, verbose=0,
            callbacks=[note], early_stopping=False, **options,
        ).fit((x, y), (x, y), batch_size=24)  # fmt: skip
        return model, note.weights

    _, plain = fit()
    averaged, seen = fit(ema_momentum=0.8)
    wanted = [plain[0]]
    for weights in plain[1:]:
        pairs = zip(wanted[-1], weights, strict=True)
        wanted.append([0.8 * average + 0.2 * weight for average, weight in pairs])
    assert not np.allclose(wanted[-1][0], plain[-1][0], atol=1e-3)
    for found, expected in zip([*seen, averaged.get_weights()], [*wanted, wanted[-1]], strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


class Exhausted(keras.callbacks.Callback):
    """Runs out of memory in the second batch while batches have more than `limit` rows.

    As on a real failure under JAX, nothing that is trained has a value afterwards.
    """

    def __init__(self, limit):
        super().__init__()
        self.limit, self.steps = limit, []

    def on_train_batch_end(self, batch, logs=None):
        if self.params["steps"] < self.limit and batch == 1:
            self.steps.append(self.params["steps"])
            if keras.backend.backend() == "jax":
                for variable in self.model.variables:
                    if not variable.value.is_deleted():
                        variable.value.delete()
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")


@pytest.mark.slow
def test_batches_are_halved_where_memory_runs_out(sample, caplog):
    rows = sample[0][:64]
    options = {"images": []}
    failing = Exhausted(8)
    found = classifier(
        batch_size=32, training={"auto_find_batch_size": True}, **options
    ).fit(rows, validation_split=0, callbacks=[failing])  # fmt: skip
    assert failing.steps == [2, 4] and "batches of 16; continuing with 8" in caplog.text
    assert found.get_params()["batch_size"] == 32 and found._trained.settings.batch_size == 8
    # The same as with these batches from the first: nothing of the failed steps is left.
    plain = classifier(batch_size=8, **options).fit(rows, validation_split=0)
    for a, b in zip(found.model_.get_weights(), plain.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        classifier(batch_size=32, **options).fit(rows, validation_split=0, callbacks=[Exhausted(8)])


@pytest.mark.many_networks
def test_other_errors_are_not_taken_for_memory(sample):
    class Broken(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        classifier(training={"auto_find_batch_size": True}).fit(
            sample[0][:16], validation_split=0, callbacks=[Broken()]
        )


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ("all", "must be a list of stages"),
        ([3], r"`training.stages\[0\]` must be a keras_mm.Stage or a dict. Received: 3"),
        ([{"block": 1}], r"stages\[0\].block'. Did you mean 'training.stages\[0\].blocks'"),
        ([{"blocks": -1}], r"stages\[0\].blocks` must be an integer number of blocks >= 0, 'all'"),
        ([{"blocks": {"audio": 1}}], r"`training.stages\[0\].blocks` must be"),
        ([{"blocks": "top"}], "Received: 'top'"),
        ([{}, {"epochs": 0}], r"`training.stages\[1\].epochs` must be an integer >= 1"),
        ([{"learning_rate": 0}], "learning_rate` must be a number > 0"),
        ([{"encoder_learning_rate": {"text": -1}}], "a dict of numbers by side"),
        ([{"blocks": 2}, {"blocks": 2}], r"`training.stages\[1\]` unfreezes nothing"),
        ([{"blocks": "all"}, {"blocks": 1}], "unfreezes nothing"),
        ([{"blocks": {"text": 1}}, {"blocks": {"text": 0}}], "unfreezes nothing"),
    ],
)  # fmt: skip
def test_bad_stages(stages, words):
    with pytest.raises(ConfigError, match=words):
        Settings(training={"stages": stages}).resolved()


@pytest.mark.backend_free
def test_more_that_is_wrong_is_told_before_training(sample):
    with pytest.raises(ValueError, match=r"has 2 blocks, but a stage trains the top 3"):
        classifier(training={"stages": [{"blocks": {"text": 3}}]}).fit(sample[0][:48])
    with pytest.raises(ValueError, match="blocks of the vision encoder, but the model has none"):
        keras_mm.MultimodalClassifier(
            texts=["text_1"], preset="tiny", verbose=0,
            training={"stages": [{"blocks": {"vision": 1}}]},
        ).fit(sample[0][:48])  # fmt: skip
    with pytest.raises(ConfigError, match="`training.lora_rank` needs a trained encoder"):
        Settings(training={"lora_rank": 4}).resolved()
    Settings(training={"lora_rank": 4, "stages": [{"blocks": {"text": 1}}]}).resolved()
    with pytest.raises(ConfigError, match="`augmentation` needs a trained vision encoder"):
        Settings(
            augmentation={"flip": True}, training={"stages": [{"blocks": {"text": 1}}]}
        ).resolved()
    with pytest.raises(ValueError, match="`epochs` must be an integer >= 1. Received: 0"):
        Stage(epochs=0)


@pytest.mark.backend_free
def test_stages_in_toml(tmp_path):
    settings = RunSettings(
        training={"stages": [Stage(), Stage({"text": 2}, epochs=3), {"blocks": "all"}]},
        encoder_learning_rate={"vision": 1e-4, "text": 2e-5},
    )
    (tmp_path / "run.toml").write_text(to_toml(settings))
    again = settings_from(read_toml(tmp_path / "run.toml"), RunSettings)
    assert again.training.stages == (Stage(), Stage({"text": 2}, epochs=3), Stage("all"))
    assert again.encoder_learning_rate == {"vision": 1e-4, "text": 2e-5}
    assert not stages_problems(again.training.stages)


@pytest.mark.backend_free
def test_stages_are_saved_with_the_model(sample, tmp_path):
    model = classifier(training={"stages": [{"blocks": 0}, {"blocks": {"text": 1}}]})
    model.fit(sample[0][:16], validation_split=0).save(tmp_path / "model")
    spec = json.loads((tmp_path / "model" / "model.json").read_text())
    assert spec["text_encoder"]["trainable"] and not spec["vision_encoder"]["trainable"]
    loaded = keras_mm.MultimodalClassifier.load(tmp_path / "model")
    assert loaded._trained.settings.training.stages == (Stage(), Stage({"text": 1}))
    assert loaded.history_["stage"] == [1, 2]
