"""Texts to labels through the interface of Simple Transformers, each by a real training."""

import json
import shutil
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

import keras_mm
from keras_mm.data.tables.rows import Rows
from keras_mm.simple_transformers import (
    ClassificationArgs,
    ClassificationModel,
    InputExample,
    MultiLabelClassificationModel,
    MultiModalClassificationModel,
)

# On each backend `test_multimodal.py` trains, evaluates and predicts through this interface.
pytestmark = pytest.mark.backend_free

COLOURS, SHAPES = ("red", "blue", "green"), ("circle", "square", "triangle")
TEXTS = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]
MODEL_FILES = [
    "config.json",
    "manifest.json",
    "model.json",
    "model.weights.h5",
    "model_args.json",
    "vocabulary.txt",
]


def frame(label, texts=TEXTS):
    return pd.DataFrame({"text": texts, "labels": [label(text) for text in texts]})


def is_red(text):
    return int("red" in text)


def settings(folder, **values):
    quiet = {"max_seq_length": 8, "silent": True, "manual_seed": 3, "learning_rate": 1e-3}
    few = {"save_model_every_epoch": False, "output_dir": str(folder)}
    return {**quiet, **few, **values}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A model of two classes that has learned, its folder, and what `train_model` gave."""
    folder = tmp_path_factory.mktemp("two") / "outputs"
    args = ClassificationArgs(
        **settings(
            folder,
            num_train_epochs=8,
            learning_rate=2e-3,
            save_steps=5,
            save_model_every_epoch=True,
            evaluate_during_training=True,
            evaluate_during_training_steps=5,
            gradient_accumulation_steps=2,
            train_batch_size=2,
            save_eval_checkpoints=False,
        )
    )
    model = ClassificationModel("bert", "tiny_bert", weight=[1, 2], args=args)
    told = model.train_model(frame(is_red), eval_data=frame(is_red), f1=f1_score, verbose=False)
    return model, folder, told


def test_steps_and_scores(two):
    _, folder, (steps, details) = two
    # 5 batches an epoch, of 2 rows and the last of 1, are 40, and 2 of them a step.
    assert steps == 20
    expected = [2, 5, 5, 7, 10, 10, 12, 15, 15, 17, 20, 20]
    assert sorted(details["global_step"]) == expected
    names = ["global_step", "train_loss", "mcc", "accuracy", "f1_score", "tn", "fp", "fn", "tp"]
    assert list(details) == [*names, "auroc", "auprc", "f1", "eval_loss"]
    written = pd.read_csv(folder / "training_progress_scores.csv")
    assert written.columns.tolist() == list(details)
    assert np.allclose(written["eval_loss"], details["eval_loss"])
    assert details["eval_loss"][-1] < details["eval_loss"][0] / 2
    assert details["train_loss"][-1] < details["train_loss"][0]


def test_the_output_folder(two):
    _, folder, _ = two
    found = {path.name for path in folder.iterdir()} - {"eval_results.txt"}
    checkpoints = {f"checkpoint-{step}" for step in (5, 10, 15, 20)}
    epochs = {
        f"checkpoint-{step}-epoch-{e}" for e, step in enumerate((2, 5, 7, 10, 12, 15, 17, 20), 1)
    }
    others = {"best_model", "training_progress_scores.csv", *MODEL_FILES}
    assert found == checkpoints | epochs | others
    for inner in ("best_model", "checkpoint-20-epoch-8", "checkpoint-5"):
        files = sorted(path.name for path in (folder / inner).iterdir())
        assert files == sorted([*MODEL_FILES, "eval_results.txt"])


def test_evaluation(two):
    model, folder, (_, details) = two
    wrong_labels = frame(lambda text: is_red(text) or int(text == TEXTS[-1]))
    result, outputs, wrong = model.eval_model(wrong_labels, f1=f1_score, verbose=False)
    assert (result["tp"], result["tn"], result["fp"], result["fn"]) == (3, 5, 0, 1)
    assert result["f1"] == pytest.approx(6 / 7) and outputs.shape == (9, 2)
    assert wrong == [InputExample(guid=8, text_a=TEXTS[-1], label=1)]
    assert model.results == result
    lines = (folder / "eval_results.txt").read_text().splitlines()
    assert lines == [f"{name} = {result[name]}" for name in sorted(result)]
    again, _, _ = model.eval_model(frame(is_red), verbose=False)
    assert again["eval_loss"] == pytest.approx(details["eval_loss"][-1], rel=1e-4)
    log_probabilities = outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))
    labels = np.array([is_red(text) for text in TEXTS])
    own, weights = -log_probabilities[np.arange(9), labels], np.array([1, 2])[labels]
    assert again["eval_loss"] == pytest.approx((own * weights).sum() / weights.sum(), rel=1e-4)


def test_answers(two):
    model, *_ = two
    found, logits = model.predict(TEXTS)
    assert found.tolist() == [is_red(text) for text in TEXTS] and logits.shape == (9, 2)
    alone, own = model.predict([TEXTS[4]])
    assert alone.shape == (1,) and np.allclose(own[0], logits[4], atol=1e-5)
    probabilities = model.predict_proba(TEXTS)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == found).all()
    again, same = model.predict(TEXTS)
    assert (same == logits).all()
    for wrong in ("a text", []):
        with pytest.raises(ValueError, match="`to_predict` must"):
            model.predict(wrong)


@pytest.mark.slow
def test_a_fresh_process_answers_to_the_bit(two, tmp_path, elsewhere):
    model, folder, _ = two
    code = (
        "import sys, numpy as np\n"
        "from keras_mm.simple_transformers import ClassificationModel\n"
        "model = ClassificationModel('bert', sys.argv[1])\n"
        "assert model.args.gradient_accumulation_steps == 2 and model.args.labels_list == [0, 1]\n"
        f"np.save(sys.argv[2], model.predict({TEXTS!r})[1])\n"
    )
    file = tmp_path / "logits.npy"
    elsewhere(code, folder, file)
    assert (np.load(file) == model.predict(TEXTS)[1]).all()


def test_the_classifier_inside_is_any_other(two):
    model, *_ = two
    report = model.classifier.evaluate(frame(is_red))
    assert report.metrics["accuracy"] == 1.0


def test_a_folder_that_is_not_empty(two):
    model, folder, _ = two
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match="is not empty.*overwrite_output_dir=True"):
        model.train_model(frame(is_red), eval_data=frame(is_red))
    # Nothing is replaced before there is something in its place.
    for wrong in (frame(lambda text: "red"), frame(is_red).assign(text=None)):
        with pytest.raises(ValueError):
            model.train_model(wrong, eval_data=wrong, args={"overwrite_output_dir": True})
    assert sorted(folder.rglob("*")) == before


def test_another_class_or_type_names_both(two):
    _, folder, _ = two
    for kind in (MultiLabelClassificationModel, MultiModalClassificationModel):
        with pytest.raises(
            ValueError, match=f"folder of a {kind.__name__}.* a model of ClassificationModel"
        ):
            kind("bert", folder)
    again = ClassificationModel(
        "auto", folder, args=ClassificationArgs(silent=True, max_seq_length=8)
    )
    assert again.args.labels_list == [0, 1] and again.args.model_type == "bert"
    with pytest.raises(ValueError, match="must be 'bert'.*Received: model_type='roberta'"):
        ClassificationModel("roberta", folder)
    with pytest.raises(ValueError, match="`num_labels` must be 2, as in the trained model"):
        ClassificationModel("bert", folder, num_labels=3)
    with pytest.raises(ValueError, match="must begin with the labels that the model was trained"):
        ClassificationModel("bert", folder, args={"labels_list": [1, 0]})
    assert ClassificationModel("bert", folder).num_labels == 2
    with pytest.raises(ValueError, match="'text_pooling': None}. Received: {'text_pooling': 'max'"):
        ClassificationModel("bert", folder, args={"text_pooling": "max"})


class Mine(ClassificationModel):
    """A user's own class."""


