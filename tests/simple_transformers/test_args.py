"""The settings: names, files, what does nothing and what is refused. Loads no backend."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_mm.simple_transformers.args import (
    ClassificationArgs,
    ModelArgs,
    MultiLabelClassificationArgs,
    MultiModalClassificationArgs,
    settings_class,
)
from keras_mm.simple_transformers.setting_checks import (
    built_settings,
    check_built,
    check_integers,
    check_refused,
    check_savable,
    without_effect,
)
from keras_mm.simple_transformers.setting_fields import unchanged_on_error

pytestmark = pytest.mark.backend_free

KINDS = (
    ModelArgs, ClassificationArgs, MultiLabelClassificationArgs, MultiModalClassificationArgs,
)  # fmt: skip


def test_defaults_are_those_of_simple_transformers():
    args = ModelArgs()
    assert (args.num_train_epochs, args.train_batch_size, args.learning_rate) == (1, 8, 4e-5)
    assert (args.gradient_accumulation_steps, args.max_grad_norm, args.max_seq_length) == (
        1,
        1,
        128,
    )
    assert (args.manual_seed, args.optimizer, args.weight_decay) == (None, "AdamW", 0)
    assert (args.adam_betas, args.adam_epsilon) == ((0.9, 0.999), 1e-8)
    assert (args.scheduler, args.warmup_ratio) == ("linear_schedule_with_warmup", 0.06)
    assert (args.evaluate_during_training, args.evaluate_during_training_steps) == (False, 2000)
    assert (args.early_stopping_metric, args.early_stopping_metric_minimize) == ("eval_loss", True)
    assert (args.early_stopping_patience, args.early_stopping_delta) == (3, 0)
    assert (args.output_dir, args.best_model_dir) == ("outputs/", "outputs/best_model")
    assert (args.overwrite_output_dir, args.save_steps, args.silent) == (False, 2000, False)
    assert args.save_model_every_epoch and args.do_lower_case is False
    text = ClassificationArgs()
    assert (text.sliding_window, text.stride, text.tie_value) == (False, 0.8, 1)
    assert MultiLabelClassificationArgs().threshold == 0.5
    pictures = MultiModalClassificationArgs()
    assert (pictures.num_image_embeds, pictures.image_encoder) == (1, "resnet50v2")
    labels = pictures.text_label, pictures.labels_label, pictures.images_label
    assert labels == ("text", "labels", "images")


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_offers_the_nearest(kind):
    for unknown in ("num_train_epoch", "learnig_rate"):
        nearest = {"num_train_epoch": "num_train_epochs", "learnig_rate": "learning_rate"}[unknown]
        with pytest.raises(TypeError, match=f"'{unknown}'. Did you mean '{nearest}'"):
            kind(**{unknown: 3})
        args = kind()
        with pytest.warns(UserWarning, match=f"'{unknown}'. Did you mean '{nearest}'"):
            args.update_from_dict({"silent": True, unknown: 3})
        assert args.silent
        with pytest.raises(AttributeError, match=f"Did you mean '{nearest}'"):
            setattr(kind(), unknown, 3)


def test_settings_are_a_dict():
    with pytest.raises(TypeError, match="must be a dict"):
        ModelArgs().update_from_dict([("silent", True)])


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_again(kind, tmp_path):
    args = kind(num_train_epochs=7, adam_betas=(0.5, 0.25), special_tokens_list=["<url>"])
    args.save(tmp_path)
    assert json.loads((tmp_path / "model_args.json").read_text())["num_train_epochs"] == 7
    again = kind()
    again.load(tmp_path)
    assert again.num_train_epochs == 7 and again.adam_betas == (0.5, 0.25)
    assert again.special_tokens_list == ["<url>"]
    assert without_effect(again) == {}
    again.load(tmp_path / "nowhere")
    assert again.num_train_epochs == 7


def test_defaults_are_nobody_elses():
    ClassificationArgs().labels_list.append("a")
    assert ClassificationArgs().labels_list == []


def test_what_does_nothing_says_why():
    args = ClassificationArgs(process_count=4, n_gpu=2, fp16=False, use_multiprocessing=False)
    told = without_effect(args)
    assert sorted(told) == ["fp16", "n_gpu", "process_count", "use_multiprocessing"]
    assert all(len(why) > 10 for why in told.values())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"onnx": True}, "export"),
        ({"lazy_loading": True}, "path"),
        ({"quantized_model": True}, "openvino"),
        ({"config": {"hidden_dropout_prob": 0.3}}, "config.json"),
        ({"custom_parameter_groups": [{"lr": 1e-3}], "as_reranker": True}, "stages"),
    ],
)
def test_what_would_change_answers_is_refused(values, words):
    with pytest.raises(ValueError, match=words) as error:
        check_refused(ClassificationArgs(**values))
    assert all(f"`{name}`" in str(error.value) for name in values)
    check_refused(ClassificationArgs())


class Tensor:
    """What has `numpy()` only, as TensorFlow's tensors."""

    def numpy(self):
        return np.float32([0.5, 0.25])


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("labels_list", pd.Series(["b", "a", "b"]).unique(), ["b", "a"]),
        ("labels_list", pd.Series([1, 0], dtype="category").unique(), [1, 0]),
        ("labels_list", (np.str_("a"), np.int64(1), np.bool_(True)), ["a", 1, True]),
        ("labels_list", {"a": 0, "b": 1}.keys(), ["a", "b"]),
        ("labels_map", {np.int64(7): np.int64(0), True: 1, "b": 2}, {7: 0, True: 1, "b": 2}),
        ("special_tokens_list", ("<a>",), ["<a>"]),
        ("threshold", pd.Series([0.5, 0.25]), [0.5, 0.25]),
        ("threshold", Tensor(), [0.5, 0.25]),
        ("threshold", {"a": np.float64(0.5)}, {"a": 0.5}),
        ("stride", np.float64(0.5), 0.5),
        ("num_train_epochs", np.array(3), 3),
        ("silent", np.bool_(True), True),
        ("adam_betas", np.array([0.5, 0.25]), (0.5, 0.25)),
        ("adam_betas", [0.5, 0.25], (0.5, 0.25)),
        ("loss_args", {"gamma": np.float32(2)}, {"gamma": 2.0}),
        ("output_dir", Path("a/b"), str(Path("a/b"))),
    ],
)
def test_arrays_and_scalars_become_plain_values(name, given, expected, tmp_path):
    args = MultiLabelClassificationArgs(**{name: given})
    args.save(tmp_path)
    again = MultiLabelClassificationArgs()
    again.load(tmp_path)
    for found in (getattr(args, name), getattr(again, name)):
        assert found == expected and type(found) is type(expected)
        cells = [*found, *found.values()] if isinstance(found, dict) else found
        for cell in cells if isinstance(cells, list | tuple) else [cells]:
            assert type(cell) in (str, int, float, bool)


