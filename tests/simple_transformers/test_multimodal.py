"""Texts with real image files, through the interface of Simple Transformers."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import keras_mm
from keras_mm.data.tables.rows import Rows
from keras_mm.simple_transformers import (
    MultiLabelClassificationArgs,
    MultiModalClassificationArgs,
    MultiModalClassificationModel,
)

PIXELS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
SHAPES = ("circle", "square", "triangle")


def settings(folder, **values):
    """Small encoders that need no download, and few files."""
    sides = {"image_encoder": "tiny_cnn", "image_weights": "random", "image_size": 32}
    quiet = {"silent": True, "max_seq_length": 8, "manual_seed": 2, "learning_rate": 3e-3}
    few = {"save_model_every_epoch": False, "output_dir": str(folder / "out")}
    return {**sides, **quiet, **few, **values}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with an image and a JSON file a row: whether the text names the image's colour."""
    folder = tmp_path_factory.mktemp("pictures")
    number = 0
    for colour, pixels in PIXELS.items():
        for named in PIXELS:
            for shape in SHAPES:
                Image.new("RGB", (32, 32), pixels).save(folder / f"{number}.png")
                text, label = f"a {named} {shape}", "same" if named == colour else "other"
                row = {"text": text, "labels": label}
                (folder / f"{number}.json").write_text(json.dumps(row))
                number += 1
    return folder


@pytest.fixture(scope="module")
def table(pictures):
    """The same rows as a DataFrame."""
    rows = [json.loads((pictures / f"{i}.json").read_text()) for i in range(12)]
    return pd.DataFrame(rows).assign(images=[f"{i}.png" for i in range(12)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pictures, table):
    """A model of two classes from columns of other names, with evaluation in training."""
    folder = tmp_path_factory.mktemp("trained")
    args = settings(
        folder, num_train_epochs=25, num_image_embeds=2, evaluate_during_training=True,
        evaluate_during_training_steps=0, save_best_model=False, image_type_extension=".png",
        max_grad_norm=5.0,
    )  # fmt: skip
    model = MultiModalClassificationModel(
        "bert", "tiny_bert", label_list=["same", "other"], args=args
    )
    mine = table.rename(columns={"text": "words", "labels": "answer", "images": "file"})
    mine["file"] = mine["file"].str.removesuffix(".png")
    mine.to_csv(folder / "eval.csv", index=False)
    told = model.train_model(
        mine, image_path=pictures, text_label="words", labels_label="answer", images_label="file",
        eval_data=folder / "eval.csv", verbose=False,
    )  # fmt: skip
    return model, folder / "out", told, mine


def test_labels_follow_from_both_sides(trained, pictures):
    model, _, (steps, details), mine = trained
    assert steps == 25 * 2 == details["global_step"][-1] and len(details["accuracy"]) == 25
    result, outputs = model.eval_model(mine, image_path=pictures, verbose=False)
    assert result["accuracy"] == 1.0 == details["accuracy"][-1]
    assert result["eval_loss"] == pytest.approx(details["eval_loss"][-1], rel=1e-3)
    assert (result["tp"], result["tn"]) == (6, 6) and result["auroc"] == 1.0
    assert outputs.shape == (12, 2) and np.allclose(outputs.sum(axis=1), 1)
    # Neither text nor image alone tells the label: both are read.
    assert mine.groupby("words")["answer"].nunique().min() == 2


def test_names_of_columns_stay(trained):
    model, folder, *_ = trained
    assert (model.args.text_label, model.args.images_label) == ("words", "file")
    assert json.loads((folder / "model_args.json").read_text())["labels_label"] == "answer"


def test_answers(trained, pictures):
    model, _, _, mine = trained
    asked = {"words": mine["words"].tolist(), "file": mine["file"].tolist()}
    before = copy.deepcopy(asked)
    found, outputs = model.predict(asked, pictures)
    assert asked == before and found == mine["answer"].tolist() and outputs.shape == (12, 2)
    again, same = model.predict(asked, str(pictures), image_type_extension=".png")
    assert again == found and (same == outputs).all()
    with pytest.raises(ValueError, match="12 texts and 1 images"):
        model.predict({**asked, "file": ["1"]}, pictures)
    with pytest.raises(keras_mm.TableError, match=r"row 0.*nowhere.png.*\n(?s:.*)try again"):
        model.predict({"words": ["a"], "file": ["nowhere"]}, pictures)


def test_the_documented_keys_and_arguments(trained, pictures):
    model, _, _, mine = trained
    texts, images = mine["words"].tolist(), mine["file"].tolist()
    own, outputs = model.predict({"words": texts, "file": images}, pictures)
    found, same = model.predict({"text": texts, "images": images}, pictures)
    assert found == own and (same == outputs).all()
    expected, _ = model.eval_model(mine, image_path=pictures, verbose=False)
    result, _ = model.eval_model(
        mine, eval_image_path=pictures, verbose=False, show_running_loss=True, auto_weights=False,
        args={"silent": True},
    )  # fmt: skip
    assert result == expected
    # An empty text is one: the image is asked about with nothing said.
    found, outputs = model.predict({"text": [""], "images": images[:1]}, pictures)
    rows = Rows(([str(pictures / f"{images[0]}.png")],), ([""],), {}, [0])
    assert np.allclose(model.classifier.predictor_.logits(rows)["label"].argmax(), outputs.argmax())
    assert model.classifier.preprocessor_.masks(rows)["text_mask"].all()


def write_rows(folder, colours):
    """Rows of equal texts and file names, whose label is the image's colour."""
    folder.mkdir()
    rows = []
    for i, colour in enumerate(colours):
        Image.new("RGB", (32, 32), PIXELS[colour]).save(folder / f"{i}.png")
        rows.append({"text": "a square", "labels": colour, "images": f"{i}.png"})
        (folder / f"{i}.json").write_text(json.dumps(rows[-1]))
    pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)