def test_a_derived_class_shares_folders_with_ours(two, tmp_path):
    model, folder, _ = two
    mine = Mine("bert", folder)
    mine.save_model(tmp_path / "mine")
    # As a folder of an earlier version, which named the class that somebody had derived.
    shutil.copytree(tmp_path / "mine", tmp_path / "older")
    file = tmp_path / "older" / "model_args.json"
    file.write_text(file.read_text().replace('"ClassificationModel"', '"Mine"'))
    for name in ("mine", "older"):
        for kind in (Mine, ClassificationModel):
            again = kind("bert", tmp_path / name)
            assert (again.predict(TEXTS)[1] == model.predict(TEXTS)[1]).all()
        with pytest.raises(ValueError, match="a model of (Classification|Mine)"):
            MultiLabelClassificationModel("bert", tmp_path / name)


@pytest.mark.eager
def test_how_texts_are_read_may_be_changed_at_load(two, tmp_path):
    model, folder, _ = two
    long = " ".join(["a blue circle"] * 4 + ["a red square"] * 4)
    cut = {"sliding_window": True, "max_seq_length": 8, "stride": 6}
    windows = ClassificationModel("bert", folder, args={**cut, "tie_value": 0})
    parts = ["a blue circle a blue circle"] * 2 + ["a red square a red square"] * 2
    votes = model.predict(parts)[0].tolist()
    assert votes == [0, 0, 1, 1] and windows.predict([long])[0].tolist() == [0]
    other = ClassificationModel("bert", folder, args=ClassificationArgs(**cut, tie_value=1))
    assert other.predict([long])[0].tolist() == [1]
    # Between two calls, too; and what is saved is read so.
    other.args.max_seq_length, other.args.sliding_window = 5, False
    expected = model.predict(["a blue circle"])[1]
    assert np.allclose(other.predict([long])[1], expected, atol=1e-5)
    other.save_model(tmp_path / "short")
    again = ClassificationModel("bert", tmp_path / "short")
    assert again.args.max_seq_length == 5
    assert (again.predict([long])[1] == other.predict([long])[1]).all()
    # A default that is given turns off what the folder has on.
    windows.save_model(tmp_path / "windows")
    args = ClassificationArgs(sliding_window=False)
    plain = ClassificationModel("bert", tmp_path / "windows", args=args)
    assert np.allclose(plain.predict([long])[1], model.predict([long])[1])
    for wrong, words in (
        ({"max_seq_length": 129}, "`max_seq_length` must be <= 128"),
        ({"max_seq_length": 3}, "`max_seq_length` must be >= 4"),
        ({"max_seq_length": "8"}, "`max_seq_length` must be an integer"),
        ({**cut, "stride": 0}, "`stride` must be"),
        ({**cut, "tie_value": 7}, "`tie_value` must be one of"),
    ):
        with pytest.raises(ValueError, match=words):
            ClassificationModel("bert", folder, args=wrong)


