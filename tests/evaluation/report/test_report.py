import base64
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_mm.data.tables.rows import Rows
from keras_mm.errors import Problem
from keras_mm.evaluation.baselines.selection import Chosen
from keras_mm.evaluation.beside_baselines import evaluate_beside
from keras_mm.evaluation.evaluate import Evaluation
from keras_mm.evaluation.report.comparison import compare_metrics
from keras_mm.evaluation.report.findings import find_limits, find_remarks
from keras_mm.evaluation.report.formats import percent
from keras_mm.evaluation.report.report import render_report
from keras_mm.metrics.head_metrics import head_prior
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

HISTORY = {
    "loss": [1.3, 0.7, 0.5],
    "val_loss": [1.1, 0.6, 0.8],
    "val_accuracy": [0.5, 0.75, 0.7],
    "val_macro_f1": [0.3, 0.6, 0.65],
}
NASTY = ["<script>alert(1)</script>", '"><img src=x onerror=y>', "🎉 & co", "a\nb"]
SCORES = {"accuracy": 0.75, "accuracy_interval": [0.51, 0.898], "majority_accuracy": 0.5}
MODALITIES = {
    "held": {
        "image_and_text": {"num_rows": 41, "macro_f1": 0.7, **SCORES},
        "text_only": {"num_rows": 13, "macro_f1": 0.6, **SCORES},
    },
    "hidden": {
        "images": {"num_rows": 41, "macro_f1": 0.5, **SCORES},
        "texts": {"num_rows": 41, "macro_f1": 0.4, **SCORES},
    },
}
VOID = {"meta", "link", "br", "hr", "img", "input"}


def result_of(head, labels, logits, train=None, rivals=None, modalities=None, **facts):
    """Results of a head beside its prior in `train`, and predictions of `rivals`."""
    labels = np.asarray(labels)
    rows = Rows((), (), {"label": labels}, pd.RangeIndex(len(labels)), **facts)
    prior = head_prior(head, labels if train is None else train).tolist()
    chosen = {name: {"label": Chosen("how", values)} for name, values in (rivals or {}).items()}
    return evaluate_beside("label", head, rows, logits, prior, chosen, modalities or {})


def evaluation_of(labels, answers, classes, train=None, sure=0.9, rivals=None, **facts):
    """Rows answered with probability `sure`, the rest spread over the other classes."""
    labels, answers, k = np.asarray(labels), np.asarray(answers), len(classes)
    sure = np.broadcast_to(sure, len(labels))
    found = np.repeat(((1 - sure) / (k - 1))[:, None], k, axis=1)
    found[np.arange(len(labels)), answers] = sure
    names = np.array(classes, dtype=object)
    columns = {f"probability_{name}": found[:, i] for i, name in enumerate(classes)}
    one = result_of(
        Head(classes=tuple(classes)),
        labels,
        np.log(found),
        train,
        rivals,
        facts.pop("modalities", {}),
    )
    return Evaluation(
        heads={"label": one},
        predictions=pd.DataFrame(
            {
                "row": np.arange(len(labels)) + 1000,
                "label": names[labels],
                "prediction": names[answers],
                **columns,
            }
        ),
        **facts,
    )


def head_of(evaluation):
    return evaluation.heads["label"]


def with_mistakes(num_rows, num_wrong, classes=("no", "yes"), share=0.7, **facts):
    """`share` of the rows are of the first class; the first `num_wrong` rows are answered wrong."""
    labels = np.resize(np.arange(1, len(classes)), num_rows)
    labels[: round(share * num_rows)] = 0
    answers = labels.copy()
    answers[:num_wrong] = (answers[:num_wrong] + 1) % len(classes)
    return evaluation_of(labels, answers, list(classes), **facts)


