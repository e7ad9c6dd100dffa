"""Calls that public scripts make: each runs after changing the import and the model's name."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, classification_report, f1_score

from keras_mm.simple_transformers import (
    ClassificationArgs,
    ClassificationModel,
    MultiLabelClassificationModel,
    MultiModalClassificationArgs,
    MultiModalClassificationModel,
)

pytestmark = [
    pytest.mark.backend_free,
    pytest.mark.eager,
    # What has no effect here warns; `tests/simple_transformers/test_text.py` says of what.
    pytest.mark.filterwarnings("ignore:These arguments have no effect here"),
]

TEXTS = [f"a {colour} {shape}" for colour in ("red", "blue") for shape in ("circle", "square")] * 2
LABELS = [int("red" in text) for text in TEXTS]
QUICK = {"max_seq_length": 8, "silent": True, "save_model_every_epoch": False}
IMAGES = {"image_encoder": "tiny_cnn", "image_weights": "random", "image_size": 32}


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    """Where the scripts write their `outputs/`."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of images, and beside each a JSON file with its text and label."""
    folder = tmp_path_factory.mktemp("pictures")
    for row, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)):
        Image.new("RGB", (32, 32), (220 * label, 30, 30)).save(folder / f"{row}.jpg")
        cells = {"text": text, "labels": str(label), "images": f"{row}.jpg"}
        (folder / f"{row}.json").write_text(json.dumps(cells))
    return folder


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory):
    """A trained model of texts."""
    folder = str(tmp_path_factory.mktemp("texts") / "outputs")
    args = {**QUICK, "output_dir": folder, "labels_list": ["other", "red"]}
    names = ["red" if label else "other" for label in LABELS]
    model = ClassificationModel("bert", "tiny_bert", args=args)
    model.train_model(pd.DataFrame({"text": TEXTS, "labels": names}), verbose=False)
    return folder


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory, pictures):
    """A trained model of texts and images."""
    folder = str(tmp_path_factory.mktemp("images") / "outputs")
    args = {**QUICK, **IMAGES, "output_dir": folder}
    model = MultiModalClassificationModel("bert", "tiny_bert", num_labels=2, args=args)
    model.train_model(str(pictures), verbose=False)
    return folder


def saved_config():
    return json.loads(Path("outputs/config.json").read_text())


def test_posts_with_and_without_an_image(text_folder, image_folder, pictures):
    """A service: loads two models, sets an attribute of `config`, predicts from a DataFrame."""
    args = MultiModalClassificationArgs(fp16=True)
    with_image = MultiModalClassificationModel("bert", image_folder, args=args, use_cuda=True)
    with_image.config.use_return_dict = False
    text_only = ClassificationModel("bert", text_folder, use_cuda=True)
    posts = [{"id": i, "author": "x", "text": TEXTS[i], "labels": ""} for i in range(4)]
    for post in posts[:3]:
        post |= {"images": f"{post['id']}.jpg", "kind": "media"}
    found = with_image.predict(pd.DataFrame(posts[:3]), image_path=str(pictures))[0]
    assert [int(label) in (0, 1) for label in found] == [True] * 3
    assert text_only.predict([post["text"] for post in posts[3:]])[0].shape == (1,)
    same = {"text": TEXTS[:3], "images": ["0.jpg", "1.jpg", "2.jpg"]}
    assert with_image.predict(same, str(pictures))[0] == found


def test_pages_with_metrics_of_all_kinds(pictures):
    """Trains on a DataFrame; sets `config`; metrics round predictions, one returns a text."""
    rows = pd.DataFrame({"images": [f"{i}.jpg" for i in range(8)], "text": TEXTS, "labels": LABELS})
    rows["labels"] = rows["labels"].map({0: "Benign", 1: "Gambling"})
    names = ["Benign", "Gambling"]

    def accuracy(labels, answers):
        return accuracy_score(labels, answers.round(), normalize=True)

    def report(labels, answers):
        return classification_report(labels, answers.round(), target_names=names, zero_division=0)

    args = {**QUICK, **IMAGES, "overwrite_output_dir": True, "fp16": False, "eval_batch_size": 8}
    model = MultiModalClassificationModel("bert", "tiny_bert", args=args, label_list=names)
    model.config.use_return_dict = True
    model.train_model(rows, eval_data=rows, image_path=str(pictures), acc=accuracy, report=report)
    result, outputs = model.eval_model(rows, image_path=str(pictures), acc=accuracy, report=report)
    assert 0 <= result["acc"] <= 1 and "Gambling" in result["report"]
    pd.DataFrame(outputs, columns=names).to_csv("outputs.csv")
    assert saved_config()["use_return_dict"] is True


def test_tags_of_videos_with_names_of_another_version(pictures):
    """Args of an own version of the library: unknown names in the dict are ignored."""
    args = {
        "task_name": "tags_01", "output_dir": "outputs/", "overwrite_output_dir": True,
        "warmup_ratio": 0.3, "save_steps": 0, "evaluate_during_training": True,
        "eval_epoch_period": 0, **QUICK, **IMAGES,
    }  # fmt: skip
    with pytest.warns(UserWarning, match="'task_name'.* 'eval_epoch_period'"):
        model = MultiModalClassificationModel("bert", "tiny_bert", num_labels=2, args=args)
    _, details = model.train_model(str(pictures), eval_data=str(pictures))
    assert len(details["eval_loss"]) == 1