@pytest.mark.backend_free
@pytest.mark.eager
def test_evaluation_in_training_reads_its_own_folder(tmp_path):
    train, evaluation = tmp_path / "train", tmp_path / "eval"
    write_rows(train, ["red", "blue"] * 4)
    write_rows(evaluation, ["blue", "red"] * 4)
    frame = pd.read_csv(evaluation / "rows.csv")
    args = settings(
        tmp_path, num_train_epochs=1, evaluate_during_training=True, save_best_model=False,
        overwrite_output_dir=True,
    )  # fmt: skip
    model = MultiModalClassificationModel("bert", "tiny_bert", args=args)
    for eval_data, options in (
        (evaluation, {}),
        (evaluation / "rows.csv", {"image_path": train}),
    ):
        _, scores = model.train_model(train, eval_data=eval_data, verbose=False, **options)
        own, _ = model.eval_model(frame, image_path=evaluation, verbose=False)
        others, _ = model.eval_model(frame, image_path=train, verbose=False)
        assert scores["eval_loss"][-1] == pytest.approx(own["eval_loss"], rel=1e-5)
        assert own["eval_loss"] != pytest.approx(others["eval_loss"], rel=1e-2)


@pytest.mark.backend_free
@pytest.mark.eager
def test_names_of_several_labels_may_be_0_and_1(pictures, table, tmp_path):
    model = MultiModalClassificationModel(
        "bert", "tiny_bert", True, label_list=np.array(["0", "1"]), args=settings(tmp_path)
    )
    named = table.assign(labels=[["0"], ["1"], ["0", "1"], []] * 3)
    model.train_model(named, image_path=pictures, verbose=False)
    assert model.classifier.priors_ == {"label": [0.5, 0.5]}
    # The training rows have decided that these are names, whatever their type is now.
    expected, *_ = model.eval_model(named, image_path=pictures)
    numbers = table.assign(labels=[[0], [1], [0, 1], []] * 3)
    assert model.eval_model(numbers, image_path=pictures)[0] == expected
    asked = {"text": table["text"].tolist(), "images": table["images"].tolist()}
    found, outputs = model.predict(asked, pictures)
    for row, probabilities in zip(found, outputs, strict=True):
        assert row == [n for n, p in zip("01", probabilities, strict=True) if p >= 0.5]
    again = MultiModalClassificationModel("bert", tmp_path / "out", label_list=["0", "1"])
    assert again.predict(asked, pictures)[0] == found