def test_documented_arguments_of_an_evaluation(two):
    model, *_ = two
    expected = model.eval_model(frame(is_red), verbose=False)[0]
    found, _, _ = model.eval_model(
        frame(is_red), verbose=False, show_running_loss=False, auto_weights=True,
        args={"eval_batch_size": 100, "silent": True},
    )  # fmt: skip
    assert found == expected
    with pytest.raises(TypeError, match="'show_runing_loss'. Did you mean 'show_running_loss'"):
        model.eval_model(frame(is_red), show_runing_loss=True)
    with pytest.warns(UserWarning, match="Did you mean 'num_train_epochs'"):
        model.eval_model(frame(is_red), args={"num_train_epoch": 1}, verbose=False)


def test_an_empty_text_is_answered_and_evaluated(two):
    model, *_ = two
    texts = ["", *TEXTS[1:]]
    result, outputs, wrong = model.eval_model(frame(lambda text: 1, texts), verbose=False)
    assert outputs.shape == (9, 2) and "" in {row.text_a for row in wrong} | {""}
    assert (model.predict(texts)[1] == outputs).all()
    # It is read as a text of no tokens, and not as a text that is missing.
    rows = Rows(([]), ([""],), {}, np.arange(1))
    assert model.classifier.preprocessor_.masks(rows)["text_mask"].all()
    assert np.allclose(model.classifier.predictor_.logits(rows)["label"], outputs[:1], atol=1e-5)
    with pytest.raises(keras_mm.TableError, match="<to_predict>, row 1, .*there is no text"):
        model.predict(["a", None])