class Page(HTMLParser):
    """Text, tags, attributes and table rows of a page whose tags must be closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.rows = [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def cells(self, first):
        return next(row[1:] for row in self.rows if row and row[0].strip() == first)


CASES = {
    "good": lambda: with_mistakes(101, 3, history=HISTORY, about={"preset": "tiny", "seed": 0}),
    "no_history": lambda: with_mistakes(53, 50),
    "one_epoch": lambda: with_mistakes(53, 2, history={k: v[:1] for k, v in HISTORY.items()}),
    "unvalidated": lambda: with_mistakes(53, 2, history={"loss": [1.0, 0.5]}),
    "diverged": lambda: with_mistakes(53, 2, history={"loss": [1.0], "val_loss": [float("nan")]}),
    "modalities": lambda: with_mistakes(54, 9, modalities=MODALITIES),
    "int_classes": lambda: with_mistakes(53, 2, classes=(-1, 7)),
    "nasty": lambda: with_mistakes(53, 9, classes=NASTY, about={"source": NASTY[1]}),
    "absent_class": lambda: evaluation_of([0, 1, 0], [0, 1, 1], ["a", "b", "never"]),
    "one_row": lambda: with_mistakes(1, 0),
    "no_mistakes": lambda: with_mistakes(53, 0),
    "compact": lambda: with_mistakes(307, 11, classes=range(30), share=0.1),
    "dense": lambda: with_mistakes(307, 31, classes=range(100), share=0.1),
}


@pytest.mark.parametrize("case", CASES)
def test_is_whole_self_contained_and_repeatable(case):
    evaluation = CASES[case]()
    page = render_report(evaluation)
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(parsed.tags)
    assert "http://" not in page and "https://" not in page and "@import" not in page
    for name, value in parsed.attributes:
        assert not name.startswith("on") and name not in ("src", "srcset", "data", "action")
        assert name not in ("href", "xlink:href") or value.startswith("#")
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", page))
    assert page == render_report(evaluation)


def test_names_are_escaped_and_shown():
    page = render_report(CASES["nasty"]())
    assert "<script" not in page and "<img" not in page
    text = "".join(Page(page).text)
    assert all(name in text for name in NASTY)


@pytest.mark.parametrize(
    ("num_wrong", "headline"),
    [
        (2, "Better than the baseline."),
        (62, "Not distinguishable from the baseline."),
        (110, "Worse than the baseline."),
    ],
)
def test_verdict_says_whether_the_majority_class_is_beaten(num_wrong, headline):
    evaluation = with_mistakes(200, num_wrong)
    verdict = head_of(evaluation).verdict
    assert verdict.headline == headline and verdict.better is (num_wrong == 2)
    assert "(majority, .700)" in verdict.sentence
    page = Page(render_report(evaluation))
    text = " ".join("".join(page.text).split())
    assert headline in text and verdict.sentence in text
    assert ("Balanced accuracy, in which every class counts the same" in text) != verdict.better


def test_a_remark_warns_of_another_majority_among_the_test_rows():
    labels = np.repeat([0, 1], [10, 90])
    answers = np.ones(100, int)
    result = head_of(evaluation_of(labels, answers, ["a", "b"], train=[0, 0, 1]))
    assert result.verdict.better
    assert (
        "“b”, the most frequent class of these test rows, would be right on 90.0%"
        in find_remarks(result)
    )
    right = head_of(evaluation_of(labels, labels, ["a", "b"], train=[0, 0, 1]))
    assert find_remarks(right) == ""


def test_baselines_stand_beside_the_model_and_are_described():
    labels = np.resize([0, 0, 0, 1], 100)
    right = np.where(np.eye(2)[labels] > 0, 0.8, 0.2)
    wrong = right[::-1].copy()  # also of 26 rows
    rivals = {"lexical": wrong, "text_only": right}
    evaluation = evaluation_of(labels, labels, ["no", "yes"], rivals=rivals)
    page = Page(render_report(evaluation))
    header = ["", "Accuracy", "Model ahead (points)", "Macro-F1", "Log loss", "Model ahead"]
    assert header in page.rows
    cells = {"Always “no”": ("75.0%", "+25.0"), "Lexical": ("50.0%", "+50.0"),
             "Texts only": ("100.0%", "+0.0")}  # fmt: skip
    for name, (accuracy, ahead) in cells.items():
        found = page.cells(name)
        assert found[0].startswith(f"{accuracy} [") and found[1].startswith(f"{ahead} [")
    text = " ".join("".join(page.text).split())
    assert "Lexical: a model of the words" in text and "(how)" in text
    assert "is the only baseline" not in text
    assert evaluation.to_dict()["verdict"] == head_of(evaluation).verdict.sentence
    assert list(evaluation.to_dict()["differences"]) == ["majority", "lexical", "text_only"]


def test_figures_are_those_of_the_metrics():
    evaluation = with_mistakes(101, 3, classes=("no", "yes", "maybe"))
    low, high = evaluation.metrics["accuracy_interval"]
    page = Page(render_report(evaluation))
    interval = f"[{100 * low:.1f}, {100 * high:.1f}]"
    model, majority = page.cells("Accuracy")[:2]
    assert model == f"97.0% {interval}" and majority.startswith("70.3% [")
    for (name, model, majority, _), key in zip(
        compare_metrics(head_of(evaluation)).rows[1:],
        (
            *("macro_f1", "weighted_f1", "balanced_accuracy", "top_2_accuracy", "mcc", "log_loss"),
            *("brier_score_loss", "expected_calibration_error", "auroc", "auprc"),
        ),
        strict=True,
    ):
        assert model.startswith(f"{evaluation.metrics[key]:.3f}") and page.cells(name)[0] == model
        assert majority.startswith(f"{evaluation.baselines['majority'][key]:.3f}")
    scores = evaluation.metrics["per_class"]["yes"]
    precision, recall, f1, support = page.cells("yes")
    assert precision == f"{scores['precision']:.3f}" and recall.startswith(
        f"{scores['recall']:.3f} ["
    )
    assert f1 == f"{scores['f1']:.3f}" and support == str(scores["support"])


def test_intervals_stand_behind_their_scores():
    logits = np.random.default_rng(0).normal(size=(41, 3))
    head = Head(classes=("a", "b", "c"))
    result = result_of(head, np.arange(41) % 3, logits)
    cells = {name: model for name, model, _, _ in compare_metrics(result).rows}
    metrics = result.metrics
    low, high = metrics["macro_f1_interval"]
    assert cells["Macro-F1"] == f"{metrics['macro_f1']:.3f} [{low:.3f}, {high:.3f}]"
    for name in ("Log loss (nats)", "Average precision, mean over classes"):
        assert cells[name].endswith("]")
    assert "[" not in cells["Brier score"]


def test_two_classes_have_areas_under_their_curves():
    evaluation = with_mistakes(101, 3, classes=("no", "yes"))
    page = Page(render_report(evaluation))
    for name, key in (
        ("Area under the ROC curve", "auroc"), ("Average precision for “yes”", "auprc")
    ):  # fmt: skip
        model, majority = page.cells(name)[:2]
        assert model.startswith(f"{evaluation.metrics[key]:.3f}")
        assert majority.startswith(f"{evaluation.baselines['majority'][key]:.3f}")
    assert evaluation.baselines["majority"]["auroc"] == 0.5


def test_modalities_have_a_table_where_there_are_two():
    page = Page(render_report(CASES["modalities"]()))
    start = page.rows.index(["Input", "Test rows", "Accuracy", "Always “no”", "Macro-F1"])
    shares = ["75.0% [51.0, 89.8]", "50.0%"]
    assert page.rows[start + 1 : start + 5] == [
        ["Image and text", "41", *shares, "0.700"],
        ["Text only", "13", *shares, "0.600"],
        ["Image and text, images hidden", "41", *shares, "0.500"],
        ["Image and text, texts hidden", "41", *shares, "0.400"],
    ]
    text = "".join(page.text)
    assert "By modality" in text and "what this model predicts from one modality" in text
    assert "By modality" not in render_report(CASES["good"]())


def test_confusion_matrix_has_labels_in_rows():
    page = Page(render_report(evaluation_of([0, 0, 0, 1, 1], [0, 1, 1, 1, 1], ["p", "q"])))
    start = next(i for i, row in enumerate(page.rows) if row[0].startswith("label"))
    assert page.rows[start + 1 : start + 3] == [["p", "133.3%", "266.7%"], ["q", "0", "2100.0%"]]


def test_a_large_matrix_names_its_confusions():
    labels = np.repeat(np.arange(17), 5)
    answers = labels.copy()
    answers[[10, 11, 12, 40]] = [3, 3, 3, 5]
    names = [f"class {i}" for i in labels[::5]]
    page = Page(render_report(evaluation_of(labels, answers, names)))
    start = page.rows.index(["Label", "Prediction", "Rows", "Share of the label's rows"])
    assert page.rows[start + 1 : start + 3] == [
        ["class 2", "class 3", "3", "60.0%"],
        ["class 8", "class 5", "1", "20.0%"],
    ]


def test_a_class_without_rows_has_dashes_and_is_told():
    evaluation = CASES["absent_class"]()
    page = Page(render_report(evaluation))
    assert page.cells("never") == ["–", "–", "–", "0"]
    limits = " ".join(find_limits(head_of(evaluation), {}))
    assert "No test row has the label “never”" in limits
    assert "“a” (2), “b” (1): the scores of such a class are uncertain" in limits


def test_mistakes_are_the_surest_twenty():
    sure = np.linspace(0.55, 0.95, 40)
    labels = np.zeros(40, int)
    labels[-1] = 1
    evaluation = evaluation_of(labels, np.ones(40, int), ["no", "yes"], sure=sure)
    page = Page(render_report(evaluation))
    start = page.rows.index(["Row", "Label", "Prediction", "Probability"])
    rows = page.rows[start + 1 :]
    assert len(rows) == 20
    assert [row[0] for row in rows] == [str(1000 + i) for i in range(38, 18, -1)]
    assert rows[0] == ["1038", "no", "yes", f"{sure[38]:.3f}"]
    assert "20 of 39 mistakes" in "".join(page.text)


def test_mistakes_show_their_rows(tmp_path):
    Image.new("RGB", (300, 200), (250, 0, 0)).save(tmp_path / "red.png")
    evaluation = with_mistakes(53, 3)
    images = [str(tmp_path / "red.png"), str(tmp_path / "gone.png"), None] + [None] * 50
    texts = ["<b>short</b>", "long " * 99, None] + ["right"] * 50
    rows = Rows((images,), (texts,), {}, evaluation.predictions.index)
    frame = evaluation.predictions.assign(key=[f"k{i}" for i in range(53)])
    evaluation = replace(evaluation, rows=rows, predictions=frame, id_column="key")
    html = render_report(evaluation)
    page = Page(html)
    start = page.rows.index(["Row", "Content", "Label", "Prediction", "Probability"])
    first, second, third = ([cell.strip() for cell in row] for row in page.rows[start + 1 :])
    assert first[:2] == ["1000 (k0)", "<b>short</b>"] and "<b>short" not in html
    assert second[0] == "1001 (k1)" and second[1].endswith("long …") and len(second[1]) <= 160
    assert third[:2] == ["1002 (k2)", ""]
    (address,) = [value for name, value in page.attributes if name == "src"]
    image = Image.open(io.BytesIO(base64.b64decode(address.split("base64,")[1])))
    assert image.size == (72, 48) and address.startswith("data:image/jpeg;base64,")
    assert "img-src data:" in html and len(html) < 60_000


def test_no_mistakes_are_said():
    text = "".join(Page(render_report(CASES["no_mistakes"]())).text)
    assert "all 53 test rows were predicted correctly" in text


def test_rows_that_were_left_out_are_counted_and_listed():
    problems = [Problem(row, "text", "a.csv", f"<bad> {row}") for row in range(29)]
    problems[1] = Problem((3, "x"), None, "a.csv", "the row is empty.")
    page = Page(render_report(with_mistakes(31, 1, skipped=problems, num_skipped=28)))
    text = " ".join("".join(page.text).split())
    assert "28 of 59 rows left out because of errors." in text
    assert "The first 20 of 29 problems." in text
    assert page.cells("0") == ["column 'text': <bad> 0"]
    assert page.cells("3, x") == ["the row is empty."]
    assert not any(row and row[0] == "20" for row in page.rows)
    few = Page(render_report(with_mistakes(31, 1, skipped=problems[:2], num_skipped=2))).text
    assert "2 of 33 rows left out" in "".join(few) and "of 2 problems" not in "".join(few)
    assert "left out" not in render_report(with_mistakes(31, 1))


def test_curves_mark_the_best_epoch():
    page = Page(render_report(CASES["good"]()))
    text = "".join(page.text)
    assert "the lowest validation loss, epoch 2" in text
    assert page.tags.count("svg") == 1 and all(name in text for name in HISTORY)
    assert "svg" not in Page(render_report(CASES["no_history"]())).tags
    assert "Dashed" not in render_report(CASES["diverged"]())


def test_curves_mark_the_epoch_that_early_stopping_chose():
    page = render_report(with_mistakes(53, 5, history=HISTORY, monitor="val_macro_f1"))
    assert "the highest validation macro f1, epoch 3" in "".join(Page(page).text)


def test_percent_is_whole_only_for_all_or_nothing():
    shares = [1.0, 0.99999, 0.5, 0.00001, 0.0]
    assert [percent(share) for share in shares] == ["100.0%", ">99.9%", "50.0%", "<0.1%", "0.0%"]


def test_loads_no_backend():
    code = (
        "import sys, keras_mm.evaluation.report.model_card\n"
        "from keras_mm.evaluation.report.curves import draw_curves\n"
        "assert draw_curves({'loss': [1.0]}); names = {'keras', 'jax', 'tensorflow', 'torch'};"
        "print(sorted({*names, 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