@pytest.mark.slow
@pytest.mark.backend_free
def test_a_fresh_process_needs_only_the_folder(trained, pictures, tmp_path, elsewhere):
    model, folder, _, mine = trained
    asked = {"words": mine["words"].tolist(), "file": mine["file"].tolist()}
    code = (
        "import sys, numpy as np\n"
        "from keras_mm.simple_transformers import MultiModalClassificationModel\n"
        "model = MultiModalClassificationModel('bert', sys.argv[1])\n"
        f"found, outputs = model.predict({asked!r}, sys.argv[2])\n"
        f"assert found == {mine['answer'].tolist()!r}\n"
        "np.save(sys.argv[3], outputs)\n"
    )
    file = tmp_path / "outputs.npy"
    moved = tmp_path / "moved"
    folder.rename(moved)
    try:
        elsewhere(code, moved, pictures, file)
    finally:
        moved.rename(folder)
    assert (np.load(file) == model.predict(asked, pictures)[1]).all()


@pytest.mark.slow
@pytest.mark.backend_free
def test_a_folder_of_files_with_several_labels(pictures, tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    for i in range(12):
        row = json.loads((pictures / f"{i}.json").read_text())
        shape = row["text"].split()[-1]
        found = [shape, "edged"] if shape != "circle" else [shape]
        (rows / f"{i}.json").write_text(json.dumps({**row, "labels": found, "images": f"{i}"}))
    files = tmp_path / "files.json"
    files.write_text(json.dumps([f"{i}.json" for i in range(8)]))
    names = [*SHAPES, "edged"]
    args = settings(tmp_path, num_train_epochs=30)
    model = MultiModalClassificationModel(
        "bert", "tiny_bert", multi_label=True, label_list=names, args=args
    )
    model.train_model(
        f"{rows}/", files_list=files, image_path=pictures, image_type_extension="png",
        data_type_extension=".json", auto_weights=True, verbose=False,
    )  # fmt: skip
    (head,) = model.classifier.heads_.values()
    assert model.classifier.num_rows_ == 8
    # Of the 8 rows 3 are circles, 3 squares and 2 triangles.
    assert head.class_weight == pytest.approx((8 / 3, 8 / 3, 4, 8 / 5))
    rest = [str(i) for i in range(8, 12)]
    result, outputs = model.eval_model(rows, files_list=rest, image_path=pictures, verbose=False)
    assert result["LRAP"] == 1.0 and outputs.shape == (4, 4)
    asked = {"text": ["a red circle", "a blue square"], "images": ["0", "7"]}
    found, _ = model.predict(asked, pictures)
    assert found == [["circle"], ["square", "edged"]]
    again = MultiModalClassificationModel("bert", tmp_path / "out")
    assert again.multi_label and again.predict(asked, pictures)[0] == found


@pytest.mark.backend_free
@pytest.mark.eager
def test_multi_hot_labels_and_several_weights(pictures, table, tmp_path):
    args = MultiModalClassificationArgs(**settings(tmp_path, no_save=True, threshold=0))
    model = MultiModalClassificationModel(
        "bert", "tiny_bert", True, num_labels=3, pos_weight=np.array([1, 2, 3]), args=args
    )
    hot = table.assign(labels=[[int(s in text) for s in SHAPES] for text in table["text"]])
    model.train_model(hot, image_path=pictures, verbose=False)
    found, outputs = model.predict({"text": ["a"], "images": ["1.png"]}, pictures)
    assert found == [[1, 1, 1]] and outputs.shape == (1, 3)
    assert not (tmp_path / "out").exists()
    with pytest.raises(keras_mm.TableError, match="each of 3 labels. Received: 2 of them"):
        model.eval_model(hot.assign(labels=[[0, 1]] * 12), image_path=pictures)


@pytest.mark.backend_free
def test_numbers(pictures, table, tmp_path):
    args = settings(tmp_path, regression=True, num_train_epochs=20, fusion="concat")
    model = MultiModalClassificationModel("bert", "tiny_bert", args=args)
    numbers = table.assign(labels=[7.0 + ("red" in text) for text in table["text"]])
    model.train_model(numbers, image_path=pictures, verbose=False)
    result, outputs = model.eval_model(numbers, image_path=pictures, verbose=False)
    assert {"eval_loss", "mae", "r2"} <= set(result) and result["r2"] > 0.5
    found, same = model.predict({"text": ["a red circle"], "images": ["0.png"]}, pictures)
    assert found.shape == same.shape == (1,) and outputs.shape == (12,)


@pytest.mark.backend_free
def test_bad_constructors(tmp_path):
    def make(**arguments):
        return MultiModalClassificationModel("bert", "tiny_bert", **arguments)

    with pytest.raises(ValueError, match="`label_list` must have `num_labels` labels"):
        make(label_list=["a", "b"], num_labels=3)
    with pytest.raises(ValueError, match="`pos_weight` needs multi_label=True"):
        make(num_labels=2, pos_weight=[1, 2])
    with pytest.raises(ValueError, match="`pos_weight` must have a number for each label, 3"):
        make(multi_label=True, num_labels=3, pos_weight=[1, 2])
    with pytest.raises(ValueError, match="must not both be true"):
        make(multi_label=True, args={"regression": True})
    with pytest.raises(TypeError, match="'multilabel'. Did you mean|Unknown argument 'multilabel'"):
        make(multilabel=True)
    with pytest.warns(UserWarning, match="Did you mean 'num_image_embeds'"):
        make(args={"num_image_embed": 3})
    # Settings of another class: those that are given must be known here.
    assert make(args=MultiLabelClassificationArgs(threshold=0.3)).args.threshold == 0.3
    with pytest.raises(TypeError, match="stride"):
        make(args=MultiLabelClassificationArgs(stride=0.5))


@pytest.mark.backend_free
def test_bad_calls(pictures, table, tmp_path):
    model = MultiModalClassificationModel("bert", "tiny_bert", args=settings(tmp_path))
    with pytest.raises(ValueError, match="`image_path` must be given"):
        model.train_model(table)
    with pytest.raises(ValueError, match="Missing: 'words'"):
        model.train_model(table, image_path=pictures, text_label="words")
    model.args.text_label = "text"
    bad = table.astype(object)
    bad.at[0, "images"], bad.at[1, "images"], bad.at[2, "labels"] = None, "../x.png", None
    with pytest.raises(keras_mm.TableError, match=r"3 problems(?s:.*)outside image_path=") as told:
        model.train_model(bad, image_path=pictures)
    assert [problem.row for problem in told.value.problems] == [0, 1, 2]
    with pytest.raises(NotADirectoryError, match="`image_path` must be a folder that exists"):
        model.train_model(table, image_path=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="`fusion` must consist of numbers"):
        model.train_model(table, image_path=pictures, args={"fusion": object()})
    with pytest.raises(keras_mm.TableError, match="12 problems"):
        model.train_model(table, image_path=pictures, image_type_extension=".jpeg")
    model.args.image_type_extension = ""
    with pytest.raises(ValueError, match="must be 1 to 9"):
        model.train_model(table, image_path=pictures, args={"num_image_embeds": 11})
    assert not (tmp_path / "out").exists()