def test_weights_of_any_library():
    weights = keras.ops.convert_to_tensor([1.0, 2.0])
    assert ClassificationModel("bert", "tiny_bert", weight=weights).weight == [1.0, 2.0]
    for given in (pd.Series([1.0, 2.0]), np.float32([1, 2]), (np.int64(1), 2)):
        model = MultiLabelClassificationModel("bert", "tiny_bert", pos_weight=given)
        assert model.pos_weight == [1.0, 2.0] or model.pos_weight == (1, 2)
        assert {type(weight) for weight in model.pos_weight} <= {int, float}


@pytest.mark.slow
def test_training_goes_on(two, tmp_path):
    _, folder, (_, details) = two
    model = ClassificationModel(
        "bert", folder, args=settings(tmp_path / "more", num_train_epochs=1, learning_rate=1e-5)
    )
    before = model.predict(TEXTS)[1]
    model.args.evaluate_during_training = False
    _, loss = model.train_model(frame(is_red), verbose=False)
    assert isinstance(loss, float) and loss < details["train_loss"][0]  # it has learned before
    after = model.predict(TEXTS)[1]
    assert not (after == before).all() and (after.argmax(axis=1) == before.argmax(axis=1)).all()
    # With a class more, the old ones' weights are kept.
    model.args.labels_list = [0, 1, "green"]
    model.args.overwrite_output_dir = True
    green = frame(lambda text: "green" if "green" in text else is_red(text))
    model.train_model(green, args={"num_train_epochs": 8, "learning_rate": 1e-3}, verbose=False)
    found, logits = model.predict(TEXTS)
    assert model.num_labels == 3
    assert logits.shape == (9, 3) and found.tolist() == green["labels"].tolist()