def test_values_that_were_put_in_later_become_plain_too(tmp_path):
    args = ClassificationArgs(labels_map={"a": 0})
    args.labels_map[np.str_("b")] = np.int64(1)
    args.labels_list.append(np.int64(3))
    args.save(tmp_path)
    stored = json.loads((tmp_path / "model_args.json").read_text())
    assert stored["labels_map"] == {"a": 0, "b": 1} and stored["labels_list"] == [3]
    assert type(args.labels_list[0]) is int


@pytest.mark.parametrize("value", [object(), {"a"}, [object()], {(1, 2): 3}, str.upper])
def test_what_cannot_be_saved_is_refused_by_name(value, tmp_path):
    args = MultiModalClassificationArgs(fusion=value)
    for refuse in (lambda: check_savable(args), lambda: args.save(tmp_path)):
        with pytest.raises(ValueError, match="`fusion` must consist of numbers, texts.*Received"):
            refuse()
    assert not list(tmp_path.iterdir())


def test_what_does_nothing_need_not_be_saved(tmp_path):
    args = ClassificationArgs(wandb_kwargs={"settings": object()}, tokenizer_type=str)
    check_savable(args)
    args.save(tmp_path)
    again = ClassificationArgs()
    again.load(tmp_path)
    assert again.wandb_kwargs == {} and again.tokenizer_type is None


def test_settings_that_were_given_are_known_even_as_defaults():
    args = ClassificationArgs(sliding_window=False)
    args.stride = 0.8
    assert args.given() == {"sliding_window": False, "stride": 0.8}


@dataclass
class Derived(ClassificationArgs):
    """Settings of a user's own class."""

    dropout: float = 0.5


def test_a_derived_class_of_settings(tmp_path):
    args = Derived(dropout=0.25, num_train_epochs=3)
    assert args.given() == {"dropout": 0.25, "num_train_epochs": 3}
    assert settings_class(args, ClassificationArgs) is Derived
    # Of one of the other classes, which knows settings that this one does not.
    other = MultiLabelClassificationArgs()
    assert settings_class(other, ClassificationArgs) is ClassificationArgs
    assert settings_class({}, ClassificationArgs) is ClassificationArgs
    args.save(tmp_path)
    again = ClassificationArgs()
    with pytest.warns(UserWarning, match="Unknown setting 'dropout'"):
        again.load(tmp_path)
    assert again.num_train_epochs == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Derived().load(tmp_path)


def test_settings_that_count_are_integers():
    check_integers(ClassificationArgs(save_steps=-1))
    for name, value in (("num_train_epochs", 0), ("train_batch_size", 2.0), ("save_steps", -2)):
        with pytest.raises(ValueError, match=f"`{name}` must be an integer"):
            check_integers(ClassificationArgs(**{name: value}))


def test_a_trained_model_keeps_the_settings_that_it_was_built_from():
    args = ClassificationArgs(special_tokens_list=["<url>"])
    built = built_settings(args)
    args.num_train_epochs = 3
    check_built(args, built)
    args.special_tokens_list.append("<user>")
    with pytest.raises(ValueError, match=r"\['<url>'\]}. Received: .*'<user>'"):
        check_built(args, built)


def test_a_call_that_fails_leaves_the_settings_as_they_were():
    args = ClassificationArgs(labels_list=["a"])
    with pytest.raises(KeyboardInterrupt), unchanged_on_error(args):
        args.num_train_epochs = 3
        args.labels_list.append("b")
        raise KeyboardInterrupt
    assert (args.num_train_epochs, args.labels_list) == (1, ["a"])
    assert list(args.given()) == ["labels_list"]
    with unchanged_on_error(args):
        args.num_train_epochs = 3
    assert args.num_train_epochs == 3