def test_comments_with_settings_in_every_place():
    """`use_cuda` in the args dict; a dict of args for one call, with a name of a fork."""
    data = pd.DataFrame({"text": np.array(TEXTS), "labels": np.array(LABELS)})
    args = {"use_cuda": False, "process_count": 2, "dataloader_num_workers": 4, **QUICK}
    with pytest.warns(UserWarning, match="'use_cuda'"):
        model = ClassificationModel("bert", "tiny_bert", num_labels=2, args=args, use_cuda=False)
    with pytest.warns(UserWarning, match="'gradient_record_interval'"):
        model.train_model(train_df=data, eval_df=data, args={"gradient_record_interval": 1})
    answers, _ = model.predict(data["text"].tolist())
    assert set(answers) <= {0, 1}


def test_messages_from_the_command_line():
    """`args=vars(namespace)`, with paths of the script; a table with `text` and `label`."""
    options = Namespace(
        model_type="bert", model_name="tiny_bert", trainset_path="train.csv", **QUICK
    )
    pd.DataFrame({"text": TEXTS, "label": LABELS}).to_csv("train.csv", index=False)
    rows = pd.read_csv(options.trainset_path)
    with pytest.warns(UserWarning, match="'trainset_path'"):
        model = ClassificationModel(
            options.model_type, options.model_name, num_labels=2, args=vars(options)
        )
    with pytest.warns(UserWarning, match="no column 'labels': 'label' is used"):
        model.train_model(rows, eval_df=rows, acc=accuracy_score)
    with pytest.warns(UserWarning, match="'label' is used as the label"):
        result, _, _ = model.eval_model(rows, acc=accuracy_score)
    assert result["acc"] == result["accuracy"]


def test_an_outer_loop_that_keeps_the_best_model():
    """Trains epoch by epoch without files; saves with `model=` and loads the folder again."""
    args = ClassificationArgs(**QUICK)
    args.overwrite_output_dir, args.evaluate_during_training = True, False
    args.output_dir = "models/reviews"
    model = ClassificationModel("bert", "tiny_bert", num_labels=2, args=args)
    rows, best = pd.DataFrame(zip(TEXTS, LABELS, strict=True), columns=["text", "labels"]), -1.0
    for _ in range(2):
        model.args.no_save = True
        model.train_model(rows)
        answers = model.predict(TEXTS)[0]
        if (score := f1_score(LABELS, answers, average="macro")) > best:
            model.args.no_save = False
            model.save_model(model=model.model, output_dir=args.output_dir + "/best_model")
            best, kept = score, answers
    again = ClassificationModel("bert", args.output_dir + "/best_model", num_labels=2, args=args)
    assert (again.predict(TEXTS)[0] == kept).all()
    with pytest.raises(ValueError, match="`model` must be the `model` of this"):
        again.save_model("elsewhere", model=model.model)


def test_a_pipeline_that_names_the_tags():
    """Several labels: writes their names into `config`, and reads them from the saved folder."""
    tags = {0: "red", 1: "circle"}
    rows = [[text, [int(tag in text) for tag in tags.values()]] for text in TEXTS]
    model = MultiLabelClassificationModel("bert", "tiny_bert", num_labels=2, args=QUICK)
    model.config.id2label = tags
    model.config.label2id = {tag: place for place, tag in tags.items()}
    model.train_model(pd.DataFrame(rows, columns=["text", "labels"]))
    assert saved_config()["label2id"] == model.config.label2id
    pipeline = MultiLabelClassificationModel("bert", "outputs", args={"no_cache": True})
    answers = pipeline.predict(TEXTS[:3])[0]
    found = [[pipeline.config.id2label[i] for i, on in enumerate(row) if on] for row in answers]
    assert all(set(names) <= set(tags.values()) for names in found)


class OwnModel(ClassificationModel):
    """A class of the script's own that prepares the tokenizer."""

    def add_pad_token(self):
        self.tokenizer.pad_token = "[PAD]"


def test_an_own_class_reads_tokenizer_device_and_config(text_folder):
    """Loads a model, sets the tokenizer's padding, and describes the model for a service."""
    model = OwnModel("bert", text_folder, num_labels=2, tokenizer_type=None)
    model.add_pad_token()
    assert model.device == "cpu" or model.device.startswith("cuda")
    config = model.config
    assert (config.id2label, config.num_labels) == ({0: "other", 1: "red"}, 2)
    assert config.label2id["red"] == 1 and config.to_dict()["model_type"] == "bert"
    tokens = model.tokenizer.tokenize("A red circle")
    assert tokens == ["a", "red", "circle"] and len(model.tokenizer.encode("a red circle")) == 5
    assert len(model.tokenizer) == len(model.tokenizer.get_vocab())
    model.tokenizer.save_pretrained("tokenizer")
    model.config.finetuning_task = "colours"
    model.save_model(output_dir="served", model=model.model, results={"acc": 1.0})
    served = ClassificationModel("bert", "served")
    assert served.config.finetuning_task == "colours" and served.config.num_labels == 2
    with pytest.raises(AttributeError, match="no attribute 'hidden_size'"):
        _ = served.config.hidden_size
