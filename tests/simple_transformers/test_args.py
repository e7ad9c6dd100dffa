"""The settings: names, files, what does nothing and what is refused. Loads no backend."""

import json

import pytest

from keras_mm.simple_transformers.args import (
    ClassificationArgs,
    ModelArgs,
    MultiLabelClassificationArgs,
    MultiModalClassificationArgs,
    check_refused,
    without_effect,
)

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
        with pytest.raises(TypeError, match=f"Did you mean '{nearest}'"):
            kind().update_from_dict({"silent": True, unknown: 3})
        with pytest.raises(AttributeError, match=f"Did you mean '{nearest}'"):
            setattr(kind(), unknown, 3)


def test_nothing_is_taken_over_of_a_dict_with_an_unknown_name():
    args = ModelArgs()
    with pytest.raises(TypeError, match="silnt"):
        args.update_from_dict({"num_train_epochs": 5, "silnt": True})
    assert args.num_train_epochs == 1


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
    assert again.num_train_epochs == 7 and list(again.adam_betas) == [0.5, 0.25]
    assert again.special_tokens_list == ["<url>"]
    # A file has lists for tuples, and that is no setting that was given.
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
