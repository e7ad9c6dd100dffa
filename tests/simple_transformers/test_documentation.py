"""The snippets of Simple Transformers' documentation run after changing import and model name."""

import re
import warnings

import pandas as pd
import pytest

import keras_mm.simple_transformers as simple_transformers

pytestmark = [pytest.mark.backend_free, pytest.mark.eager]

PAGES = {
    "multimodal": "000_6e0b4fbe4d97e8d7.txt",
    "models": "001_016f91700acd2df4.txt",
    "multilabel": "002_7d3df26d8c250cdc.txt",
}


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    """Where the snippets write their `outputs/`."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def snippets(shared, minilm):
    """The code blocks of a page, with nothing else changed."""

    def read(page):
        text = (shared / "seeds" / PAGES[page]).read_text(encoding="utf-8")
        found = []
        for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
            block = block.replace(
                "simpletransformers.classification", "keras_mm.simple_transformers"
            )
            block = re.sub(
                r'"(roberta|bert)",\s*"(roberta-base|bert-base-uncased)"', '"bert", MINILM', block
            )
            found.append(block)
        return found

    return read


def run(block, minilm, **names):
    space = {"MINILM": minilm, **vars(simple_transformers), **names}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions")
        exec(compile(block, "snippet", "exec"), space)
    return space


def test_the_page_of_several_labels(snippets, minilm, tmp_path):
    (block,) = snippets("multilabel")
    space = run(block, minilm)
    assert len(space["predictions"]) == 1 and len(space["predictions"][0]) == 3
    assert space["raw_outputs"].shape == (1, 3) and 0 <= space["result"]["LRAP"] <= 1
    assert (tmp_path / "outputs" / "checkpoint-1-epoch-1" / "model.json").is_file()


def test_the_page_of_models(snippets, minilm):
    blocks = snippets("models")
    assert len(blocks) >= 6
    kinds = [type(run(block, minilm)["model"]).__name__ for block in blocks]
    assert set(kinds) == {"ClassificationModel", "MultiLabelClassificationModel"}


def test_the_page_of_texts_with_images(snippets, minilm, shared):
    table = pd.read_csv(shared / "data" / "emoji" / "emoji_group.csv").iloc[::60].head(24)
    train = table.rename(columns={"text_1": "text", "label": "labels", "image_1": "images"})
    images = str(shared / "data" / "emoji")
    made, training, evaluation = [], 0, 0
    for block in snippets("multimodal"):
        if "MultiModalClassificationModel(" in block:
            made.append(run(block, minilm)["model"])
    model = made[-1]
    model.args.update_from_dict(
        {"image_encoder": "tiny_cnn", "image_weights": "random", "image_size": 32, "silent": True}
    )
    for block in snippets("multimodal"):
        if "train_model(" in block:
            run(block.replace(")", ", image_path=images)"), minilm, model=model, train_data=train,
                images=images)  # fmt: skip
            training += 1
        elif "eval_model(" in block:
            block = block.replace("(eval_data)", "(eval_data, image_path=images)")
            space = run(block, minilm, model=model, eval_data=train, images=images)
            assert space["model_outputs"].shape == (24, train["labels"].nunique())
            evaluation += 1
    assert (len(made), training, evaluation) == (2, 1, 1)
    asked = {"text": train["text"].tolist(), "images": train["images"].tolist()}
    predictions, _ = model.predict(asked, images)
    assert set(predictions) <= set(train["labels"])