@pytest.mark.slow
def test_names_pairs_and_windows(tmp_path):
    table = pd.DataFrame(
        {
            "text_a": [colour for colour in COLOURS for _ in SHAPES],
            "text_b": [" ".join([shape] * 7) for _ in COLOURS for shape in SHAPES],
            "labels": [
                "round" if shape == "circle" else "edged" for _ in COLOURS for shape in SHAPES
            ],
        }
    )
    args = settings(
        tmp_path / "out", num_train_epochs=10, sliding_window=True, stride=3, tie_value="round",
        max_seq_length=10, manual_seed=5,
    )  # fmt: skip
    model = ClassificationModel("bert", "tiny_bert", args=args)
    steps, loss = model.train_model(table, verbose=False)
    # What counts is windows: of 7 tokens where 6 fit, the second begins 3 later.
    rows = model.classifier.predictor_.rows(table)
    windows, owners = model.classifier.preprocessor_.windows(rows)
    assert len(windows) == 9 * 3 == len(owners) and steps == 10 * -(-27 // 8)
    window = model.classifier.preprocessor_.sliding_window
    assert (window.vote, window.weigh_by, window.tie_value) == ("majority", "window", "round")
    result, outputs, wrong = model.eval_model(table, verbose=False)
    assert result["accuracy"] == 1.0 and wrong == [] and outputs.shape == (9, 2)
    pairs = table[["text_a", "text_b"]].to_numpy().tolist()
    assert model.predict(pairs)[0].tolist() == table["labels"].tolist()
    assert model.args.labels_list == ["edged", "round"]
    with pytest.raises(ValueError, match="trained on pairs of texts"):
        model.predict(["red"])
    with pytest.raises(ValueError, match="the text columns that the model was trained on"):
        model.eval_model(frame(is_red))


@pytest.mark.eager
def test_early_stopping_puts_the_best_back(tmp_path):
    args = settings(
        tmp_path / "out", num_train_epochs=30, learning_rate=1e-6, train_batch_size=9,
        evaluate_during_training=True, evaluate_during_training_steps=1, evaluate_each_epoch=False,
        use_early_stopping=True, early_stopping_metric="worse", early_stopping_patience=3,
        save_steps=0, save_eval_checkpoints=False,
    )  # fmt: skip
    values = iter([1.0, 0.0, 0.5, 0.5, 0.5, 0.5])
    model = ClassificationModel("bert", "tiny_bert", args=args)
    steps, details = model.train_model(
        frame(is_red), eval_df=frame(is_red), verbose=False, worse=lambda y, p: next(values)
    )
    assert steps == 5 and details["worse"] == [1.0, 0.0, 0.5, 0.5, 0.5]
    best = ClassificationModel("bert", tmp_path / "out" / "best_model")
    assert (best.predict(TEXTS)[1] == model.predict(TEXTS)[1]).all()
    result, _, _ = best.eval_model(frame(is_red), verbose=False, output_dir=tmp_path / "elsewhere")
    assert result["eval_loss"] == pytest.approx(details["eval_loss"][1], rel=1e-4)
    assert (tmp_path / "elsewhere" / "eval_results.txt").is_file()
    stated = (tmp_path / "out" / "best_model" / "eval_results.txt").read_text()
    assert "worse = 0.0\n" in stated


def test_numbers(tmp_path):
    args = settings(tmp_path / "out", regression=True, num_train_epochs=20, no_save=True)
    model = ClassificationModel("bert", "tiny_bert", num_labels=1, args=args)
    table = frame(lambda text: 100.0 + 10 * is_red(text))
    with pytest.warns(UserWarning, match="A regression has no classes"):
        model.train_model(table, verbose=False, auto_weights=True)
    found, outputs = model.predict(TEXTS)
    assert found.shape == outputs.shape == (9,) and model.predict(["red"])[0].shape == (1,)
    result, numbers, wrong = model.eval_model(table, verbose=False)
    assert result["eval_loss"] == pytest.approx(np.mean((numbers - table["labels"]) ** 2), rel=1e-4)
    assert result["eval_loss"] < 25 and wrong == [] and not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="no probabilities"):
        model.predict_proba(TEXTS)
    with pytest.raises(keras_mm.TableError, match="must be a finite number"):
        model.train_model(frame(lambda text: "many"))


def labels_of(text):
    return [int(colour in text) for colour in COLOURS]


@pytest.mark.slow
def test_several_labels(tmp_path):
    args = settings(tmp_path / "out", num_train_epochs=25, threshold=[0.5, 0, 0.5])
    model = MultiLabelClassificationModel(
        "bert", "tiny_bert", num_labels=3, pos_weight=[1, 2, 1], args=args
    )
    seen = []
    model.train_model(frame(labels_of), True, frame(labels_of), verbose=False)
    found, outputs = model.predict(TEXTS)
    model.eval_model(frame(labels_of), verbose=False, auc=lambda y, p: seen.append((y, p)) or 0)
    assert seen[0][0].tolist() == [labels_of(text) for text in TEXTS]
    assert (seen[0][1] == outputs).all()  # probabilities, as there
    assert [row[0::2] for row in found] == [labels_of(text)[0::2] for text in TEXTS]
    assert all(row[1] == 1 for row in found)  # a threshold of 0 is one
    assert outputs.shape == (9, 3) and (outputs >= 0).all() and (outputs <= 1).all()
    result, same, wrong = model.eval_model(frame(labels_of), verbose=False)
    assert result["LRAP"] == 1.0 and (same == outputs).all() and len(wrong) == 6
    assert wrong[0].label == [1, 0, 0]
    model.args.threshold = 0.5
    assert model.predict(TEXTS)[0] == [labels_of(text) for text in TEXTS]
    model.save_model(tmp_path / "again", results=result)
    again = MultiLabelClassificationModel("bert", tmp_path / "again")
    assert again.args.threshold == 0.5 and (again.predict(TEXTS)[1] == outputs).all()
    assert "LRAP = 1.0" in (tmp_path / "again" / "eval_results.txt").read_text()
    for _ in range(2):  # also of a model that has gone on
        with pytest.raises(keras_mm.TableError, match="0 or 1 for each of 3 labels. Received: 2"):
            model.eval_model(frame(lambda text: [1, 0]))
        again.train_model(
            frame(labels_of),
            output_dir=tmp_path / "more",
            args={"num_train_epochs": 1, "overwrite_output_dir": True},
        )
        model = again
    assert all(len(row) == 3 and set(row) <= {0, 1} for row in again.predict(TEXTS)[0])


