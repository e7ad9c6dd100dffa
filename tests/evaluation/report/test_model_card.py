from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from keras_mm.evaluation.evaluate import Evaluation
from keras_mm.evaluation.report.model_card import render_model_card
from keras_mm.settings.heads import Head
from tests.evaluation.report.test_report import result_of

pytestmark = pytest.mark.backend_free

ABOUT = {
    "source": "/somebody/secret/test.csv",
    "preset": "mobilenet_v2_minilm",
    "vision": "mobilenet_v2_0.35",
    "text": "all_minilm_l6_v2",
    "fusion": "concat",
    "images": ["photo"],
    "texts": ["title", "body`s"],
    "training_rows": 71,
    "test_rows": 31,
}
SETTINGS = {
    "data": "/somebody/secret/train.csv",
    "vision_weights": "pretrained",
    "vision_trainable": False,
    "text_weights": "/somebody/secret/model.h5",
    "class_weight": None,
    "learning_rate": 0.002,
    "training": {"warmup": 0.1},
}


def card_of(
    num_wrong=1, classes=("no", "yes", "never"), about=ABOUT, settings=SETTINGS, modalities=None,
    column="kind",
):  # fmt: skip
    """31 rows, 13 of them of the second class; the first `num_wrong` are answered wrong."""
    labels = np.repeat([0, 1], [18, 13])
    answers = labels.copy()
    answers[:num_wrong] = 1 - answers[:num_wrong]
    head = Head(classes=tuple(classes), column=column)
    one = result_of(head, labels, 9 * np.eye(len(classes))[answers], modalities=modalities)
    evaluation = Evaluation(
        heads={"label": one},
        predictions=pd.DataFrame(),
        history={"loss": [1.0, 0.5]},
        about=about,
    )
    return render_model_card(evaluation, settings)


def front_matter(card):
    start, matter, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(matter)


@pytest.mark.parametrize(
    ("images", "texts", "tags"),
    [
        (["photo"], ["title"], {"multimodal", "image-classification", "text-classification"}),
        ([], ["title"], {"text-classification"}),
        (["photo"], [], {"image-classification"}),
    ],
)
def test_front_matter_is_yaml_of_the_hub(images, texts, tags):
    matter = front_matter(card_of(about={**ABOUT, "images": images, "texts": texts}))
    assert matter["library_name"] == "keras" and "accuracy" in matter["metrics"]
    assert set(matter["tags"]) == {"keras", "keras_mm"} | tags


def test_says_how_to_use_it_in_python_that_compiles():
    card = card_of()
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert 'keras_mm.MultimodalClassifier.load("model")' in code
    assert "keras-mm predict --model model --data rows.csv" in card


def test_names_columns_and_encoders_but_no_folders():
    card = card_of()
    assert "`photo`" in card and "`title`, body\\`s" in card and "`kind`" in card
    assert "`train.csv`" in card and "`test.csv`" in card and "secret" not in card
    assert "`mobilenet_v2_0.35`, pretrained (keras.applications MobileNetV2" in card
    assert "licence Apache-2.0), frozen." in card
    assert "`all_minilm_l6_v2`, weights from a file." in card
    assert "Class weights: none" in card and "Trained for 2 epochs" in card


def test_counts_the_test_rows_that_were_left_out():
    words = "Rows of the test table that were left out because of errors"
    assert f"- {words}: 3\n" in card_of(about={**ABOUT, "skipped_rows": 3})
    assert words not in card_of()


def test_a_side_that_the_model_lacks_is_not_named():
    settings = {**SETTINGS, "vision_backbone": "resnet50v2"}
    assert "Vision" not in card_of(about={**ABOUT, "vision": None}, settings=settings)


def test_a_backbone_of_the_users_is_named_and_not_called_pretrained():
    card = card_of(about={**ABOUT, "vision": SimpleNamespace(name="my_net")})
    assert "`my_net`, a Keras model of the user, frozen." in card


def test_a_backbone_in_a_folder_keeps_its_last_part_and_a_handle_its_all():
    about = {**ABOUT, "vision": "/somebody/secret/net", "text": "hf://org/bert"}
    card = card_of(about=about)
    assert "`net`, pretrained, frozen." in card and "`hf://org/bert`" in card
    assert "secret" not in card


def test_results_stand_beside_the_majority_class():
    card = card_of()
    assert "| Accuracy | 96.8% [83.8, 99.4] | 58.1% [" in card
    assert "**Better than the baseline.** Accuracy .968 [" in card
    assert "(majority, .581) by .387 [" in card
    assert "| yes | 0.929 | 1.000 [0.77, 1.00] | 0.963 | 13 |" in card
    assert "| never | – | – | – | 0 |" in card


def test_results_by_modality_where_there_are_two():
    scores = {
        "num_rows": 29, "accuracy": 0.5, "accuracy_interval": [0.25, 0.75],
        "majority_accuracy": 0.625, "macro_f1": 0.375,
    }  # fmt: skip
    card = card_of(modalities={"held": {"image_and_text": scores}, "hidden": {"texts": scores}})
    for name in ("Image and text", "Image and text, texts hidden"):
        assert f"\n| {name} | 29 | 50.0% [25.0, 75.0] | 62.5% | 0.375 |\n" in card
    assert "| Image and text, images hidden |" not in card and "hidden" not in card_of()


def test_verdict_changes_when_the_majority_class_is_not_beaten():
    assert "**Better than the baseline.**" in card_of(num_wrong=1)
    assert "**Not distinguishable from the baseline.**" in card_of(num_wrong=12)
    assert "**Worse than the baseline.**" in card_of(num_wrong=30)


def test_limits_are_stated():
    limits = card_of().split("## Limits\n")[1]
    assert "31 test rows" in limits and "83.8% and 99.4%" in limits
    assert "majority class is the only baseline" in limits
    assert "“no” (18), “yes” (13): the scores of such a class are uncertain" in limits
    assert "No test row has the label “never”" in limits


def test_names_cannot_break_the_markdown():
    name = "a|b\n# *c* `d` [e](http://f) <script> _g_ snake_case"
    card = card_of(classes=("no", name))
    escaped = r"a\|b # \*c\* \`d\` [e]\(http://f) &lt;script&gt; \_g\_ snake_case"
    assert f"\n| {escaped} | 0.929 |" in card
    assert name.splitlines()[1] not in card and "<script>" not in card


def test_works_with_nothing_but_metrics():
    card = card_of(about={}, settings={}, column="label")
    assert front_matter(card)["tags"] == ["keras", "keras_mm"] and "`label`" in card
