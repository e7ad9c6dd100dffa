"""Settings: every rule, every problem at once, and the way to TOML and back."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from keras_mm.presets.backbones import BACKBONES
from keras_mm.presets.presets import list_presets
from keras_mm.settings.augmentation import Augmentation
from keras_mm.settings.heads import Head
from keras_mm.settings.knobs import rules
from keras_mm.settings.problems import TABLES
from keras_mm.settings.settings import (
    ConfigError,
    RunSettings,
    Settings,
    find_problems,
    settings_from,
)
from keras_mm.settings.sliding_window import SlidingWindow
from keras_mm.settings.stages import Stage, fill_sides
from keras_mm.settings.toml import read_toml, to_toml
from keras_mm.settings.training import TRAINING_DEFAULTS, Training

pytestmark = pytest.mark.backend_free

NUMBER = [True, "1", None, float("nan"), float("inf"), [1]]
WHOLE = [*NUMBER, 1.0, 1.5, -1]
PART = [*NUMBER, 1, 1.0, -0.1]
WORD = [True, 1, ["concat"], "zzz", ""]


class Configured:
    """No layer: it cannot be called."""

    def get_config(self):
        return {}


class Layer(Configured):
    """What a Keras layer has, without a backend."""

    def __call__(self, sides):
        return sides[0]


# name -> (values that are taken, values that are refused); None is refused where it is no default.
VALUES = {
    "images": ([(), "image", ["a", "b"], ("a",), np.array(["a"])], [None, 1, [1], iter("ab")]),
    "texts": ([(), "text", ["a", "b"]], [None, 1, [None], ["a", "b", "c"]]),
    "labels": (["label", ["a", "b"], ("a",), {"a": Head("regression")}, {"a": {"kind": "binary"}}],
               [None, 1, [], [1]]),
    "preset": (list(list_presets()), [None, *WORD, "Tiny"]),
    "fusion": ([None, "concat", "bilinear", Layer()], [*WORD, Layer, Configured()]),
    "compare": ([None, True, False], [0, 1, "yes"]),
    "cache": ([True, False, "folder", Path("a")], [None, 0, 1, "", ["a"]]),
    "engine": (["auto", "keras"], [*WORD, None, True]),
    "text_pairing": ([None, "packed", "separate"], WORD),
    "vision_pooling": ([None, "mean", "max", "cls", "pooler"], WORD),
    "text_pooling": ([None, "mean", "max", "cls", "pooler"], WORD),
    "vision_backbone": ([None, "resnet50v2", Path("a"), object()], [True, 7, 1.5]),
    "text_backbone": ([None, "tiny_bert", Path("a"), object()], [True, 7, 1.5]),
    "vision_weights": ([None, "random", Path("a")], [True, 7, ["a"]]),
    "text_weights": ([None, "random", Path("a")], [True, 7, ["a"]]),
    "image_size": ([None, 7, np.int64(7), (5, 7), [5, 7]],
                   [True, 0, -1, 7.0, (5,), (5, 0), (5, 7.0), (True, 5), "57"]),
    "sequence_length": ([None, 4, 512, np.int64(8)], [v for v in [*WHOLE, 3] if v is not None]),
    "vision_trainable": ([None, True, False], [0, 1, "yes"]),
    "text_trainable": ([None, True, False], [0, 1, "yes"]),
    "head": (["multiclass", "binary", "multilabel", "regression"], [None, *WORD]),
    "loss": (["cross_entropy", "focal", "logit_adjusted"], [None, *WORD]),
    "class_weight": ([None, "balanced", "effective_number", {"a": 2.0}, [1.0, 2.0], np.ones(2)],
                     [True, 1.5, "even", "effective"]),
    "classes": ([None, ["a", "b"], (1, 2), np.array([0, 1]), [1, "1"]],
                [3, True, "ab", [], ["a", "a"]]),
    "epochs": ([None, 1, np.int32(3)], [v for v in [*WHOLE, 0] if v is not None]),
    "batch_size": ([None, 1, 32], [v for v in [*WHOLE, 0] if v is not None]),
    "learning_rate": ([None, 1e-3, 1, np.float32(0.5)],
                      [v for v in [*NUMBER, 0, -1.0] if v is not None]),
    "encoder_learning_rate": ([None, 1e-5, {"text": 1e-5}, {"vision": 1, "text": np.float32(0.5)}],
                              [*(v for v in [*NUMBER, 0, -1.0] if v is not None), {}, {"text": 0},
                               {"audio": 1e-5}]),
    "optimizer": (["adamw", "adam", "sgd", "adafactor"], [None, *WORD]),
    "early_stopping": ([True, False], [None, 0, "yes"]),
    "precision": (["float32", "bfloat16"], [None, *WORD, "float16"]),
    "folds": ([None, 1, np.int32(5)], [v for v in [*WHOLE, 0] if v is not None]),
    "seed": ([0, 2**32 - 1, np.int64(5)], [*WHOLE, 2**32, 10**400]),
    "warm_start": ([True, False], [None, 0, "yes"]),
    "verbose": ([0, 1, True, False], [None, 2, -1, "1", [1]]),
    "data": ([None, "a.csv", Path("a.csv")], [True, 1, ["a.csv"]]),
    "validation_data": ([None, "a.csv"], [1]),
    "test_data": ([None, "a.csv"], [1]),
    "split_column": ([None, "split"], [1, ["split"]]),
    "group_column": ([None, "group"], [1, ["group"]]),
    "weight_column": ([None, "weight"], [1, ["weight"]]),
    "id_column": ([None, "id"], [1, ["id"]]),
    "image_dir": ([None, "images", Path("images")], [1]),
    "validation_size": ([0, 0.0, 0.5], PART),
    "test_size": ([0, 0.0, 0.5], PART),
    "on_error": (["raise", "skip"], [None, *WORD]),
    "output": ([None, "out", Path("out")], [1]),
    "training.warmup": ([None, 0, 0.5], [v for v in PART if v is not None]),
    "training.decay": ([None, "cosine", "linear", "polynomial", "constant", "plateau"], WORD),
    "training.decay_power": ([None, 1, 0.5], [v for v in [*NUMBER, 0] if v is not None]),
    "training.plateau_factor": ([None, 0.5], [v for v in [*PART, 0] if v is not None]),
    "training.plateau_patience": ([None, 1], [v for v in [*WHOLE, 0] if v is not None]),
    "training.plateau_min_lr": ([None, 0, 1e-5], [v for v in [*NUMBER, -0.1] if v is not None]),
    "training.momentum": ([None, 0, 0.9], [v for v in PART if v is not None]),
    "training.adam_betas": ([None, (0.9, 0.99), [0, 0.5]],
                            [True, 0.9, (0.9,), (0.9, 1), (0.9, "a"), (0.9, 0.9, 0.9)]),
    "training.adam_epsilon": ([None, 1e-8, 1], [v for v in [*NUMBER, 0] if v is not None]),
    "training.weight_decay": ([None, 0, 0.5], [v for v in [*NUMBER, -0.1] if v is not None]),
    "training.clipnorm": ([None, 1.0], [v for v in [*NUMBER, 0] if v is not None]),
    "training.accumulation_steps": ([None, 1, 4], [v for v in [*WHOLE, 0] if v is not None]),
    "training.label_smoothing": ([None, 0, 0.1], [v for v in PART if v is not None]),
    "training.gamma": ([None, 0, 2], [v for v in [*NUMBER, -1] if v is not None]),
    "training.tau": ([None, 0, 1.5], [v for v in [*NUMBER, -1] if v is not None]),
    "training.beta": ([None, 0, 0.9999], [v for v in PART if v is not None]),
    "training.monitor": ([None, "val_loss", "val_macro_f1"], [True, 1]),
    "training.patience": ([None, 1], [v for v in [*WHOLE, 0] if v is not None]),
    "training.min_epochs": ([None, 1, 3], [v for v in [*WHOLE, 0] if v is not None]),
    "training.num_projection_layers": ([None, 0, 2], [v for v in WHOLE if v is not None]),
    "members": (
        [None, "auto", "all", "trunk", ["trunk"], ("linear_skip", "linear:text")],
        ["", "linear_", [], ["trunk", "trunk"], ["linear:audio"], 1, {"trunk": 1}],
    ),
    "blend_metric": ([None, "loss", "macro_f1"], [1, True, ["loss"]]),
    "training.projection_dims": ([None, 0, 1, 7], [v for v in WHOLE if v is not None]),
    "training.dropout_rate": ([None, 0, 0.5], [v for v in PART if v is not None]),
    "training.stages": ([None, [], [Stage()], ({"blocks": 1}, {"blocks": "all", "epochs": 2})],
                        [True, 1, "all", {"blocks": 1}]),
    "training.layer_decay": ([None, 1, 0.5], [v for v in [*NUMBER, 0, -0.1, 1.1]
                                              if v is not None and v is not True]),
    "training.lora_rank": ([None, 1, np.int64(8)], [v for v in [*WHOLE, 0] if v is not None]),
    "training.lora_alpha": ([None, 1, 0.5], [v for v in [*NUMBER, 0, -1.0] if v is not None]),
    "training.ema_momentum": ([None, 0, 0.99], [v for v in PART if v is not None]),
    "training.standardize": ([None, True, False], [0, 1, "yes"]),
    "training.time_limit": ([1, 0.5], [0, -1, "x"]),
    "training.auto_find_batch_size": ([None, True, False], [0, 1, "yes"]),
    "baselines": (["auto", "none", "lexical", ["linear", "text_only"], ()],
                  [None, "all", ["auto"], ["lexicl"], 1, {"lexical": True}]),
    "modality_dropout": ([None, 0, 0.5], [v for v in PART if v is not None]),
    "sliding_window.text": ([None, "text_2"], [1, ""]),
    "sliding_window.stride": ([0.5, 1.0, 1, 7, np.float32(0.5), np.int64(3)],
                              [None, True, 0, 0.0, -1, 1.5, "1"]),
    "sliding_window.vote": (["mean", "majority"], [None, "max", 1]),
    "sliding_window.weigh_by": (["row", "window"], [None, "rows", 1]),
    "special_tokens": ([None, [], ["<url>", "a b"], ("<user>",)],
                       ["<url>", ["<a>", "<a>"], [""], [1], 3]),
    "sliding_window.tie_value": ([None, "yes", 1, 0.5], [[1], {}]),
    "augmentation.flip": ([True, False], [None, 0, "yes"]),
    "augmentation.crop": ([0, 0.5, np.float32(0.5)], PART),
    "augmentation.rotation": ([0, 15, 180.0], [*NUMBER, -1, 180.5]),
    "augmentation.brightness": ([0, 0.5], PART),
    "augmentation.contrast": ([0, 0.5], PART),
    "augmentation.saturation": ([0, 0.5], PART),
    "augmentation.same_geometry": ([True, False], [None, 0, "yes"]),
    "augmentation.same_colour": ([True, False], [None, 0, "yes"]),
}  # fmt: skip


def with_value(name, value):
    table, _, key = name.rpartition(".")
    # The default preset freezes its encoders: no augmentation, no adapters, no new tokens.
    trained = table == "augmentation" or key in ("lora_rank", "special_tokens")
    given = {"preset": "tiny"} if trained else {}
    return RunSettings(**given, **({table: {key: value}} if table else {key: value}))


def test_every_setting_has_a_rule_and_a_case():
    tables = {
        "training": Training,
        "augmentation": Augmentation,
        "sliding_window": SlidingWindow,
    }
    assert tables == TABLES
    names = {f.name for f in fields(RunSettings)} - tables.keys()
    inside = {f"{name}.{f.name}" for name, kind in tables.items() for f in fields(kind)}
    assert names | inside == VALUES.keys()
    for kind in (RunSettings, *tables.values()):
        assert rules(kind).keys() == {f.name for f in fields(kind)}


@pytest.mark.parametrize("name", VALUES)
def test_rule(name):
    taken, refused = VALUES[name]
    for value in taken:
        assert find_problems(with_value(name, value)) == [], value
    for value in refused:
        (problem,) = find_problems(with_value(name, value))
        if name in ("preset", "fusion") and isinstance(value, str):
            assert repr(value) in problem
        else:
            assert problem.startswith(f"`{name}` must be ") and problem.endswith(f": {value!r}")


def test_training_is_an_object_or_a_dict():
    assert find_problems(Settings(training=Training(clipnorm=2))) == []
    assert len(find_problems(Settings(training=Training(clipnorm=-2)))) == 1
    assert "keras_mm.Training or a dict" in find_problems(Settings(training="x"))[0]
    assert "training.3" in find_problems(Settings(training={3: 1}))[0]


def test_augmentation_is_an_object_or_a_dict():
    for augmentation in (Augmentation(flip=True), {"flip": True}, {}):
        assert find_problems(Settings(preset="tiny", augmentation=augmentation)) == []
    (problem,) = find_problems(Settings(preset="tiny", augmentation="flip"))
    assert problem == "`augmentation` must be a keras_mm.Augmentation or a dict. Received: 'flip'"
    (problem,) = find_problems(Settings(preset="tiny", augmentation={"flp": True}))
    assert problem == "Unknown setting 'augmentation.flp'. Did you mean 'augmentation.flip'?"


@pytest.mark.parametrize("augmentation", [Augmentation(flip=True), {"crop": 0.2}])
def test_a_frozen_vision_encoder_cannot_be_augmented(augmentation):
    for settings in (
        Settings(augmentation=augmentation),
        Settings(preset="tiny", augmentation=augmentation, vision_trainable=False),
    ):
        (problem,) = find_problems(settings)
        assert problem.startswith("`augmentation` needs a trained vision encoder")
    assert find_problems(Settings(augmentation=augmentation, vision_trainable=True)) == []
    assert find_problems(Settings(augmentation={"flip": False, "same_colour": False})) == []
    several = Settings(augmentation=augmentation, epochs=0, labels=1)
    assert len(find_problems(several)) == 3  # told with the others


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"early_stopping": True}, "`early_stopping` is not in the table `training`: set"),
        ({"loss": "focal"}, "`loss` is not in the table `training`: set `loss` itself"),
        ({"gama": 1}, "'training.gama'. Did you mean 'training.gamma'?"),
        ({"gamma": {"x": 1}}, "`training.gamma` must be a number >= 0. Received: {'x': 1}"),
    ],
)
def test_a_setting_in_the_wrong_table(values, words):
    (problem,) = find_problems(Settings(training=values))
    assert words in problem


def test_early_stopping_must_be_able_to_begin():
    def problems(epochs, least, **more):
        training = {"min_epochs": least, **more.pop("training", {})}
        return find_problems(Settings(epochs=epochs, training=training, **more))

    (problem,) = problems(2, 3)
    assert "`training.min_epochs` must be at most the number of epochs, 2" in problem
    assert "Received: 3" in problem
    assert problems(3, 3) == problems(2, 3, early_stopping=False) == []
    (problem,) = problems(None, 1000)  # the preset's epochs
    stages = [{"epochs": 2}, {"blocks": "all"}]
    assert problems(5, 4, training={"stages": stages}) == []
    assert len(problems(3, 4, training={"stages": stages})) == 1
    assert len(find_problems(Settings(epochs=2, training=Training(min_epochs=3)))) == 1


def test_a_column_of_parts_stands_alone():
    for name in ("validation_data", "test_data"):
        problems = find_problems(RunSettings(split_column="part", epochs=0, **{name: "rows.csv"}))
        assert len(problems) == 2 and any(p.startswith("`split_column` already") for p in problems)
    assert find_problems(RunSettings(split_column="part")) == []


def test_all_problems_at_once_with_the_nearest_names():
    values = {
        "epochs": True,
        "optimiser": "adam",
        "preset": "tinny",
        "fusion": "billinear",
        "patience": 3,
        "rotation": 10,
        "loss": "focl",
        "training": {"gama": 2, "clipnorm": 0},
        "augmentation": {"crop": 1, "zoom": 0.1},
        "same_colour": True,
    }
    with pytest.raises(ConfigError) as error:
        settings_from(values, RunSettings, "config file")
    assert error.value.problems == [
        "Unknown setting 'optimiser'. Did you mean 'optimizer'?",
        "Unknown setting 'patience'. Did you mean 'training.patience'?",
        "Unknown setting 'rotation'. Did you mean 'augmentation.rotation'?",
        "Unknown setting 'same_colour'. Did you mean 'augmentation.same_colour'?",
        "Unknown preset 'tinny'. Did you mean 'tiny'?",
        "Unknown fusion 'billinear'. Did you mean 'bilinear'?",
        "`loss` must be one of 'cross_entropy', 'focal', 'logit_adjusted', 'mean_squared_error', "
        "'mean_absolute_error', 'huber'. Received: 'focl'",
        "`epochs` must be an integer >= 1. Received: True",
        "Unknown setting 'training.gama'. Did you mean 'training.gamma'?",
        "`training.clipnorm` must be a number > 0. Received: 0",
        "Unknown setting 'augmentation.zoom'. Did you mean 'augmentation.crop'?",
        "`augmentation.crop` must be a number in [0, 1). Received: 1",
    ]
    assert str(error.value).startswith("12 problems in the config file:\n  - Unknown setting")
    with pytest.raises(ConfigError, match="1 problem in the settings:\n  - `epochs`"):
        Settings(epochs=0).resolved()


def test_run_settings_are_not_the_estimator_s():
    with pytest.raises(ConfigError, match="'data'"):
        settings_from({"data": "a.csv"}, Settings)
    run = settings_from({"data": "a.csv", "epochs": 3}, RunSettings)
    assert type(run.estimator()) is Settings and run.estimator().epochs == 3


@pytest.mark.parametrize("name", list_presets())
def test_presets_resolve_every_none(name):
    preset = list_presets()[name]
    resolved = Settings(preset=name).resolved()
    for field in ("image_size", "sequence_length", "text_pairing", "fusion", "compare", "epochs",
                  "vision_pooling", "text_pooling", "vision_trainable", "text_trainable",
                  "vision_weights", "text_weights", "batch_size", "learning_rate",
                  "encoder_learning_rate"):  # fmt: skip
        assert getattr(resolved, field) == getattr(preset, field) is not None, field
    assert resolved.vision_backbone == preset.vision_backbone
    assert resolved.text_backbone == preset.text_backbone
    unset = {"stages", "lora_rank", "lora_alpha", "ema_momentum"}  # without these by default
    for field, value in vars(resolved.training).items():
        expected = preset.training.get(field, getattr(TRAINING_DEFAULTS, field))
        assert value == expected and (value is None) is (field in unset), field
    assert resolved.augmentation == Augmentation(**preset.augmentation)
    assert find_problems(resolved) == []
    assert resolved.resolved() == resolved
    assert {resolved.vision_backbone, resolved.text_backbone} - {None} <= BACKBONES.keys()


def test_a_rate_of_one_side_leaves_the_other_s():
    resolved = Settings(preset="tiny", encoder_learning_rate={"text": 3e-6}).resolved()
    assert resolved.encoder_learning_rate == {"vision": 5e-4, "text": 3e-6}
    assert resolved.resolved() == resolved
    assert fill_sides({"vision": 1}, {"vision": 2, "text": 3}) == {"vision": 1, "text": 3}
    assert fill_sides({"vision": 1}, None) == {"vision": 1} and fill_sides(4, {"text": 3}) == 4


def test_a_misspelt_stage_is_told_whatever_else_is_set():
    training = {"stages": [{"blokcs": 1}], "lora_rank": 4}
    problems = find_problems(
        Settings(preset="tiny", training=training, augmentation={"flip": True})
    )
    assert len(problems) == 1 and "Did you mean 'training.stages[0].blocks'" in problems[0]


def test_special_tokens_need_an_encoder_that_learns():
    (problem,) = find_problems(Settings(special_tokens=["<url>"]))
    assert "text_trainable=True" in problem
    for trained in (
        Settings(special_tokens=["<url>"], text_trainable=True),
        Settings(special_tokens=["<url>"], training={"stages": [{"blocks": {"text": 1}}]}),
        Settings(special_tokens=[]),
    ):
        assert find_problems(trained) == []


def test_what_is_given_wins_over_the_preset():
    settings = Settings(
        preset="tiny", compare=False, image_size=7, epochs=np.int64(3), images="image",
        training={"projection_dims": 5},
    ).resolved()  # fmt: skip
    assert (settings.compare, settings.image_size, settings.images) == (False, (7, 7), ("image",))
    assert settings.epochs == 3 and type(settings.epochs) is int
    assert settings.training.projection_dims == 5
    assert settings.training.patience == TRAINING_DEFAULTS.patience


GIVEN = [
    {},
    {"images": "image", "texts": ["a", "b"], "image_size": 64, "classes": ["x", "ÿ\n\"'"]},
    {"image_size": (64, 32), "class_weight": {"no": 1.0, "yes, it is": 2.5}, "compare": False},
    {
        "class_weight": [1.0, 2.0],
        "classes": [0, 1],
        "training": {"gamma": 1.5, "tau": 0, "beta": 0.9, "decay": "constant"},
    },
    {"data": Path("a") / "b.csv", "learning_rate": 1e-30, "seed": 2**32 - 1, "verbose": False},
    {"augmentation": {"flip": True, "crop": np.float32(0.25)}, "vision_trainable": True},
    {"epochs": np.int64(3), "learning_rate": np.float64(0.1), "preset": "tiny", "test_size": 0.0},
    {"labels": ["price", "weight"], "head": "regression", "loss": "huber"},
    {"sliding_window": True},
    {"special_tokens": ["<url>"], "preset": "tiny", "training": {"adam_betas": [0.9, 0.99]}},
    {"special_tokens": []},
    {"sliding_window": {"text": "b", "stride": 10, "vote": "majority", "tie_value": 1}},
    {
        "labels": {
            "kind": Head(classes=["no", "yes"], class_weight={"no": 1.0, "yes": 2.5}, l2=0.01),
            "tags": Head("multilabel", ("old", "red"), "all tags", threshold=np.array([0.3, 0.5])),
            "size": Head("regression", column=["height", "width"], loss_weight=0.5),
        }
    },
]


@pytest.mark.parametrize("values", GIVEN)
@pytest.mark.parametrize("resolve", [False, True])
def test_toml_and_back(values, resolve, tmp_path):
    settings = settings_from(values, RunSettings)
    settings = settings.resolved() if resolve else settings
    (tmp_path / "c.toml").write_text(to_toml(settings), encoding="utf-8")
    again = settings_from(read_toml(tmp_path / "c.toml"), RunSettings)
    assert again == settings
    assert to_toml(again) == to_toml(settings)


def test_unset_settings_are_not_written():
    text = to_toml(Settings(preset="tiny", training=Training(gamma=3.0)))
    assert "fusion" not in text and "images" not in text
    assert text.endswith("[training]\ngamma = 3.0\n")


def test_settings_as_given_can_be_written():
    text = to_toml(
        Settings(class_weight=np.array([1.0, 2.0]), vision_weights=Path("w.h5"), images=("a",))
    )
    assert 'vision_weights = "w.h5"' in text and "images = [" in text and "2.0" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read"), (b"a = ", "is not TOML"), (b"a = '\xff'", "is not TOML")],
)
def test_bad_toml(tmp_path, content, words):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as error:
        read_toml(path)
    assert str(path) in str(error.value) and "config file" in str(error.value)


def test_toml_with_a_byte_order_mark(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfepochs = 3\n")
    assert read_toml(tmp_path / "c.toml") == {"epochs": 3}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"labels": {"a": {"kindd": "binary"}}}, "the head 'a': Unknown setting 'kindd'"),
        ({"labels": {"a": {"kind": "binary", "l2": -1}}}, "the head 'a': `l2` must be >= 0"),
        ({"labels": {"a": 3}}, "the head 'a' must be a keras_mm.Head or a dict"),
        ({"labels": {"a": Head(), "A": Head()}}, "collide"),
        ({"labels": {}}, "`labels` must be a dict of name to keras_mm.Head, not empty"),
        ({"labels": {"a": Head()}, "head": "binary"}, "`head` applies to a label column"),
        ({"labels": {"a": Head()}, "classes": ["x", "y"]}, "`classes` applies to a label column"),
        ({"labels": ["a", "b"], "classes": ["x", "y"]}, "`classes` applies to one head"),
        ({"labels": ["a", "b"], "class_weight": [1, 2]}, "`class_weight` of several heads"),
        ({"head": "binary", "classes": ["x", "y", "z"]}, "exactly two classes"),
        ({"classes": ["x"]}, "at least two classes"),
        (
            {"head": "multilabel", "labels": ["a", "b"], "classes": ["x"]},
            "for each class, 1 in all",
        ),
        ({"head": "regression", "loss": "focal"}, "`loss` of a regression head"),
        ({"loss": "huber"}, "`loss` of a multiclass head"),
        ({"head": "regression", "class_weight": "balanced"}, "no classes to weigh"),
    ],
)
def test_what_does_not_suit_the_heads(values, words):
    (problem,) = find_problems(Settings(**values))
    assert words in problem


def test_heads_of_a_toml_file(tmp_path):
    (tmp_path / "c.toml").write_text(
        "[heads.tags]\nkind = 'multilabel'\nthreshold = [0.2, 0.4]\n"
        "[heads.price]\nkind = 'regression'\n"
    )
    values = read_toml(tmp_path / "c.toml")
    settings = settings_from(values, RunSettings)
    assert settings.labels == {
        "tags": Head("multilabel", threshold=(0.2, 0.4)),
        "price": Head("regression"),
    }
    for extra, words in (
        ({"labels": "label"}, "not both"),
        ({"heads": {}}, "must be tables"),
        ({"heads": {"tags": {"knd": 1}}}, "Did you mean 'kind'"),
    ):
        with pytest.raises(ConfigError, match=words):
            settings_from({**values, **extra}, RunSettings)