@pytest.mark.eager
def test_names_of_labels_weights_and_special_tokens(tmp_path):
    texts = [f"{text} <{text.split()[1].upper()}>" for text in TEXTS]
    args = settings(
        tmp_path / "out", num_train_epochs=2, optimizer="Adafactor",
        labels_list=pd.Series(COLOURS).unique(),
        scheduler="polynomial_decay_schedule_with_warmup", polynomial_decay_schedule_power=2.0,
        special_tokens_list=np.array(["<RED>", "<BLUE>", "<GREEN>"]), max_seq_length=np.int64(6),
        warmup_steps=1,
    )  # fmt: skip
    model = MultiLabelClassificationModel("bert", "tiny_bert", args=args)
    model.train_model(
        frame(lambda text: [text.split()[1]], texts), auto_weights=True, verbose=False
    )
    (head,) = model.classifier.heads_.values()
    assert head.classes == COLOURS and head.class_weight == (3.0, 3.0, 3.0)
    tokenizer = model.classifier.preprocessor_.tokenizer
    last = tokenizer.vocabulary_size
    assert tokenizer.pack([texts[:1]], 8)["token_ids"][0, 4] == last - 3
    outputs = model.predict(texts)[1]
    again = MultiLabelClassificationModel("bert", tmp_path / "out")
    assert again.args.labels_list == list(COLOURS)
    assert (again.predict(texts)[1] == outputs).all()


ONE, MANY = ClassificationModel, MultiLabelClassificationModel


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "words"),
    [
        (ONE, {"weight": [1, 2, 3]}, ValueError, "`weight` must have.*2 in all"),
        (ONE, {"num_labels": 3, "weight": [1, 2]}, ValueError, "`weight`.*3 in all"),
        (ONE, {"num_labels": 3, "args": {"labels_list": [0, 1]}}, ValueError, "must have `num_la"),
        (ONE, {"num_labels": 2, "args": {"regression": True}}, ValueError, "must be 1"),
        (ONE, {"num_labels": 1}, ValueError, "`num_labels` must be >= 2"),
        (ONE, {"args": {"loss_type": "dice"}}, ValueError, "Unknown loss_type 'dice'"),
        (ONE, {"num_label": 1}, TypeError, "Did you mean 'num_labels'"),
        (ONE, {"wieght": [1, 2]}, TypeError, "Did you mean 'weight'"),
        (ONE, {"num_labels": "2"}, ValueError, "`num_labels` must be an integer"),
        (MANY, {"pos_weight": 3.0}, ValueError, "`pos_weight` must have a number for each"),
        (MANY, {"pos_weight": [1]}, ValueError, "`pos_weight`.*2 in all"),
        (MANY, {"num_labels": 3, "args": {"threshold": [1, 1]}}, ValueError, "3 in all"),
        (MANY, {"args": {"threshold": 1.5}}, ValueError, r"in \[0, 1\]"),
    ],
)
def test_bad_constructors(kind, arguments, error, words):
    with pytest.raises(error, match=words):
        kind("bert", "tiny_bert", **arguments)


def test_bad_calls(tmp_path):
    model = ClassificationModel("bert", "tiny_bert", args=settings(tmp_path / "out"))
    with pytest.raises(ValueError, match="not trained"):
        model.predict(["a"])
    with pytest.raises(TypeError, match="'outputdir'. Did you mean 'output_dir'"):
        model.train_model(frame(is_red), outputdir="a")
    with pytest.raises(ValueError, match="`eval_data` must be given"):
        model.train_model(frame(is_red), args={"evaluate_during_training": True})
    model.args.evaluate_during_training = False
    with pytest.raises(ValueError, match="`num_train_epochs` must be an integer >= 1"):
        model.train_model(frame(is_red), args={"num_train_epochs": 0})
    model.args.num_train_epochs = 1
    with pytest.raises(ValueError, match="Did you mean 'AdamW'"):
        model.train_model(frame(is_red), args={"optimizer": "Adam W"})
    model.args.optimizer = "AdamW"
    with pytest.raises(ValueError, match="3 labels .* num_labels is 2"):
        model.train_model(frame(lambda text: text.split()[1]))
    with pytest.raises(keras_mm.TableError, match="<train_df>, row 0, column 'text'"):
        model.train_model(frame(is_red).assign(text=[None, *TEXTS[1:]]))
    with pytest.raises(ValueError, match="`multi_label` of a Class.* must be False.*'DataFrame'"):
        model.train_model(frame(is_red), frame(is_red))
    with pytest.raises(TypeError, match="`output_dir` must be the path.*Received: DataFrame"):
        model.train_model(frame(is_red), False, frame(is_red))
    for call in (model.train_model, model.eval_model, model.predict):
        with pytest.raises(ValueError, match="`multi_label` of a Class.* must be False.*True"):
            call(frame(is_red), True)
    model.args.labels_list.append(object())
    with pytest.raises(ValueError, match="`labels_list` must consist of numbers, texts"):
        model.train_model(frame(is_red))
    model.args.labels_list = []
    blocked = {"evaluate_during_training": True, "best_model_dir": str(tmp_path / "f" / "best")}
    (tmp_path / "f").write_text("")
    with pytest.raises(ValueError, match="`best_model_dir` must be a folder that can be written"):
        model.train_model(frame(is_red), args=blocked, eval_data=frame(is_red))
    (tmp_path / "file").write_text("")
    assert model.args.num_train_epochs == 1  # a call that fails changes no settings
    for name, value in (("train_batch_size", 0), ("save_steps", None), ("num_train_epochs", "3")):
        with pytest.raises(ValueError, match=f"`{name}` must be an integer"):
            model.train_model(frame(is_red), args={name: value})
    metric = {"evaluate_during_training": True, "early_stopping_metric": "acuracy"}
    with pytest.raises(ValueError, match="'acuracy'. Did you mean 'accuracy'"):
        model.train_model(frame(is_red), args=metric, eval_data=frame(is_red))
    with pytest.raises(ValueError, match="must be a folder"):
        model.train_model(frame(is_red), output_dir=tmp_path / "file")
    assert not (tmp_path / "out").exists()


def test_bad_rows_are_told_at_once(tmp_path):
    args = settings(tmp_path / "out", evaluate_during_training=True)
    model = ClassificationModel("bert", "tiny_bert", args=args)
    train, evaluation = frame(is_red).astype(object), frame(is_red).astype(object)
    train.at[0, "text"], train.at[1, "labels"], train.at[2, "labels"] = None, None, [1, 0]
    evaluation.at[3, "labels"], evaluation.at[4, "text"] = "what", b"text"
    train = train.rename(columns={"text": "sentence", "labels": "answer"})
    with (
        pytest.raises(keras_mm.TableError) as told,
        pytest.warns(UserWarning, match="'sentence' is used") as warned,
    ):
        model.train_model(train, eval_df=evaluation)
    assert warned[0].filename == __file__
    assert [(p.file, p.row, p.column) for p in told.value.problems] == [
        ("<train_df>", 0, "sentence"), ("<train_df>", 1, "answer"), ("<train_df>", 2, "answer"),
        ("<eval_df>", 3, "labels"), ("<eval_df>", 4, "text"),
    ]  # fmt: skip


def test_the_settings_of_a_sweep():
    class Config:
        """Settings by name, as wandb.config holds them."""

        def keys(self):
            return ["learning_rate", "stride"]

        def __getitem__(self, name):
            return {"learning_rate": 3e-4, "stride": 0.5}[name]

    for config in (Config(), {"learning_rate": 3e-4, "stride": 0.5}):
        args = {"learning_rate": 1e-5, "silent": True}
        model = ClassificationModel("bert", "tiny_bert", args=args, sweep_config=config)
        found = (model.args.learning_rate, model.args.stride, model.args.silent)
        assert found == (3e-4, 0.5, True)
    whole = {"method": "bayes", "parameters": {"learning_rate": {"min": 0, "max": 1}}}
    for wrong, error, words in (
        (whole, ValueError, "settings of one run, `wandb.config`. Received the description"),
        (3, TypeError, "must hold settings by name"),
    ):
        with pytest.raises(error, match=words):
            ClassificationModel("bert", "tiny_bert", sweep_config=wrong)
    with pytest.warns(UserWarning, match="Did you mean 'learning_rate'"):
        ClassificationModel("bert", "tiny_bert", sweep_config={"learnig_rate": 1})


def test_one_warning_tells_all_that_does_nothing():
    args = {"process_count": 3, "fp16": False}
    with pytest.warns(UserWarning) as told:
        ClassificationModel(
            "bert", "tiny_bert", "bert", "elsewhere", args=args, use_cuda=False, cache_dir="a"
        )
    (warning,) = told
    for name in ("process_count", "fp16", "use_cuda", "tokenizer_name", "cache_dir"):
        assert name in str(warning.message)
    assert "tokenizer_type" not in str(warning.message) and warning.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ClassificationModel("bert", "tiny_bert", "bert", "tiny_bert")


def test_a_folder_of_simple_transformers_is_an_encoder(tmp_path):
    from tests.hugging_face import write_text_folder

    write_text_folder(tmp_path, "bert", 9)
    (tmp_path / "model_args.json").write_text('{"labels_list": ["a", "b"]}')
    with pytest.warns(
        UserWarning, match="only its encoder is loaded, not its head and its arguments"
    ):
        ClassificationModel("bert", tmp_path)


def test_settings_are_written_as_json(two):
    _, folder, _ = two
    stored = json.loads((folder / "model_args.json").read_text())
    assert stored["model_class"] == "ClassificationModel" and stored["model_type"] == "bert"
    assert stored["model_name"] == "tiny_bert" and stored["labels_list"] == [0, 1]


@pytest.mark.eager
def test_a_training_that_fails_leaves_its_best_weights(tmp_path):
    evaluated = []

    def failing(labels, answers):
        evaluated.append(1)
        if len(evaluated) > 1:
            raise OSError("no more")
        return 0.5

    args = settings(tmp_path, num_train_epochs=4, evaluate_during_training=True, no_save=True)
    model = ClassificationModel("bert", "tiny_bert", args=args)
    with pytest.raises(OSError, match="no more"):
        model.train_model(frame(is_red), eval_df=frame(is_red), failing=failing)
    assert len(model.classifier.history_["loss"]) == 2
    before = model.predict(TEXTS)[1]
    with pytest.raises(OSError, match="no more"):
        model.train_model(frame(is_red), eval_df=frame(is_red), failing=failing)
    np.testing.assert_array_equal(model.predict(TEXTS)[1], before)
    assert model.classifier.epochs == 4 and not model.classifier.warm_start
